//! The payloads of clients: parses what a request brings, and encodes what a reply carries.

use crate::node::outcome::Refusal;
use crate::node::requests::Requests;
use crate::protocol::causality::Payload;

impl Requests {
    /// Parses a client's payload text; several texts joined by commas are joined. Empty is fine.
    ///
    /// Refuses a payload that does not parse, comes from another cluster, claims a time that no node can
    /// have drawn (a forged payload must not drive the clocks away), or names a write that no view allows.
    /// Claims that only other members can judge are judged where they matter (`claims::vouch`).
    pub fn payload(&self, text: &str) -> Result<Payload, Refusal> {
        if text.is_empty() {
            return Ok(Payload::default());
        }
        let state = self.shared.me.state();
        // Without a view there is no cluster to compare with; the operation is refused anyway.
        let Some(view) = state.newest() else {
            return Ok(Payload::default());
        };
        let mut payload = Payload::from_text(text, view.cluster.into())
            .map_err(|error| Refusal::BadPayload(error.to_string()))?;
        if self.shared.me.is_from_the_future(payload.timestamp) {
            let text = "the causal payload is from the future; check the clocks of the nodes, or start again without one";
            return Err(Refusal::BadPayload(text.to_owned()));
        }
        for dot in payload.entries.iter() {
            let epoch = dot.log.epoch;
            if !state.is_closed(epoch) && state.is_no_dot(dot) {
                return Err(Refusal::impossible());
            }
            // No node may store the entry before it knows the view: this fences the payload (I5).
            if !state.knows_epoch(epoch) {
                payload.epoch = payload.epoch.max(epoch);
            }
        }
        Ok(payload)
    }

    /// Encodes a payload for a client; empty while this node knows no cluster.
    pub fn payload_text(&self, payload: &Payload) -> String {
        let state = self.shared.me.state();
        state
            .newest()
            .map_or_else(String::new, |view| payload.to_text(view.cluster.into()))
    }
}
