//! Opens several listeners on one port, so that the kernel spreads the connections, but still fails if
//! another process has the port.

use std::io;
use std::net::{SocketAddr, TcpListener};

use tokio::net::TcpSocket;

use crate::process::system;

/// Connections that the kernel keeps until they are accepted; it caps the number by itself.
const BACKLOG: u32 = 1024;

/// Why the server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error(
        "{0} is taken by another process; stop it, or choose another address (--listen or LISTEN, -p, --http)"
    )]
    Taken(SocketAddr),
    #[error(
        "this machine does not have the address of {0}; listen on one of its own, or on all of them: 0.0.0.0:{port}",
        port = .0.port()
    )]
    NotOwn(SocketAddr),
    #[error("cannot listen on {address}: {}", system::explain(.error))]
    Failed { address: SocketAddr, error: io::Error },
}

/// Opens `count` listeners on one address, for runtimes to take over. Port 0 picks a free port, the same
/// for all. Must be called within a runtime.
pub fn listen(address: SocketAddr, count: usize) -> Result<Vec<TcpListener>, BindError> {
    // The first one is bound alone, which fails if another process has the port, and only then allows
    // others. With the option set from the start, two processes would share the port unnoticed.
    let first = bind(address, false).map_err(|error| explain(address, error))?;
    let failed = |error| BindError::Failed { address, error };
    first.set_reuseport(true).map_err(failed)?;
    let address = first.local_addr().map_err(failed)?;
    let mut listeners = vec![open(first).map_err(failed)?];
    for _ in 1..count {
        listeners.push(bind(address, true).and_then(open).map_err(failed)?);
    }
    Ok(listeners)
}

fn bind(address: SocketAddr, is_shared: bool) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    // Connections of an earlier run in TIME_WAIT must not keep a node from starting.
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(is_shared)?;
    socket.bind(address)?;
    Ok(socket)
}

fn open(socket: TcpSocket) -> io::Result<TcpListener> {
    socket.listen(BACKLOG)?.into_std()
}

fn explain(address: SocketAddr, error: io::Error) -> BindError {
    match error.kind() {
        io::ErrorKind::AddrInUse => BindError::Taken(address),
        io::ErrorKind::AddrNotAvailable => BindError::NotOwn(address),
        _ => BindError::Failed { address, error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anywhere() -> SocketAddr {
        "127.0.0.1:0".parse().expect("is an address")
    }

    #[tokio::test]
    async fn several_listeners_have_one_port() {
        let listeners = listen(anywhere(), 3).expect("listens");
        let addresses: Vec<_> = listeners
            .iter()
            .map(|l| l.local_addr().expect("has an address"))
            .collect();
        assert!(
            addresses
                .iter()
                .all(|address| *address == addresses[0] && address.port() != 0)
        );
    }

    #[tokio::test]
    async fn an_address_of_another_machine_is_named_with_what_to_do() {
        let far = "203.0.113.1:9000".parse().expect("is an address");
        let told = listen(far, 1).expect_err("is not here").to_string();
        assert!(
            told.contains("does not have") && told.contains("0.0.0.0:9000"),
            "{told}"
        );
    }

    #[tokio::test]
    async fn a_port_that_somebody_has_is_not_shared() {
        let listeners = listen(anywhere(), 2).expect("listens");
        let address = listeners[0].local_addr().expect("has an address");
        assert!(matches!(listen(address, 2), Err(BindError::Taken(taken)) if taken == address));
        drop(listeners);
        assert!(listen(address, 2).is_ok());
    }
}
