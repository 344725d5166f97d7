//! The decisions of a server: it holds the pairs of its shards, and passes on those that move.
//!
//! Pairs that arrive count only once the master says that their change is completed, so that an
//! interrupted change leaves everything where it was.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::layout::{Layout, Server, Version};
use super::master::Beat;

/// With at most this many keys put again since they were sent, the seal need not wait: they are sent
/// again under it.
const NEARLY_DRAINED: usize = 64;

/// A batch is sent when it has as many pairs, or as many bytes.
const BATCH_PAIRS_MAX: usize = 1000;
const BATCH_BYTES_MAX: usize = 256 * 1024;

/// Why a server does not answer for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Another server owns the key.
    Elsewhere,
    /// The owner is decided shortly: the server has no layout yet, or the key is changing owners.
    Unsettled,
}

/// Pairs on their way to their next owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    pub change: Version,
    /// The sender's run and its count of batches: a batch that was overtaken must not undo a later one.
    pub from: u64,
    pub number: u64,
    pub pairs: Vec<(i64, Bytes)>,
}

/// Pairs that count once their change is completed.
#[derive(Debug, Default)]
struct Arrived {
    change: Version,
    pairs: BTreeMap<i64, Bytes>,
    /// The last batch of each sender.
    numbers: BTreeMap<u64, u64>,
}

/// The state of a server.
#[derive(Debug)]
pub struct Holder {
    me: Server,
    layout: Layout,
    /// The pairs of the keys that it owns, and no others.
    pairs: BTreeMap<i64, Bytes>,
    arrived: Arrived,
    /// Moving keys that their next owner has not confirmed.
    unsent: BTreeSet<(Server, i64)>,
    /// Moving keys that were put since they were sent. They wait until all have been sent once: otherwise
    /// keys that are put all the time would hold up the others, and with them the seal.
    unsent_again: BTreeSet<(Server, i64)>,
    is_sending: bool,
    batches: u64,
}

impl Holder {
    /// A server without pairs that has not heard from a master.
    pub fn new(me: Server) -> Self {
        Self {
            me,
            layout: Layout::default(),
            pairs: BTreeMap::new(),
            arrived: Arrived::default(),
            unsent: BTreeSet::new(),
            unsent_again: BTreeSet::new(),
            is_sending: false,
            batches: 0,
        }
    }

    pub fn me(&self) -> Server {
        self.me
    }

    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The next beat to the master.
    pub fn beat(&self, age_ms: u64) -> Beat {
        Beat {
            server: self.me,
            age_ms,
            layout: self.layout.clone(),
            is_drained: self.is_drained(),
        }
    }

    pub fn get(&self, key: i64) -> Result<Option<Bytes>, Refusal> {
        self.may_answer(key)?;
        Ok(self.pairs.get(&key).cloned())
    }

    pub fn put(&mut self, key: i64, value: Bytes) -> Result<(), Refusal> {
        self.may_answer(key)?;
        self.pairs.insert(key, value);
        let moving = self.layout.moves_to(key).map(|to| (to, key));
        let unsent = &self.unsent;
        self.unsent_again
            .extend(moving.filter(|moving| !unsent.contains(moving)));
        Ok(())
    }

    fn may_answer(&self, key: i64) -> Result<(), Refusal> {
        let owner = self.layout.owner(key).ok_or(Refusal::Unsettled)?;
        let next = self.layout.moves_to(key).filter(|_| self.layout.is_sealed());
        if owner != self.me && next != Some(self.me) {
            return Err(Refusal::Elsewhere);
        }
        if next.is_some() || self.layout.is_opening {
            return Err(Refusal::Unsettled);
        }
        Ok(())
    }

    /// Adopts a layout that the master decided; false if it is not newer.
    pub fn adopt(&mut self, layout: Layout) -> bool {
        if layout.version <= self.layout.version {
            return false;
        }
        if self.layout.names(self.me) && !layout.names(self.me) {
            // It was expelled as dead, and others have answered in its place since: it starts over.
            let run = self.me.run.wrapping_add(1);
            *self = Self::new(Server { run, ..self.me });
        }
        let change = layout.change.as_ref().map(|change| change.id).unwrap_or_default();
        let is_another = change != self.arrived.change;
        if is_another {
            let arrived = Arrived {
                change,
                ..Arrived::default()
            };
            let arrived = std::mem::replace(&mut self.arrived, arrived);
            if arrived.change == layout.completed {
                self.pairs.extend(arrived.pairs);
            }
        }
        self.layout = layout;
        let (me, layout) = (self.me, &self.layout);
        self.pairs.retain(|key, _| layout.owner(*key) == Some(me));
        if is_another {
            let moving = |key: &i64| layout.moves_to(*key).map(|to| (to, *key));
            self.unsent = self.pairs.keys().filter_map(moving).collect();
            self.unsent_again.clear();
        }
        true
    }

    /// True if it has done its part for its layout.
    pub fn is_drained(&self) -> bool {
        let is_nearly = self.unsent.is_empty() && self.unsent_again.len() <= NEARLY_DRAINED;
        is_nearly && (!self.layout.is_sealed() || self.unsent_again.is_empty() && !self.is_sending)
    }

    /// The next pairs to send and their receiver; none if there are none, or if a batch is on its way.
    /// [`Self::note_sent`] must follow.
    pub fn next_batch(&mut self) -> Option<(Server, Batch)> {
        let queue = if self.unsent.is_empty() {
            &mut self.unsent_again
        } else {
            &mut self.unsent
        };
        let (to, _) = queue.first().copied().filter(|_| !self.is_sending)?;
        let mut pairs = Vec::new();
        let mut bytes = 0;
        while let Some((_, key)) = queue.first().copied().filter(|(server, _)| *server == to)
            && pairs.len() < BATCH_PAIRS_MAX
            && bytes < BATCH_BYTES_MAX
        {
            queue.remove(&(to, key));
            let value = self.pairs.get(&key).cloned().expect("a key that moves is here");
            bytes += value.len();
            pairs.push((key, value));
        }
        self.is_sending = true;
        self.batches += 1;
        let batch = Batch {
            change: self.arrived.change,
            from: self.me.run,
            number: self.batches,
            pairs,
        };
        Some((to, batch))
    }

    /// Notes that the batch was confirmed, or is not known to have arrived.
    pub fn note_sent(&mut self, to: Server, batch: &Batch, is_confirmed: bool) {
        if (batch.from, batch.number) != (self.me.run, self.batches) {
            return;
        }
        self.is_sending = false;
        if !is_confirmed && batch.change == self.arrived.change {
            self.unsent.extend(batch.pairs.iter().map(|(key, _)| (to, *key)));
        }
    }

    /// Keeps pairs that are to become this server's. False if it does not: it does not know that change
    /// (any more), or a later batch has overtaken this one.
    pub fn take(&mut self, batch: Batch) -> bool {
        let has_part = self.layout.names(self.me) && self.layout.change.is_some();
        if !has_part || batch.change != self.arrived.change {
            return false;
        }
        let last = self.arrived.numbers.entry(batch.from).or_default();
        if batch.number < *last {
            return false;
        }
        *last = batch.number;
        self.arrived.pairs.extend(batch.pairs);
        true
    }
}
