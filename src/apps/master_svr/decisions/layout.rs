//! Which server answers for which key, now and after the change that is under way.
//!
//! A layout lists a server for each shard. In a settled layout these are the servers in the order in
//! which they joined. When one dies, its shards go to the next living server at once, so that puts have
//! an owner. Then a change closes the gap; until it is completed, every other shard stays where its pairs
//! are.

/// A server, from its start to its end. Another process on the same port is another server: the pairs of
/// the first one are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Server {
    pub port: u16,
    /// Drawn at random at the start.
    pub run: u64,
}

/// Layouts are ordered: by the master that decided them, then by its own count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Version {
    pub term: u64,
    pub step: u64,
}

/// A decision of the master: which server answers for which shard.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Layout {
    pub version: Version,
    /// The server of each shard. The same server may stand in for a dead one in several.
    pub shards: Vec<Server>,
    pub change: Option<Change>,
    /// The last change that was completed: what arrived for it counts.
    pub completed: Version,
    /// True until every server is known to have learned of that. Meanwhile no server answers, so that no
    /// old owner can be left with a pair that its next owner has replaced.
    pub is_opening: bool,
}

/// A change of owners: pairs are copied to where they will be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Change {
    /// The version of the layout that began it.
    pub id: Version,
    /// The servers of the shards when it is completed.
    pub to: Vec<Server>,
    /// True if moving keys are neither read nor written: the last of them are on their way.
    pub is_sealed: bool,
}

/// The shard of a key, counted from 1: the mathematical remainder, so that negative keys have one too.
pub fn shard_of(key: i64, servers: u16) -> u16 {
    let remainder = key.rem_euclid(i64::from(servers));
    u16::try_from(remainder).expect("a remainder of a u16") + 1
}

fn owner_among(servers: &[Server], key: i64) -> Option<Server> {
    let count = u16::try_from(servers.len()).expect("there are fewer servers than ports");
    let index = (count > 0).then(|| usize::from(shard_of(key, count)) - 1)?;
    servers.get(index).copied()
}

impl Layout {
    /// The server that answers for a key; none before a server has joined.
    pub fn owner(&self, key: i64) -> Option<Server> {
        owner_among(&self.shards, key)
    }

    /// The next owner of a key in the change under way, if that is not its owner already.
    pub fn moves_to(&self, key: i64) -> Option<Server> {
        let next = owner_among(&self.change.as_ref()?.to, key)?;
        (self.owner(key) != Some(next)).then_some(next)
    }

    /// True if a server has a part in this layout, or will have.
    pub fn names(&self, server: Server) -> bool {
        self.parties().contains(&server)
    }

    /// All servers that have a part in this layout or will have, in the order of joining.
    pub fn parties(&self) -> Vec<Server> {
        let next = self.change.as_ref().map_or(&[][..], |change| &change.to);
        distinct(self.shards.iter().chain(next))
    }

    /// The servers that answer for keys, in the order of joining.
    pub fn servers(&self) -> Vec<Server> {
        distinct(&self.shards)
    }

    pub fn is_sealed(&self) -> bool {
        self.change.as_ref().is_some_and(|change| change.is_sealed)
    }

    /// Gives the shards of a dead server to the next living one, which keeps the order of joining.
    pub(super) fn bury(&mut self, dead: Server) {
        let count = self.shards.len();
        let heir = |index: usize| {
            let others = (1..count).map(|step| self.shards[(index + step) % count]);
            others.into_iter().find(|server| *server != dead)
        };
        let shards = (0..count).filter_map(|index| match self.shards[index] {
            server if server == dead => heir(index),
            server => Some(server),
        });
        self.shards = shards.collect();
        self.change = None;
    }
}

fn distinct<'a>(servers: impl IntoIterator<Item = &'a Server>) -> Vec<Server> {
    let mut distinct = Vec::new();
    for server in servers {
        if !distinct.contains(server) {
            distinct.push(*server);
        }
    }
    distinct
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(ports: &[u16]) -> Vec<Server> {
        ports.iter().map(|&port| Server { port, run: 1 }).collect()
    }

    #[test]
    fn the_shard_is_the_mathematical_remainder() {
        for (key, servers, shard) in [
            (0, 3, 1),
            (4, 3, 2),
            (5, 3, 3),
            (-1, 3, 3),
            (-3, 3, 1),
            (-7, 2, 2),
            (9, 1, 1),
            (i64::MIN, 3, 2),
            (i64::MAX, u16::MAX, 32_768),
        ] {
            assert_eq!(shard_of(key, servers), shard, "{key} among {servers}");
        }
    }

    #[test]
    fn the_shards_of_the_dead_go_to_the_next_living_and_the_order_stays() {
        for (before, dead, after, order) in [
            (&[1, 2, 3][..], &[2][..], &[1, 3, 3][..], &[1, 3][..]),
            (&[1, 2, 3], &[3], &[1, 2, 1], &[1, 2]),
            (&[1, 2, 3], &[1], &[2, 2, 3], &[2, 3]),
            (&[1, 2, 3, 4], &[2, 3], &[1, 4, 4, 4], &[1, 4]),
            (&[1, 2, 3, 4], &[4, 1], &[2, 2, 3, 2], &[2, 3]),
            (&[1], &[1], &[], &[]),
        ] {
            let mut layout = Layout {
                shards: servers(before),
                ..Layout::default()
            };
            dead.iter().for_each(|&port| layout.bury(Server { port, run: 1 }));
            assert_eq!(layout.shards, servers(after), "{before:?} without {dead:?}");
            assert_eq!(layout.servers(), servers(order), "{before:?} without {dead:?}");
        }
    }

    #[test]
    fn only_keys_with_another_owner_move() {
        let change = Change {
            to: servers(&[1, 2, 3]),
            ..Change::default()
        };
        let layout = Layout {
            shards: servers(&[1, 2]),
            change: Some(change),
            ..Layout::default()
        };
        let moves: Vec<_> = (0..6).map(|key| layout.moves_to(key).map(|to| to.port)).collect();
        assert_eq!(moves, [None, None, Some(3), Some(1), Some(2), Some(3)]);
        assert_eq!(Layout::default().owner(1), None);
    }
}
