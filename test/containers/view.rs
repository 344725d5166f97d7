//! Changes the view of a healthy cluster: keys move, clients do not notice, nothing is lost.

use std::thread;

use crate::cluster::Cluster;
use crate::load::under_load;
use crate::patience::{HEALED, PATIENT};
use crate::plan::Plan;
use crate::support::request::Request;

const KEYS: usize = 2000;

fn partition_of(cluster: &Cluster, via: usize, key: &str) -> i64 {
    cluster.get(via, key, "").expect(200).number("partition_id")
}

#[test]
fn a_partition_comes_and_goes_under_load_and_no_request_fails() {
    let cluster = Plan::new(6, 2).in_view(4).start();
    let (old, all) = ([0, 1, 2, 3], [0, 1, 2, 3, 4, 5]);
    let mut predicted = 0;
    let books = under_load(&cluster, &old, KEYS, || {
        let proxy = cluster.add(0, 4).expect(200);
        assert_eq!(proxy.number("partition_id"), -1, "{proxy}");
        assert_eq!(proxy.text("role"), "proxy", "{proxy}");
        assert_eq!(proxy.number("number_of_partitions"), 2, "{proxy}");
        cluster.view_is(&[0, 1, 2, 3, 4]);
        // Through the newest node, a proxy.
        let path = "/kv-store/update_view?type=add&dry_run=true";
        let sixth = [("ip_port", cluster.nodes[5].address.as_str())];
        let preview = cluster
            .send(4, Request::new("PUT", path).form(&sixth))
            .expect(200);
        predicted = preview.number("keys_moved");
        cluster.view_is(&[0, 1, 2, 3, 4]);
        let replica = cluster.add(4, 5).expect(200);
        assert_eq!(replica.number("partition_id"), 2, "{replica}");
        assert_eq!(replica.number("number_of_partitions"), 3, "{replica}");
        cluster.view_is(&all);
    });
    books.all_were_served();
    let keys = books.keys();
    assert_eq!(keys, KEYS);
    // A third of the keys moved, as announced, and each has exactly two copies.
    cluster.wait_copies(&all, 2 * keys);
    let moved = cluster.held(5);
    assert_eq!(
        (moved, i64::try_from(moved).expect("is small")),
        (cluster.held(4), predicted)
    );
    assert!(
        (KEYS / 4..KEYS * 5 / 12).contains(&usize::try_from(moved).expect("is small")),
        "{moved}"
    );
    books.are_all_at(&cluster, &all);

    let later = under_load(&cluster, &old, KEYS, || {
        for gone in [5, 4] {
            let removed = cluster.remove(gone, gone).expect(200);
            assert_eq!(removed.number("number_of_partitions"), 2, "{removed}");
            cluster.waits_empty(gone);
        }
        cluster.view_is(&old);
    });
    later.all_were_served();
    cluster.wait_copies(&old, 2 * (keys + later.keys()));
    for node in [4, 5] {
        cluster.get(node, "any", "").refused(503, "not_in_view");
    }
    // The payloads of earlier views stay valid.
    books.are_all_at(&cluster, &[1, 2]);
    later.are_all_at(&cluster, &[0, 3]);
}

#[test]
fn keys_that_need_not_move_stay_where_they_are() {
    let cluster = Plan::new(6, 2).in_view(4).start();
    let keys: Vec<_> = (0..300).map(|number| format!("k{number}")).collect();
    for key in &keys {
        cluster.put(0, key, "v", "").expect(201);
    }
    let placed = |via| -> Vec<_> { keys.iter().map(|key| partition_of(&cluster, via, key)).collect() };
    let first = placed(0);
    cluster.add(1, 4).expect(200);
    assert_eq!(placed(4), first, "a proxy moves nothing");
    cluster.add(2, 5).expect(200);
    let second = placed(5);
    let only_to_the_new = first.iter().zip(&second).all(|(was, is)| was == is || *is == 2);
    assert!(only_to_the_new, "{first:?} {second:?}");
    cluster.remove(3, 5).expect(200);
    let third = placed(4);
    let only_from_it = second.iter().zip(&third).all(|(was, is)| was == is || *was == 2);
    assert!(only_from_it, "{second:?} {third:?}");
    let counted = third.iter().filter(|partition| **partition == 0).count();
    let member = cluster.members(4, 0)[0];
    cluster.wait_copies(&[member], counted);
}

#[test]
fn a_live_replica_is_removed_through_any_node_and_added_again_at_once() {
    let cluster = Cluster::start_new(5, 2);
    let books = under_load(&cluster, &[1, 3], 300, || {
        // Through a sibling, through the current proxy, through the node itself. Clients are at n2 and
        // n4: a client of a node that leaves would be told so.
        for (via, node, back_via) in [(1, 0, 2), (4, 2, 1), (4, 4, 0), (3, 2, 3), (0, 0, 4)] {
            let others: Vec<_> = (0..5).filter(|other| *other != node).collect();
            cluster.remove(via, node).expect(200);
            cluster.waits_empty(node);
            cluster.view_is(&others);
            cluster.add(back_via, node).expect(200);
            cluster.view_is(&[0, 1, 2, 3, 4]);
        }
    });
    books.all_were_served();
    books.are_all_at(&cluster, &[0, 1, 2, 3, 4]);
    cluster.wait_copies(&[0, 1, 2, 3, 4], 2 * books.keys());
}

#[test]
fn a_cluster_shrinks_to_one_node_and_grows_again() {
    let cluster = Cluster::start_new(4, 3);
    let books = under_load(&cluster, &[3], 300, || {
        let mut members = vec![0, 1, 2, 3];
        // The only partition takes in the proxy, then goes on with fewer than K.
        for gone in [0, 2, 1] {
            let removed = cluster.remove(gone, gone).expect(200);
            assert_eq!(removed.number("number_of_partitions"), 1, "{removed}");
            members.retain(|member| *member != gone);
            cluster.view_is(&members);
            cluster.waits_empty(gone);
        }
        cluster.remove(3, 3).refused(400, "bad_view_change");
        for (new, partition) in [(2, 0), (0, 0), (1, -1)] {
            let added = cluster.add(3, new).expect(200);
            assert_eq!(added.number("partition_id"), partition, "{added}");
            members.push(new);
            cluster.view_is(&members);
        }
    });
    books.all_were_served();
    books.are_all_at(&cluster, &[0, 1, 2, 3]);
    cluster.wait_copies(&[0, 1, 2, 3], 3 * books.keys());
}

#[test]
fn a_partition_is_dissolved_when_its_members_go_one_by_one() {
    let cluster = Cluster::start_new(6, 2);
    let gone = cluster.members(0, 1);
    let rest: Vec<_> = (0..6).filter(|node| !gone.contains(node)).collect();
    let books = under_load(&cluster, &rest, 600, || {
        for (node, via) in gone.iter().zip([rest[0], rest[3]]) {
            let removed = cluster.remove(via, *node).expect(200);
            assert_eq!(removed.number("number_of_partitions"), 2, "{removed}");
            cluster.waits_empty(*node);
        }
        cluster.view_is(&rest);
    });
    books.all_were_served();
    books.are_all_at(&cluster, &rest);
    cluster.wait_copies(&rest, 2 * books.keys());
}

#[test]
fn two_changes_at_once_follow_one_another() {
    let cluster = Plan::new(7, 2).in_view(5).start();
    let books = under_load(&cluster, &[0, 3], 300, || {
        for round in 0..2 {
            thread::scope(|scope| {
                scope.spawn(|| cluster.add(0, 5).expect(200));
                scope.spawn(|| cluster.add(3, 6).expect(200));
                scope.spawn(|| cluster.remove(4, 1 + round % 2).expect(200));
            });
            let gone = 1 + round % 2;
            let members: Vec<_> = (0..7).filter(|node| *node != gone).collect();
            cluster.view_is(&members);
            thread::scope(|scope| {
                scope.spawn(|| cluster.add(4, gone).expect(200));
                scope.spawn(|| cluster.remove(6, 6).expect(200));
                scope.spawn(|| cluster.remove(0, 5).expect(200));
            });
            cluster.view_is(&[0, 1, 2, 3, 4]);
        }
        // The same change twice at once: it is made once, and the second request learns that it is done.
        let statuses = thread::scope(|scope| {
            let cluster = &cluster;
            let both = [0, 3].map(|via| scope.spawn(move || cluster.add(via, 5)));
            both.map(|reply| reply.join().expect("answers").status)
        });
        assert!(statuses.contains(&200), "{statuses:?}");
        cluster.wait_view(PATIENT, &[0, 1, 2, 3, 4, 5]);
    });
    books.all_were_served();
    books.are_all_at(&cluster, &[0, 1, 2, 3, 4, 5]);
    cluster.wait_view(HEALED, &[0, 1, 2, 3, 4, 5]);
}
