//! A sharder over Redis: spreads pairs of integers over real `redis-server` processes on this machine,
//! keeps each key on `reliabilityLevel` of them, and copies it again when one dies.
//!
//! ```text
//! Sharder (a handle) ── orders ──▶ owner: one thread, one order after the other
//!                                    └ Fleet ┬ Layout    what goes where: pure
//!                                            └ Server    a redis-server process and the link to it
//! ```
//!
//! What always holds:
//!
//! 1. *Copies agree.* One thread takes the orders in turn, so two puts of a key cannot cross, and a
//!    caller that goes away does not stop a put half-way. If a put fails on one server, it is repeated on
//!    those that are left, or taken back on all.
//! 2. *The servers keep to the capacity themselves.* A script that runs inside Redis takes a new key only
//!    while there is room (`link`); the layout avoids full servers.
//! 3. *After a death, copies are made again before anything else is answered* (`repair`).
//! 4. *A key whose copies have all died is lost*, which is told apart from one that was never stored.
//! 5. *No server outlives the sharder*, whichever way it ends (`process`).
//!
//! A server is dead when its process has ended. A living one that does not answer for two seconds is
//! given up, that is, killed and repaired, if all its keys have a copy on a server that answers.
//! Otherwise operations that need it are unavailable until it answers or dies.
//!
//! ```no_run
//! use causeway::apps::redis_sharder::{Found, Settings, Sharder};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let sharder = Sharder::start(Settings::default())?;
//! let ports = sharder.bring_up(5, 3, 2).await?;
//! sharder.put(1, 42).await?;
//! let repaired = sharder.fail_node(ports[0].into()).await?;
//! assert_eq!(repaired.lost, 0);
//! assert_eq!(sharder.get(1).await?, Found::Value(42));
//! assert_eq!(sharder.get(2).await?, Found::NotFound);
//! # Ok(())
//! # }
//! ```

pub mod arguments;
pub mod shell;

pub mod bodies;
mod error;
mod fleet;
mod http;
mod layout;
mod link;
mod owner;
mod process;
mod program;
mod put;
mod repair;
mod serve;
mod start;

use std::io;
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

pub use self::bodies::{ServerStatus, Status};
pub use self::error::SharderError;
use self::owner::{Answer, Order};
pub use self::serve::serve_sharder;

/// Orders that wait for their turn. When the queue is full, callers wait to give theirs.
const ORDERS_WAITING: usize = 256;

/// How a sharder is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The port of the first server; the others follow.
    pub base_port: u16,
    /// Refuse a put that cannot have all its copies because too few servers live.
    pub is_strict: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            base_port: 9000,
            is_strict: false,
        }
    }
}

/// How many servers, how many pairs on each, how many copies of each key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Size {
    servers: u16,
    capacity: u64,
    level: usize,
}

/// What a get found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    Value(i64),
    /// The key was never stored.
    NotFound,
    /// The key was stored, and every copy of it died.
    Lost,
}

/// The result of a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// How many servers have the pair.
    pub replicas: usize,
    /// How many should have it: the reliability level.
    pub target: usize,
}

impl Stored {
    /// True if there are fewer copies than there should be.
    pub fn is_degraded(&self) -> bool {
        self.replicas < self.target
    }
}

/// What was done about a server that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repaired {
    /// Copies that were made on the remaining servers.
    pub copied: usize,
    /// Keys with fewer copies than the reliability level, because there is no room or there are too few
    /// servers.
    pub under_replicated: usize,
    /// Keys whose last copy was on this server.
    pub lost: usize,
}

/// A sharder: a handle on the thread that owns the servers. Operations may be called from any task of any
/// runtime; they are carried out one after the other. Dropping it ends the servers, and waits for that.
#[derive(Debug)]
pub struct Sharder {
    orders: mpsc::Sender<Order>,
    stop: CancellationToken,
    owner: Option<JoinHandle<()>>,
}

impl Sharder {
    /// A sharder without servers; [`Sharder::bring_up`] comes first.
    pub fn start(settings: Settings) -> io::Result<Self> {
        let (orders, waiting) = mpsc::channel(ORDERS_WAITING);
        let stop = CancellationToken::new();
        let owner = owner::spawn(settings, waiting, stop.clone())?;
        Ok(Self {
            orders,
            stop,
            owner: Some(owner),
        })
    }

    /// Starts `servers` Redis servers that hold up to `capacity` pairs each, for `level` copies of each key,
    /// and waits until all answer. Returns their ports.
    pub async fn bring_up(&self, servers: i64, capacity: i64, level: i64) -> Result<Vec<u16>, SharderError> {
        let size = Size::new(servers, capacity, level)?;
        self.ask(|answer| Order::BringUp(size, answer)).await
    }

    /// Kills the server on this port, and makes its copies again on those that are left.
    pub async fn fail_node(&self, port: i64) -> Result<Repaired, SharderError> {
        self.ask(|answer| Order::FailNode(port, answer)).await
    }

    /// Stores a pair, in place of the key's previous one.
    pub async fn put(&self, key: i64, value: i64) -> Result<Stored, SharderError> {
        self.ask(|answer| Order::Put { key, value, answer }).await
    }

    /// Reads the value of a key.
    pub async fn get(&self, key: i64) -> Result<Found, SharderError> {
        self.ask(|answer| Order::Get(key, answer)).await
    }

    /// Which servers live, and the state of the keys.
    pub async fn status(&self) -> Result<Status, SharderError> {
        self.ask(Order::Status).await
    }

    /// Ends the servers, even during an operation, and waits until they are gone. After that every
    /// operation is refused as unavailable.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.orders.closed().await;
    }

    async fn ask<T>(&self, order: impl FnOnce(Answer<T>) -> Order) -> Result<T, SharderError> {
        let (answer, answered) = oneshot::channel();
        let sent = self.orders.send(order(answer)).await;
        sent.map_err(|_| SharderError::Unavailable)?;
        answered.await.unwrap_or(Err(SharderError::Unavailable))
    }
}

impl Drop for Sharder {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(owner) = self.owner.take()
            && owner.join().is_err()
        {
            tracing::error!("the thread that owns the redis servers panicked");
        }
    }
}

impl Size {
    /// Processes on one machine; a larger number is a slip of the finger.
    const SERVERS_MAX: u16 = 1000;

    fn new(servers: i64, capacity: i64, level: i64) -> Result<Self, SharderError> {
        let bad = |text: String| Err(SharderError::BadArgument(text));
        for (name, number) in [
            ("N", servers),
            ("capacity", capacity),
            ("reliabilityLevel", level),
        ] {
            if number <= 0 {
                return bad(format!("{name} is {number}; it must be 1 or more"));
            }
        }
        if level > servers {
            return bad(format!(
                "reliabilityLevel {level} is more than the {servers} servers; each copy needs a server of its own"
            ));
        }
        match u16::try_from(servers) {
            Ok(servers) if servers <= Self::SERVERS_MAX => Ok(Self {
                servers,
                capacity: capacity.unsigned_abs(),
                level: usize::try_from(level).expect("is at most the number of servers"),
            }),
            _ => bad(format!("N is {servers}; it may be at most {}", Self::SERVERS_MAX)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_make_no_sense_are_named() {
        for (servers, capacity, level, part) in [
            (0, 1, 1, "N is 0"),
            (-5, 1, 1, "N is -5"),
            (1, 0, 1, "capacity is 0"),
            (1, i64::MIN, 1, "capacity is -9223372036854775808"),
            (1, 1, 0, "reliabilityLevel is 0"),
            (2, 1, 3, "reliabilityLevel 3 is more than the 2 servers"),
            (1001, 1, 1, "at most 1000"),
            (i64::MAX, 1, i64::MAX, "at most 1000"),
        ] {
            match Size::new(servers, capacity, level) {
                Err(SharderError::BadArgument(text)) => assert!(text.contains(part), "{text}"),
                other => panic!("{servers}, {capacity}, {level} gave {other:?}"),
            }
        }
        let size = Size::new(1000, i64::MAX, 1000).expect("makes sense");
        assert_eq!(
            (size.servers, size.capacity, size.level),
            (1000, i64::MAX.unsigned_abs(), 1000)
        );
    }
}
