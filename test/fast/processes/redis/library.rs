//! The library: typed results, and the fate of operations and servers whose caller is dropped.

use std::time::Duration;

use causeway::apps::redis_sharder::{Found, Repaired, Settings, Sharder, SharderError, Stored};

use super::rig::{copies, keys_in, servers_on};
use crate::support::ports::free_ports;

fn sharder(base_port: u16) -> Sharder {
    let settings = Settings {
        base_port,
        is_strict: false,
    };
    Sharder::start(settings).expect("a thread starts")
}

#[tokio::test]
async fn results_are_typed() {
    let base_port = free_ports();
    let sharder = sharder(base_port);
    assert_eq!(sharder.get(1).await, Err(SharderError::NotUp));
    assert!(matches!(
        sharder.bring_up(1, 1, 2).await,
        Err(SharderError::BadArgument(_))
    ));
    assert_eq!(
        sharder.bring_up(2, 1, 1).await,
        Ok(vec![base_port, base_port + 1])
    );
    assert_eq!(sharder.bring_up(2, 1, 1).await, Err(SharderError::AlreadyUp));

    let stored = Stored {
        replicas: 1,
        target: 1,
    };
    assert_eq!(sharder.put(1, 10).await, Ok(stored));
    assert_eq!(sharder.put(2, 20).await, Ok(stored));
    assert_eq!(sharder.put(3, 30).await, Err(SharderError::CapacityExceeded));
    assert_eq!(sharder.get(1).await, Ok(Found::Value(10)));
    assert_eq!(sharder.get(3).await, Ok(Found::NotFound));

    let repaired = Repaired {
        copied: 0,
        under_replicated: 0,
        lost: 1,
    };
    assert_eq!(sharder.fail_node(base_port.into()).await, Ok(repaired));
    assert!(matches!(
        sharder.fail_node(base_port.into()).await,
        Err(SharderError::BadArgument(_))
    ));
    assert_eq!(sharder.get(1).await, Ok(Found::Lost));
    let status = sharder.status().await.expect("is up");
    assert_eq!((status.live, status.keys, status.lost_keys), (1, 1, vec![1]));
}

#[tokio::test]
async fn servers_end_with_the_sharder() {
    let base_port = free_ports();
    let ports = base_port..base_port + 3;
    let dropped = sharder(base_port);
    dropped.bring_up(3, 1, 1).await.expect("comes up");
    assert_eq!(servers_on(ports.clone()).len(), 3);
    drop(dropped);
    assert_eq!(servers_on(ports.clone()), [""; 0]);

    // Also while the servers are being started.
    let stopped = sharder(base_port);
    let bring_up = stopped.bring_up(3, 1, 1);
    let stop = async {
        tokio::task::yield_now().await;
        stopped.stop().await;
    };
    let (outcome, ()) = tokio::join!(bring_up, stop);
    assert!(
        outcome.is_ok() || outcome == Err(SharderError::Unavailable),
        "{outcome:?}"
    );
    assert_eq!(servers_on(ports), [""; 0]);
    assert_eq!(stopped.get(1).await, Err(SharderError::Unavailable));
}

#[tokio::test]
async fn a_put_whose_caller_goes_away_is_whole_or_not_there() {
    let base_port = free_ports();
    let ports = base_port..base_port + 3;
    let sharder = sharder(base_port);
    sharder.bring_up(3, 100, 3).await.expect("comes up");
    for key in 0..60_i64 {
        // Each is cancelled a little later than the one before.
        let patience = Duration::from_micros(20 * key.unsigned_abs());
        let _ = tokio::time::timeout(patience, sharder.put(key, key)).await;
    }
    // Orders are carried out in turn, so all earlier ones are done.
    let status = sharder.status().await.expect("is up");
    for key in 0..60_i64 {
        let copies = copies(ports.clone(), key);
        assert!(copies.is_empty() || copies == [key; 3], "key {key}: {copies:?}");
    }
    assert!(ports.clone().all(|port| keys_in(port) == status.keys as u64));
}
