//! Keeps the payloads that clients carry short. A client that reads many writes which some sibling lacks
//! gathers entries faster than gossip drops them. If a payload has many, the members that took the writes
//! are asked; by then most of the writes are stable.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use tokio::time::timeout;

use crate::names::Member;
use crate::node::limits::{GOSSIP_LIMIT, SHORTEN_LIMIT};
use crate::node::outcome::{Found, Refusal, Written};
use crate::node::requests::Requests;
use crate::protocol::causality::Payload;
use crate::protocol::replication::trimmed;

/// Above this many entries a payload is worth a question. With this many, and those that one answer may
/// add, it stays under 100 characters.
const ENTRIES_UNASKED: usize = 3;

impl Requests {
    pub(crate) async fn shorten_found(&self, found: Result<Found, Refusal>) -> Result<Found, Refusal> {
        match found {
            Ok(Found {
                record,
                partition,
                payload,
            }) => Ok(Found {
                record,
                partition,
                payload: self.shortened(payload).await,
            }),
            Err(refusal) => Err(self.shorten_refusal(refusal).await),
        }
    }

    pub(crate) async fn shorten_written(
        &self,
        written: Result<Written, Refusal>,
    ) -> Result<Written, Refusal> {
        match written {
            Ok(written) => {
                let payload = self.shortened(written.payload).await;
                Ok(Written { payload, ..written })
            }
            Err(refusal) => Err(self.shorten_refusal(refusal).await),
        }
    }

    async fn shorten_refusal(&self, refusal: Refusal) -> Refusal {
        match refusal {
            Refusal::KeyNotFound { partition, payload } => {
                let payload = self.shortened(payload).await;
                Refusal::KeyNotFound { partition, payload }
            }
            other => other,
        }
    }

    async fn shortened(&self, payload: Payload) -> Payload {
        let state = self.shared.me.state();
        let Some(view) = state.view().filter(|_| payload.entries.len() > ENTRIES_UNASKED) else {
            return payload;
        };
        let takers: BTreeSet<Member> = payload
            .entries
            .iter()
            .filter_map(|dot| view.member_by_id(dot.log.member))
            .filter(|member| *member != self.shared.me.member() && !self.shared.peers.is_away(&member.node))
            .collect();
        let asked = takers
            .iter()
            .map(|taker| self.replication.gossip_once(taker, GOSSIP_LIMIT));
        // Dropped, not timed out: a peer is not away because it takes longer than this.
        let _ = timeout(SHORTEN_LIMIT, join_all(asked)).await;
        trimmed(&state, &self.shared.acks.stable(), &payload)
    }
}
