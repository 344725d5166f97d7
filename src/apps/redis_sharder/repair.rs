//! Makes copies again: carries out the layout's repairs, in batches, until nothing is left to do or
//! nothing more can be done.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use super::fleet::{Faults, Fleet};
use super::layout::{Repair, Transfer};
use super::link::Written;

impl Fleet {
    /// Makes the missing copies for which there is room. Returns how many were made.
    pub(super) async fn repair(&mut self) -> usize {
        let mut copied = 0;
        // A step without a copy has made room for one, or has found out what is wrong with a server.
        let mut idle_steps = 0;
        while idle_steps < self.tries_max() {
            let step_copied = match self.layout.next_repair() {
                Some(Repair::Copies(transfers)) => self.transfer(transfers).await,
                Some(Repair::MakeRoom(transfer)) => {
                    self.make_room(transfer).await;
                    0
                }
                None => break,
            };
            copied += step_copied;
            idle_steps = if step_copied > 0 { 0 } else { idle_steps + 1 };
        }
        copied
    }

    /// Moves a copy. The old one is dropped only if the new one was made.
    pub(super) async fn make_room(&mut self, transfer: Transfer) {
        let Transfer { key, from, .. } = transfer;
        if self.transfer(vec![transfer]).await == 1 {
            self.erase(key, [from]).await;
            self.layout.forget(key, from);
        }
    }

    /// Makes copies of different keys. Returns how many were made.
    async fn transfer(&mut self, transfers: Vec<Transfer>) -> usize {
        let mut faults = Faults::new();
        let pairs = self.read_all(&transfers, &mut faults).await;
        let (copied, in_doubt) = self.write_all(pairs, &mut faults).await;
        self.examine(faults).await;
        // A server that did not answer may have made a copy, or may do so yet, unknown to the layout.
        join_all(in_doubt.into_iter().map(|(port, key)| self.erase(key, [port]))).await;
        copied
    }

    /// The pairs to be copied, by their targets.
    async fn read_all(
        &mut self,
        transfers: &[Transfer],
        faults: &mut Faults,
    ) -> BTreeMap<u16, Vec<(i64, i64)>> {
        let mut by_source: BTreeMap<u16, Vec<&Transfer>> = BTreeMap::new();
        for transfer in transfers {
            by_source.entry(transfer.from).or_default().push(transfer);
        }
        let links = self.links(by_source.keys().copied());
        let reads = links.iter().map(async |(port, link)| {
            let keys: Vec<i64> = by_source[port].iter().map(|transfer| transfer.key).collect();
            (*port, link.read(&keys).await)
        });
        let mut by_target: BTreeMap<u16, Vec<(i64, i64)>> = BTreeMap::new();
        for (port, values) in join_all(reads).await {
            match values {
                Ok(values) => {
                    for (transfer, value) in by_source[&port].iter().zip(values) {
                        match value {
                            Some(value) => by_target
                                .entry(transfer.to)
                                .or_default()
                                .push((transfer.key, value)),
                            // Another client has removed it.
                            None => self.layout.forget(transfer.key, port),
                        }
                    }
                }
                Err(fault) => faults.push((port, fault)),
            }
        }
        by_target
    }

    /// Returns how many copies were made, and which may have been made.
    async fn write_all(
        &mut self,
        pairs: BTreeMap<u16, Vec<(i64, i64)>>,
        faults: &mut Faults,
    ) -> (usize, Vec<(u16, i64)>) {
        let capacity = self.size.capacity;
        let links = self.links(pairs.keys().copied());
        let writes = links
            .iter()
            .map(async |(port, link)| (*port, link.write(&pairs[port], capacity).await));
        let (mut copied, mut in_doubt) = (0, Vec::new());
        for (port, written) in join_all(writes).await {
            let keys = pairs[&port].iter().map(|(key, _)| *key);
            match written {
                Ok(written) => copied += self.note_copies(port, keys.zip(written)),
                Err(fault) => {
                    faults.push((port, fault));
                    in_doubt.extend(keys.map(|key| (port, key)));
                }
            }
        }
        (copied, in_doubt)
    }

    fn note_copies(&mut self, port: u16, copies: impl Iterator<Item = (i64, Written)>) -> usize {
        let mut copied = 0;
        for (key, written) in copies {
            if written == Written::Full {
                self.layout.found_full(port);
            } else {
                self.layout.record(key, port);
                copied += 1;
            }
        }
        copied
    }
}
