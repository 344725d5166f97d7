//! Is this process alive, and may it be sent requests? Liveness asks nothing of the node: a node that
//! waits for others must not be restarted for it.

use bytes::Bytes;
use http::Response;

use super::error::ApiError;
use super::partitions::{json, success};
use crate::node::Situation;
use crate::wire::public::{Check, Health};

/// `GET /livez`.
pub(super) fn alive() -> Response<Bytes> {
    json(&Health {
        result: success(),
        checks: Vec::new(),
    })
}

/// `GET /readyz`; `verbose` names every check, also when all is well.
pub(super) fn ready(situation: &Situation, verbose: bool) -> Result<Response<Bytes>, ApiError> {
    let checks = checks(situation);
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

fn checks(situation: &Situation) -> Vec<Check> {
    let waiting = situation.waiting_for.as_ref().map(ToString::to_string);
    let lacking = (!situation.ready).then(|| "keys that this node owns are still on their way to it".into());
    vec![
        check("view", waiting),
        check("data", lacking),
        check("storage", situation.storage_failure.clone()),
        clock(situation),
    ]
}

/// Clocks that disagree are said, and keep nobody from being served.
fn clock(situation: &Situation) -> Check {
    let troubles = situation.clock_troubles();
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
    use crate::api::testing::situation;
    use crate::node::{Refusal, Role};

    #[test]
    fn a_node_that_serves_is_ready_and_names_its_checks_on_request() {
        let serving = situation(Role::Proxy);
        let body = |verbose| ready(&serving, verbose).expect("is ready").into_body();
        assert_eq!(body(false), r#"{"result":"success"}"#);
        let verbose: Health = serde_json::from_slice(&body(true)).expect("is health");
        let names: Vec<_> = verbose.checks.iter().map(|check| check.name.as_str()).collect();
        assert_eq!(names, ["view", "data", "storage", "clock"]);
    }

    #[test]
    fn clocks_that_disagree_are_said_and_the_node_is_ready() {
        let apart = Situation {
            clock_doubt: Some("it jumped".into()),
            clocks_apart: vec![("b:1".parse().expect("is a node"), -7_200_000)],
            ..situation(Role::Proxy)
        };
        let verbose = ready(&apart, true).expect("is ready").into_body();
        let verbose: Health = serde_json::from_slice(&verbose).expect("is health");
        let said = "this node's wall clock is not trusted: it jumped; b:1 is 2 h behind this node";
        assert_eq!(verbose.checks[3].detail, said);
        assert!(verbose.checks[3].ok && verbose.checks[0].detail == "ok");
    }

    #[test]
    fn what_keeps_a_node_from_being_ready_is_said() {
        let waiting = Situation {
            waiting_for: Some(Refusal::NotInView),
            ..situation(Role::Waiting)
        };
        let lacking = Situation {
            ready: false,
            ..situation(Role::Proxy)
        };
        let full = Situation {
            storage_failure: Some("disk full".into()),
            ..situation(Role::Proxy)
        };
        for (situation, why) in [
            (waiting, "view: "),
            (lacking, "data: "),
            (full, "storage: disk full"),
        ] {
            let error = ready(&situation, false).expect_err("is not ready").to_string();
            assert!(error.contains(why) && !error.contains("ok"), "{error}");
            let error = ready(&situation, true).expect_err("is not ready").to_string();
            assert!(error.contains(why) && error.contains(": ok"), "{error}");
        }
    }
}
