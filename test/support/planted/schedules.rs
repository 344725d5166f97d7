//! Written schedules on whole simulated clusters, for faults that a random run meets too rarely. Each
//! passes with the rule and returns what went wrong without it.

use std::time::Duration;

use causeway::names::{Epoch, SLOTS, Slot};
use causeway::node::Role;
use causeway::store::Engine;
use causeway::wire::notes;
use tokio::time::{sleep, timeout};

use super::Seen;
use crate::simulated::cluster::{REMOVE, SimCluster};
use crate::simulated::requests::operate;
use crate::simulated::simulate;
use crate::simulated::views::Views;
use crate::support::history::{Action, Answer, Outcome, Reply};

pub(super) const LONG: Duration = Duration::from_secs(10);

pub(super) async fn put(cluster: &SimCluster, node: usize, key: &str, value: &str, payload: &str) -> String {
    let reply = operate(cluster, node, key, Action::Put(value.to_owned()), payload).await;
    let is_written = matches!(reply.outcome, Outcome::Ok(Answer::Written { .. }));
    assert!(is_written, "a put that nothing hinders: {:?}", reply.outcome);
    reply.payload
}

/// The value in a reply; `None` if the node found none.
pub(super) fn found(reply: &Reply) -> Option<&str> {
    match &reply.outcome {
        Outcome::Ok(Answer::Found { value, .. }) => Some(value),
        _ => None,
    }
}

/// A cluster in which only these nodes are up, and serve.
pub(super) async fn serving(seed: u64, count: usize, replicas: u32, up: &[usize]) -> SimCluster {
    let mut cluster = SimCluster::new(seed, count, replicas);
    serving_with(&mut cluster, up).await;
    cluster
}

/// Starts these nodes, and waits until they serve.
pub(super) async fn serving_with(cluster: &mut SimCluster, up: &[usize]) {
    for number in up {
        cluster.start(*number).await;
    }
    cluster
        .until(LONG, "those that are up serve", || serve(cluster, up, 1))
        .await;
}

pub(super) fn serve(cluster: &SimCluster, numbers: &[usize], epoch: u64) -> bool {
    numbers.iter().all(|number| {
        let node = cluster.node(*number).expect("runs");
        let status = node.status();
        status.epoch >= Epoch(epoch) && status.ready
    })
}

/// Waits until every member serves and all replicas agree.
pub(super) async fn until_whole(cluster: &SimCluster, limit: Duration) -> Seen {
    let began = tokio::time::Instant::now();
    while began.elapsed() < limit {
        if cluster.is_serving() && cluster.differences().is_empty() {
            return Ok(());
        }
        sleep(Duration::from_millis(10)).await;
    }
    Err(format!("not whole after {limit:?}:\n{}", cluster.describe()))
}

/// n1 does not reach n0, which took the cause. It gets the effect from n2. The reader knows of the cause
/// only through that reply.
pub(crate) fn an_effect_where_its_cause_is_missing() -> Seen {
    simulate(async {
        let cluster = serving(1, 3, 3, &[0, 1, 2]).await;
        cluster.cut(0, 1);
        let cause = operate(&cluster, 0, "cause", Action::Put("c".to_owned()), "");
        // The cause's coordinator waits for n1; n2 has it at once.
        let _ = timeout(Duration::from_millis(5), cause).await;
        let payload = operate(&cluster, 2, "cause", Action::Get, "").await.payload;
        put(&cluster, 2, "effect", "e", &payload).await;
        let effect = operate(&cluster, 1, "effect", Action::Get, "").await;
        assert_eq!(found(&effect), Some("e"), "n1 has the effect");
        let cause = operate(&cluster, 1, "cause", Action::Get, &effect.payload).await;
        match found(&cause) {
            Some(_) => Ok(()),
            None => Err("a reader of an effect was told that its cause is not there".to_owned()),
        }
    })
}

/// A newcomer has copied a key that is deleted before the hand-over. The change waits two seconds for a
/// proxy that is cut off: before it ends, the tombstone is stable and old.
pub(crate) fn a_deletion_behind_a_copy() -> Seen {
    simulate(async {
        let mut cluster = SimCluster::new(1, 4, 3);
        cluster.limits.forget_after = Duration::from_millis(600);
        serving_with(&mut cluster, &[0, 1, 3]).await;
        put(&cluster, 0, "k", "v", "").await;
        cluster.isolate(3);
        cluster.start(2).await;
        let is_copied = || cluster.nodes[2].disk.records().contains_key("k");
        cluster.until(LONG, "the newcomer has a copy", is_copied).await;
        let deleted = operate(&cluster, 0, "k", Action::Delete, "").await;
        cluster
            .until(LONG, "the newcomer serves", || serve(&cluster, &[2], 2))
            .await;
        sleep(Duration::from_secs(2)).await;
        match found(&operate(&cluster, 2, "k", Action::Get, "").await) {
            None => Ok(()),
            Some(_) => Err(format!("a deleted key came back: {:?}", deleted.outcome)),
        }
    })
}

/// n0 is sealed and has handed over to n2, which serves already. n1 is unreachable for n2 and n3, and
/// pushes its writes to n0.
pub(crate) fn a_push_to_a_member_that_has_handed_over() -> Seen {
    (1..=10).try_for_each(|seed| simulate(push_to_a_member_that_has_handed_over(seed)))
}

async fn push_to_a_member_that_has_handed_over(seed: u64) -> Seen {
    let mut cluster = serving(seed, 4, 3, &[0, 1, 3]).await;
    // n2 can ask only n3 for admission, so n3 drives.
    cluster.cut(2, 0);
    cluster.cut(2, 1);
    cluster.cut(3, 1);
    cluster.start(2).await;
    let is_listed = || cluster.node(3).expect("runs").status().epoch >= Epoch(1) && knows(&cluster, 2, 2);
    cluster.until(LONG, "the newcomer is listed", is_listed).await;
    let link = |number: usize| cluster.nodes[number].id.clone();
    cluster.network.heal_link(&link(2), &link(0));
    cluster.network.slow_down(&link(3), &link(0), 250);
    cluster.network.slow_down(&link(2), &link(0), 250);
    let mut payload = String::new();
    for number in 1..400 {
        let value = number.to_string();
        payload = put(&cluster, 1, "k", &value, &payload).await;
        let read = operate(&cluster, 2, "k", Action::Get, &payload);
        if let Ok(reply) = timeout(Duration::from_millis(30), read).await
            && matches!(reply.outcome, Outcome::Ok(_))
            && found(&reply) != Some(value.as_str())
        {
            return Err(format!("after {value} was written, {:?} was read", reply.outcome));
        }
        sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

fn knows(cluster: &SimCluster, number: usize, epoch: u64) -> bool {
    let recovered = cluster.nodes[number].disk.recover().expect("is readable");
    let kept = notes::read(&recovered.notes).expect("a node reads its own notes");
    kept.is_some_and(|(state, _)| state.views.contains_key(&Epoch(epoch)))
}

/// A copy of several pages, and a write to a slot of the first page before the last one is read.
pub(crate) fn a_write_behind_a_copy() -> Seen {
    simulate(async {
        let mut cluster = serving(1, 3, 3, &[0, 1]).await;
        let mut keys: Vec<String> = (0..6).map(|number| format!("k{number}")).collect();
        keys.sort_by_key(|key| Slot::of(key));
        let large = "v".repeat(700_000);
        let mut payload = String::new();
        for key in &keys {
            payload = put(&cluster, 0, key, &large, &payload).await;
        }
        let (giver, taker) = (cluster.nodes[0].id.clone(), cluster.nodes[2].id.clone());
        cluster.network.slow_down(&giver, &taker, 200);
        cluster.start(2).await;
        let has = |key: &String| cluster.nodes[2].disk.records().contains_key(key);
        cluster.until(LONG, "the copy begins", || has(&keys[0])).await;
        assert!(!has(&keys[5]), "the copy has several pages");
        payload = put(&cluster, 0, &keys[0], "new", &payload).await;
        cluster.network.heal();
        cluster
            .until(LONG, "the newcomer serves", || serve(&cluster, &[2], 2))
            .await;
        let read = operate(&cluster, 2, &keys[0], Action::Get, &payload).await;
        match found(&read) {
            Some("new") => Ok(()),
            _ => Err("a write behind a copy is missing, though its reader depends on it".to_owned()),
        }
    })
}

/// n3 lost its disk and is added again, but does not reach the only node that has its slots.
pub(crate) fn a_new_owner_without_a_giver() -> Seen {
    simulate(async {
        let mut cluster = serving(1, 4, 2, &[0, 1, 2, 3]).await;
        let key = key_of(&cluster, 2);
        let payload = put(&cluster, 2, &key, "v", "").await;
        cluster.wipe(3);
        cluster.cut(2, 3);
        cluster.start(3).await;
        let is_listed = || cluster.node(3).expect("runs").status().epoch >= Epoch(2);
        cluster.until(LONG, "the newcomer is listed", is_listed).await;
        match operate(&cluster, 3, &key, Action::Get, &payload).await.outcome {
            Outcome::Refused(_) => Ok(()),
            other => Err(format!("an owner that has nothing answered {other:?}")),
        }
    })
}

/// n0 is cut off and removed. Later writes are stable without it, so only their epoch separates a reader
/// of them from one that n0 may answer.
pub(crate) fn a_reader_that_comes_back_to_a_removed_owner() -> Seen {
    simulate(async {
        let cluster = serving(1, 3, 2, &[0, 1, 2]).await;
        let payload = put(&cluster, 0, "k", "old", "").await;
        cluster.isolate(0);
        let asked = cluster.change_view(1, 0, REMOVE).await;
        assert!(asked.is_ok(), "two of three remove the third: {asked:?}");
        let payload = put(&cluster, 1, "k", "new", &payload).await;
        match operate(&cluster, 0, "k", Action::Get, &payload).await.outcome {
            Outcome::Refused(_) => Ok(()),
            other => Err(format!(
                "a removed owner answered a reader of the next epoch: {other:?}"
            )),
        }
    })
}

/// n5 is cut off, takes a write, and is passed over by the change that adds n4 again.
pub(crate) fn a_write_of_a_node_that_is_passed_over() -> Seen {
    simulate(async {
        let mut cluster = serving(1, 6, 3, &[0, 1, 2, 3, 4, 5]).await;
        let key = key_of(&cluster, 5);
        cluster.isolate(5);
        let payload = put(&cluster, 5, &key, "v", "").await;
        cluster.wipe(4);
        cluster.start(4).await;
        cluster
            .until(LONG, "the next view is served", || serve(&cluster, &[3], 2))
            .await;
        match operate(&cluster, 3, &key, Action::Get, &payload).await.outcome {
            Outcome::Refused(_) => Ok(()),
            other => Err(format!("a reader of what never came was answered {other:?}")),
        }
    })
}

/// A key that this node owns.
fn key_of(cluster: &SimCluster, number: usize) -> String {
    let status = cluster.node(number).expect("runs").status();
    let Role::Replica(partition) = status.role else {
        panic!("a proxy owns no key");
    };
    // The first view deals the slots in equal runs.
    let run = SLOTS / u16::try_from(status.partitions.len()).expect("few partitions");
    let mut keys = (0..).map(|number| format!("k{number}"));
    let is_owned = |key: &String| u32::from(Slot::of(key).0 / run) == partition.0;
    keys.find(is_owned).expect("every run of slots has keys")
}

/// n1's write supersedes n0's, so n0 has none of its own to give. n2 reaches only n0.
pub(crate) fn a_write_superseded_by_another_log() -> Seen {
    simulate(async {
        let cluster = serving(1, 3, 3, &[0, 1, 2]).await;
        cluster.isolate(2);
        let payload = put(&cluster, 0, "k", "first", "").await;
        put(&cluster, 1, "k", "second", "").await;
        cluster
            .network
            .heal_link(&cluster.nodes[0].id, &cluster.nodes[2].id);
        sleep(Duration::from_secs(3)).await;
        let read = operate(&cluster, 2, "k", Action::Get, &payload).await;
        match found(&read) {
            Some("second") => Ok(()),
            _ => Err(format!("a reader of what was superseded got {:?}", read.outcome)),
        }
    })
}

/// For every node that knows a view, a quorum has the votes for it on disk.
pub(crate) fn votes_on_disks() -> Seen {
    (1..=3).try_for_each(|seed| {
        simulate(async move {
            let mut cluster = SimCluster::new(seed, 3, 1);
            let (a, b) = (cluster.nodes[0].id.clone(), cluster.nodes[1].id.clone());
            cluster.network.slow_down(&a, &b, 150);
            cluster.network.slow_down(&b, &a, 150);
            cluster.start(0).await;
            cluster.start(1).await;
            let first_known = async {
                while !knows(&cluster, 0, 1) && !knows(&cluster, 1, 1) {
                    sleep(Duration::from_millis(1)).await;
                }
            };
            timeout(LONG, first_known).await.expect("a view is chosen");
            let votes = (0..2).filter(|number| knows(&cluster, *number, 1) || has_voted(&cluster, *number));
            match votes.count() {
                2 => Ok(()),
                count => Err(format!("a view is chosen with {count} votes on disks of 3")),
            }
        })
    })
}

fn has_voted(cluster: &SimCluster, number: usize) -> bool {
    let recovered = cluster.nodes[number].disk.recover().expect("is readable");
    let kept = notes::read(&recovered.notes).expect("a node reads its own notes");
    kept.is_some_and(|(_, acceptors)| acceptors.values().any(|acceptor| acceptor.accepted.is_some()))
}

/// The two halves of a new cluster that cannot reach each other.
pub(crate) fn two_halves_at_birth() -> Seen {
    simulate(async {
        let mut cluster = SimCluster::new(1, 4, 2);
        for (a, b) in [(0, 2), (0, 3), (1, 2), (1, 3)] {
            cluster.cut(a, b);
        }
        for number in 0..4 {
            cluster.start(number).await;
        }
        sleep(LONG).await;
        let mut views = Views::default();
        views.look(&cluster);
        views.into_rivals().into_iter().next().map_or(Ok(()), Err)
    })
}
