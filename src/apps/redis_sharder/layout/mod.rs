//! Which servers hold which keys: where a new key goes, what is copied when a server dies, and what moves
//! to make room. Pure: it records events and says what should come next.
//!
//! The rule throughout: **after each repair, every key has its full level of copies, or no place is
//! free.** A key's full level is `reliabilityLevel`, or the number of living servers if that is less. The
//! promise follows: with fewer than floor(live × capacity / level) keys, some place is free, so all keys
//! have their level. Then a whole level of places is free, and one more key fits.
//!
//! Choosing the emptiest servers keeps the loads alike, but a repair cannot: no server may hold a key
//! twice. So all free places may be on servers that hold the key already, or on too few servers for a new
//! key. Then one copy of another key moves from a full server to one with room, and frees a place where
//! it is needed. Such a copy always exists: the full server holds more keys than the one with room, hence
//! some that the other one lacks.

mod room;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use room::ServerRoom;

/// Copies in one batch, which are made at the same time.
const TRANSFERS_MAX: usize = 512;

/// Every living server, by its port, and every key.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    level: usize,
    servers: BTreeMap<u16, ServerRoom>,
    /// The servers of each key that has a copy.
    holders: BTreeMap<i64, Vec<u16>>,
    /// Keys with fewer copies than the level, those with the fewest first.
    short: BTreeSet<(usize, i64)>,
    lost: BTreeSet<i64>,
}

/// What a put of a key should do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Placement {
    /// Write to these, which hold the key.
    Overwrite(Vec<u16>),
    /// Write to these, none of which holds the key.
    Fresh(Vec<u16>),
    /// Move a copy, and ask again.
    MakeRoom(Transfer),
    /// There is no room for all copies.
    NoRoom,
    /// Servers that are needed do not answer, or none lives.
    Unavailable,
}

/// The next step for keys with too few copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Repair {
    /// Copy each; all keys are different, so the order does not matter.
    Copies(Vec<Transfer>),
    /// Copy, then drop the copy that it was made from.
    MakeRoom(Transfer),
}

/// A copy of a key, from a server that holds it to one that does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Transfer {
    pub(super) key: i64,
    pub(super) from: u16,
    pub(super) to: u16,
}

impl Layout {
    /// A layout of living, empty servers.
    pub(super) fn new(ports: impl Iterator<Item = u16>, capacity: u64, level: usize) -> Self {
        Self {
            level,
            servers: ports.map(|port| (port, ServerRoom::new(capacity))).collect(),
            holders: BTreeMap::new(),
            short: BTreeSet::new(),
            lost: BTreeSet::new(),
        }
    }

    pub(super) fn live(&self) -> usize {
        self.servers.len()
    }

    /// How many copies a key can have by now.
    fn full_level(&self) -> usize {
        self.level.min(self.live())
    }

    pub(super) fn holders(&self, key: i64) -> &[u16] {
        self.holders.get(&key).map_or(&[], Vec::as_slice)
    }

    /// True if the key was stored, and all its copies died.
    pub(super) fn is_lost(&self, key: i64) -> bool {
        self.lost.contains(&key)
    }

    /// How many keys have a copy.
    pub(super) fn keys(&self) -> usize {
        self.holders.len()
    }

    /// How many copies a living server has.
    pub(super) fn keys_on(&self, port: u16) -> usize {
        self.servers.get(&port).map_or(0, |server| server.keys.len())
    }

    pub(super) fn lost(&self) -> &BTreeSet<i64> {
        &self.lost
    }

    /// Keys with fewer copies than the level, for whatever reason, and how many copies they have.
    pub(super) fn short(&self) -> &BTreeSet<(usize, i64)> {
        &self.short
    }

    /// What a put of this key should do.
    pub(super) fn place(&self, key: i64) -> Placement {
        let holders = self.holders(key);
        if !holders.is_empty() {
            return if holders.iter().all(|port| self.answers(*port)) {
                Placement::Overwrite(holders.to_vec())
            } else {
                Placement::Unavailable
            };
        }
        self.place_fresh()
    }

    fn place_fresh(&self) -> Placement {
        let needed = self.full_level();
        let mut open: Vec<(u64, u16)> = self.open().map(|(port, server)| (server.taken(), port)).collect();
        open.sort_unstable();
        let with_room = open.iter().filter(|(_, port)| self.servers[port].room() > 0);
        let chosen: Vec<u16> = with_room.map(|(_, port)| *port).take(needed).collect();
        if needed > 0 && chosen.len() == needed {
            return Placement::Fresh(chosen);
        }
        let fits = needed > 0 && open.len() >= needed && self.room() >= needed as u128;
        match self.make_room_for_fresh().filter(|_| fits) {
            Some(transfer) => Placement::MakeRoom(transfer),
            None if needed == 0 || self.servers.values().any(|server| server.is_silent) => {
                Placement::Unavailable
            }
            None => Placement::NoRoom,
        }
    }

    /// The next step towards enough copies of every key; none if no more can be done.
    pub(super) fn next_repair(&self) -> Option<Repair> {
        let mut transfers = Vec::new();
        let mut planned: BTreeMap<u16, u64> = BTreeMap::new();
        let mut room = self.room();
        for &(copies, key) in &self.short {
            if copies >= self.full_level() || room == 0 || transfers.len() == TRANSFERS_MAX {
                break;
            }
            let holders = self.holders(key);
            let Some(from) = holders.iter().copied().find(|port| self.answers(*port)) else {
                continue;
            };
            if let Some(to) = self.emptiest_without(key, &planned) {
                *planned.entry(to).or_default() += 1;
                room -= 1;
                transfers.push(Transfer { key, from, to });
            } else if !transfers.is_empty() {
                break;
            } else if let Some(transfer) = self.make_room_for(key) {
                return Some(Repair::MakeRoom(transfer));
            }
        }
        (!transfers.is_empty()).then_some(Repair::Copies(transfers))
    }

    /// Notes that the key has a copy there.
    pub(super) fn record(&mut self, key: i64, port: u16) {
        let Some(server) = self.servers.get_mut(&port) else {
            return;
        };
        if server.keys.insert(key) {
            let mut holders = self.holders.remove(&key).unwrap_or_default();
            self.short.remove(&(holders.len(), key));
            holders.push(port);
            self.lost.remove(&key);
            self.hold(key, holders);
        }
    }

    /// Notes that the key has no copy there any more; if that was the last one, it is lost.
    pub(super) fn forget(&mut self, key: i64, port: u16) {
        if let Some(server) = self.servers.get_mut(&port)
            && server.keys.remove(&key)
        {
            self.drop_holder(key, port);
        }
    }

    /// Notes that the server is dead. Returns how many keys are lost by that.
    pub(super) fn bury(&mut self, port: u16) -> usize {
        let lost_before = self.lost.len();
        let keys = self.servers.remove(&port).map(|server| server.keys);
        for key in keys.into_iter().flatten() {
            self.drop_holder(key, port);
        }
        self.lost.len() - lost_before
    }

    fn drop_holder(&mut self, key: i64, port: u16) {
        let mut holders = self.holders.remove(&key).expect("a stored key has holders");
        self.short.remove(&(holders.len(), key));
        holders.retain(|holder| *holder != port);
        if holders.is_empty() {
            self.lost.insert(key);
        } else {
            self.hold(key, holders);
        }
    }

    fn hold(&mut self, key: i64, holders: Vec<u16>) {
        if holders.len() < self.level {
            self.short.insert((holders.len(), key));
        }
        self.holders.insert(key, holders);
    }
}
