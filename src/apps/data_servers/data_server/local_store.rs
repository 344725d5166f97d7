//! Storage of a data server, on a single-node cluster: named texts, changed together with one sync or not
//! at all.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::names::Key;
use crate::node::{Node, PAGE_KEYS_MAX, Refusal};
use crate::protocol::causality::Payload;
use crate::protocol::replication::Operation;
use crate::wire::peer::Listing;

/// Why something was not kept or cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum LocalStoreError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the stored value of {0:?} cannot be read")]
    Unreadable(Key),
}

/// Changes that are stored together.
#[derive(Debug, Default)]
pub(super) struct Changes(Vec<Operation>);

impl Changes {
    pub(super) fn put(&mut self, key: Key, value: &impl Serialize) {
        let value = serde_json::to_vec(value).expect("these types have names and texts only");
        self.0.push(Operation::Put { key, value });
    }

    pub(super) fn forget(&mut self, key: Key) {
        self.0.push(Operation::Delete { key });
    }
}

/// A node, as a data server uses it.
#[derive(Debug)]
pub(super) struct LocalStore {
    node: Arc<Node>,
}

impl LocalStore {
    pub(super) fn new(node: Arc<Node>) -> Self {
        Self { node }
    }

    /// Stores all changes or none.
    pub(super) async fn store(&self, changes: Changes) -> Result<(), LocalStoreError> {
        let done = self.node.requests.batch(changes.0, Payload::default()).await;
        for result in done.results {
            match result {
                Ok(_) | Err(Refusal::KeyNotFound { .. }) => {}
                // All changes are stored together, so the others were refused as well.
                Err(refusal) => return Err(refusal.into()),
            }
        }
        Ok(())
    }

    pub(super) async fn read<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>, LocalStoreError> {
        match self.node.requests.get(key, Payload::default()).await {
            Ok(found) => {
                let value = found.record.value().expect("what is found has a value");
                parsed(key, value).map(Some)
            }
            Err(Refusal::KeyNotFound { .. }) => Ok(None),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// The texts whose names have a prefix, in order, after `after`: about `bytes` of them at most, and
    /// where to go on.
    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        prefix: &str,
        after: Option<&str>,
        bytes: usize,
    ) -> Result<(Vec<T>, Option<String>), LocalStoreError> {
        let mut listing = Listing {
            prefix: prefix.to_owned(),
            after: after.map(str::to_owned),
            limit: PAGE_KEYS_MAX,
            keys_only: false,
        };
        let (mut taken, mut taken_bytes) = (Vec::new(), 0);
        loop {
            let page = self.node.requests.list(&listing, &Payload::default()).await?;
            for item in page.items {
                let value = item.value.unwrap_or_default();
                taken_bytes += value.len();
                taken.push(parsed(&item.key, &value)?);
            }
            if page.next.is_none() || taken_bytes >= bytes {
                return Ok((taken, page.next));
            }
            listing.after = page.next;
        }
    }
}

fn parsed<T: DeserializeOwned>(key: &Key, text: &[u8]) -> Result<T, LocalStoreError> {
    serde_json::from_slice(text).map_err(|_| LocalStoreError::Unreadable(key.clone()))
}
