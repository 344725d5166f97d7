//! Schedules of clients that carry no payload, at processes that return after a crash, a freeze or a
//! cut. Each get begins after a set was answered, and must see it.

use std::time::Duration;

use bytes::Bytes;
use causeway::api::respond;
use http::{Method, Request, Response};
use tokio::time::{sleep, timeout};

use super::Seen;
use super::schedules::{LONG, serve, serving};
use crate::simulated::cluster::SimCluster;
use crate::simulated::fault::Fault;
use crate::simulated::simulate;

/// Longer than any deadline between the processes.
const PAUSE: Duration = Duration::from_secs(2);

async fn ask(
    cluster: &SimCluster,
    process: usize,
    method: Method,
    path: &str,
    body: &str,
) -> Response<Bytes> {
    let node = &cluster.nodes[process];
    let running = node.running.clone().expect("runs");
    let request = Request::builder().method(method).uri(path);
    let request = request.body(Bytes::from(body.to_owned())).expect("is a request");
    node.gate.hold(respond(&running, request)).await
}

/// Sets at a process whose siblings are unreachable. The first push to them waits in their sockets and
/// shows that they do not answer; later ones are not even sent.
async fn set_alone(cluster: &SimCluster, process: usize, value: &str) {
    set(cluster, process, "old").await;
    set(cluster, process, value).await;
}

async fn set(cluster: &SimCluster, process: usize, value: &str) {
    let reply = ask(cluster, process, Method::POST, "/set/k", value).await;
    assert_eq!(reply.status(), 200, "a set at a process that runs: {reply:?}");
}

async fn sees(cluster: &SimCluster, process: usize, value: &str) -> Seen {
    judged(&ask(cluster, process, Method::GET, "/get/k", "").await, value)
}

fn judged(reply: &Response<Bytes>, value: &str) -> Seen {
    match reply.status().as_u16() {
        200 if reply.body() == value.as_bytes() => Ok(()),
        status => Err(format!("{value} was set, and got {status} {:?}", reply.body())),
    }
}

/// One process is killed, the other takes a set alone, and the first restarts. Its disk stores what it
/// missed slowly.
pub(crate) fn a_process_that_was_dead() -> Seen {
    (1..=10).try_for_each(|seed| {
        let (dead, alive) = if seed % 2 == 0 { (0, 1) } else { (1, 0) };
        simulate(async move {
            let mut cluster = serving(seed, 2, 2, &[0, 1]).await;
            set(&cluster, dead, "old").await;
            cluster.kill(dead);
            set_alone(&cluster, alive, "new").await;
            cluster.start(dead).await;
            cluster.suffer(Fault::SlowDisk(dead, 200));
            sees(&cluster, dead, "new").await
        })
    })
}

/// Two of three are frozen, and the third takes a set alone: only that one knows it, whichever it is.
pub(crate) fn two_of_three_that_were_frozen() -> Seen {
    (0..3).try_for_each(|writer| {
        let others: Vec<usize> = (0..3).filter(|other| *other != writer).collect();
        simulate(async move {
            let mut cluster = serving(1, 3, 3, &[0, 1, 2]).await;
            for other in &others {
                cluster.suffer(Fault::Freeze(*other));
            }
            sleep(PAUSE).await;
            set_alone(&cluster, writer, "new").await;
            for other in &others {
                cluster.suffer(Fault::SlowDisk(*other, 1000));
                cluster.suffer(Fault::Thaw(*other));
            }
            sees(&cluster, others[0], "new").await?;
            sees(&cluster, others[1], "new").await
        })
    })
}

/// Each considers the other dead, and the cut heals.
pub(crate) fn a_pair_that_was_cut() -> Seen {
    simulate(async {
        let mut cluster = serving(1, 2, 2, &[0, 1]).await;
        cluster.suffer(Fault::Cut(0, 1));
        sleep(PAUSE).await;
        set_alone(&cluster, 0, "new").await;
        cluster.suffer(Fault::HealLink(0, 1));
        sees(&cluster, 1, "new").await
    })
}

/// Each has what the other lacks. The one that gets the request cannot store what it missed at once, and
/// forwards the get to the other.
pub(crate) fn two_that_wrote_while_they_were_cut() -> Seen {
    (1..=5).try_for_each(|seed| {
        simulate(async move {
            let mut cluster = serving(seed, 2, 2, &[0, 1]).await;
            cluster.suffer(Fault::Cut(0, 1));
            sleep(PAUSE).await;
            set_alone(&cluster, 1, "new").await;
            let others = ask(&cluster, 0, Method::POST, "/set/other", "value").await;
            assert_eq!(others.status(), 200, "{others:?}");
            cluster.suffer(Fault::SlowDisk(1, 500));
            cluster.suffer(Fault::HealLink(0, 1));
            sees(&cluster, 1, "new").await
        })
    })
}

/// It thaws only for long enough to ask for what it missed; the answer comes while it is frozen again.
pub(crate) fn a_process_that_is_frozen_again() -> Seen {
    (0..20).try_for_each(|step| {
        simulate(async move {
            let mut cluster = serving(1, 2, 2, &[0, 1]).await;
            cluster.suffer(Fault::Freeze(1));
            sleep(PAUSE).await;
            set_alone(&cluster, 0, "new").await;
            cluster.suffer(Fault::Thaw(1));
            let awake = Duration::from_micros(100 * step);
            let (node, gate) = (
                cluster.node(1).expect("runs").clone(),
                cluster.nodes[1].gate.clone(),
            );
            let request = Request::get("/get/k").body(Bytes::new()).expect("is a request");
            let mut asked = std::pin::pin!(gate.hold(respond(&node, request)));
            if let Ok(reply) = timeout(awake, &mut asked).await {
                return judged(&reply, "new");
            }
            cluster.suffer(Fault::Freeze(1));
            let frozen = timeout(PAUSE, &mut asked).await;
            assert!(frozen.is_err(), "a frozen process answers nobody");
            cluster.suffer(Fault::Thaw(1));
            judged(&asked.await, "new")
        })
    })
}

/// The link is whole again, but TCP has not yet resent what the cut held.
pub(crate) fn a_stream_that_is_in_backoff() -> Seen {
    (1..=10).try_for_each(|seed| {
        simulate(async move {
            let mut cluster = serving(seed, 2, 2, &[0, 1]).await;
            cluster.network.back_off();
            cluster.suffer(Fault::Cut(0, 1));
            sleep(PAUSE).await;
            set_alone(&cluster, 0, "new").await;
            cluster.suffer(Fault::HealLink(0, 1));
            sees(&cluster, 1, "new").await
        })
    })
}

/// One of four is frozen while another returns empty: the view changes without the frozen one. The nodes
/// that took the set are killed; the newcomer has it from them, and tells nothing of an earlier epoch.
pub(crate) fn a_member_that_was_passed_over() -> Seen {
    (1..=3).try_for_each(|seed| simulate(passed_over(seed)))
}

async fn passed_over(seed: u64) -> Seen {
    let mut cluster = serving(seed, 4, 4, &[0, 1, 2, 3]).await;
    cluster.suffer(Fault::Freeze(3));
    sleep(PAUSE).await;
    set_alone(&cluster, 0, "new").await;
    let before = cluster.node(0).expect("runs").status().epoch;
    cluster.wipe(2);
    cluster.start(2).await;
    let others_serve = || serve(&cluster, &[0, 1, 2], before.0 + 1);
    cluster.until(LONG, "the others serve", others_serve).await;
    cluster.kill(0);
    cluster.kill(1);
    // Storing what the newcomer hands over is slow.
    cluster.suffer(Fault::SlowDisk(3, 1000));
    cluster.suffer(Fault::Thaw(3));
    let is_active = || cluster.node(3).expect("runs").status().epoch > before;
    let activation = async {
        while !is_active() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(3 * LONG, activation).await.expect("the view is active");
    for _ in 0..100 {
        let reply = ask(&cluster, 3, Method::GET, "/get/k", "").await;
        if reply.status() != 503 {
            return judged(&reply, "new");
        }
    }
    Err("a member that was passed over serves no more".to_owned())
}
