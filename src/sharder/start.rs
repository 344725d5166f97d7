//! Bringing the servers up: all or none.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::time::{Instant, sleep};

use super::SharderError;
use super::fleet::Server;
use super::link::Link;
use super::process::{Process, find_redis};

/// A server answers after some 30 ms; this leaves room for many at once on a busy machine.
const START_DEADLINE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);

/// The servers of a sharder that was killed a moment ago may still be about to end.
const PORT_DEADLINE: Duration = Duration::from_secs(1);

/// Starts `count` servers on the ports from `base_port` on, and waits until all answer. If one does not,
/// none is left running.
pub(super) async fn start(base_port: u16, count: u16) -> Result<BTreeMap<u16, Server>, SharderError> {
    if base_port == 0 {
        return Err(SharderError::BadArgument(
            "the first port is 0; it must be 1 or more".into(),
        ));
    }
    let Some(last_port) = base_port.checked_add(count - 1) else {
        return Err(SharderError::BadArgument(format!(
            "{count} servers need ports {base_port} to {}, and ports end at 65535",
            u32::from(base_port) + u32::from(count) - 1
        )));
    };
    find_redis()?;
    let deadline = Instant::now() + PORT_DEADLINE;
    for port in base_port..=last_port {
        until_free(port, deadline).await?;
    }
    let processes: Result<Vec<Process>, _> = (base_port..=last_port).map(Process::start).collect();
    let servers = try_join_all(processes?.into_iter().map(until_it_answers)).await?;
    Ok(servers
        .into_iter()
        .map(|server| (server.process.port, server))
        .collect())
}

async fn until_free(port: u16, deadline: Instant) -> Result<(), SharderError> {
    loop {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() != ErrorKind::AddrInUse => {
                let reason = error.to_string();
                return Err(SharderError::CannotStart { port, reason });
            }
            Err(_) if Instant::now() > deadline => return Err(SharderError::PortInUse(port)),
            Err(_) => sleep(POLL).await,
        }
    }
}

async fn until_it_answers(mut process: Process) -> Result<Server, SharderError> {
    let deadline = Instant::now() + START_DEADLINE;
    loop {
        if process.has_ended() {
            return Err(why_it_ended(&process));
        }
        if let Some(link) = Link::open(process.port, process.pid()).await {
            return Ok(Server { process, link });
        }
        if Instant::now() > deadline {
            return Err(SharderError::CannotStart {
                port: process.port,
                reason: format!("no answer within {START_DEADLINE:?}"),
            });
        }
        sleep(POLL).await;
    }
}

fn why_it_ended(process: &Process) -> SharderError {
    let (port, reason) = (process.port, process.last_words());
    // Somebody may take the port after it was found free.
    if reason.contains("Address already in use") {
        SharderError::PortInUse(port)
    } else {
        SharderError::CannotStart { port, reason }
    }
}
