//! Room: how much of it each server has, which servers answer, and which copy moves to make room where it
//! is needed.

use std::collections::{BTreeMap, BTreeSet};

use super::{Layout, Transfer};

/// The keys and the room of one living server.
#[derive(Debug, Clone)]
pub(super) struct ServerRoom {
    pub(super) keys: BTreeSet<i64>,
    pub(super) is_silent: bool,
    /// How many of our keys the server can take; fewer if another client has put keys into it.
    places: u64,
}

impl ServerRoom {
    pub(super) fn new(capacity: u64) -> Self {
        Self {
            keys: BTreeSet::new(),
            is_silent: false,
            places: capacity,
        }
    }

    pub(super) fn taken(&self) -> u64 {
        self.keys.len() as u64
    }

    pub(super) fn room(&self) -> u64 {
        self.places.saturating_sub(self.taken())
    }
}

impl Layout {
    /// Servers that answer.
    pub(super) fn open(&self) -> impl Iterator<Item = (u16, &ServerRoom)> {
        let open = self.servers.iter().filter(|(_, server)| !server.is_silent);
        open.map(|(port, server)| (*port, server))
    }

    pub(in crate::apps::redis_sharder) fn answers(&self, port: u16) -> bool {
        self.servers.get(&port).is_some_and(|server| !server.is_silent)
    }

    /// Notes whether a living server answers.
    pub(in crate::apps::redis_sharder) fn set_silent(&mut self, port: u16, is_silent: bool) {
        if let Some(server) = self.servers.get_mut(&port) {
            server.is_silent = is_silent;
        }
    }

    pub(in crate::apps::redis_sharder) fn silent(&self) -> Vec<u16> {
        let silent = self.servers.iter().filter(|(_, server)| server.is_silent);
        silent.map(|(port, _)| *port).collect()
    }

    /// Notes that the server has said that it is full.
    pub(in crate::apps::redis_sharder) fn found_full(&mut self, port: u16) {
        if let Some(server) = self.servers.get_mut(&port) {
            server.places = server.taken();
        }
    }

    /// True if each key on this server has a copy on another one that answers.
    pub(in crate::apps::redis_sharder) fn can_spare(&self, port: u16) -> bool {
        let elsewhere = |key: &i64| {
            let mut holders = self.holders(*key).iter();
            holders.any(|holder| *holder != port && self.answers(*holder))
        };
        let server = self.servers.get(&port);
        server.is_some_and(|server| server.keys.iter().all(elsewhere))
    }

    /// Free places on the servers that answer.
    pub(super) fn room(&self) -> u128 {
        self.open().map(|(_, server)| u128::from(server.room())).sum()
    }

    /// The emptiest server with room that does not hold the key, counting the copies planned for each.
    pub(super) fn emptiest_without(&self, key: i64, planned: &BTreeMap<u16, u64>) -> Option<u16> {
        let planned = |port: u16| planned.get(&port).copied().unwrap_or(0);
        self.open()
            .filter(|(port, server)| server.room() > planned(*port) && !server.keys.contains(&key))
            .min_by_key(|(port, server)| server.taken() + planned(*port))
            .map(|(port, _)| port)
    }

    /// A move that frees a place for a copy of `key`, if all servers with room hold it already.
    pub(super) fn make_room_for(&self, key: i64) -> Option<Transfer> {
        let full = |server: &ServerRoom| server.room() == 0 && !server.keys.contains(&key);
        self.relieve(full, |server| server.room() > 0)
    }

    /// A move that gives one more server room, if a whole level of places is free on too few servers.
    pub(super) fn make_room_for_fresh(&self) -> Option<Transfer> {
        // A server with a single free place would be full after the move, and nothing gained.
        self.relieve(|server| server.room() == 0, |server| server.room() > 1)
    }

    fn relieve(
        &self,
        from: impl Fn(&ServerRoom) -> bool,
        to: impl Fn(&ServerRoom) -> bool,
    ) -> Option<Transfer> {
        let mut takers: Vec<_> = self.open().filter(|(_, server)| to(server)).collect();
        takers.sort_by_key(|(_, server)| server.taken());
        let pairs = self.open().filter(|(_, server)| from(server));
        let mut pairs = pairs.flat_map(|giver| takers.iter().map(move |taker| (giver, *taker)));
        pairs.find_map(|((from, giver), (to, taker))| {
            let key = *giver.keys.difference(&taker.keys).next()?;
            Some(Transfer { key, from, to })
        })
    }
}
