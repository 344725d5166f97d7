//! The write path: any owner takes a write at any time; any other node forwards it to an owner.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use crate::names::{Key, PartitionId};
use crate::node::claims::vouch::Vetted;
use crate::node::commit::job::{Job, NotStored};
use crate::node::limits::{NEWS_PAUSE, PATIENCE, STORE_LIMIT, WRITE_LIMIT};
use crate::node::outcome::{NotTaken, Refusal, Written};
use crate::node::requests::Requests;
use crate::node::requests::forward::Forwarded;
use crate::protocol::causality::Payload;
use crate::protocol::replication::{NotHere, Stored, Write, trimmed};
use crate::wire::peer::Declined;

impl Requests {
    /// Stores a value for a client that depends on `payload`.
    pub async fn put(&self, key: &Key, value: Bytes, payload: Payload) -> Result<Written, Refusal> {
        let began = Instant::now();
        self.replication.proven().await;
        self.view_changes.route()?;
        loop {
            let answered = match self.write_here(key, Some(value.clone()), &payload, began).await {
                Ok(written) => Ok(written),
                Err(NotTaken::Refused(refusal)) => Err(refusal),
                // The write has waited for the next view for as long as a client should.
                Err(NotTaken::NotHere(NotHere::Sealed)) => Err(self.refusal(key, &[])),
                Err(NotTaken::NotHere(not_here)) => {
                    self.claims.vet_epoch(&payload).await?;
                    let forwarded = self
                        .forward_write(key, Some(value.clone()), &payload, began)
                        .await;
                    match forwarded {
                        Forwarded::OursNow => continue,
                        Forwarded::Answered(Err(refusal)) if matches!(not_here, NotHere::EpochAhead(_)) => {
                            let refusal = refusal.into_behind();
                            if self.may_catch_up(&refusal, began).await {
                                continue;
                            }
                            Err(refusal)
                        }
                        Forwarded::Answered(answered) => answered,
                    }
                }
            };
            return self.shorten_written(answered).await;
        }
    }

    /// This owner is behind, and no other owner took the write: waits briefly. False if there is no time
    /// for another attempt, or no hope.
    pub(crate) async fn may_catch_up(&self, refusal: &Refusal, began: Instant) -> bool {
        if !matches!(refusal, Refusal::Behind { .. }) || began.elapsed() + PATIENCE >= WRITE_LIMIT {
            return false;
        }
        // Not for news: each attempt has the committer publish, and would wake the next attempt.
        sleep(NEWS_PAUSE).await;
        true
    }

    /// Deletes a key that exists, as far as the client may know.
    pub async fn delete(&self, key: &Key, payload: Payload) -> Result<Written, Refusal> {
        let began = Instant::now();
        self.replication.proven().await;
        self.view_changes.route()?;
        loop {
            let answered = match self.delete_here(key, &payload, PATIENCE, began).await {
                Ok(written) => Ok(written),
                Err(NotTaken::Refused(refusal)) => Err(refusal),
                Err(NotTaken::NotHere(NotHere::Sealed)) => Err(self.refusal(key, &[])),
                Err(NotTaken::NotHere(NotHere::NotOwner)) => {
                    self.claims.vet_epoch(&payload).await?;
                    match self.forward_write(key, None, &payload, began).await {
                        Forwarded::Answered(answered) => answered,
                        Forwarded::OursNow => continue,
                    }
                }
                Err(NotTaken::NotHere(not_here)) => self.delete_late(key, &payload, not_here, began).await,
            };
            return self.shorten_written(answered).await;
        }
    }

    /// This owner is behind: asks the others, and if none of them can, waits for the rest of the bound.
    async fn delete_late(
        &self,
        key: &Key,
        payload: &Payload,
        not_here: NotHere,
        began: Instant,
    ) -> Result<Written, Refusal> {
        self.claims.vet_epoch(payload).await?;
        let refusal = match self.forward_write(key, None, payload, began).await {
            Forwarded::Answered(Err(refusal @ (Refusal::Behind { .. } | Refusal::Unavailable { .. }))) => {
                refusal
            }
            Forwarded::Answered(answered) => return answered,
            Forwarded::OursNow => self.refusal(key, &[Declined::Behind]),
        };
        let rest = WRITE_LIMIT.saturating_sub(began.elapsed());
        if rest.is_zero() {
            return Err(refusal);
        }
        match self.delete_here(key, payload, rest, began).await {
            Ok(written) => Ok(written),
            Err(NotTaken::Refused(refusal)) => Err(refusal),
            Err(NotTaken::NotHere(_)) if not_here == NotHere::NotReady => Err(refusal),
            Err(NotTaken::NotHere(_)) => Err(self.refusal(key, &[Declined::Behind])),
        }
    }

    /// Takes a write as its coordinator, and waits until it is stored here and at every sibling that
    /// answers in time. The client asked at `began`, which limits the wait for a new view.
    pub(crate) async fn write_here(
        &self,
        key: &Key,
        value: Option<Bytes>,
        payload: &Payload,
        began: Instant,
    ) -> Result<Written, NotTaken> {
        let state = self.shared.me.state();
        let partition = state
            .partition()
            .filter(|_| state.region_of(key.slot()).is_some());
        let partition = partition.ok_or(NotTaken::NotHere(NotHere::NotOwner))?;
        if let Some(reason) = self.shared.storage.stuck_reason() {
            return Err(NotTaken::Refused(Refusal::StorageFailed(reason)));
        }
        let Vetted { payload, vouched, .. } = self.claims.vetted_for_storing(payload).await?;
        let (reply, stored) = oneshot::channel();
        let write = Write {
            key: key.clone(),
            value,
            payload: payload.clone(),
            vouched,
        };
        let stored = async {
            let arrived = began;
            self.shared
                .commit
                .enqueue(Job::Write {
                    write,
                    arrived,
                    reply,
                })
                .await;
            stored.await
        };
        let Ok(stored) = timeout(STORE_LIMIT, stored).await else {
            return Err(NotTaken::Refused(Refusal::UnknownOutcome { partition }));
        };
        match stored {
            Ok(Ok(stored)) => Ok(self.written(partition, payload, stored)),
            Ok(Err(reason)) => Err(self.not_taken(reason, partition)),
            Err(_) => Err(self.not_taken(NotStored::Stopped, partition)),
        }
    }

    /// The reason to report for a write that was not stored here, or may not have been.
    pub(crate) fn not_taken(&self, reason: NotStored, partition: PartitionId) -> NotTaken {
        match reason {
            NotStored::NotHere(not_here) => {
                if matches!(not_here, NotHere::EpochAhead(_)) {
                    self.shared.me.heard_newer.notify_one();
                }
                NotTaken::NotHere(not_here)
            }
            NotStored::Failed(reason) => NotTaken::Refused(Refusal::StorageFailed(reason)),
            // No other owner may be asked: the write would be there twice, or a deletion find its own work.
            NotStored::InDoubt | NotStored::NoExchange(_) | NotStored::Stopped => {
                NotTaken::Refused(Refusal::UnknownOutcome { partition })
            }
        }
    }

    fn written(&self, partition: PartitionId, payload: Payload, stored: Stored) -> Written {
        let state = self.shared.me.state();
        let mut payload = payload;
        payload.depend_on(stored.dot, stored.timestamp);
        let payload = trimmed(&state, &self.shared.acks.stable(), &payload);
        Written {
            created: stored.created,
            partition,
            payload,
            timestamp: stored.timestamp,
            replicas: stored.replicas,
        }
    }

    /// A deletion must know whether the key exists, so it is judged as a read first.
    pub(crate) async fn delete_here(
        &self,
        key: &Key,
        payload: &Payload,
        patience: Duration,
        began: Instant,
    ) -> Result<Written, NotTaken> {
        let vetted = self
            .claims
            .vetted_entries(payload)
            .await
            .map_err(NotTaken::Refused)?;
        match self.read_here_patiently(key, &vetted.payload, patience).await {
            Ok(Ok(found)) => self.write_here(key, None, &found.payload, began).await,
            Ok(Err(refusal)) => Err(NotTaken::Refused(refusal)),
            Err(not_here) => Err(NotTaken::NotHere(not_here)),
        }
    }
}
