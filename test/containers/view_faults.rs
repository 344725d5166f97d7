//! Changes the view of a cluster with faults: an impossible change has no effect, nodes die and are cut
//! off in the middle of a change, and no acknowledged write is lost in any case.

use std::thread;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::causal;
use crate::changes::change;
use crate::cluster::Cluster;
use crate::fault_run::told;
use crate::load::under_load;
use crate::patience::{HEALED, PATIENT, Stopwatch, eventually, let_pass};
use crate::plan::{Outsider, Plan};

#[test]
fn a_dead_replica_of_three_is_removed_and_returns() {
    let cluster = Cluster::start_new(3, 3);
    let books = under_load(&cluster, &[0, 1], 300, || {
        cluster.kill(2);
        cluster.remove(1, 2).expect(200);
        cluster.view_is(&[0, 1]);
    });
    books.all_were_served_by_the_living();
    // It learns that it is not a member, hands over what only it may have, and can be added again.
    cluster.start(2);
    cluster.wait_empty(2);
    cluster.add(0, 2).expect(200);
    cluster.view_is(&[0, 1, 2]);
    books.are_all_at(&cluster, &[0, 1, 2]);
    cluster.wait_copies(&[2], books.keys());
}

#[test]
fn a_live_replica_is_removed_promptly_while_a_new_owner_is_dead() {
    let cluster = Cluster::start_new(6, 2);
    let leaving = cluster.members(0, 2)[0];
    let dead = cluster.members(0, 1)[1];
    let rest: Vec<_> = (0..6).filter(|node| ![leaving, dead].contains(node)).collect();
    let books = under_load(&cluster, &rest, 300, || {});
    cluster.kill(dead);
    // It keeps what the dead node has not confirmed; no node waits for that.
    let removed = cluster.remove(rest[0], leaving).expect(200);
    assert!(removed.took < 2 * HEALED, "{:?}", removed.took);
    let members: Vec<_> = (0..6).filter(|node| *node != leaving).collect();
    cluster.nodes_say(&rest, &members);
    books.are_all_at(&cluster, &rest);
    cluster.start(dead);
    cluster.wait_empty(leaving);
    cluster.add(rest[1], leaving).expect(200);
    books.are_all_at(&cluster, &[0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_proxy_takes_the_place_of_a_dead_replica_and_nothing_else_moves() {
    let cluster = Cluster::start_new(5, 2);
    let [kept, dead] = cluster.members(4, 0)[..] else {
        panic!("two replicas");
    };
    let others = cluster.members(4, 1);
    let served = [kept, others[0], others[1], 4];
    let mut held = Vec::new();
    let books = under_load(&cluster, &served, 600, || {
        held = others.iter().map(|node| cluster.held(*node)).collect();
        cluster.kill(dead);
        let removed = cluster.remove(4, dead).expect(200);
        assert_eq!(removed.number("number_of_partitions"), 2, "{removed}");
        cluster.view_is(&served);
        assert_eq!(cluster.members(4, 0), [kept, 4]);
    });
    books.all_were_served_by_the_living();
    let now: Vec<_> = others.iter().map(|node| cluster.held(*node)).collect();
    assert_eq!(now, held, "the other partition has nothing to do with it");
    // The keys that the proxy took over are on its own disk.
    cluster.wait_copies(
        &[kept, 4],
        2 * (books.keys() - usize::try_from(held[0]).expect("is small")),
    );
    cluster.kill(kept);
    books.are_all_at(&cluster, &[4, others[0], others[1]]);
}

#[test]
fn a_node_that_cannot_be_added_is_refused_and_nothing_changes() {
    let outsiders = [
        Outsider::Alone { k: 2 },
        Outsider::Waits { k: Some(3) },
        Outsider::Waits { k: None },
    ];
    let cluster = Plan::new(3, 2).outsiders(&outsiders).start();
    let [alone, another_k, dead] = [3, 4, 5];
    cluster.put(alone, "theirs", "v", "").expect(201);
    cluster.kill(dead);
    // Not 1 if a node came too late for the first view.
    let epoch = cluster.status(0)["epoch"].clone();
    for via in [0, 2] {
        cluster.add(via, dead).refused(503, "unreachable_node");
        cluster.add(via, 1).refused(409, "already_member");
        cluster.add(via, alone).refused(409, "other_cluster");
        let refused = cluster.add(via, another_k).refused(409, "other_cluster");
        assert!(refused.text("error").contains("K=3"), "{refused}");
        cluster.remove(via, dead).refused(404, "not_member");
    }
    cluster.view_is(&[0, 1, 2]);
    assert_eq!(cluster.status(0)["epoch"], epoch);
    cluster.view_is(&[alone]);
    assert_eq!(cluster.get(alone, "theirs", "").expect(200).text("value"), "v");
    cluster.waits_empty(another_k);
}

#[test]
fn without_a_majority_nothing_changes_until_it_is_forced() {
    let cluster = Plan::new(6, 2).in_view(5).start();
    let (zero, one) = (cluster.members(4, 0), cluster.members(4, 1));
    let books = under_load(&cluster, &[4], 300, || {});
    // One node of each partition: every key can be read, but no decision is possible without another.
    for dead in [zero[1], one[1], 4] {
        cluster.kill(dead);
    }
    let (via, living) = (zero[0], [zero[0], one[0]]);
    cluster.add(via, 5).refused(503, "no_majority");
    cluster.remove(one[0], 4).refused(503, "no_majority");
    cluster.nodes_say(&living, &[0, 1, 2, 3, 4]);
    books.are_all_at(&cluster, &living);
    for dead in [4, zero[1], one[1]] {
        let forced = cluster.send(via, change(&cluster, "remove&force=true", dead));
        assert!(forced.expect(200).json()["slots_given_up"].is_null());
    }
    cluster.view_is(&living);
    books.are_all_at(&cluster, &living);
    cluster.add(one[0], 5).expect(200);
    // The given-up nodes return, follow the view, and lose nothing that the others have.
    for dead in [zero[1], one[1], 4] {
        cluster.start(dead);
        eventually(PATIENT, "it may be added again", || {
            match cluster.add(via, dead).status {
                200 => Ok(()),
                status => Err(status.to_string()),
            }
        });
    }
    cluster.view_is(&[0, 1, 2, 3, 4, 5]);
    books.are_all_at(&cluster, &[0, 1, 2, 3, 4, 5]);
}

#[test]
fn the_last_holders_of_keys_are_given_up_by_force_only_and_return_them_late() {
    let cluster = Cluster::start_new(5, 2);
    let books = under_load(&cluster, &[4], 200, || {});
    let (lost, rest) = (cluster.members(4, 0), cluster.members(4, 1));
    for node in &lost {
        cluster.kill(*node);
    }
    let refused = cluster.remove(4, lost[0]).refused(409, "would_lose_data");
    assert_eq!(refused.number("slots"), 8192, "{refused}");
    cluster.nodes_say(&[rest[0], rest[1], 4], &[0, 1, 2, 3, 4]);
    for node in &lost {
        let forced = cluster.send(4, change(&cluster, "remove&force=true", *node));
        assert_eq!(forced.expect(200).number("slots_given_up"), 8192);
    }
    cluster.view_is(&[rest[0], rest[1], 4]);
    // The writes that the given-up nodes still have return as new writes.
    for node in &lost {
        cluster.start(*node);
    }
    cluster.wait_copies(&rest, 2 * books.keys());
    for node in &lost {
        eventually(PATIENT, "it may be added again", || {
            match cluster.add(4, *node).status {
                200 => Ok(()),
                status => Err(status.to_string()),
            }
        });
    }
    books.are_all_at(&cluster, &[0, 1, 2, 3, 4]);
}

const WITH: [usize; 6] = [0, 1, 2, 3, 4, 5];
const WITHOUT: [usize; 5] = [0, 1, 2, 3, 4];

/// True if the sixth node is a member; waits until all agree about it.
fn sixth_is_member(cluster: &Cluster) -> bool {
    eventually(PATIENT, "a change is made or not", || {
        match (
            cluster.try_nodes_say(&WITH, &WITH),
            cluster.try_nodes_say(&WITHOUT, &WITHOUT),
        ) {
            (Ok(()), _) => Ok(true),
            (_, Ok(())) => Ok(false),
            (Err(why), Err(_)) => Err(why),
        }
    })
}

/// Kills a node at several points of a change that the second node drives: the sixth joins, which moves
/// a third of the keys, or leaves.
fn dies_in_the_middle(victim: usize) {
    let cluster = Plan::new(6, 2).in_view(5).start();
    // A change of this size takes a tenth of a second without faults.
    for moment_ms in [2, 15, 30, 45, 60, 90] {
        let clients: Vec<_> = WITHOUT.into_iter().filter(|node| *node != victim).collect();
        let books = under_load(&cluster, &clients, 300, || {
            let kind = if sixth_is_member(&cluster) {
                "remove"
            } else {
                "add"
            };
            let pid = cluster.pid(victim);
            thread::scope(|scope| {
                // The request may have any result, also a broken connection.
                scope.spawn(|| cluster.try_send(1, change(&cluster, kind, 5).deadline(2 * HEALED)));
                let_pass(f64::from(moment_ms) / 1000.0);
                cluster.kill_process(victim, pid);
            });
            cluster.start(victim);
            // Completed by itself, or never agreed.
            sixth_is_member(&cluster);
        });
        books.are_all_at(&cluster, &WITHOUT);
    }
    // The next change is not blocked.
    let kind = if sixth_is_member(&cluster) {
        "remove"
    } else {
        "add"
    };
    eventually(PATIENT, "the next change is made", || {
        let reply = cluster.send(0, change(&cluster, kind, 5));
        match reply.status == 200 {
            true => Ok(()),
            false => Err(reply.to_string()),
        }
    });
}

#[test]
fn the_driver_dies_in_the_middle_of_a_change() {
    dies_in_the_middle(1);
}

#[test]
fn the_node_that_joins_or_leaves_dies_in_the_middle_of_the_change() {
    dies_in_the_middle(5);
}

#[test]
fn an_old_owner_dies_in_the_middle_of_a_change() {
    dies_in_the_middle(3);
}

/// Cuts a replica of partition 0 off from all nodes but not from clients, and writes keys that no other
/// node has.
fn cut_off_and_write(cluster: &Cluster, cut: usize) -> Vec<String> {
    let names = (0..120).map(|number| format!("alone-{number}"));
    let is_its_own = |key: &String| {
        let missing = cluster.get(cut, key, "").refused(404, "key_not_found");
        missing.number("partition_id") == 0
    };
    let keys: Vec<_> = names.filter(is_its_own).collect();
    cluster.cut_off(cut);
    for key in &keys {
        cluster.put(cut, key, "only here", "").expect(201);
    }
    keys
}

#[test]
fn a_member_that_was_cut_off_during_the_change_hands_over_late() {
    let cluster = Plan::new(6, 2).in_view(5).start();
    let books = under_load(&cluster, &[0, 4], 300, || {});
    let cut = cluster.members(4, 0)[0];
    let alone = cut_off_and_write(&cluster, cut);
    let others: Vec<_> = (0..6).filter(|node| *node != cut).collect();
    let watch = Stopwatch::start();
    cluster.add(4, 5).expect(200);
    assert!(watch.elapsed() < Duration::from_secs(10), "{:?}", watch.elapsed());
    books.are_all_at(&cluster, &others);
    cluster.heal_links(cut);
    for key in &alone {
        cluster.wait_value(HEALED, &[0, 1, 2, 3, 4, 5], key, "only here");
    }
    cluster.wait_view(HEALED, &[0, 1, 2, 3, 4, 5]);
    books.are_all_at(&cluster, &[cut]);
    cluster.wait_copies(&[0, 1, 2, 3, 4, 5], 2 * (books.keys() + alone.len()));
}

#[test]
fn a_member_that_was_removed_while_it_was_cut_off_returns_what_it_took() {
    let cluster = Cluster::start_new(5, 2);
    let cut = cluster.members(4, 0)[0];
    let alone = cut_off_and_write(&cluster, cut);
    let others: Vec<_> = (0..5).filter(|node| *node != cut).collect();
    cluster.remove(others[2], cut).expect(200);
    cluster.view_is(&others);
    cluster.heal_links(cut);
    for key in &alone {
        cluster.wait_value(2 * HEALED, &others, key, "only here");
    }
    eventually(PATIENT, "it may be added again", || {
        match cluster.add(others[0], cut).status {
            200 => Ok(()),
            status => Err(status.to_string()),
        }
    });
    cluster.view_is(&[0, 1, 2, 3, 4]);
}

/// Sessions read and write at random while random nodes are added and removed; the shared oracle judges.
/// `SEED` chooses another chain than the gate's.
#[test]
fn sessions_stay_causal_through_a_chain_of_changes() {
    let seed = told("SEED").unwrap_or(5);
    causal::run(Plan::new(7, 2).in_view(5), seed, move |cluster| {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut members: Vec<usize> = (0..5).collect();
        for number in 0..20 {
            let node = rng.random_range(0..7);
            let via = members[rng.random_range(0..members.len())];
            let is_in = members.contains(&node);
            if is_in && members.len() == 1 {
                continue;
            }
            println!(
                "seed {seed}, change {number}: n{} is asked about n{}, in {members:?}",
                via + 1,
                node + 1
            );
            if is_in {
                cluster.remove(via, node).expect(200);
                members.retain(|member| *member != node);
            } else {
                cluster.add(via, node).expect(200);
                members.push(node);
            }
            cluster.view_is(&members);
            let_pass(rng.random_range(0.0..0.3));
        }
        for node in 0..7 {
            if !members.contains(&node) {
                cluster.add(members[0], node).expect(200);
            }
        }
    });
}
