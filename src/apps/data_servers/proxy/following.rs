//! The list that a proxy follows: finds a first one, learns newer ones, and announces them to the servers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use super::Proxy;
use super::identity::{Identity, two_names_of_one};
use crate::apps::data_servers::calls::NoAnswer;
use crate::apps::data_servers::messages::{Answer, Ask, Call, Datum, ServerList};
use crate::apps::data_servers::server_list;
use crate::apps::data_servers::service::Trouble;

/// How long a server may take to report the list that it follows.
pub(super) const LOOK_LIMIT: Duration = Duration::from_millis(400);

/// Pause between two looks for a first list, while a request waits for one.
const FIRST_LIST_PAUSE: Duration = Duration::from_millis(20);

/// A list, and the servers that are known to follow it.
#[derive(Debug)]
pub(super) struct Following {
    pub(super) list: ServerList,
    followers: Mutex<BTreeSet<String>>,
}

impl Following {
    pub(super) fn new(list: ServerList) -> Self {
        Self {
            list,
            followers: Mutex::default(),
        }
    }

    /// True if a key may be used: its old owner knows of this list. Before that, other proxies may change
    /// the key there.
    pub(super) fn is_usable(&self, key: &Datum) -> bool {
        let old = self.list.old_owner(key);
        old.is_none_or(|old| self.followers.lock().contains(old))
    }

    pub(super) fn note_follower(&self, server: &str) {
        self.followers.lock().insert(server.to_owned());
    }

    fn not_following(&self) -> Vec<String> {
        let followers = self.followers.lock();
        let previous = self.list.previous.iter().flatten();
        let missing =
            previous.filter(|server| !self.list.lost.contains(server) && !followers.contains(*server));
        missing.cloned().collect()
    }
}

/// Why a call failed.
#[derive(Debug)]
pub(super) enum CallError {
    /// Nothing was done: the server cannot be reached, or refuses with this reason.
    NotDone(String),
    /// The server was asked and has not confirmed; it may have done it.
    Unconfirmed(String),
    /// There is a newer list, which this proxy has learned.
    Stale,
}

impl From<NoAnswer> for CallError {
    fn from(reason: NoAnswer) -> Self {
        match reason {
            NoAnswer::NotAsked(reason) => Self::NotDone(reason),
            NoAnswer::NoReply(reason) => Self::Unconfirmed(reason),
        }
    }
}

impl Proxy {
    /// The list to follow. Servers and proxies start in any order. A machine that was looked for before
    /// it was up is found a second later at the earliest, because ARP asks once a second. So while no
    /// list is known, the servers are asked again, as long as `deadline` leaves time for another look.
    pub(super) async fn following(&self, deadline: Instant) -> Result<Arc<Following>, Trouble> {
        loop {
            let known = self.following.read().clone();
            if let Some(following) = known {
                return Ok(following);
            }
            match self.look_around().await {
                Err(_) if Instant::now() + LOOK_LIMIT < deadline => sleep(FIRST_LIST_PAUSE).await,
                found => return found,
            }
        }
    }

    /// Asks all known servers, and follows the newest of their lists, or a first list if none has any.
    pub(super) async fn look_around(&self) -> Result<Arc<Following>, Trouble> {
        let known = self.following.read().clone();
        let mut servers = self.seeds.clone();
        servers.extend(known.iter().flat_map(|following| following.list.concerned()));
        servers.sort();
        servers.dedup();
        let asked = servers.iter().map(|server| self.identify(server, LOOK_LIMIT));
        let answers = join_all(asked).await;
        if known.is_none() && answers.iter().all(Result::is_err) {
            return Err(no_server_answers(answers.into_iter().filter_map(Result::err)));
        }
        let identities = servers.iter().map(String::as_str).zip(&answers);
        let identities: Vec<(&str, &Identity)> = identities
            .filter_map(|(name, identity)| Some((name, identity.as_ref().ok()?)))
            .collect();
        let memberships = identities
            .iter()
            .filter_map(|(_, identity)| identity.membership.as_ref());
        let lists: Vec<ServerList> = memberships.map(|own| own.list.clone()).collect();
        if known.is_none() && lists.iter().any(|list| list.store != lists[0].store) {
            let text = "the data servers follow different lists; name servers of one list in --servers";
            return Err(Trouble::Unavailable(text.to_owned()));
        }
        if known.is_none() && lists.is_empty() {
            named_once(&identities)?;
            self.learn(server_list::first(&self.seeds));
        }
        for list in lists {
            self.learn(list);
        }
        let following = self.following.read().clone();
        Ok(following.expect("a list was learned above, or known"))
    }

    /// Asks a server for its identity, and for the list that it follows.
    pub(super) async fn identify(&self, server: &str, limit: Duration) -> Result<Identity, NoAnswer> {
        let call = Call {
            to: server.to_owned(),
            stamp: None,
            ask: Ask::ServerList,
        };
        let (answer, life) = self.link.call_known(&call, limit).await?;
        let membership = match answer {
            Answer::Membership(membership) => membership,
            _ => None,
        };
        Ok(Identity { life, membership })
    }

    /// Follows a list if it is newer. True if it is.
    pub(super) fn learn(&self, list: ServerList) -> bool {
        let mut following = self.following.write();
        let is_newer = following
            .as_ref()
            .is_none_or(|known| known.list.store == list.store && known.list.version < list.version);
        if is_newer {
            tracing::info!(version = list.version, servers = ?list.servers, settled = list.is_settled(), "following a new list of servers");
            *following = Some(Arc::new(Following::new(list)));
        }
        is_newer
    }

    /// Calls a server with the stamp of the list, and announces the list if the server is behind.
    pub(super) async fn ask(
        &self,
        following: &Following,
        server: &str,
        ask: Ask,
        deadline: Instant,
    ) -> Result<Answer, CallError> {
        let call = Call {
            to: server.to_owned(),
            stamp: Some(following.list.stamp()),
            ask,
        };
        let rest = || deadline.saturating_duration_since(Instant::now());
        let mut answer = self.link.call(&call, rest()).await?;
        if answer == Answer::Behind {
            self.announce(following, server, deadline).await?;
            answer = self.link.call(&call, rest()).await?;
        }
        self.understood(server, answer)
    }

    /// Announces the list to a server. Succeeds once the server follows it.
    pub(super) async fn announce(
        &self,
        following: &Following,
        server: &str,
        deadline: Instant,
    ) -> Result<(), CallError> {
        let call = Call {
            to: server.to_owned(),
            stamp: None,
            ask: Ask::Adopt(following.list.clone()),
        };
        let rest = deadline.saturating_duration_since(Instant::now());
        let answer = self.link.call(&call, rest).await?;
        match self.understood(server, answer)? {
            Answer::Done => {
                following.note_follower(server);
                Ok(())
            }
            other => Err(CallError::NotDone(format!("{server} answered {other:?}"))),
        }
    }

    fn understood(&self, server: &str, answer: Answer) -> Result<Answer, CallError> {
        match answer {
            Answer::OtherServerList(list) if self.learn(list.clone()) => Err(CallError::Stale),
            // The list was learned from another answer in the meantime.
            Answer::OtherServerList(list) if self.is_followed(&list) => Err(CallError::Stale),
            Answer::OtherServerList(_) => Err(CallError::NotDone(format!(
                "{server} serves another list of servers"
            ))),
            Answer::Failed(reason) => Err(CallError::NotDone(reason)),
            Answer::Unconfirmed => Err(CallError::Unconfirmed(format!(
                "{server} does not know yet whether it has stored the pairs"
            ))),
            Answer::Behind => Err(CallError::NotDone(format!("{server} does not follow the list"))),
            answer => Ok(answer),
        }
    }

    fn is_followed(&self, list: &ServerList) -> bool {
        let following = self.following.read();
        let known = following.as_ref().map(|following| &following.list);
        known.is_some_and(|known| known.store == list.store && known.version >= list.version)
    }

    /// While keys move, makes old owners follow the new list before keys are used at their new owners.
    pub(super) async fn fence(&self, following: &Following, deadline: Instant) {
        let limit = deadline.min(Instant::now() + LOOK_LIMIT);
        let servers = following.not_following();
        let announced = servers
            .iter()
            .map(|server| self.announce(following, server, limit));
        // Keys of servers that do not answer are not usable: see `is_usable`.
        join_all(announced).await;
    }
}

/// Fails if two of the names lead to one server.
pub(super) fn named_once(identities: &[(&str, &Identity)]) -> Result<(), Trouble> {
    match two_names_of_one(identities) {
        None => Ok(()),
        Some((one, other)) => Err(Trouble::NamedTwice {
            one: one.to_owned(),
            other: other.to_owned(),
        }),
    }
}

fn no_server_answers(reasons: impl Iterator<Item = NoAnswer>) -> Trouble {
    let reasons: Vec<String> = reasons.map(|reason| reason.to_string()).collect();
    Trouble::Unavailable(format!("no data server answers: {}", reasons.join("; ")))
}
