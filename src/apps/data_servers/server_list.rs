//! How one list of servers becomes the next. A change takes two versions: the first names the list from
//! which keys are moving, the second says that they have moved. Both are functions of the previous
//! version, so every proxy that carries a change on writes the same.

use xxhash_rust::xxh3::xxh3_64;

use super::rendezvous;
use super::service::Servers;
use crate::apps::data_servers::messages::{Datum, ServerList, Stamp};
use crate::names::NodeId;

/// Why a list cannot be changed as requested.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoChange {
    #[error("{0} is already a server")]
    AlreadyThere(String),
    #[error("{0} is not in the list of servers")]
    NotThere(String),
    #[error("{0} is the last server; its keys have nowhere to go")]
    Last(String),
}

/// The first list. Keys that a server had before it was in any list may have to move too.
pub(super) fn first(servers: &[String]) -> ServerList {
    let mut servers = servers.to_vec();
    servers.sort();
    servers.dedup();
    let store = format!("{:016x}", xxh3_64(servers.join(",").as_bytes()));
    ServerList {
        store,
        version: 1,
        servers,
        previous: Some(Vec::new()),
        lost: Vec::new(),
        joining: Vec::new(),
    }
}

impl ServerList {
    pub(super) fn stamp(&self) -> Stamp {
        Stamp {
            store: self.store.clone(),
            version: self.version,
        }
    }

    /// The server that a key belongs to.
    pub(super) fn owner(&self, key: &Datum) -> Option<&String> {
        rendezvous::owner(key, &self.servers)
    }

    /// The other server that may still have a key, while the change lasts.
    pub(super) fn old_owner(&self, key: &Datum) -> Option<&String> {
        let old = rendezvous::owner(key, self.previous.as_deref()?)?;
        (!self.lost.contains(old) && self.owner(key) != Some(old)).then_some(old)
    }

    pub(super) fn to_client(&self) -> Servers {
        Servers {
            addresses: self.servers.clone(),
            moving: !self.is_settled(),
        }
    }

    /// The name that the list has for an address, in any spelling.
    pub(super) fn name_of(&self, address: &str) -> Option<&String> {
        let same = |one: &str| match (NodeId::as_stored(one), NodeId::as_stored(address)) {
            (Ok(one), Ok(address)) => one.is_same_address(&address),
            _ => one == address,
        };
        self.servers.iter().find(|one| same(one))
    }

    pub(super) fn is_settled(&self) -> bool {
        self.previous.is_none()
    }

    /// The servers that must know of this version: those of both lists, except the ones given up.
    pub(super) fn concerned(&self) -> Vec<String> {
        let mut all = self.servers.clone();
        all.extend(self.previous.iter().flatten().cloned());
        all.retain(|server| !self.lost.contains(server));
        all.sort();
        all.dedup();
        all
    }

    /// The server that decides which list comes next: the first of this one that is not being given up.
    pub(super) fn arbiter(&self, lost: &[String]) -> Option<&String> {
        self.servers.iter().find(|server| !lost.contains(server))
    }

    /// The list with a server added; keys begin to move.
    pub(super) fn with(&self, server: &str) -> Result<Self, NoChange> {
        if self.servers.iter().any(|one| one == server) {
            return Err(NoChange::AlreadyThere(server.to_owned()));
        }
        let mut servers = self.servers.clone();
        servers.push(server.to_owned());
        servers.sort();
        let mut next = self.changed_to(servers, Vec::new());
        next.joining.push((server.to_owned(), next.version));
        Ok(next)
    }

    /// The list without a server; its keys begin to move, unless they are lost with it.
    pub(super) fn without(&self, server: &str, is_lost: bool) -> Result<Self, NoChange> {
        let mut servers = self.servers.clone();
        servers.retain(|one| one != server);
        if servers.len() == self.servers.len() {
            return Err(NoChange::NotThere(server.to_owned()));
        }
        if servers.is_empty() {
            return Err(NoChange::Last(server.to_owned()));
        }
        let mut lost = self.lost.clone();
        lost.extend(is_lost.then(|| server.to_owned()));
        Ok(self.changed_to(servers, lost))
    }

    fn changed_to(&self, servers: Vec<String>, lost: Vec<String>) -> Self {
        Self {
            store: self.store.clone(),
            version: self.version + 1,
            servers,
            // While a change is under way, keys may still be where they were before that change.
            previous: Some(self.previous.clone().unwrap_or_else(|| self.servers.clone())),
            lost,
            joining: self.joining.clone(),
        }
    }

    /// The version after the last key has moved.
    pub(super) fn settled(&self) -> Self {
        Self {
            store: self.store.clone(),
            version: self.version + 1,
            servers: self.servers.clone(),
            previous: None,
            lost: Vec::new(),
            joining: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apps::data_servers::messages::Encoding;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn keys() -> Vec<Datum> {
        let datum = |n| Datum {
            encoding: Encoding::String,
            data: format!("{n}"),
        };
        (0..300).map(datum).collect()
    }

    #[test]
    fn proxies_with_one_list_in_any_order_make_one_first_list() {
        assert_eq!(
            first(&names(&["b:1", "a:1", "b:1"])),
            first(&names(&["a:1", "b:1"]))
        );
        let list = first(&names(&["a:1"]));
        assert!(!list.is_settled() && keys().iter().all(|key| list.old_owner(key).is_none()));
    }

    #[test]
    fn while_a_server_joins_only_its_keys_have_an_old_owner() {
        let before = first(&names(&["a:1", "b:1"])).settled();
        let after = before.with("c:1").expect("is new");
        assert_eq!((after.version, before.version), (3, 2));
        for key in keys() {
            let moves = after.owner(&key) != before.owner(&key);
            assert_eq!(after.old_owner(&key), before.owner(&key).filter(|_| moves));
            assert_eq!(moves, after.owner(&key).is_some_and(|owner| owner == "c:1"));
        }
        assert!(after.settled().is_settled());
        assert_eq!(after.settled().version, 4);
    }

    #[test]
    fn a_server_that_is_given_up_is_asked_no_more() {
        let before = first(&names(&["a:1", "b:1"])).settled();
        let kept = before.without("a:1", false).expect("there is another");
        assert_eq!(kept.concerned(), names(&["a:1", "b:1"]));
        assert!(
            keys()
                .iter()
                .any(|key| kept.old_owner(key).is_some_and(|old| old == "a:1"))
        );
        let lost = before.without("a:1", true).expect("there is another");
        assert_eq!(lost.concerned(), names(&["b:1"]));
        assert!(keys().iter().all(|key| lost.old_owner(key).is_none()));
        assert_eq!(before.arbiter(&lost.lost), Some(&"b:1".to_owned()));
    }

    #[test]
    fn giving_up_one_that_was_joining_still_finds_the_keys_where_they_were() {
        let before = first(&names(&["a:1", "b:1"])).settled();
        let joining = before.with("c:1").expect("is new");
        let without = joining.without("b:1", true).expect("there are others");
        for key in keys() {
            let old = before.owner(&key).filter(|old| *old == "a:1");
            let moved = without.owner(&key).filter(|owner| *owner == "c:1");
            assert_eq!(without.old_owner(&key), old.filter(|_| moved.is_some()));
        }
    }

    #[test]
    fn a_server_is_found_by_any_spelling_of_its_address() {
        let list = first(&names(&["[0:0:0:0:0:0:0:1]:1", "b:1"]));
        for (address, name) in [
            ("[::1]:1", Some("[0:0:0:0:0:0:0:1]:1")),
            ("B.:01", Some("b:1")),
            ("b:2", None),
        ] {
            assert_eq!(list.name_of(address).map(String::as_str), name);
        }
    }

    #[test]
    fn changes_that_make_no_sense_are_refused() {
        let list = first(&names(&["a:1"])).settled();
        assert_eq!(list.with("a:1"), Err(NoChange::AlreadyThere("a:1".into())));
        assert_eq!(list.without("b:1", false), Err(NoChange::NotThere("b:1".into())));
        assert_eq!(list.without("a:1", true), Err(NoChange::Last("a:1".into())));
    }
}
