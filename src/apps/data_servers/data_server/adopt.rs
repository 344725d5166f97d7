//! Adopts a newer list. From then on calls with the old list are refused. This makes moves safe: the
//! mover tells every server the list before it moves keys.

use tokio::time::Instant;

use super::local_store::{Changes, LocalStoreError};
use super::{DataServer, HELD_LIMIT, State, is_member};
use crate::apps::data_servers::messages::{Answer, Membership, Outcome, ServerList, StoredPair};
use crate::apps::data_servers::place;

impl DataServer {
    /// Follows `list` under `name`, which is this server's name in it. No transaction spans the change:
    /// undecided ones are aborted first.
    pub(super) async fn adopt(&self, name: String, list: ServerList) -> Result<Answer, LocalStoreError> {
        let began = Instant::now();
        loop {
            let mut state = self.state.write().await;
            if let Some(answer) = settled_already(&state, &name, &list) {
                return Ok(answer);
            }
            let Some(id) = state.transactions.all_staged().into_iter().next() else {
                let membership = Membership { name, list };
                let changes = self.changes_for(&state, &membership).await?;
                self.local.store(changes).await?;
                tracing::info!(version = membership.list.version, servers = ?membership.list.servers, "following a new list of servers");
                state.membership = Some(membership);
                return Ok(Answer::Done);
            };
            drop(state);
            let over = self.resolve(&id, true).await?;
            let is_over = matches!(
                over,
                Answer::Done | Answer::Outcome(Outcome::Committed | Outcome::Aborted)
            );
            if !is_over || began.elapsed() > HELD_LIMIT {
                return Ok(Answer::Failed("an atomic set has not ended yet".to_owned()));
            }
        }
    }

    /// The changes to store with a new membership. A server that was given up and comes back loses its
    /// pairs. When a change is over, remembered deletions are dropped.
    async fn changes_for(&self, state: &State, membership: &Membership) -> Result<Changes, LocalStoreError> {
        let mut changes = Changes::default();
        changes.put(place::of_server_list(), membership);
        let comes_back = comes_back(state, membership);
        if !comes_back && !membership.list.is_settled() {
            return Ok(changes);
        }
        let mut after = None;
        loop {
            let (page, next): (Vec<StoredPair>, _) = self
                .local
                .list(place::PAIRS, after.as_deref(), usize::MAX)
                .await?;
            for pair in page.into_iter().filter(|pair| comes_back || pair.value.is_none()) {
                changes.forget(place::of_pair(&pair.key));
            }
            if next.is_none() {
                return Ok(changes);
            }
            after = next;
        }
    }
}

/// The answer to a list that this server does not adopt; none if it is to be adopted.
fn settled_already(state: &State, name: &str, list: &ServerList) -> Option<Answer> {
    let own = state.membership.as_ref()?;
    if own.list == *list && own.name == name {
        return Some(Answer::Done);
    }
    if own.list.store != list.store && !is_member(own) {
        return None;
    }
    if own.list.store == list.store && own.list.version <= list.version && own.name != name {
        // A server that was given up in the meantime may join under another name, without its old pairs.
        let is_listed = list.concerned().contains(&own.name);
        let joins = list.joining.iter().any(|(server, _)| *server == name);
        if is_listed || is_member(own) && !joins {
            return Some(Answer::Failed(format!("{name} leads to {}", own.name)));
        }
    }
    let is_newer = own.list.store == list.store && own.list.version < list.version;
    (!is_newer).then(|| Answer::OtherServerList(own.list.clone()))
}

/// True if this server's membership is older than its joining: it was given up in between.
fn comes_back(state: &State, new: &Membership) -> bool {
    let began = new.list.joining.iter().find(|(server, _)| *server == new.name);
    let own = state.membership.as_ref().filter(|own| is_member(own));
    matches!((began, own), (Some((_, began)), Some(own)) if own.list.version < *began)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apps::data_servers::server_list;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn following(name: &str, list: &ServerList) -> State {
        let membership = Membership {
            name: name.to_owned(),
            list: list.clone(),
        };
        State {
            membership: Some(membership),
            ..State::default()
        }
    }

    fn member(name: &str, list: &ServerList) -> Membership {
        following(name, list).membership.expect("is one")
    }

    #[test]
    fn only_a_newer_list_of_the_same_store_is_news() {
        let one = server_list::first(&names(&["a:1", "b:1"]));
        let two = one.settled();
        let other_store = server_list::first(&names(&["c:1"])).settled().settled();
        let state = following("a:1", &two);
        assert_eq!(settled_already(&state, "a:1", &two), Some(Answer::Done));
        for other in [&one, &other_store] {
            let answer = settled_already(&state, "a:1", other);
            assert_eq!(answer, Some(Answer::OtherServerList(two.clone())));
        }
        let three = two.with("c:1").expect("is new");
        assert_eq!(settled_already(&state, "a:1", &three), None);
        assert!(matches!(
            settled_already(&state, "c:1", &three),
            Some(Answer::Failed(_))
        ));
        assert_eq!(settled_already(&State::default(), "a:1", &one), None);
    }

    #[test]
    fn a_server_goes_by_one_name() {
        let first = server_list::first(&names(&["a:1", "b:1"]));
        let state = following("a:1", &first);
        let led_to_a = |name: &str, list: &ServerList| {
            let answer = settled_already(&state, name, list);
            answer == Some(Answer::Failed(format!("{name} leads to a:1")))
        };
        assert!(led_to_a("b:1", &first) && led_to_a("b:1", &first.settled()));
        // The folder of a:1 was put in the place of b:1's.
        let without = first.settled().without("a:1", true).expect("another is left");
        assert!(led_to_a("b:1", &without) && led_to_a("b:1", &without.settled()));
        let again = without.settled().with("c:1").expect("is new");
        assert_eq!(
            settled_already(&state, "c:1", &again),
            None,
            "it joins with nothing"
        );
    }

    #[test]
    fn a_server_that_was_given_up_brings_nothing_when_it_returns() {
        let first = server_list::first(&names(&["a:1", "b:1"]));
        let settled = first.settled();
        let given_up = settled.without("b:1", true).expect("another is left").settled();
        let back = given_up.with("b:1").expect("is new");
        assert!(comes_back(&following("b:1", &settled), &member("b:1", &back)));
        assert!(!comes_back(&following("a:1", &given_up), &member("a:1", &back)));
        assert!(!comes_back(&State::default(), &member("a:1", &first)));
        assert!(!comes_back(&following("a:1", &first), &member("a:1", &settled)));
        let joining = settled.with("c:1").expect("is new");
        let over_it = joining.without("b:1", true).expect("others are left");
        assert!(!comes_back(&following("c:1", &joining), &member("c:1", &over_it)));
        assert!(!comes_back(
            &following("a:1", &first),
            &member("a:1", &first.without("b:1", true).expect("another is left"))
        ));
        let removed = settled.without("b:1", false).expect("another is left");
        let again = removed.settled().with("b:1").expect("is new");
        assert!(!comes_back(&following("b:1", &settled), &member("b:1", &removed)));
        let retired = following("b:1", &removed.settled());
        assert!(
            !comes_back(&retired, &member("b:1", &again)),
            "its keys moved off"
        );
    }
}
