//! Changes the list of servers and moves keys to their new owners. Every step may be repeated, and by any
//! proxy, so any proxy that finds an abandoned change carries it on.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep, timeout};

use super::Proxy;
use super::following::{CallError, Following, named_once};
use super::identity::Identity;
use crate::apps::data_servers::calls::NoAnswer;
use crate::apps::data_servers::messages::{Answer, Ask, Datum, KeyOutcome, Pair, ServerList, StoredPair};
use crate::apps::data_servers::server_list::NoChange;
use crate::apps::data_servers::service::Trouble;

/// How long a change of the list waits until the keys have moved; they go on moving afterwards.
const MOVE_LIMIT: Duration = Duration::from_secs(60);

/// Time for one step of a move.
const STEP_LIMIT: Duration = Duration::from_secs(5);

/// Pause between two attempts to reach a server that is starting.
const MEET_PAUSE: Duration = Duration::from_millis(50);

impl From<NoChange> for Trouble {
    fn from(reason: NoChange) -> Self {
        match reason {
            NoChange::AlreadyThere(server) => Self::AlreadyThere(server),
            NoChange::NotThere(server) => Self::NotThere(server),
            NoChange::Last(server) => Self::LastServer(server),
        }
    }
}

impl From<CallError> for Trouble {
    fn from(reason: CallError) -> Self {
        Self::Unfinished(match reason {
            CallError::NotDone(text) | CallError::Unconfirmed(text) => text,
            CallError::Stale => "another proxy is carrying it out".to_owned(),
        })
    }
}

impl Proxy {
    /// Adds a server. Returns how many keys moved.
    pub(super) async fn add(&self, server: &str) -> Result<u64, Trouble> {
        let _changing = self.changing.lock().await;
        let list = self.newest_list().await?;
        if let Some(name) = list.name_of(server) {
            return Err(Trouble::AlreadyThere(name.clone()));
        }
        let joining = self.identify_patiently(server).await;
        let joining = joining.map_err(|error| Trouble::Unavailable(error.to_string()))?;
        if let Some(own) = joining.own_name() {
            let is_of_this_store = joining.membership.iter().all(|own| own.list.store == list.store);
            if !is_of_this_store {
                return Err(Trouble::OtherStore(server.to_owned()));
            }
            if list.servers.iter().any(|listed| listed == own) {
                let (name, server) = (server.to_owned(), own.to_owned());
                return Err(Trouble::SameServer { name, server });
            }
        }
        let list = self.settle_first(list).await?;
        self.begin(&list, list.with(server)?).await
    }

    /// Removes a server. Returns how many keys moved.
    pub(super) async fn remove(&self, server: &str, force: bool) -> Result<u64, Trouble> {
        let _changing = self.changing.lock().await;
        let list = self.newest_list().await?;
        let server = list.name_of(server).map_or(server, String::as_str);
        list.without(server, false)?;
        let identity = self.identify_patiently(server).await;
        let why = match identity.as_ref().map(|identity| identity.other_than(server)) {
            Ok(None) => None,
            Ok(Some(other)) => Some(format!(
                "leads to {other}, and its keys would be lost; make it lead to its own server again"
            )),
            Err(_) => Some("does not answer, and its keys would be lost; start it".to_owned()),
        };
        match (why, force) {
            (Some(why), false) => {
                let server = server.to_owned();
                Err(Trouble::WouldLoseKeys { server, why })
            }
            // A pending change that needs this server would never end, so this one replaces it.
            (Some(_), true) => self.begin(&list, list.without(server, true)?).await,
            (None, _) => {
                let list = self.settle_first(list.clone()).await?;
                self.begin(&list, list.without(server, false)?).await
            }
        }
    }

    /// The newest list that any server has. Waits for one while the servers are starting.
    async fn newest_list(&self) -> Result<ServerList, Trouble> {
        self.following(Instant::now() + STEP_LIMIT).await?;
        Ok(self.look_around().await?.list.clone())
    }

    /// Finishes a pending change, if there is one. Returns the list after it.
    async fn settle_first(&self, list: ServerList) -> Result<ServerList, Trouble> {
        if list.is_settled() {
            return Ok(list);
        }
        self.identify_all(&list).await?;
        let following = self.look_around().await?;
        if !following.list.is_settled() {
            self.carry_on(&following).await?;
        }
        Ok(self.following(Instant::now()).await?.list.clone())
    }

    /// Asks a server for its identity. One that is starting or paused gets the time of one step of a move.
    async fn identify_patiently(&self, server: &str) -> Result<Identity, NoAnswer> {
        let deadline = Instant::now() + STEP_LIMIT;
        loop {
            let rest = deadline.saturating_duration_since(Instant::now());
            match self.identify(server, rest).await {
                Err(_) if Instant::now() + MEET_PAUSE < deadline => sleep(MEET_PAUSE).await,
                identity => return identity,
            }
        }
    }

    /// Waits until every server that a list needs answers, each under its own name.
    async fn identify_all(&self, list: &ServerList) -> Result<(), Trouble> {
        let concerned = list.concerned();
        let answers = join_all(concerned.iter().map(|server| self.identify_patiently(server))).await;
        let mut identities = Vec::new();
        for (server, answer) in concerned.iter().zip(answers) {
            let answer = answer.map_err(|error| {
                Trouble::Unavailable(format!(
                    "a change needs every server, and {server} does not answer: {error}"
                ))
            })?;
            identities.push((server.as_str(), answer));
        }
        for (name, identity) in &identities {
            let joins = list.joining.iter().any(|(joining, _)| joining == name);
            if let Some(server) = identity.other_than(name).filter(|_| !joins) {
                let (name, server) = ((*name).to_owned(), server.to_owned());
                return Err(Trouble::NameLeadsElsewhere { name, server });
            }
        }
        let identities: Vec<_> = identities
            .iter()
            .map(|(name, identity)| (*name, identity))
            .collect();
        named_once(&identities)
    }

    /// Begins a change, once every server that it needs answers. The first server of the previous list
    /// accepts only one list as the next, so two proxies never diverge.
    async fn begin(&self, before: &ServerList, next: ServerList) -> Result<u64, Trouble> {
        self.identify_all(&next).await?;
        let arbiter = before
            .arbiter(&next.lost)
            .expect("a list never becomes empty")
            .clone();
        let following = Following::new(next);
        let deadline = Instant::now() + STEP_LIMIT;
        self.announce(&following, &arbiter, deadline).await?;
        self.learn(following.list.clone());
        self.carry_on(&following).await
    }

    /// Carries on a change that this proxy may not have begun.
    pub(super) async fn finish_change(&self, following: &Following) -> Result<u64, Trouble> {
        match self.changing.try_lock() {
            Ok(_changing) => self.carry_on(following).await,
            Err(_) => Ok(0),
        }
    }

    async fn carry_on(&self, following: &Following) -> Result<u64, Trouble> {
        let moved = timeout(MOVE_LIMIT, self.move_keys(following)).await;
        let still_moving = |_| Err(Trouble::Unfinished("the keys are still moving".to_owned()));
        let trouble = match moved.unwrap_or_else(still_moving) {
            Ok(moved) => return Ok(moved),
            Err(trouble) => trouble,
        };
        // Another proxy may have been faster; the keys that it moved are not counted here.
        match self.look_around().await {
            Ok(now) if now.list.is_settled() && now.list.version > following.list.version => Ok(0),
            _ => Err(trouble),
        }
    }

    /// Announces the list to all servers, moves every misplaced key, and announces that the move is done.
    async fn move_keys(&self, following: &Following) -> Result<u64, Trouble> {
        let concerned = following.list.concerned();
        for server in &concerned {
            self.announce(following, server, Instant::now() + STEP_LIMIT)
                .await?;
        }
        let mut moved = 0;
        for server in &concerned {
            moved += self.empty_out(following, server).await?;
        }
        let settled = Following::new(following.list.settled());
        let arbiter = settled.list.servers[0].clone();
        self.announce(&settled, &arbiter, Instant::now() + STEP_LIMIT)
            .await?;
        self.learn(settled.list.clone());
        let others = concerned.iter().filter(|server| **server != arbiter);
        let announced = others.map(|server| self.announce(&settled, server, Instant::now() + STEP_LIMIT));
        // An unreachable server learns the list from the next proxy that calls it.
        join_all(announced).await;
        tracing::info!(moved, servers = ?settled.list.servers, "the list of servers has changed");
        Ok(moved)
    }

    /// Moves the pairs that a server has and another one owns.
    async fn empty_out(&self, following: &Following, server: &str) -> Result<u64, Trouble> {
        let (mut moved, mut after) = (0, None);
        loop {
            let ask = Ask::Misplaced { after };
            let page = self
                .ask(following, server, ask, Instant::now() + STEP_LIMIT)
                .await?;
            let Answer::Page { pairs, next, .. } = page else {
                return Err(Trouble::Unfinished(format!("{server} answered {page:?}")));
            };
            let (taken, keys) = self.hand_out(following, pairs).await?;
            moved += taken;
            if !keys.is_empty() {
                let ask = Ask::Drop { keys };
                self.ask(following, server, ask, Instant::now() + STEP_LIMIT)
                    .await?;
            }
            if next.is_none() {
                return Ok(moved);
            }
            after = next;
        }
    }

    /// Gives pairs to their owners. Returns how many were new there, and the keys of copies to drop.
    async fn hand_out(
        &self,
        following: &Following,
        pairs: Vec<StoredPair>,
    ) -> Result<(u64, Vec<Datum>), Trouble> {
        let (mut shares, mut dropped) = (BTreeMap::<String, Vec<Pair>>::new(), Vec::new());
        for StoredPair { key, value } in pairs {
            let owner = following.list.owner(&key).expect("a list is never empty").clone();
            match value {
                Some(value) => shares.entry(owner).or_default().push(Pair { key, value }),
                // A deletion left from an earlier change; the owner knows of it.
                None => dropped.push(key),
            }
        }
        let mut taken = 0;
        for (owner, pairs) in shares {
            let keys: Vec<Datum> = pairs.iter().map(|pair| pair.key.clone()).collect();
            let ask = Ask::Receive { pairs };
            let received = self
                .ask(following, &owner, ask, Instant::now() + STEP_LIMIT)
                .await?;
            let Answer::Each(outcomes) = received else {
                return Err(Trouble::Unfinished(format!("{owner} answered {received:?}")));
            };
            taken += outcomes
                .iter()
                .filter(|outcome| **outcome == KeyOutcome::Done)
                .count() as u64;
            let arrived = keys
                .into_iter()
                .zip(outcomes)
                .filter(|(_, outcome)| *outcome != KeyOutcome::Refused);
            dropped.extend(arrived.map(|(key, _)| key));
        }
        Ok((taken, dropped))
    }
}
