//! Batches that ask for more than an answer can hold, at owners and at a node that owns nothing, and
//! their effect on other clients.

use std::time::Duration;

use causeway::node::{ANSWER_BYTES_MAX, Done, Node, Refusal};
use causeway::protocol::causality::Payload;
use causeway::protocol::replication::Operation;
use causeway::wire::peer::Listing;
use futures_util::future::join_all;

use super::{delete, get, put};
use crate::simulated::cluster::SimCluster;
use crate::simulated::large::{names_in_one_slot, value};
use crate::simulated::{key, simulate};

const MIB: usize = 1024 * 1024;

/// One partition of two replicas, and a node that owns nothing.
async fn cluster() -> SimCluster {
    let cluster = SimCluster::serving(4, 3, 2).await;
    for number in 0..4 {
        let big = Operation::Put {
            key: key(&format!("big-{number}")),
            value: value("big", number, MIB),
        };
        let done = node(&cluster, 0)
            .requests
            .batch(vec![big], Payload::default())
            .await;
        assert!(done.results[0].is_ok());
    }
    cluster
}

fn node(cluster: &SimCluster, number: usize) -> &Node {
    cluster.node(number).expect("runs")
}

fn reads(count: usize) -> Vec<Operation> {
    (0..count)
        .map(|number| get(&format!("big-{}", number % 4)))
        .collect()
}

/// `v` for a value, `w` for a write, `0` for an absent key, `-` for a result that did not fit.
fn told(results: &[Result<Done, Refusal>]) -> String {
    let told = results.iter().map(|result| match result {
        Ok(Done::Found(found)) => {
            assert_eq!(found.record.value().map(<[u8]>::len), Some(MIB));
            'v'
        }
        Ok(Done::Written(_)) => 'w',
        Err(Refusal::KeyNotFound { .. }) => '0',
        Err(Refusal::AnswerTooLarge) => '-',
        Err(other) => panic!("{other}"),
    });
    told.collect()
}

/// The client repeats the reads that were left out, until it has everything.
#[test]
fn reads_that_no_longer_fit_are_refused_and_the_rest_can_be_read() {
    for asked in 0..3 {
        simulate(async move {
            let cluster = cluster().await;
            let mut left = 30;
            while left > 0 {
                let done = node(&cluster, asked)
                    .requests
                    .batch(reads(left), Payload::default())
                    .await;
                let told = told(&done.results);
                let shown = told.chars().take_while(|one| *one == 'v').count();
                assert_eq!(told, "v".repeat(shown) + &"-".repeat(left - shown));
                assert!(shown >= left.min(ANSWER_BYTES_MAX / MIB - 1), "{told} at {asked}");
                assert!(shown * MIB <= ANSWER_BYTES_MAX + MIB, "{told}");
                left -= shown;
            }
            assert_eq!(cluster.network.overlong(), 0);
        });
    }
}

#[test]
fn writes_keep_their_results_however_large_the_reads_among_them_are() {
    for asked in 0..3 {
        simulate(async move {
            let cluster = cluster().await;
            let mut operations = vec![put("a", "1")];
            operations.extend(reads(30));
            operations.extend([put("b", "2"), delete("never"), delete("a"), get("b")]);
            let done = node(&cluster, asked)
                .requests
                .batch(operations, Payload::default())
                .await;
            let told = told(&done.results);
            let shown = told.matches('v').count();
            let expected = format!("w{}{}w0w-", "v".repeat(shown), "-".repeat(30 - shown));
            assert_eq!(told, expected, "at {asked}");
            assert!(shown > 0 && shown * MIB <= ANSWER_BYTES_MAX + MIB);
            let after = node(&cluster, asked)
                .requests
                .batch(vec![get("a")], done.payload)
                .await;
            assert_eq!(super::told(&after.results[0]), "missing");
            assert_eq!(cluster.network.overlong(), 0);
        });
    }
}

/// Clients of the node that owns nothing share its one stream to each owner.
#[test]
fn others_on_the_stream_notice_nothing_of_long_answers() {
    simulate(async {
        let cluster = cluster().await;
        let proxy = node(&cluster, 2);
        let greedy = (0..12).map(|number| async move {
            let mut operations = reads(30);
            if number % 2 == 0 {
                operations.push(put(&format!("greedy-{number}"), "x"));
            }
            let done = proxy.requests.batch(operations, Payload::default()).await;
            told(&done.results)
        });
        let modest = (0..200).map(|number| async move {
            tokio::time::sleep(Duration::from_millis(number)).await;
            let began = tokio::time::Instant::now();
            let key = key(&format!("modest-{number}"));
            let written = proxy.requests.put(&key, "v".into(), Payload::default()).await;
            let written = written.expect("is taken");
            proxy.requests.get(&key, written.payload).await.expect("is read");
            began.elapsed()
        });
        let (greedy, modest) = tokio::join!(join_all(greedy), join_all(modest));
        assert!(greedy.iter().all(|told| told.contains('v')), "{greedy:?}");
        let slowest = modest.into_iter().max().expect("some");
        assert!(slowest < Duration::from_millis(250), "{slowest:?}");
        assert_eq!(cluster.network.overlong(), 0);
    });
}

/// The stream breaks while the answer is in flight: the writes are reported as they were done, and the
/// reads can be repeated.
#[test]
fn a_batch_whose_answer_was_lost_is_answered_again_and_not_done_again() {
    simulate(async {
        let cluster = cluster().await;
        let (owners, proxy) = ([&cluster.nodes[0].id, &cluster.nodes[1].id], &cluster.nodes[2].id);
        let mut operations = reads(2);
        operations.extend([delete("big-0"), put("once", "1")]);
        for (from, to) in [(owners[0], owners[1]), (owners[1], owners[0])] {
            cluster.network.slow_down(from, to, 100);
        }
        let asked = node(&cluster, 2).requests.batch(operations, Payload::default());
        let is_stored = || (0..2).any(|owner| cluster.nodes[owner].disk.records().contains_key("once"));
        let break_off = async {
            // At that time the coordinator still waits for its sibling.
            while !is_stored() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            for owner in owners {
                cluster.network.cut_one_way(owner, proxy);
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
            for owner in owners {
                cluster.network.break_streams(owner, proxy);
            }
            // By then the frames that the cut held are gone.
            tokio::time::sleep(Duration::from_millis(1)).await;
            for owner in owners {
                cluster.network.heal_link(owner, proxy);
            }
        };
        let (done, ()) = tokio::join!(asked, break_off);
        // A repeated deletion would find nothing to delete.
        let told = told(&done.results);
        assert_eq!(told, "--ww");
    });
}

/// Each partition contributes its share of a page.
#[test]
fn a_page_of_large_values_is_bounded_however_many_partitions_there_are() {
    simulate(async {
        let cluster = SimCluster::serving(4, 6, 1).await;
        for number in 0..40 {
            let large = Operation::Put {
                key: key(&format!("p{number:02}")),
                value: value("p", number, MIB / 8),
            };
            node(&cluster, 0)
                .requests
                .batch(vec![large], Payload::default())
                .await;
        }
        let (mut after, mut listed) = (None, Vec::new());
        loop {
            let listing = Listing {
                prefix: "p".into(),
                after: after.take(),
                limit: 100,
                keys_only: false,
            };
            let page = node(&cluster, 5)
                .requests
                .list(&listing, &Payload::default())
                .await;
            let page = page.expect("is answered");
            let bytes: usize = page
                .items
                .iter()
                .filter_map(|item| Some(item.value.as_ref()?.len()))
                .sum();
            assert!(bytes <= MIB + MIB / 8, "{bytes}");
            listed.extend(page.items.into_iter().map(|item| item.key.as_str().to_owned()));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let expected: Vec<String> = (0..40).map(|number| format!("p{number:02}")).collect();
        assert_eq!(listed, expected);
    });
}

/// A slot that is longer than any frame is copied in pieces while the previous view serves: nothing is
/// left for the hand-over, during which writes wait.
#[test]
fn a_slot_longer_than_a_frame_is_copied_in_pieces() {
    simulate(async {
        let mut cluster = SimCluster::new(1, 3, 3);
        cluster.start(0).await;
        cluster.start(1).await;
        let serves = |cluster: &SimCluster, number: usize| {
            let status = cluster.node(number).map(|node| node.status());
            status.is_some_and(|status| status.ready && status.waiting_for.is_none())
        };
        let limit = Duration::from_secs(10);
        cluster
            .until(limit, "two serve", || serves(&cluster, 0) && serves(&cluster, 1))
            .await;
        let names = names_in_one_slot(12);
        for (number, name) in names.iter().enumerate() {
            let large = Operation::Put {
                key: key(name),
                value: value(name, number, MIB),
            };
            let done = node(&cluster, 0)
                .requests
                .batch(vec![large], Payload::default())
                .await;
            assert!(done.results[0].is_ok(), "{:?}", done.results);
        }
        for giver in [0, 1] {
            let (giver, taker) = (&cluster.nodes[giver].id, &cluster.nodes[2].id);
            cluster.network.slow_down(giver, taker, 100);
        }
        cluster.start(2).await;
        let copied = |cluster: &SimCluster| cluster.nodes[2].disk.records().len();
        cluster
            .until(limit, "the copy begins", || copied(&cluster) > 0)
            .await;
        assert!(copied(&cluster) < names.len(), "it comes in pieces");
        let before_it_serves = || copied(&cluster) == names.len();
        cluster
            .until(limit, "the copy is through", before_it_serves)
            .await;
        let is_still_before = cluster.node(0).expect("runs").status().epoch.number() == 1;
        assert!(is_still_before, "all of it came while the view before served");
        cluster
            .until(limit, "the newcomer serves", || serves(&cluster, 2))
            .await;
        assert_eq!(cluster.differences(), Vec::<String>::new());
        assert_eq!(cluster.network.overlong(), 0);
    });
}
