//! Listing all pairs through a proxy.
//!
//! While keys move, a listing of two servers may miss a key: it may leave one before that is listed, and
//! reach the other after that was. So all servers are listed twice: a key that left one server during the
//! first pass is at its owner in the second.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::following::{CallError, Following};
use super::fractures::{Expected, FractureCheck};
use super::{Proxy, ROUNDS_MAX, deadline};
use crate::apps::data_servers::messages::{Answer, Ask, Datum, Pair, ServerList, StoredPair, Transaction};
use crate::apps::data_servers::service::{Everything, Trouble};

/// The listing of one server, page by page.
#[derive(Default)]
struct Listed {
    pairs: Vec<StoredPair>,
    pages: Vec<Vec<Transaction>>,
}

impl Proxy {
    pub(super) async fn fetch_everything(&self) -> Result<Everything, Trouble> {
        let mut expected = Expected::new();
        for _ in 0..ROUNDS_MAX {
            let following = self.following(deadline(0, 0)).await?;
            self.fence(&following, deadline(0, 0)).await;
            let mut merged = Merged::default();
            let mut check = FractureCheck::default();
            let is_stale = self.pass(&following, &expected, &mut merged, &mut check).await
                || (!following.list.is_settled()
                    && self.pass(&following, &expected, &mut merged, &mut check).await);
            if is_stale {
                continue;
            }
            let missing = check.missing();
            if missing.is_empty() {
                return merged.everything();
            }
            for (server, ids) in missing {
                expected.entry(server).or_default().extend(ids);
            }
        }
        Err(Trouble::Unavailable(
            "the servers change too fast to be listed; try again".to_owned(),
        ))
    }

    /// Lists every server once. True if the list of servers changed meanwhile.
    async fn pass(
        &self,
        following: &Following,
        expected: &Expected,
        merged: &mut Merged,
        check: &mut FractureCheck,
    ) -> bool {
        let mut servers = following.list.concerned();
        // A server that did not answer in the first pass would only cost its timeout once more.
        servers.retain(|server| !merged.unreachable.contains(server));
        let listed = servers
            .iter()
            .map(|server| self.list(following, server, expected));
        let mut is_stale = false;
        for (server, listed) in servers.iter().zip(join_all(listed).await) {
            match listed {
                Ok(listed) => {
                    for applied in listed.pages {
                        check.record(server, applied, expected);
                    }
                    merged.add(&following.list, server, listed.pairs);
                }
                Err(CallError::Stale) => is_stale = true,
                Err(CallError::NotDone(_) | CallError::Unconfirmed(_)) => {
                    merged.unreachable.push(server.clone())
                }
            }
        }
        is_stale
    }

    async fn list(
        &self,
        following: &Following,
        server: &str,
        expected: &Expected,
    ) -> Result<Listed, CallError> {
        let mut listed = Listed::default();
        let mut after = None;
        loop {
            let expected = expected.get(server).into_iter().flatten().cloned().collect();
            let deadline: Instant = deadline(0, PAGE_BYTES);
            match self
                .ask(following, server, Ask::List { after, expected }, deadline)
                .await?
            {
                Answer::Page { pairs, next, applied } => {
                    listed.pairs.extend(pairs);
                    listed.pages.push(applied);
                    if next.is_none() {
                        return Ok(listed);
                    }
                    after = next;
                }
                other => return Err(CallError::NotDone(format!("{server} answered {other:?}"))),
            }
        }
    }
}

/// Bytes of a page that its deadline allows time for.
const PAGE_BYTES: usize = 2 * 1024 * 1024;

/// All listings merged: for each key the pair of its owner, or else the pair that another server still has.
#[derive(Default)]
struct Merged {
    pairs: BTreeMap<Datum, (bool, Option<Datum>)>,
    reached: usize,
    unreachable: Vec<String>,
}

impl Merged {
    fn add(&mut self, list: &ServerList, server: &String, pairs: Vec<StoredPair>) {
        self.reached += 1;
        for StoredPair { key, value } in pairs {
            let is_owners = list.owner(&key) == Some(server);
            match self.pairs.get(&key) {
                Some((true, _)) if !is_owners => {}
                _ => {
                    self.pairs.insert(key, (is_owners, value));
                }
            }
        }
    }

    fn everything(self) -> Result<Everything, Trouble> {
        if self.reached == 0 {
            return Err(Trouble::Unavailable("no data server answers".to_owned()));
        }
        let pairs = self.pairs.into_iter().filter_map(|(key, (_, value))| {
            let value = value?;
            Some(Pair { key, value })
        });
        Ok(Everything {
            pairs: pairs.collect(),
            unreachable: self.unreachable,
        })
    }
}
