//! The read path: answers here if the predicate allows it; otherwise fetches what is missing, or forwards
//! the read to an owner that may answer. If none can, it says why within the time limit.

use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::names::Key;
use crate::node::limits::{ASK_LIMIT, NEWS_PAUSE, PATIENCE};
use crate::node::outcome::{Found, Refusal};
use crate::node::requests::Requests;
use crate::node::requests::forward::AskRound;
use crate::protocol::causality::Payload;
use crate::protocol::replication::{NotHere, answer, may_read};
use crate::wire::peer::Declined;

/// A read that was answered here: found, or known not to exist.
type ReadHere = Result<Found, Refusal>;

impl Requests {
    /// Reads a key for a client that depends on `payload`.
    pub async fn get(&self, key: &Key, payload: Payload) -> Result<Found, Refusal> {
        self.get_within(key, payload, self.shared.limits.causal_wait)
            .await
    }

    /// The same, but waits for at most `wait` for what the client depends on.
    pub(crate) async fn get_within(
        &self,
        key: &Key,
        payload: Payload,
        wait: Duration,
    ) -> Result<Found, Refusal> {
        let answered = match self.read_here(key, &payload) {
            Ok(answered) => answered,
            Err(_) => {
                let wait = wait.saturating_sub(self.replication.proven().await);
                self.get_elsewhere(key, payload, wait).await
            }
        };
        self.shorten_found(answered).await
    }

    /// Answers from this replica alone, without waiting.
    pub(crate) fn read_here(&self, key: &Key, payload: &Payload) -> Result<ReadHere, NotHere> {
        let slot = key.slot();
        let (state, stable, payload, partition, record) = loop {
            let activations = self.shared.me.activations();
            let state = self.shared.me.state();
            let stable = self.shared.acks.stable();
            let payload = may_read(&state, &stable, slot, payload)?;
            let view = state.view().ok_or(NotHere::NotOwner)?;
            let partition = view.partition_of_slot(slot);
            #[cfg(test)]
            crate::node::tests::interleaved::happen_now();
            let record = self.shared.resident.get(key.as_str());
            // This thread may have been preempted in between, for long enough to move the slot away: what it
            // found may be a dropped slot, or a part of an unfinished copy.
            if self.shared.me.activations() == activations {
                break (state, stable, payload, partition, record);
            }
        };
        let payload = answer(&state, &stable, &payload, record.as_ref());
        Ok(match record.filter(|record| !record.is_tombstone()) {
            Some(record) => Ok(Found {
                record,
                partition,
                payload,
            }),
            None => Err(Refusal::KeyNotFound { partition, payload }),
        })
    }

    /// Answers from this replica, which fetches what it lacks for as long as `patience` lasts.
    pub(crate) async fn read_here_patiently(
        &self,
        key: &Key,
        payload: &Payload,
        patience: Duration,
    ) -> Result<ReadHere, NotHere> {
        let deadline = Instant::now() + patience;
        loop {
            let published = self.shared.me.published.count();
            let not_here = match self.read_here(key, payload) {
                Err(NotHere::NotOwner) => return Err(NotHere::NotOwner),
                Err(not_here) => not_here,
                answered => return answered,
            };
            self.fetch_what_is_missing(&not_here);
            if timeout_at(deadline, self.shared.me.published.beyond(published))
                .await
                .is_err()
            {
                return Err(not_here);
            }
        }
    }

    /// Asks every sibling that answers for what it has, and nodes that are ahead for their views.
    pub(crate) fn fetch_what_is_missing(&self, not_here: &NotHere) {
        if matches!(not_here, NotHere::EpochAhead(_)) {
            self.shared.me.heard_newer.notify_one();
        }
        for sibling in self.shared.me.state().siblings() {
            self.shared.me.ring(&sibling.node);
        }
    }

    async fn get_elsewhere(&self, key: &Key, payload: Payload, wait: Duration) -> Result<Found, Refusal> {
        self.view_changes.route()?;
        let began = Instant::now();
        let vetted = {
            let mut rounds = pin!(self.get_in_rounds(key, &payload, began, wait));
            tokio::select! {
                biased;
                answered = &mut rounds => return answered,
                vetted = self.claims.vetted(&payload) => match vetted? {
                    vetted if vetted.shorter => vetted.payload,
                    _ => return rounds.await,
                }
            }
        };
        self.get_in_rounds(key, &vetted, began, wait).await
    }

    async fn get_in_rounds(
        &self,
        key: &Key,
        payload: &Payload,
        began: Instant,
        wait: Duration,
    ) -> Result<Found, Refusal> {
        // However short the wait, a healthy owner has the time to answer.
        let deadline = began + wait.max(ASK_LIMIT);
        loop {
            let published = self.shared.me.published.count();
            let (refusal, may_pass) = match self.get_round(key, payload, deadline).await {
                AskRound::Answered(answered) => return answered,
                AskRound::Refused { refusal, may_pass } => (refusal, may_pass),
            };
            if !may_pass || began.elapsed() + PATIENCE >= wait {
                return Err(refusal);
            }
            // Between two views every owner declines at once.
            let news = self.shared.me.published.beyond(published);
            let _ = timeout_at(Instant::now() + NEWS_PAUSE, news).await;
        }
    }

    /// Asks this replica and all others once, until `deadline` at most.
    async fn get_round(&self, key: &Key, payload: &Payload, deadline: Instant) -> AskRound<Found> {
        if let Err(refusal) = self.view_changes.route() {
            return AskRound::Refused {
                refusal,
                may_pass: false,
            };
        }
        let patience = PATIENCE.min(deadline.saturating_duration_since(Instant::now()));
        let here = match self.read_here_patiently(key, payload, patience).await {
            Ok(answered) => return AskRound::Answered(answered),
            Err(not_here) => not_here,
        };
        let declined = match here {
            NotHere::NotOwner => None,
            NotHere::NotReady => Some(Declined::NotReady),
            NotHere::EpochAhead(_) | NotHere::Missing(_) | NotHere::Sealed => Some(Declined::Behind),
        };
        self.ask_owners_to_read(key, payload, declined, deadline).await
    }
}
