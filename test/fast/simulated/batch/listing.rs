//! Listings on a simulated cluster: complete and in order despite deletions, lag and moves.

use std::time::Duration;

use causeway::node::{Node, Refusal, RequestKind};
use causeway::protocol::causality::Payload;
use causeway::wire::peer::Listing;

use super::{delete, put, told};
use crate::simulated::cluster::{REMOVE, SimCluster};
use crate::simulated::{key, simulate};

/// Every key with a prefix, page by page, and the payload after the last page.
async fn list_all(node: &Node, prefix: &str, limit: u32, payload: &Payload) -> (Vec<String>, Payload) {
    let mut listing = Listing {
        prefix: prefix.into(),
        after: None,
        limit,
        keys_only: true,
    };
    let (mut keys, mut payload) = (Vec::new(), payload.clone());
    loop {
        let page = node.requests.list(&listing, &payload).await.expect("is listed");
        assert!(page.items.len() <= limit as usize);
        keys.extend(page.items.iter().map(|item| item.key.as_str().to_owned()));
        payload = page.payload;
        match page.next {
            Some(next) => {
                assert!(listing.after.as_ref() < Some(&next), "{next} does not go on");
                listing.after = Some(next);
            }
            None => return (keys, payload),
        }
    }
}

/// The sibling that is cut off lacks the session's writes; it may not omit them from a listing.
#[test]
fn a_listing_never_leaves_out_what_its_reader_depends_on() {
    simulate(async {
        let cluster = SimCluster::serving(4, 2, 2).await;
        let (writer, other) = (cluster.node(0).expect("runs"), cluster.node(1).expect("runs"));
        cluster.isolate(1);
        let written = writer
            .requests
            .batch(vec![put("a", "1"), put("b", "2")], Payload::default())
            .await;
        let listing = Listing {
            prefix: String::new(),
            after: None,
            limit: 10,
            keys_only: true,
        };
        let refused = other.requests.list(&listing, &written.payload).await;
        assert!(matches!(refused, Err(Refusal::Behind { .. })), "{refused:?}");
        let unbound = other
            .requests
            .list(&listing, &Payload::default())
            .await
            .expect("is listed");
        assert!(unbound.items.is_empty() && unbound.next.is_none());
        cluster.rejoin(1);
        let (keys, payload) = list_all(other, "", 1, &written.payload).await;
        assert_eq!(keys, ["a", "b"]);
        // A listing that leaves out a deleted key is a read of the deletion.
        cluster.isolate(1);
        let deleted = writer.requests.batch(vec![delete("a")], payload).await;
        let (keys, seen) = list_all(writer, "", 9, &Payload::default()).await;
        assert_eq!(
            (keys, told(&deleted.results[0])),
            (vec!["b".to_owned()], "written on 1".into())
        );
        let stale = other.requests.get(&key("a"), seen).await;
        assert!(matches!(stale, Err(Refusal::Behind { .. })), "{stale:?}");
    });
}

#[test]
fn pages_go_on_after_deleted_keys_and_within_a_prefix() {
    let (all, some, none) = simulate(async {
        let cluster = SimCluster::serving(5, 4, 1).await;
        let node = cluster.node(3).expect("runs");
        let writes = (0..50).flat_map(|number| {
            [
                put(&format!("a{number:02}"), "v"),
                put(&format!("b{number:02}"), "v"),
            ]
        });
        node.requests.batch(writes.collect(), Payload::default()).await;
        let deletes = (10..40).map(|number| delete(&format!("a{number:02}")));
        let payload = node
            .requests
            .batch(deletes.collect(), Payload::default())
            .await
            .payload;
        (
            list_all(node, "", 7, &payload).await.0,
            list_all(node, "a", 3, &payload).await.0,
            list_all(node, "c", 3, &payload).await.0,
        )
    });
    let expected_some: Vec<String> = (0..10)
        .chain(40..50)
        .map(|number| format!("a{number:02}"))
        .collect();
    let expected_all: Vec<String> = expected_some
        .iter()
        .cloned()
        .chain((0..50).map(|number| format!("b{number:02}")))
        .collect();
    assert_eq!((all, some, none), (expected_all, expected_some, vec![]));
}

/// While nodes come and go, every walk over all pages shows every key once, at any node.
#[test]
fn a_listing_is_complete_whatever_the_view_does_meanwhile() {
    const KEYS: usize = 300;
    let changes: [(RequestKind, usize, usize); 6] = [
        (RequestKind::Add, 4, 0),
        (RequestKind::Add, 5, 1),
        (REMOVE, 4, 2),
        (RequestKind::Add, 4, 3),
        (REMOVE, 5, 5),
        (REMOVE, 4, 0),
    ];
    for seed in 1..=6 {
        let walks = simulate(async {
            let mut cluster =
                SimCluster::with_spares(seed, 4, 2, 1 + u32::try_from(seed % 2).expect("small"));
            cluster.start_all().await;
            let nodes: Vec<_> = (0..4)
                .map(|number| cluster.node(number).expect("runs").clone())
                .collect();
            let names: Vec<String> = (0..KEYS).map(|number| format!("k{number:03}")).collect();
            let writes = names.iter().map(|name| put(name, "v")).collect();
            let payload = nodes[0].requests.batch(writes, Payload::default()).await.payload;
            let is_changing = std::cell::Cell::new(true);
            let change = async {
                for (kind, node, via) in changes {
                    let changed = cluster.change_view(via, node, kind).await;
                    changed.expect("is changed");
                }
                is_changing.set(false);
            };
            let walk = async {
                let mut walks = 0;
                while is_changing.get() {
                    let node = &nodes[walks % nodes.len()];
                    let (keys, _) = list_all(node, "k", 17, &payload).await;
                    assert_eq!(keys, names, "seed {seed}, walk {walks}");
                    walks += 1;
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                walks
            };
            tokio::join!(change, walk).1
        });
        assert!(walks > 10, "seed {seed}: only {walks} walks");
    }
}

#[test]
fn a_restarted_node_lists_what_is_on_its_disk() {
    let keys = simulate(async {
        let mut cluster = SimCluster::serving(6, 2, 2).await;
        let writes = (0..40).map(|number| put(&format!("k{number:02}"), "v"));
        let written = cluster
            .node(0)
            .expect("runs")
            .requests
            .batch(writes.collect(), Payload::default())
            .await;
        cluster.kill(0);
        cluster.kill(1);
        cluster.start(0).await;
        let serves = || cluster.node(0).is_some_and(|node| node.status().ready);
        cluster
            .until(Duration::from_secs(10), "it serves alone", serves)
            .await;
        list_all(cluster.node(0).expect("runs"), "k", 9, &written.payload)
            .await
            .0
    });
    assert_eq!(
        keys,
        (0..40).map(|number| format!("k{number:02}")).collect::<Vec<_>>()
    );
}
