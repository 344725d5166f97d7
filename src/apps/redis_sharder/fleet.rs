//! The servers and their contents: each operation asks the layout, has the servers act, and records the
//! result in the layout.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use super::layout::Layout;
use super::link::{Fault, Link};
use super::process::Process;
use super::{Found, Repaired, ServerStatus, SharderError, Size, Status};

/// A process that dies closes its connections a little before it can be waited for.
const END_DEADLINE: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(5);

/// Keys that a status lists by name; it always gives their number.
const LISTED_MAX: usize = 1000;

/// A living server.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) process: Process,
    pub(super) link: Link,
}

/// All servers of a sharder that is up.
#[derive(Debug)]
pub(super) struct Fleet {
    pub(super) size: Size,
    pub(super) is_strict: bool,
    pub(super) layout: Layout,
    /// The living servers, by port.
    pub(super) servers: BTreeMap<u16, Server>,
    /// The process ids of the dead ones.
    dead: BTreeMap<u16, u32>,
}

/// Which servers failed to answer, and how.
pub(super) type Faults = Vec<(u16, Fault)>;

impl Fleet {
    pub(super) fn new(servers: BTreeMap<u16, Server>, size: Size, is_strict: bool) -> Self {
        Self {
            size,
            is_strict,
            layout: Layout::new(servers.keys().copied(), size.capacity, size.level),
            servers,
            dead: BTreeMap::new(),
        }
    }

    /// The links to those of these servers that live.
    pub(super) fn links(&self, ports: impl IntoIterator<Item = u16>) -> Vec<(u16, Link)> {
        let link = |port| Some((port, self.servers.get(&port)?.link.clone()));
        ports.into_iter().filter_map(link).collect()
    }

    pub(super) fn is_anyone_silent(&self) -> bool {
        !self.layout.silent().is_empty()
    }

    /// How often an operation is tried at the most: each server can fall silent, answer again and die.
    pub(super) fn tries_max(&self) -> usize {
        3 * self.servers.len() + self.size.level + 4
    }

    /// Kills a server and makes its copies again.
    pub(super) async fn fail(&mut self, port: i64) -> Result<Repaired, SharderError> {
        // A server that died unannounced is dead already, even if that was not noticed.
        self.tidy().await;
        let known = u16::try_from(port).ok();
        let Some(port) = known.filter(|port| self.servers.contains_key(port)) else {
            let is_dead = known.is_some_and(|port| self.dead.contains_key(&port));
            return Err(SharderError::BadArgument(if is_dead {
                format!("the server on port {port} is already dead")
            } else {
                format!("there is no server on port {port}")
            }));
        };
        let lost = self.bury(port);
        let copied = self.repair().await;
        let under_replicated = self.layout.short().len();
        Ok(Repaired {
            copied,
            under_replicated,
            lost,
        })
    }

    pub(super) async fn get(&mut self, key: i64) -> Result<Found, SharderError> {
        let mut has_waited = false;
        for _ in 0..self.tries_max() {
            let holders = self.layout.holders(key);
            if holders.is_empty() {
                let is_lost = self.layout.is_lost(key);
                return Ok(if is_lost { Found::Lost } else { Found::NotFound });
            }
            let answering = holders.iter().copied().find(|port| self.layout.answers(*port));
            let Some((port, link)) = answering.and_then(|port| self.links([port]).pop()) else {
                if has_waited {
                    break;
                }
                has_waited = true;
                self.weigh_silent().await;
                continue;
            };
            match link
                .read(&[key])
                .await
                .map(|values| values.into_iter().next().flatten())
            {
                Ok(Some(value)) => return Ok(Found::Value(value)),
                // Another client of the server has removed it.
                Ok(None) => self.layout.forget(key, port),
                Err(fault) => self.examine(vec![(port, fault)]).await,
            }
            self.repair().await;
        }
        Err(SharderError::Unavailable)
    }

    pub(super) async fn status(&mut self) -> Status {
        self.tidy().await;
        let living = self
            .servers
            .values()
            .map(|server| (server.process.port, server.process.pid()));
        let living = living.map(|(port, pid)| self.server_status(port, pid, true));
        let dead = self
            .dead
            .iter()
            .map(|(port, pid)| self.server_status(*port, *pid, false));
        let mut servers: Vec<ServerStatus> = living.chain(dead).collect();
        servers.sort_by_key(|server| server.port);
        let (short, lost) = (self.layout.short(), self.layout.lost());
        Status {
            capacity: self.size.capacity,
            reliability_level: self.size.level,
            strict: self.is_strict,
            live: self.servers.len(),
            servers,
            keys: self.layout.keys(),
            under_replicated: short.len(),
            lost: lost.len(),
            under_replicated_keys: short.iter().map(|(_, key)| *key).take(LISTED_MAX).collect(),
            lost_keys: lost.iter().copied().take(LISTED_MAX).collect(),
        }
    }

    fn server_status(&self, port: u16, pid: u32, alive: bool) -> ServerStatus {
        ServerStatus {
            port,
            pid,
            alive,
            answers: alive && self.layout.answers(port),
            keys: self.layout.keys_on(port),
        }
    }

    /// Buries servers that have died unannounced, and makes the missing copies.
    pub(super) async fn tidy(&mut self) {
        let servers = self.servers.iter_mut();
        let ended = servers.filter_map(|(port, server)| server.process.has_ended().then_some(*port));
        for port in ended.collect::<Vec<u16>>() {
            let lost = self.bury(port);
            tracing::warn!(port, lost, "a server has died");
        }
        self.repair().await;
    }

    /// Kills the server, if it is not dead, and forgets its copies. Returns how many keys that loses.
    fn bury(&mut self, port: u16) -> usize {
        if let Some(server) = self.servers.remove(&port) {
            self.dead.insert(port, server.process.pid());
        }
        self.layout.bury(port)
    }

    /// Finds out why servers failed to answer, and acts on it.
    pub(super) async fn examine(&mut self, faults: Faults) {
        if faults.is_empty() {
            return;
        }
        for (port, fault) in faults {
            match fault {
                Fault::Silent => self.layout.set_silent(port, true),
                Fault::Gone => self.reach_again(port).await,
            }
        }
        self.weigh_silent().await;
    }

    /// After a broken connection: finds that the server has died, or connects again.
    async fn reach_again(&mut self, port: u16) {
        let deadline = Instant::now() + END_DEADLINE;
        while Instant::now() < deadline {
            let Some(server) = self.servers.get_mut(&port) else {
                return;
            };
            if server.process.has_ended() {
                let lost = self.bury(port);
                tracing::warn!(port, lost, "a server has died");
                return;
            }
            if let Ok(link) = Link::open(port, server.process.pid()).await {
                server.link = link;
                return;
            }
            sleep(POLL).await;
        }
        self.layout.set_silent(port, true);
    }

    /// If a server did not answer, asks all whether they do. Gives up each silent one whose keys all have
    /// a copy on one that answers.
    pub(super) async fn weigh_silent(&mut self) {
        if !self.is_anyone_silent() {
            return;
        }
        let links = self.links(self.servers.keys().copied());
        let answers = join_all(links.iter().map(|(_, link)| link.ping())).await;
        for ((port, _), answer) in links.iter().zip(answers) {
            self.layout.set_silent(*port, answer.is_err());
        }
        // One after the other: what one of them holds may be the last copy once another is gone.
        for port in self.layout.silent() {
            if self.layout.can_spare(port) {
                self.bury(port);
                tracing::warn!(port, "a server did not answer and was given up");
            }
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // Kill all at once; each is waited for as it is dropped.
        self.servers.values_mut().for_each(|server| server.process.kill());
    }
}
