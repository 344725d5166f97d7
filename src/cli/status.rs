//! `causeway status`: which node holds which partition, which nodes are away, and what is wrong.

use super::arguments::Status as Arguments;
use super::{cluster_table, progress};
use crate::node::clock_difference;
use crate::terminal::{Failure, Verdict};
use crate::wire::public::{ClockApart, Status};

pub async fn status(arguments: Arguments) -> Result<Verdict, Failure> {
    cluster_table::show(&arguments.asking, picture).await
}

fn picture(status: &Status) -> String {
    cluster_table::picture(status, ["STATE"], |node| [state(status, node)], troubles(status))
}

fn state(status: &Status, node: &str) -> String {
    if status.away.iter().any(|away| away == node) {
        return "away".into();
    }
    match (node == status.node, status.ready) {
        (true, true) => "here".into(),
        (true, false) => "here, not ready".into(),
        (false, _) => String::new(),
    }
}

fn troubles(status: &Status) -> impl Iterator<Item = String> {
    let waiting = status
        .waiting_for
        .as_ref()
        .map(|why| format!("not serving keys: {}", why.error));
    let storage = status
        .storage_failure
        .as_ref()
        .map(|why| format!("refusing writes: {why}"));
    let doubt = status.clock_doubt.as_ref();
    let doubt = doubt.map(|why| format!("not trusting the wall clock of {}: {why}", status.node));
    let apart = status.clocks_apart.iter().map(|ClockApart { node, ahead_ms }| {
        let apart = clock_difference(*ahead_ms);
        format!("the clock of {node} is {apart} that of {}", status.node)
    });
    let lost = (status.slots_lost > 0).then(|| {
        format!(
            "{} slots were lost with all their replicas; their keys are gone",
            status.slots_lost
        )
    });
    let left_behind = (status.left_behind > 0).then(|| {
        format!(
            "handing over {} keys that an earlier life of {} left behind",
            status.left_behind, status.node
        )
    });
    let change = status
        .change
        .as_ref()
        .map(|change| format!("the view is changing: {}", progress::sentence(change)));
    let others = [waiting, storage, lost, left_behind, change, doubt]
        .into_iter()
        .flatten();
    others.chain(apart)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::public::{Progress, Reason};

    #[test]
    fn a_cluster_is_a_headline_and_a_row_a_node() {
        let expected = "\
view 4, K=2: 2 partitions, 1 proxy; 3 keys here; seen by a:1
 PARTITION  NODE  STATE
 0          a:1   here
 0          b:1
 1          c:1
 1          d:1   away
 proxy      e:1";
        let status = Status {
            away: vec!["d:1".into()],
            ..Status::example()
        };
        assert_eq!(picture(&status), expected);
    }

    #[test]
    fn troubles_are_said() {
        let mut status = Status::example();
        status.ready = false;
        status.waiting_for = Some(Reason {
            code: "starting".into(),
            error: "missing: b:1".into(),
        });
        status.storage_failure = Some("disk full".into());
        status.slots_lost = 4;
        status.clock_doubt = Some("it jumped".into());
        let apart = |node: &str, ahead_ms| ClockApart {
            node: node.into(),
            ahead_ms,
        };
        status.clocks_apart = vec![apart("b:1", 7_200_900), apart("c:1", -5_000)];
        status.change = Some(Progress {
            epoch: 2,
            phase: "copy".into(),
            waits_for: vec![],
            keys_moved: 3,
            keys_to_go: 4,
            for_ms: 100,
        });
        let text = picture(&status);
        for part in [
            "here, not ready",
            "not serving keys: missing: b:1",
            "refusing writes: disk full",
            "4 slots",
            "not trusting the wall clock of a:1: it jumped",
            "the clock of b:1 is 2 h ahead of that of a:1",
            "the clock of c:1 is 5 s behind that of a:1",
            "the view is changing: epoch 2: copy, 3 keys moved",
        ] {
            assert!(text.contains(part), "{part:?} in {text}");
        }
    }

    #[test]
    fn a_node_in_no_view_has_no_table() {
        let status = Status {
            partitions: vec![],
            proxies: vec![],
            k: None,
            epoch: 0,
            keys: 0,
            ..Status::example()
        };
        assert_eq!(
            picture(&status),
            "view 0, K unknown: 0 partitions, 0 proxies; 0 keys here; seen by a:1"
        );
    }
}
