//! The engine that keeps nothing, for nodes without a data directory: every start is a new incarnation.
//! The nodes' records are in `Resident` and at their siblings.

use futures_util::future::{BoxFuture, ready};

use super::{Batch, Engine, Recovered, StoreError};

/// Answers `Ok` and keeps nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct MemoryEngine;

impl Engine for MemoryEngine {
    fn commit<'a>(&'a self, _batch: &'a Batch) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(ready(Ok(())))
    }

    fn recover(&self) -> Result<Recovered, StoreError> {
        Ok(Recovered::default())
    }

    fn is_durable(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::{Place, Reopened, check};

    #[tokio::test]
    async fn it_keeps_the_contract_as_far_as_it_applies() {
        let fresh_place = || -> Place { Box::new(|| Box::new(MemoryEngine)) };
        check(fresh_place, Reopened::KeepsNothing).await;
    }
}
