//! Checks that each name of a list leads to a server of its own.
//!
//! A list has only names. Two of them may lead to one server (`localhost:9001` and `127.0.0.1:9001`, or a
//! name that was changed later). Then each would own keys that this server refuses under its other name.
//! So this check comes before a list is first followed and before it is changed.

use crate::apps::data_servers::messages::Membership;

/// The identity that a server reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    /// The life of its store, which no other server has. Servers of earlier versions do not send it.
    pub(super) life: Option<String>,
    pub(super) membership: Option<Membership>,
}

impl Identity {
    /// The server's name in the list that it follows. A server that was removed from its list, or never
    /// was in one, has no name.
    pub(super) fn own_name(&self) -> Option<&str> {
        let own = self.membership.as_ref()?;
        let is_listed = own.list.concerned().contains(&own.name);
        is_listed.then_some(own.name.as_str())
    }

    /// The other server that the name leads to, if it does.
    pub(super) fn other_than(&self, name: &str) -> Option<&str> {
        self.own_name().filter(|own| *own != name)
    }
}

/// Two names of one server. If its list has one of them, that is the first.
pub(super) fn two_names_of_one<'a>(identities: &[(&'a str, &Identity)]) -> Option<(&'a str, &'a str)> {
    let pairs = identities
        .iter()
        .enumerate()
        .flat_map(|(at, one)| identities[..at].iter().map(move |other| (other, one)));
    let mut of_one = pairs.filter(|((_, one), (_, other))| {
        let is_one_life = one.life.is_some() && one.life == other.life;
        is_one_life || (one.own_name().is_some() && one.membership == other.membership)
    });
    let ((one, identity), (other, _)) = of_one.next()?;
    Some(if identity.own_name() == Some(*other) {
        (other, one)
    } else {
        (one, other)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apps::data_servers::server_list;

    fn identity(life: Option<&str>, name: Option<&str>) -> Identity {
        let servers = ["a:1", "b:1", "c:1"].map(str::to_owned);
        Identity {
            life: life.map(str::to_owned),
            membership: name.map(|name| Membership {
                name: name.to_owned(),
                list: server_list::first(&servers),
            }),
        }
    }

    #[test]
    fn two_names_of_one_server_are_found_by_its_life_or_by_its_own_name() {
        let (one, other) = (identity(Some("1"), None), identity(Some("2"), None));
        assert_eq!(two_names_of_one(&[("a:1", &one), ("b:1", &other)]), None);
        let twice = [("a:1", &other), ("b:1", &one), ("c:1", &one)];
        assert_eq!(two_names_of_one(&twice), Some(("b:1", "c:1")));
        let named = identity(Some("1"), Some("c:1"));
        let twice = [("a:1", &other), ("b:1", &named), ("c:1", &named)];
        assert_eq!(two_names_of_one(&twice), Some(("c:1", "b:1")));
        let (old, named_old) = (identity(None, None), identity(None, Some("a:1")));
        assert_eq!(two_names_of_one(&[("a:1", &old), ("b:1", &old)]), None);
        assert_eq!(
            two_names_of_one(&[("b:1", &named_old), ("a:1", &named_old)]),
            Some(("a:1", "b:1"))
        );
    }

    #[test]
    fn a_name_that_leads_to_another_member_differs_from_one_that_leads_to_a_newcomer() {
        assert_eq!(identity(None, Some("a:1")).other_than("b:1"), Some("a:1"));
        assert_eq!(identity(None, Some("b:1")).other_than("b:1"), None);
        assert_eq!(identity(None, None).other_than("b:1"), None);
        // The server was removed, and may join under any name.
        assert_eq!(identity(None, Some("d:1")).other_than("b:1"), None);
    }
}
