//! Tests what can happen to a disk: it is full, a power cut tears its last write or loses what was not
//! synced, it is damaged, the process is killed, the directory cannot be used, or its files are deleted
//! while they are in use. Each file tests one of these; `background` tests the database's own thread.

mod background;
mod crash;
mod displaced;
mod full_disk;
mod fuse;
mod in_doubt;
mod measure;
mod opening;
mod power_cut;
mod torn_journal;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tempfile::TempDir;

use super::*;
use crate::store::conformance::{Place, Reopened, apply, assert_same, check, numbered, record};

#[tokio::test]
async fn it_keeps_the_contract() {
    let fresh_place = || -> Place {
        let dir = Arc::new(TempDir::new().expect("a directory"));
        Box::new(move || Box::new(DurableEngine::open(dir.path()).expect("opens")))
    };
    check(fresh_place, Reopened::KeepsAll).await;
}

#[tokio::test]
async fn it_keeps_the_contract_where_the_journal_is_emptied_again_and_again() {
    let fresh_place = || -> Place {
        let dir = Arc::new(TempDir::new().expect("a directory"));
        let limits = Limits {
            journal_bytes: 4096,
            keeps_reserve: true,
        };
        Box::new(move || Box::new(DurableEngine::open_within(dir.path(), limits).expect("opens")))
    };
    check(fresh_place, Reopened::KeepsAll).await;
}

fn commit(engine: &DurableEngine, batch: &Batch) -> Result<(), StoreError> {
    engine.commit(batch).now_or_never().expect("commits block")
}

fn stored_in(dir: &Path) -> Recovered {
    let engine = DurableEngine::open(dir).expect("opens");
    engine.recover().expect("can be read")
}
