//! Forwards a request to an owner that may answer it, and to the next one if that does not.
//!
//! A read goes to the next owner after a short silence; asking twice does no harm. A write goes to one
//! owner at a time, and only to one that has just shown that it is alive: a write that was sent to a node
//! that froze may still happen, so its outcome is unknown.

#[cfg(test)]
mod tests;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep, sleep_until};

use crate::names::{Key, NodeId, PartitionId};
use crate::node::limits::{ANSWER_TIME, ASK_LIMIT, PATIENCE, WRITE_LIMIT};
use crate::node::outcome::{Found, Refusal, Written};
use crate::node::peers::link::CallError;
use crate::node::requests::Requests;
use crate::protocol::causality::Payload;
use crate::wire::peer::{Answer, Declined, Question};

/// One round of asking.
#[derive(Debug)]
pub(crate) enum AskRound<T> {
    Answered(Result<T, Refusal>),
    /// No owner could answer, and why.
    Refused {
        refusal: Refusal,
        /// What is missing may still arrive, or the nodes are between two views.
        may_pass: bool,
    },
}

/// The outcome of forwarded writes.
#[derive(Debug)]
pub(crate) enum Forwarded<T> {
    Answered(Result<T, Refusal>),
    /// The view has changed meanwhile, and this node owns the key.
    OursNow,
}

impl Requests {
    /// The other owners of the key: those that answer first, and of them the least busy first.
    pub(crate) fn other_owners(&self, key: &Key) -> Vec<NodeId> {
        let state = self.shared.me.state();
        let Some(view) = state.routing() else {
            return Vec::new();
        };
        let owners = view.owners(key.slot()).iter();
        let mut owners: Vec<NodeId> = owners
            .filter(|node| **node != self.shared.me.node && view.member(node).is_some())
            .cloned()
            .collect();
        owners.sort_by_key(|node| {
            (
                self.shared.peers.is_away(node),
                self.shared.peers.outstanding(node),
            )
        });
        owners
    }

    /// True if this node is an owner of the key, ready or not.
    pub(crate) fn owns(&self, key: &Key) -> bool {
        self.shared.me.state().region_of(key.slot()).is_some()
    }

    pub(crate) fn partition_of(&self, key: &Key) -> PartitionId {
        let state = self.shared.me.state();
        state
            .routing()
            .map_or(PartitionId(0), |view| view.partition_of_slot(key.slot()))
    }

    /// Asks the other owners until `deadline` at most, the next one after a short silence of the one before.
    /// Owners that are on their way may stay silent for as long as they are asked.
    pub(crate) async fn ask_owners_to_read(
        &self,
        key: &Key,
        payload: &Payload,
        declined: Option<Declined>,
        deadline: Instant,
    ) -> AskRound<Found> {
        let owners = self.other_owners(key);
        let hedge = ASK_LIMIT / u32::try_from(owners.len().max(1)).expect("few owners");
        let mut waiting = owners.iter();
        let mut asked = FuturesUnordered::new();
        let mut declined: Vec<Declined> = declined.into_iter().collect();
        let ask = |node: NodeId| async move {
            let patience_ms = u32::try_from(PATIENCE.as_millis()).expect("short");
            let question = Question::Get {
                key: key.clone(),
                payload: payload.clone(),
                patience_ms,
            };
            let answer = self.shared.peers.call(&node, question, ASK_LIMIT).await;
            (node, answer)
        };
        let mut is_busy = false;
        let mut next_at = Instant::now();
        loop {
            tokio::select! {
                biased;
                Some((node, answer)) = asked.next(), if !asked.is_empty() => {
                    // An owner that is silent and not away is busy sending long answers.
                    is_busy |= matches!(answer, Err(CallError::Silent)) && !self.shared.peers.is_away(&node);
                    match self.found(key, answer) {
                        Some(Ok(answered)) => return AskRound::Answered(answered),
                        reason => declined.extend(reason.and_then(Result::err)),
                    }
                    next_at = Instant::now();
                }
                () = sleep_until(next_at), if waiting.len() > 0 => {
                    asked.extend(waiting.next().cloned().map(&ask));
                    next_at = Instant::now() + hedge;
                }
                () = sleep_until(deadline), if !asked.is_empty() => break,
                else => break,
            }
        }
        let refusal = match self.refusal(key, &declined) {
            Refusal::Unavailable { .. } if is_busy => Refusal::Overloaded,
            refusal => refusal,
        };
        AskRound::Refused {
            refusal,
            may_pass: self.may_pass(&declined) || self.is_owner_on_its_way(key),
        }
    }

    fn found(
        &self,
        key: &Key,
        answer: Result<Answer, CallError>,
    ) -> Option<Result<Result<Found, Refusal>, Declined>> {
        let partition = self.partition_of(key);
        match answer {
            Ok(Answer::Found { record, payload }) => Some(Ok(Ok(Found {
                record,
                partition,
                payload,
            }))),
            Ok(Answer::Declined(Declined::KeyNotFound { payload })) => {
                Some(Ok(Err(Refusal::KeyNotFound { partition, payload })))
            }
            Ok(Answer::Declined(reason)) => Some(Err(reason)),
            _ => None,
        }
    }

    /// True if owners may soon answer: they are behind or in another view than this node, or this node is
    /// on its way to the next view and asked the owners of the one before.
    fn may_pass(&self, declined: &[Declined]) -> bool {
        let passes = |reason: &Declined| matches!(reason, Declined::Behind | Declined::NotOwner);
        declined.iter().any(passes) || self.shared.me.state().is_between_views()
    }

    /// True if a silent owner may soon answer: after a restart of many nodes, or on a busy machine, links
    /// take a while.
    fn is_owner_on_its_way(&self, key: &Key) -> bool {
        let mut owners = self.other_owners(key).into_iter();
        owners.any(|owner| self.shared.peers.is_on_its_way(&owner))
    }

    /// The refusal for a client whose request no node took.
    pub(crate) fn refusal(&self, key: &Key, declined: &[Declined]) -> Refusal {
        let partition = self.partition_of(key);
        let storage = declined.iter().find_map(|reason| match reason {
            Declined::StorageFailed(reason) => Some(reason.clone()),
            _ => None,
        });
        match storage {
            Some(reason) => Refusal::StorageFailed(reason),
            None if declined.contains(&Declined::Behind) => Refusal::Behind { partition },
            None => Refusal::Unavailable { partition },
        }
    }

    /// Has one of the other owners take a write; without a value it is a deletion.
    pub(crate) async fn forward_write(
        &self,
        key: &Key,
        value: Option<Bytes>,
        payload: &Payload,
        began: Instant,
    ) -> Forwarded<Written> {
        let question = |id| Question::Write {
            id,
            key: key.clone(),
            value: value.as_deref().map(<[u8]>::to_vec),
            payload: payload.clone(),
        };
        let written = |answer| match answer {
            Answer::Written(effect) => Some(Written::new(self.partition_of(key), effect)),
            _ => None,
        };
        self.forward(key, question, written, began).await
    }

    /// Has one of the other owners of a key take a request that changes something, and reads its answer.
    /// The client asked at `began`: the request may have been held here until the view changed.
    pub(crate) async fn forward<T>(
        &self,
        key: &Key,
        question: impl Fn(u128) -> Question,
        read: impl Fn(Answer) -> Option<T>,
        began: Instant,
    ) -> Forwarded<T> {
        let deadline = began + WRITE_LIMIT;
        let mut declined = Vec::new();
        let owned_before = self.owns(key);
        loop {
            if !owned_before && self.owns(key) {
                return Forwarded::OursNow;
            }
            let owners = self.other_owners(key);
            let confirm_limit =
                ASK_LIMIT.min(WRITE_LIMIT / (2 * u32::try_from(owners.len().max(1)).expect("few owners")));
            for owner in &owners {
                let rest = (deadline - ANSWER_TIME).saturating_duration_since(Instant::now());
                if !self.shared.peers.is_alive(owner, confirm_limit.min(rest)).await {
                    continue;
                }
                let partition = self.partition_of(key);
                match self
                    .write_there(owner, question(self.request_id()), deadline)
                    .await
                {
                    Ok(Answer::Declined(Declined::KeyNotFound { payload })) => {
                        return Forwarded::Answered(Err(Refusal::KeyNotFound { partition, payload }));
                    }
                    Ok(Answer::Declined(Declined::BadPayload(reason))) => {
                        return Forwarded::Answered(Err(Refusal::BadPayload(reason)));
                    }
                    Ok(Answer::Declined(reason)) => declined.push(reason),
                    Ok(answer) => {
                        if let Some(done) = read(answer) {
                            return Forwarded::Answered(Ok(done));
                        }
                    }
                    Err(CallError::Unreachable | CallError::Rebooted) => {}
                    Err(CallError::Silent) => {
                        return Forwarded::Answered(Err(Refusal::UnknownOutcome { partition }));
                    }
                }
            }
            // If this node owns the key, it waits for what it lacks rather than for other owners.
            let may_pass = self.may_pass(&declined) || !owned_before && self.is_owner_on_its_way(key);
            if !may_pass || Instant::now() + PATIENCE >= deadline {
                return Forwarded::Answered(Err(self.refusal(key, &declined)));
            }
            sleep(PATIENCE).await;
            declined.clear();
        }
    }

    /// The idempotency key by which a coordinator recognizes a repeated request.
    fn request_id(&self) -> u128 {
        u128::from(self.shared.me.world.random()) << 64 | u128::from(self.shared.me.world.random())
    }

    /// Sends a write to one node, and again with the same id if the link breaks: the coordinator remembers
    /// what it did, so a repeat is answered and not done twice. A process that was restarted has forgotten,
    /// and is not asked again.
    async fn write_there(
        &self,
        node: &NodeId,
        question: Question,
        deadline: Instant,
    ) -> Result<Answer, CallError> {
        let boot = self.shared.peers.boot(node).ok_or(CallError::Unreachable)?;
        let mut sent = false;
        loop {
            let limit = deadline.saturating_duration_since(Instant::now());
            match self
                .shared
                .peers
                .call_same_boot(node, boot, question.clone(), limit)
                .await
            {
                Err(CallError::Unreachable) if sent => {}
                Err(CallError::Silent) => sent = true,
                Err(CallError::Rebooted) if sent => return Err(CallError::Silent),
                Err(_) => return Err(CallError::Unreachable),
                answered => return answered,
            }
            if Instant::now() + PATIENCE >= deadline {
                return Err(CallError::Silent);
            }
            sleep(PATIENCE).await;
        }
    }
}
