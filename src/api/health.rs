//! Liveness and readiness of this process. Liveness does not ask the node: a node that waits for others
//! must not be restarted for that.

use std::time::Duration;

use bytes::Bytes;
use http::Response;

use super::error::ApiError;
use super::reply::{json, success};
use crate::node::NodeStatus;
use crate::wire::public::{Check, Health};

/// About as long as clients' writes wait for the next view.
const SEAL_LIMIT: Duration = Duration::from_secs(1);

/// `GET /livez`.
pub fn alive() -> Response<Bytes> {
    json(&Health {
        result: success(),
        checks: Vec::new(),
    })
}

/// `GET /readyz`; `verbose` names every check, even if all pass.
pub(super) fn ready(status: &NodeStatus, verbose: bool) -> Result<Response<Bytes>, ApiError> {
    let checks = checks(status);
    let failing: Vec<_> = checks.iter().filter(|check| !check.ok).map(describe).collect();
    if !failing.is_empty() {
        let shown = if verbose {
            checks.iter().map(describe).collect()
        } else {
            failing
        };
        return Err(ApiError::NotReady {
            why: shown.join("; "),
        });
    }
    let shown = if verbose { checks } else { Vec::new() };
    Ok(json(&Health {
        result: success(),
        checks: shown,
    }))
}

fn checks(status: &NodeStatus) -> Vec<Check> {
    let waiting = status.why_not();
    // A node without a view owns no keys that it could lack.
    let lacks = waiting.is_none() && !status.ready;
    let lacking = lacks.then(|| "keys that this node owns are still on their way to it".into());
    vec![
        check("view", waiting),
        check("data", lacking),
        check("storage", status.storage_failure.clone()),
        links(status),
        writes(status),
        clock(status),
    ]
}

/// Reports partitions that this node cannot reach. Presumably other nodes cannot reach them either, so the
/// node stays ready for all other keys, unless it has no link at all or has only just begun to open them.
fn links(status: &NodeStatus) -> Check {
    let partitions: Vec<_> = status.out_of_reach.iter().map(ToString::to_string).collect();
    let trouble = match status.is_cut_off {
        true => "no link yet to any owner of the keys of partition",
        false => "no owner answers for the keys of partition",
    };
    let trouble = (!partitions.is_empty()).then(|| format!("{trouble} {}", partitions.join(", ")));
    Check {
        ok: !status.is_cut_off,
        ..check("links", trouble)
    }
}

/// Each view change makes writes wait briefly.
fn writes(status: &NodeStatus) -> Check {
    let wait = status.sealed_for;
    let trouble = wait.map(|wait| format!("they have waited {} ms for the next view", wait.as_millis()));
    Check {
        ok: wait.is_none_or(|wait| wait < SEAL_LIMIT),
        ..check("writes", trouble)
    }
}

/// Reports clocks that disagree; the node stays ready.
fn clock(status: &NodeStatus) -> Check {
    let troubles = status.clock_troubles();
    let trouble = (!troubles.is_empty()).then(|| troubles.join("; "));
    Check {
        ok: true,
        ..check("clock", trouble)
    }
}

fn check(name: &str, trouble: Option<String>) -> Check {
    Check {
        name: name.into(),
        ok: trouble.is_none(),
        detail: trouble.unwrap_or_else(|| "ok".into()),
    }
}

fn describe(check: &Check) -> String {
    format!("{}: {}", check.name, check.detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::node_status;
    use crate::names::PartitionId;
    use crate::node::{Refusal, Role};

    #[test]
    fn a_node_that_serves_is_ready_and_names_its_checks_on_request() {
        let serving = node_status(Role::Proxy);
        let body = |verbose| ready(&serving, verbose).expect("is ready").into_body();
        assert_eq!(body(false), r#"{"result":"success"}"#);
        let verbose: Health = serde_json::from_slice(&body(true)).expect("is health");
        let names: Vec<_> = verbose.checks.iter().map(|check| check.name.as_str()).collect();
        assert_eq!(names, ["view", "data", "storage", "links", "writes", "clock"]);
    }

    #[test]
    fn a_node_without_links_is_not_ready_and_one_that_misses_a_partition_says_so() {
        let detail = |status: &NodeStatus, name| {
            let verbose = ready(status, true).expect("is ready").into_body();
            let verbose: Health = serde_json::from_slice(&verbose).expect("is health");
            let check = verbose.checks.into_iter().find(|check| check.name == name);
            check.expect("is checked").detail
        };
        let missing = NodeStatus {
            out_of_reach: vec![PartitionId(1)],
            ..node_status(Role::Proxy)
        };
        assert_eq!(
            detail(&missing, "links"),
            "no owner answers for the keys of partition 1"
        );
        let cut_off = NodeStatus {
            is_cut_off: true,
            ..missing
        };
        assert!(
            ready(&cut_off, false)
                .expect_err("is cut off")
                .to_string()
                .contains("links: no link yet")
        );
        let sealed = |ms| NodeStatus {
            sealed_for: Some(Duration::from_millis(ms)),
            ..node_status(Role::Replica(PartitionId(0)))
        };
        assert_eq!(
            detail(&sealed(999), "writes"),
            "they have waited 999 ms for the next view"
        );
        assert!(ready(&sealed(1000), false).is_err());
    }

    #[test]
    fn clocks_that_disagree_are_said_and_the_node_is_ready() {
        let apart = NodeStatus {
            clock_doubt: Some("it jumped".into()),
            clocks_apart: vec![("b:1".parse().expect("is a node"), -7_200_000)],
            ..node_status(Role::Proxy)
        };
        let verbose = ready(&apart, true).expect("is ready").into_body();
        let verbose: Health = serde_json::from_slice(&verbose).expect("is health");
        let said = "this node's wall clock is not trusted: it jumped; b:1 is 2 h behind this node";
        assert_eq!(verbose.checks[5].detail, said);
        assert!(verbose.checks[5].ok && verbose.checks[0].detail == "ok");
    }

    #[test]
    fn what_keeps_a_node_from_being_ready_is_said() {
        let waiting = NodeStatus {
            waiting_for: Some(Refusal::NotInView {
                node: node_status(Role::Waiting).node,
            }),
            ready: false,
            ..node_status(Role::Waiting)
        };
        let lacking = NodeStatus {
            ready: false,
            ..node_status(Role::Proxy)
        };
        let full = NodeStatus {
            storage_failure: Some("disk full".into()),
            ..node_status(Role::Proxy)
        };
        for (status, why) in [
            (
                waiting,
                "view: this node is in no view and waits to be added: causeway view add a:1 --node",
            ),
            (lacking, "data: "),
            (full, "storage: disk full"),
        ] {
            let error = ready(&status, false).expect_err("is not ready").to_string();
            assert!(error.contains(why) && !error.contains("ok"), "{error}");
            assert!(!error.contains("; "), "one reason: {error}");
            let error = ready(&status, true).expect_err("is not ready").to_string();
            assert!(error.contains(why) && error.contains(": ok"), "{error}");
        }
    }
}
