//! A data server's part in moving keys: it lists pairs that belong elsewhere, takes in copies, and drops
//! pairs that have arrived. Any proxy may repeat any step.

use super::local_store::{Changes, LocalStoreError};
use super::{DataServer, State};
use crate::apps::data_servers::data_server::keys::{known, put};
use crate::apps::data_servers::messages::{Answer, Datum, KeyOutcome, Known, Pair, Stamp, StoredPair};
use crate::apps::data_servers::place;

/// Bytes that move at a time: few enough that requests in between hardly wait.
const PAGE_BYTES: usize = 512 * 1024;

impl DataServer {
    /// The pairs of the next page that the list places on other servers.
    pub(super) async fn misplaced(
        &self,
        stamp: Option<&Stamp>,
        after: Option<&str>,
    ) -> Result<Answer, LocalStoreError> {
        let state = self.state.read().await;
        if let Some(answer) = state.objection(stamp) {
            return Ok(answer);
        }
        let (mut pairs, next): (Vec<StoredPair>, _) =
            self.local.list(place::PAIRS, after, PAGE_BYTES).await?;
        pairs.retain(|pair| is_elsewhere(&state, &pair.key));
        let applied = Vec::new();
        Ok(Answer::Page { pairs, next, applied })
    }

    /// Takes in copies. A value or a deletion that is here already is newer than any copy.
    pub(super) async fn receive(
        &self,
        stamp: Option<&Stamp>,
        pairs: Vec<Pair>,
    ) -> Result<Answer, LocalStoreError> {
        let state = self.state.write().await;
        if let Some(answer) = state.objection(stamp) {
            return Ok(answer);
        }
        let (mut changes, mut outcomes) = (Changes::default(), Vec::with_capacity(pairs.len()));
        for pair in pairs {
            let stored = self.local.read(&place::of_pair(&pair.key)).await?;
            let outcome = match known(&pair.key, stored) {
                _ if is_elsewhere(&state, &pair.key) => KeyOutcome::Refused,
                Known::Nothing => KeyOutcome::Done,
                Known::Clash => KeyOutcome::Refused,
                _ => KeyOutcome::Missing,
            };
            if outcome == KeyOutcome::Done {
                put(&mut changes, pair);
            }
            outcomes.push(outcome);
        }
        self.local.store(changes).await?;
        Ok(Answer::Each(outcomes))
    }

    /// Drops copies that their owner has.
    pub(super) async fn drop_moved(
        &self,
        stamp: Option<&Stamp>,
        keys: &[Datum],
    ) -> Result<Answer, LocalStoreError> {
        let state = self.state.write().await;
        if let Some(answer) = state.objection(stamp) {
            return Ok(answer);
        }
        let mut changes = Changes::default();
        for key in keys.iter().filter(|key| is_elsewhere(&state, key)) {
            changes.forget(place::of_pair(key));
        }
        self.local.store(changes).await?;
        Ok(Answer::Done)
    }
}

/// True if the list that this server follows places the key on another one.
fn is_elsewhere(state: &State, key: &Datum) -> bool {
    let own = state.membership.as_ref();
    own.is_some_and(|own| own.list.owner(key) != Some(&own.name))
}
