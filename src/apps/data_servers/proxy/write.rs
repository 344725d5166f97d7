//! Sets and deletes keys through a proxy: each server takes its share as one atomic change. A share that
//! its server does not confirm counts as failed, and is placed on no other server.

use std::collections::BTreeMap;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join_all};
use tokio::time::Instant;

use super::following::{Following, Unanswered};
use super::{Proxy, ROUNDS_MAX, bytes_of, deadline};
use crate::apps::data_servers::messages::{Answer, Ask, Datum, Doomed, Fate, Pair};
use crate::apps::data_servers::service::Seen;

/// A change of keys; each is identified by its index.
enum Change {
    Set(Vec<Pair>),
    Delete(Vec<Datum>),
}

/// The outcome for some of the keys.
type Fates = Vec<(usize, Fate)>;

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
        let seen = match following.list.is_settled() {
            true => vec![Seen::Missing; keys.len()],
            false => proxy.fetch(&keys).await,
        };
        let doomed = keys.into_iter().zip(seen).map(|(key, seen)| Doomed {
            key,
            is_elsewhere: matches!(seen, Seen::Value(_)),
        });
        Ask::Delete {
            keys: doomed.collect(),
        }
    }
}

impl Proxy {
    pub(super) async fn set(&self, pairs: Vec<Pair>) -> Vec<Fate> {
        let deadline = deadline(pairs.len(), bytes_of(&pairs));
        self.carry_out(&Change::Set(pairs), deadline).await
    }

    pub(super) async fn remove_keys(&self, keys: Vec<Datum>) -> Vec<Fate> {
        let deadline = deadline(keys.len(), 0);
        self.carry_out(&Change::Delete(keys), deadline).await
    }

    async fn carry_out(&self, change: &Change, deadline: Instant) -> Vec<Fate> {
        let all = (0..change.len()).collect();
        let mut fates = vec![Fate::Refused; change.len()];
        for (at, fate) in self.share_out(change, all, deadline, ROUNDS_MAX).await {
            fates[at] = fate;
        }
        fates
    }

    /// Sends every owner of these keys its share. Keys whose list has changed are shared out again
    /// without waiting for the other servers: a hanging one would leave no time for it.
    fn share_out<'a>(
        &'a self,
        change: &'a Change,
        keys: Vec<usize>,
        deadline: Instant,
        rounds: usize,
    ) -> BoxFuture<'a, Fates> {
        async move {
            let Ok(following) = self.following(deadline).await else {
                return all(keys, Fate::Refused);
            };
            if rounds == 0 {
                return all(keys, Fate::Refused);
            }
            self.fence(&following, deadline).await;
            let (shares, mut fates) = shares(&following, change, keys);
            let asked = shares.into_iter().map(async |(server, share)| {
                let ask = change.ask(self, &following, &share).await;
                match self.ask(&following, &server, ask, deadline).await {
                    Ok(Answer::Each(each)) => share.into_iter().zip(each).collect(),
                    Err(Unanswered::Stale) => self.share_out(change, share, deadline, rounds - 1).await,
                    Err(Unanswered::Unconfirmed(_)) => all(share, Fate::Unknown),
                    Ok(_) | Err(Unanswered::Silent(_)) => all(share, Fate::Refused),
                }
            });
            let answered = join_all(asked.collect::<Vec<_>>()).await;
            fates.extend(answered.into_iter().flatten());
            fates
        }
        .boxed()
    }
}

/// Keys by their owners, and the keys that cannot be changed now.
fn shares(following: &Following, change: &Change, keys: Vec<usize>) -> (BTreeMap<String, Vec<usize>>, Fates) {
    let (mut shares, mut refused) = (BTreeMap::<String, Vec<usize>>::new(), Vec::new());
    for at in keys {
        let key = change.key(at);
        match following.list.owner(key).filter(|_| following.is_usable(key)) {
            Some(owner) => shares.entry(owner.clone()).or_default().push(at),
            None => refused.push(at),
        }
    }
    (shares, all(refused, Fate::Refused))
}

fn all(keys: Vec<usize>, fate: Fate) -> Fates {
    keys.into_iter().map(|at| (at, fate)).collect()
}
