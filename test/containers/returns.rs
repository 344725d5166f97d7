//! Returning state that must do no harm: a losing line of views, an old copy of a disk.

use crate::changes::change;
use crate::cluster::Cluster;
use crate::patience::{PATIENT, eventually};

/// A reader that has seen a write gets it or has to wait; in the end it gets it.
#[track_caller]
fn wait_for(cluster: &Cluster, nodes: &[usize], key: &str, value: &str, payload: &str) {
    for node in nodes {
        eventually(PATIENT, &format!("{key} is {value} at n{}", node + 1), || {
            let reply = cluster.get(*node, key, payload);
            match reply.status {
                200 => {
                    assert_eq!(reply.text("value"), value, "{reply}");
                    Ok(())
                }
                503 => Err(reply.to_string()),
                _ => panic!("answered from before what the payload has seen: {reply}"),
            }
        });
    }
}

/// Nodes 0 and 1 are cut off from the rest, and each side removes a node of the other.
#[test]
fn two_lines_of_views_become_one_and_what_the_lost_one_took_comes_back() {
    let cluster = Cluster::start_new(5, 5);
    let before = cluster.put(0, "before", "v", "").expect(201).payload();
    wait_for(&cluster, &[0, 1, 2, 3, 4], "before", "v", &before);
    for (a, b) in [(0, 2), (0, 3), (0, 4), (1, 2), (1, 3), (1, 4)] {
        cluster.cut_link(a, b);
    }
    cluster
        .send(0, change(&cluster, "remove&force=true", 2))
        .expect(200);
    cluster.remove(3, 0).expect(200);
    let won = cluster.put(1, "won", "v", "").expect(201).payload();
    let lost = cluster.put(3, "lost", "v", &before).expect(201).payload();
    let replaced = cluster.put(4, "before", "again", &lost).expect(200).payload();
    for node in [0, 1] {
        cluster.heal_links(node);
    }
    // The forced line counts: node 2 is not in it, and nodes 3 and 4 return by themselves.
    wait_for(&cluster, &[0, 1, 3, 4], "lost", "v", &lost);
    wait_for(&cluster, &[0, 1, 3, 4], "before", "again", &replaced);
    wait_for(&cluster, &[0, 1, 3, 4], "won", "v", &won);
    cluster.wait_view(PATIENT, &[0, 1, 3, 4]);
    cluster.wait_empty(2);
    cluster.add(3, 2).expect(200);
    cluster.view_is(&[0, 1, 2, 3, 4]);
    wait_for(&cluster, &[2], "before", "again", &replaced);
}

/// A copy of the data directory is restored after its node has advanced.
#[test]
fn a_node_with_an_old_copy_of_its_disk_answers_nothing_from_before() {
    let cluster = Cluster::start_new(2, 2);
    let old = cluster.put(0, "k", "old", "").expect(201).payload();
    wait_for(&cluster, &[0, 1], "k", "old", &old);
    cluster.kill(0);
    let copy = cluster.copy_disk(0);
    cluster.start(0);
    cluster.wait_ready(0);
    let new = cluster.put(0, "k", "new", "").expect(200).payload();
    let other = cluster.put(0, "other", "v", "").expect(201).payload();
    wait_for(&cluster, &[1], "k", "new", &new);
    wait_for(&cluster, &[1], "other", "v", &other);
    cluster.kill(0);
    cluster.put_back(0, &copy);
    cluster.start(0);
    cluster.wait_live(0);
    wait_for(&cluster, &[0, 1], "k", "new", &new);
    wait_for(&cluster, &[0, 1], "other", "v", &other);
    // It does not reuse numbers: new writes differ from those that the copy has forgotten.
    cluster.wait_view(PATIENT, &[0, 1]);
    let late = eventually(PATIENT, "a write is on both", || {
        let reply = cluster.put(0, "late", "v", "");
        match (reply.status, reply.json()["replicas"].as_u64()) {
            (200 | 201, Some(2)) => Ok(reply.payload()),
            _ => Err(reply.to_string()),
        }
    });
    cluster.kill(0);
    wait_for(&cluster, &[1], "late", "v", &late);
}
