//! Sets and deletes keys through a proxy: each server takes its share as one atomic change. A share that
//! its server does not confirm counts as failed, and is placed on no other server.

use std::collections::BTreeMap;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join_all};
use tokio::time::Instant;

use super::following::{CallError, Following};
use super::{Proxy, ROUNDS_MAX, bytes_of, deadline};
use crate::apps::data_servers::messages::{Answer, Ask, Datum, KeyOutcome, KeyToDelete, Pair};
use crate::apps::data_servers::service::ReadResult;

/// A change of keys; each is identified by its index.
enum Change {
    Set(Vec<Pair>),
    Delete(Vec<Datum>),
}

/// The outcome for some of the keys.
type KeyOutcomes = Vec<(usize, KeyOutcome)>;

impl Change {
    fn len(&self) -> usize {
        match self {
            Self::Set(pairs) => pairs.len(),
            Self::Delete(keys) => keys.len(),
        }
    }

    fn key(&self, at: usize) -> &Datum {
        match self {
            Self::Set(pairs) => &pairs[at].key,
            Self::Delete(keys) => &keys[at],
        }
    }

    /// The request to the owner of a share.
    async fn ask(&self, proxy: &Proxy, following: &Following, share: &[usize]) -> Ask {
        let keys = match self {
            Self::Set(pairs) => {
                return Ask::Write {
                    pairs: share.iter().map(|at| pairs[*at].clone()).collect(),
                    is_whole: false,
                };
            }
            Self::Delete(keys) => share.iter().map(|at| keys[*at].clone()).collect::<Vec<_>>(),
        };
        // While keys move, a key that its owner does not know yet may exist all the same.
        let results = match following.list.is_settled() {
            true => vec![ReadResult::Missing; keys.len()],
            false => proxy.fetch(&keys).await,
        };
        let to_delete = keys.into_iter().zip(results).map(|(key, result)| KeyToDelete {
            key,
            is_elsewhere: matches!(result, ReadResult::Value(_)),
        });
        Ask::Delete {
            keys: to_delete.collect(),
        }
    }
}

impl Proxy {
    pub(super) async fn set(&self, pairs: Vec<Pair>) -> Vec<KeyOutcome> {
        let deadline = deadline(pairs.len(), bytes_of(&pairs));
        self.carry_out(&Change::Set(pairs), deadline).await
    }

    pub(super) async fn remove_keys(&self, keys: Vec<Datum>) -> Vec<KeyOutcome> {
        let deadline = deadline(keys.len(), 0);
        self.carry_out(&Change::Delete(keys), deadline).await
    }

    async fn carry_out(&self, change: &Change, deadline: Instant) -> Vec<KeyOutcome> {
        let all = (0..change.len()).collect();
        let mut outcomes = vec![KeyOutcome::Refused; change.len()];
        for (at, outcome) in self.share_out(change, all, deadline, ROUNDS_MAX).await {
            outcomes[at] = outcome;
        }
        outcomes
    }

    /// Sends every owner of these keys its share. Keys whose list has changed are shared out again
    /// without waiting for the other servers: a hanging one would leave no time for it.
    fn share_out<'a>(
        &'a self,
        change: &'a Change,
        keys: Vec<usize>,
        deadline: Instant,
        rounds: usize,
    ) -> BoxFuture<'a, KeyOutcomes> {
        async move {
            let Ok(following) = self.following(deadline).await else {
                return all(keys, KeyOutcome::Refused);
            };
            if rounds == 0 {
                return all(keys, KeyOutcome::Refused);
            }
            self.fence(&following, deadline).await;
            let (shares, mut outcomes) = shares(&following, change, keys);
            let asked = shares.into_iter().map(async |(server, share)| {
                let ask = change.ask(self, &following, &share).await;
                match self.ask(&following, &server, ask, deadline).await {
                    Ok(Answer::Each(each)) => share.into_iter().zip(each).collect(),
                    Err(CallError::Stale) => self.share_out(change, share, deadline, rounds - 1).await,
                    Err(CallError::Unconfirmed(_)) => all(share, KeyOutcome::Unknown),
                    Ok(_) | Err(CallError::NotDone(_)) => all(share, KeyOutcome::Refused),
                }
            });
            let answered = join_all(asked.collect::<Vec<_>>()).await;
            outcomes.extend(answered.into_iter().flatten());
            outcomes
        }
        .boxed()
    }
}

/// Keys by their owners, and the keys that cannot be changed now.
fn shares(
    following: &Following,
    change: &Change,
    keys: Vec<usize>,
) -> (BTreeMap<String, Vec<usize>>, KeyOutcomes) {
    let (mut shares, mut refused) = (BTreeMap::<String, Vec<usize>>::new(), Vec::new());
    for at in keys {
        let key = change.key(at);
        match following.list.owner(key).filter(|_| following.is_usable(key)) {
            Some(owner) => shares.entry(owner.clone()).or_default().push(at),
            None => refused.push(at),
        }
    }
    (shares, all(refused, KeyOutcome::Refused))
}

fn all(keys: Vec<usize>, outcome: KeyOutcome) -> KeyOutcomes {
    keys.into_iter().map(|at| (at, outcome)).collect()
}
