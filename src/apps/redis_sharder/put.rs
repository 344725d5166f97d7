//! Puts a pair so that its copies never disagree: on every server that should have it, or, if that fails,
//! as it was before.

use futures_util::future::join_all;

use super::fleet::{Faults, Fleet};
use super::layout::Placement;
use super::link::{Fault, Written, in_parting};
use super::{SharderError, Stored};

impl Fleet {
    pub(super) async fn put(&mut self, key: i64, value: i64) -> Result<Stored, SharderError> {
        self.tidy().await;
        let (live, level) = (self.servers.len(), self.size.level);
        if self.is_strict && live < level {
            return Err(SharderError::TooFewServers { live, level });
        }
        let mut before = None;
        let outcome = self.put_until_whole(key, value, &mut before).await;
        if let (Err(_), Some(before)) = (&outcome, before) {
            self.restore(key, before).await;
        }
        outcome
    }

    /// Sets `before` to the key's previous value, once a server has told it.
    async fn put_until_whole(
        &mut self,
        key: i64,
        value: i64,
        before: &mut Option<i64>,
    ) -> Result<Stored, SharderError> {
        let mut has_waited = false;
        for _ in 0..self.tries_max() {
            match self.layout.place(key) {
                Placement::Overwrite(ports) => {
                    if self.overwrite(key, value, ports, before).await {
                        return Ok(self.stored(key));
                    }
                }
                Placement::Fresh(ports) => {
                    if self.write_fresh(key, value, ports).await {
                        return Ok(self.stored(key));
                    }
                }
                Placement::MakeRoom(transfer) => self.make_room(transfer).await,
                Placement::NoRoom => return Err(SharderError::CapacityExceeded),
                Placement::Unavailable if has_waited => break,
                Placement::Unavailable => {
                    has_waited = true;
                    self.weigh_silent().await;
                    self.repair().await;
                }
            }
        }
        Err(SharderError::Unavailable)
    }

    fn stored(&self, key: i64) -> Stored {
        Stored {
            replicas: self.layout.holders(key).len(),
            target: self.size.level,
        }
    }

    /// Writes to all holders of the key. If one does not have it in the end, the layout knows why.
    async fn overwrite(&mut self, key: i64, value: i64, ports: Vec<u16>, before: &mut Option<i64>) -> bool {
        let mut faults = Faults::new();
        let mut is_whole = true;
        for (port, written) in self.write_to(key, value, ports).await {
            match written {
                Ok(Written::New) => {}
                Ok(Written::Replaced(value)) => *before = before.or(Some(value)),
                // Another client has removed the copy and taken its place.
                Ok(Written::Full) => {
                    is_whole = false;
                    self.layout.forget(key, port);
                    self.layout.found_full(port);
                }
                Err(fault) => faults.push((port, fault)),
            }
        }
        is_whole &= faults.is_empty();
        self.examine(faults).await;
        // The copies of a dead server's keys come from servers that took the new value.
        self.repair().await;
        is_whole
    }

    /// Writes to servers that do not have the key: to all of them, or to none.
    async fn write_fresh(&mut self, key: i64, value: i64, ports: Vec<u16>) -> bool {
        let mut faults = Faults::new();
        let mut full = Vec::new();
        for (port, written) in self.write_to(key, value, ports.clone()).await {
            match written {
                Ok(Written::Full) => full.push(port),
                Ok(_) => {}
                Err(fault) => faults.push((port, fault)),
            }
        }
        if faults.is_empty() && full.is_empty() {
            ports.into_iter().for_each(|port| self.layout.record(key, port));
            return true;
        }
        full.into_iter().for_each(|port| self.layout.found_full(port));
        self.examine(faults).await;
        // Only now: a server may have a new connection after the examination.
        self.erase(key, ports).await;
        self.repair().await;
        false
    }

    async fn write_to(&self, key: i64, value: i64, ports: Vec<u16>) -> Vec<(u16, Result<Written, Fault>)> {
        let capacity = self.size.capacity;
        let writes = self.links(ports).into_iter().map(async |(port, link)| {
            let written = link.write(&[(key, value)], capacity).await;
            (
                port,
                written.map(|written| written.into_iter().next().unwrap_or(Written::Full)),
            )
        });
        join_all(writes).await
    }

    /// Removes a key from servers that should not have it, even from those that do not answer now.
    pub(super) async fn erase(&self, key: i64, ports: impl IntoIterator<Item = u16>) {
        let links = self.links(ports);
        join_all(links.iter().map(|(_, link)| in_parting(link.erase(key)))).await;
    }

    /// Restores the previous value of a key, even on servers that do not answer now.
    async fn restore(&self, key: i64, before: i64) {
        let links = self.links(self.layout.holders(key).to_vec());
        let (pair, capacity) = ([(key, before)], self.size.capacity);
        join_all(
            links
                .iter()
                .map(|(_, link)| in_parting(link.write(&pair, capacity))),
        )
        .await;
    }
}
