//! Many concurrent operations at any node, each with the payload of its client's last one. Counts the
//! answers, checks that clients read their own writes, and measures the payloads.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;

use super::stage::request;
use super::told::{Deed, Told};
use crate::simulated::client::Door;
use crate::simulated::cluster::SimCluster;

const CLIENT_LIMIT: Duration = Duration::from_secs(5);

/// Keys of each client.
const KEYS: u64 = 8;

/// What one client saw.
#[derive(Default)]
struct Tally {
    answered: usize,
    wrong: usize,
    longest: usize,
}

pub(crate) async fn churn(cluster: &SimCluster, at: &[usize], clients: usize, operations: usize) -> String {
    let lanes = (0..clients).map(|lane| lane_of(cluster, at, lane, clients, operations / clients));
    let mut all = Tally::default();
    for tally in join_all(lanes).await {
        all.answered += tally.answered;
        all.wrong += tally.wrong;
        all.longest = all.longest.max(tally.longest);
    }
    // Any change of a delay would change the exact number.
    let bound = all.longest.next_multiple_of(25);
    format!(
        "{} operations answered, {} wrong, no payload over {bound} characters",
        all.answered, all.wrong
    )
}

async fn lane_of(cluster: &SimCluster, at: &[usize], lane: usize, lanes: usize, operations: usize) -> Tally {
    let dice = &cluster.dice;
    let mut tally = Tally::default();
    let mut payload = String::new();
    let mut written: BTreeMap<String, Option<String>> = BTreeMap::new();
    for round in 0..operations {
        let node = at[usize::try_from(dice.bits()).unwrap_or_default() % at.len()];
        // Only its owner writes a key, so the owner knows what it must read; other clients' keys add
        // dependencies.
        let (is_own, kind) = (dice.chance(70), dice.between(1, 10));
        let owner = if is_own { lane } else { (lane + 1) % lanes };
        let key = format!("c{owner}-{}", dice.between(1, KEYS));
        let deed = match kind {
            1..=4 if is_own => Deed::Put(round.to_string()),
            5 if is_own => Deed::Delete,
            _ => Deed::Get,
        };
        let (ending, _) = Door::of(&cluster.nodes[node])
            .send(request(&key, &deed, &payload), CLIENT_LIMIT)
            .await;
        let told = Told::from(ending);
        if let Some(text) = told.text_field("causal_payload") {
            payload = text.to_owned();
            tally.answered += 1;
            tally.longest = tally.longest.max(text.len());
        }
        let before = written.get(&key).cloned().flatten();
        tally.wrong += usize::from(is_own && !is_right(&deed, before.as_deref(), &told));
        match deed {
            Deed::Put(value) => drop(written.insert(key, Some(value))),
            Deed::Delete => drop(written.insert(key, None)),
            Deed::Get => {}
        }
    }
    tally
}

/// True if the answer is right, given the owner's last write of the key.
fn is_right(deed: &Deed, before: Option<&str>, told: &Told) -> bool {
    let Told::Reply { status, .. } = told else {
        return false;
    };
    match (deed, before) {
        (Deed::Put(_), None) => *status == 201,
        (Deed::Get | Deed::Delete, None) => *status == 404,
        (Deed::Get, Some(value)) => told.found() == value,
        (Deed::Put(_) | Deed::Delete, Some(_)) => *status == 200,
    }
}
