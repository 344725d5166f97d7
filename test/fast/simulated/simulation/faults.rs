//! Tests that the simulator's faults do what they are called: a fault without an effect proves nothing.

use std::time::Duration;

use causeway::node::{RequestKind, Role, World};
use tokio::time::{Instant, sleep, timeout};

use crate::simulated::cluster::{Given, SimCluster};
use crate::simulated::fault::Fault;
use crate::simulated::requests::operate;
use crate::simulated::simulate;
use crate::support::history::{Action, Answer, Outcome};

const LONG: Duration = Duration::from_secs(10);

/// What a node answers to a write; nothing if it does not answer in this time.
async fn put(cluster: &SimCluster, number: usize, value: &str, limit: Duration) -> Option<Outcome> {
    let operation = operate(cluster, number, "k", Action::Put(value.to_owned()), "");
    let reply = timeout(limit, cluster.nodes[number].gate.hold(operation)).await;
    reply.ok().map(|reply| reply.outcome)
}

fn replicas(outcome: Option<&Outcome>) -> u32 {
    match outcome {
        Some(Outcome::Ok(Answer::Written { replicas, .. })) => *replicas,
        other => panic!("a write was answered {other:?}"),
    }
}

async fn until_equal(cluster: &SimCluster) {
    let are_equal = || cluster.is_serving() && cluster.differences().is_empty();
    cluster.until(LONG, "replicas are equal", are_equal).await;
}

#[test]
fn a_frozen_node_answers_nobody_and_goes_on_where_it_stopped() {
    simulate(async {
        let mut cluster = SimCluster::serving(1, 2, 2).await;
        cluster.suffer(Fault::Freeze(0));
        let (frozen, other) = tokio::join!(put(&cluster, 0, "a", LONG / 5), put(&cluster, 1, "b", LONG / 5));
        assert_eq!(frozen, None);
        assert_eq!(replicas(other.as_ref()), 1);
        cluster.suffer(Fault::Thaw(0));
        until_equal(&cluster).await;
        assert_eq!(replicas(put(&cluster, 0, "c", LONG).await.as_ref()), 2);
    });
}

#[test]
fn a_frozen_node_can_be_killed() {
    simulate(async {
        let mut cluster = SimCluster::serving(1, 2, 2).await;
        cluster.suffer(Fault::Freeze(0));
        cluster.suffer(Fault::Kill(0));
        cluster.start(0).await;
        cluster.until_serving(LONG).await;
        assert_eq!(replicas(put(&cluster, 0, "a", LONG).await.as_ref()), 2);
    });
}

#[test]
fn a_disk_in_doubt_leaves_a_write_open_and_settles_it() {
    for seed in 1..=8 {
        simulate(async move {
            let mut cluster = SimCluster::serving(seed, 2, 2).await;
            cluster.suffer(Fault::DiskInDoubt(0, true));
            let open = put(&cluster, 0, "a", LONG).await;
            assert!(matches!(open, Some(Outcome::Unknown(_))), "{open:?}");
            cluster.suffer(Fault::DiskInDoubt(0, false));
            sleep(LONG).await;
            let fates = cluster.nodes[0].disk.fates();
            assert_eq!(fates.doubted_and_stored + fates.doubted_and_refused, 1);
            until_equal(&cluster).await;
            let is_there = cluster.nodes[1].disk.records().contains_key("k");
            assert_eq!(is_there, fates.doubted_and_stored == 1);
        });
    }
}

#[test]
fn a_disk_in_doubt_leaves_a_write_open_for_the_node_that_handed_it_on() {
    simulate(async {
        let mut cluster = SimCluster::serving(1, 3, 2).await;
        assert_eq!(cluster.node(2).expect("runs").status().role, Role::Proxy);
        cluster.suffer(Fault::DiskInDoubt(0, true));
        cluster.suffer(Fault::DiskInDoubt(1, true));
        let open = put(&cluster, 2, "a", LONG).await;
        assert!(matches!(open, Some(Outcome::Unknown(_))), "{open:?}");
    });
}

#[test]
fn a_write_that_waits_behind_a_disk_that_hangs_is_left_open() {
    simulate(async {
        let mut cluster = SimCluster::serving(1, 2, 2).await;
        cluster.suffer(Fault::SlowDisk(0, 3_600_000));
        let asked = Instant::now();
        let (one, other) = tokio::join!(put(&cluster, 0, "a", LONG), put(&cluster, 0, "b", LONG));
        assert!(matches!(one, Some(Outcome::Unknown(_))), "{one:?}");
        assert!(matches!(other, Some(Outcome::Unknown(_))), "{other:?}");
        assert!(asked.elapsed() < LONG / 4, "{:?}", asked.elapsed());
    });
}

#[test]
fn what_breaks_with_a_stream_comes_by_another_way() {
    simulate(async {
        let mut cluster = SimCluster::serving(1, 2, 2).await;
        cluster.suffer(Fault::Cut(0, 1));
        let alone = put(&cluster, 0, "a", LONG).await;
        assert_eq!(replicas(alone.as_ref()), 1);
        cluster.suffer(Fault::Break(0, 1));
        cluster.suffer(Fault::HealLink(0, 1));
        until_equal(&cluster).await;
        assert!(cluster.nodes[1].disk.records().contains_key("k"));
    });
}

#[test]
fn lost_frames_come_late_and_a_flapping_link_is_half_a_link() {
    simulate(async {
        let mut cluster = SimCluster::serving(1, 2, 2).await;
        let quick = Duration::from_millis(20);
        for (fault, healing) in [
            (Fault::Lose(0, 1, 100), Fault::HealLink(0, 1)),
            (Fault::Flap(0, 1, 400), Fault::HealLink(0, 1)),
        ] {
            cluster.suffer(fault);
            sleep(Duration::from_millis(401)).await;
            let began = Instant::now();
            assert!(put(&cluster, 0, &format!("{fault:?}"), LONG).await.is_some());
            assert!(began.elapsed() > quick, "{fault:?} was not noticed");
            cluster.suffer(healing);
            until_equal(&cluster).await;
        }
    });
}

#[test]
fn an_address_leads_to_another_node_until_it_is_mended() {
    simulate(async {
        let mut cluster = SimCluster::serving(1, 2, 2).await;
        let away = |cluster: &SimCluster| cluster.node(0).expect("runs").status().away;
        cluster.suffer(Fault::Redirect(1, 0));
        let is_missed = || away(&cluster) == [cluster.nodes[1].id.clone()];
        cluster.until(LONG, "n1 is missed", is_missed).await;
        assert_eq!(replicas(put(&cluster, 0, "a", LONG).await.as_ref()), 1);
        cluster.suffer(Fault::EndRedirect(1));
        sleep(LONG / 5).await;
        until_equal(&cluster).await;
        assert!(away(&cluster).is_empty());
        assert_eq!(replicas(put(&cluster, 0, "b", LONG).await.as_ref()), 2);
    });
}

#[test]
fn a_node_with_anothers_name_waits_and_is_taken_in_under_its_own() {
    simulate(async {
        let mut cluster = SimCluster::new(1, 3, 2);
        cluster.start(0).await;
        cluster.start(1).await;
        let running = cluster.starting_as(2, 1).await;
        cluster.started(2, running);
        sleep(LONG / 5).await;
        let named = |number: usize| cluster.node(number).expect("runs").status();
        assert_eq!(named(2).node, cluster.nodes[1].id);
        assert!(named(0).ready && named(1).ready && !named(2).ready);
        cluster.suffer(Fault::Kill(2));
        cluster.start(2).await;
        cluster.until_serving(LONG).await;
    });
}

#[test]
fn a_clock_drifts_from_where_it_stood() {
    simulate(async {
        let mut cluster = SimCluster::serving(1, 1, 1).await;
        let world = cluster.nodes[0].world.clone();
        cluster.suffer(Fault::Clock(0, -500));
        cluster.suffer(Fault::Drift(0, 50_000));
        let (began, true_began) = (world.wall_ms(), cluster.now_us() / 1000);
        sleep(Duration::from_secs(100)).await;
        let (passed, truly) = (world.wall_ms() - began, cluster.now_us() / 1000 - true_began);
        // Each reading is rounded to a millisecond.
        assert!(passed.abs_diff(truly + truly / 20) <= 1);
    });
}

#[test]
fn all_clocks_are_set_and_none_shows_a_time_before_1970() {
    const YEAR_MS: i64 = 365 * 86_400_000;
    simulate(async {
        let mut cluster = SimCluster::serving(1, 2, 2).await;
        let walls = |cluster: &SimCluster| {
            cluster
                .nodes
                .iter()
                .map(|node| node.world.wall_ms())
                .collect::<Vec<_>>()
        };
        let right = walls(&cluster);
        cluster.suffer(Fault::Clocks(YEAR_MS));
        let ahead = right.iter().map(|wall_ms| wall_ms + YEAR_MS.unsigned_abs());
        assert_eq!(walls(&cluster), ahead.collect::<Vec<_>>());
        cluster.suffer(Fault::Clocks(-100 * YEAR_MS));
        assert_eq!(walls(&cluster), [0, 0]);
    });
}

/// Their contents are not guaranteed then, but the replicas must agree.
#[test]
fn copies_of_disks_from_different_moments_are_put_back_together() {
    for seed in 1..=4 {
        simulate(async move {
            let mut cluster = SimCluster::serving(seed, 3, 3).await;
            for number in 0..3 {
                put(&cluster, number, &format!("v{number}"), LONG).await;
                cluster.suffer(Fault::Copy(number));
                sleep(Duration::from_millis(1500)).await;
            }
            put(&cluster, 0, "last", LONG).await;
            for number in 0..3 {
                cluster.kill(number);
                assert!(cluster.nodes[number].disk.put_back(), "there is a copy");
            }
            for number in 0..3 {
                cluster.start(number).await;
            }
            until_equal(&cluster).await;
        });
    }
}

/// A disk seems lost, its node restarts without it, and then the disk is found.
#[test]
fn the_disk_of_an_earlier_life_is_put_back() {
    for seed in 1..=4 {
        simulate(async move {
            let mut cluster = SimCluster::serving(seed, 3, 3).await;
            put(&cluster, 1, "a", LONG).await;
            cluster.suffer(Fault::Copy(1));
            cluster.wipe(1);
            cluster.start(1).await;
            cluster.until_serving(LONG).await;
            assert_eq!(replicas(put(&cluster, 0, "b", LONG).await.as_ref()), 3);
            cluster.go_back(1);
            cluster.start(1).await;
            until_equal(&cluster).await;
            assert_eq!(replicas(put(&cluster, 1, "c", LONG).await.as_ref()), 3);
        });
    }
}

/// As long as a disk is full, it cannot store that its life is over.
#[test]
fn an_old_disk_that_is_full_ends_its_life_when_there_is_room() {
    simulate(async {
        let mut cluster = SimCluster::serving(1, 2, 2).await;
        cluster.suffer(Fault::Copy(1));
        put(&cluster, 0, "a", LONG).await;
        cluster.go_back(1);
        cluster.suffer(Fault::DiskFull(1, true));
        cluster.start(1).await;
        sleep(Duration::from_secs(5)).await;
        cluster.suffer(Fault::DiskFull(1, false));
        until_equal(&cluster).await;
        assert_eq!(replicas(put(&cluster, 1, "b", LONG).await.as_ref()), 2);
    });
}

/// The others formed the cluster without it, and it starts as a node that waits to be added.
#[test]
fn a_node_that_was_never_up_and_does_not_know_the_list_is_found() {
    simulate(async {
        let mut cluster = SimCluster::new(1, 3, 3);
        for number in [0, 1] {
            cluster.start(number).await;
        }
        let are_formed = || cluster.members() == [0, 1];
        cluster.until(LONG, "two of three serve", are_formed).await;
        let unaware = Given {
            name: None,
            replicas: None,
            view: None,
        };
        let running = cluster.starting_with(2, unaware).await;
        cluster.started(2, running);
        cluster.until_serving(LONG).await;
        assert_eq!(replicas(put(&cluster, 2, "v", LONG).await.as_ref()), 3);
    });
}

/// A session that saw the other line has no entry if all there had its writes: only its epoch tells.
#[test]
fn a_write_by_a_client_that_saw_the_other_line_keeps_its_past() {
    simulate(async {
        let cluster = SimCluster::serving(1, 5, 2).await;
        cluster.isolate(0);
        for (via, node, force) in [(0, 1, true), (2, 0, false)] {
            let removed = cluster
                .change_view(via, node, RequestKind::Remove { force })
                .await;
            removed.expect("is removed");
        }
        let keys: Vec<String> = (0..20).map(|number| format!("x{number}")).collect();
        let mut payload = String::new();
        for key in &keys {
            payload = operate(&cluster, 2, key, Action::Put("v".to_owned()), &payload)
                .await
                .payload;
        }
        let written = operate(&cluster, 0, "y", Action::Put("v".to_owned()), &payload).await;
        let seen = operate(&cluster, 0, "y", Action::Get, "").await;
        for reader in [&written.payload, &seen.payload] {
            for key in &keys {
                let read = operate(&cluster, 0, key, Action::Get, reader).await;
                let is_stale = matches!(read.outcome, Outcome::Ok(Answer::NotFound));
                let is_bound = matches!(written.outcome, Outcome::Ok(_)) && !reader.is_empty();
                assert!(!(is_stale && is_bound), "{key} is missed by {reader:?}");
            }
        }
        cluster.network.heal();
        cluster.until_serving(LONG).await;
        let written = operate(&cluster, 0, "y", Action::Put("v".to_owned()), &payload).await;
        assert!(matches!(written.outcome, Outcome::Ok(Answer::Written { .. })));
        for key in &keys {
            let read = operate(&cluster, 0, key, Action::Get, &written.payload).await;
            assert!(
                matches!(read.outcome, Outcome::Ok(Answer::Found { .. })),
                "{key}: {:?}",
                read.outcome
            );
        }
    });
}
