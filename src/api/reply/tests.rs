//! The replies to errors, row by row as the contract shows them.

use http::StatusCode;

use super::*;
use crate::api::error::HeadFault;
use crate::names::Epoch;
use crate::wire::public::Failure;

fn failure(error: ApiError) -> (StatusCode, Failure, Response<Bytes>) {
    let reply = error.into_reply();
    let body = serde_json::from_slice(reply.body()).expect("is the body of a failure");
    (reply.status(), body, reply)
}

fn not_in_view() -> Refusal {
    let node = "c:1".parse().expect("is a node");
    Refusal::NotInView { node }
}

#[test]
fn a_request_without_a_path_is_told_so() {
    let (_, body, _) = failure(ApiError::NotFound(String::new()));
    assert!(body.error.contains("without a path"), "{}", body.error);
}

#[test]
fn every_row_of_the_contract_has_its_status_and_word() {
    let partition = PartitionId(2);
    let retry = |error| (error, true);
    let final_ = |error| (error, false);
    let refused = ApiError::Refused;
    for (status, code, (error, retries)) in [
        (
            404,
            "key_not_found",
            final_(ApiError::KeyNotFound {
                partition,
                payload: "p-1_.".into(),
            }),
        ),
        (
            400,
            "bad_key",
            final_(ApiError::BadKey("the key is empty".into())),
        ),
        (400, "missing_val", final_(ApiError::MissingVal("no val".into()))),
        (
            413,
            "value_too_large",
            final_(ApiError::ValueTooLarge { bytes_max: 9 }),
        ),
        (
            400,
            "bad_payload",
            final_(refused(Refusal::BadPayload("it does not parse".into()))),
        ),
        (
            503,
            "unavailable",
            retry(refused(Refusal::Unavailable { partition })),
        ),
        (503, "behind", retry(refused(Refusal::Behind { partition }))),
        (
            504,
            "unknown_outcome",
            final_(refused(Refusal::UnknownOutcome { partition })),
        ),
        (
            404,
            "no_partition",
            final_(ApiError::NoPartition {
                asked: 9,
                partitions: 2,
            }),
        ),
        (
            400,
            "bad_partition_id",
            final_(ApiError::BadPartitionId("x".into())),
        ),
        (503, "not_in_view", retry(refused(not_in_view()))),
        (
            503,
            "starting",
            retry(refused(Refusal::Starting {
                missing: vec![],
                quarrel: vec![],
            })),
        ),
        (404, "not_found", final_(ApiError::NotFound("/x".into()))),
        (
            507,
            "storage_failed",
            final_(refused(Refusal::StorageFailed("disk full".into()))),
        ),
        (503, "overloaded", retry(refused(Refusal::Overloaded))),
        (400, "not_offered", final_(ApiError::NotOffered("x".into()))),
        (415, "bad_encoding", final_(ApiError::BadEncoding("gzip".into()))),
        (
            400,
            "bad_request",
            final_(ApiError::BadHead(HeadFault::NoRequest)),
        ),
        (
            431,
            "head_too_large",
            final_(ApiError::BadHead(HeadFault::HeadersTooLarge)),
        ),
        (
            414,
            "head_too_large",
            final_(ApiError::BadHead(HeadFault::PathTooLong)),
        ),
        (413, "answer_too_large", final_(refused(Refusal::AnswerTooLarge))),
        (
            400,
            "bad_view_change",
            final_(ApiError::BadViewChange("x".into())),
        ),
        (503, "not_ready", retry(ApiError::NotReady { why: "x".into() })),
    ] {
        let text = error.to_string();
        let (got, body, reply) = failure(error);
        assert_eq!((got.as_u16(), body.code.as_str()), (status, code));
        assert_eq!(
            (body.result.as_str(), &body.error, &body.msg),
            ("error", &text, &text)
        );
        assert_eq!(reply.headers().contains_key(RETRY_AFTER), retries, "{code}");
        assert_eq!(reply.headers()["content-type"], "application/json");
    }
}

#[test]
fn every_refused_view_change_has_its_status_its_word_and_its_state() {
    let node: NodeId = "c:1".parse().expect("is a node");
    let list = || vec![node.clone()];
    let why = || "it is silent".to_owned();
    for (status, code, refusal, state) in [
        (
            409,
            "already_member",
            ViewRefusal::AlreadyMember {
                node: node.clone(),
                members: list(),
            },
            r#""view":["c:1"]"#,
        ),
        (
            404,
            "not_member",
            ViewRefusal::NotMember {
                node: node.clone(),
                members: list(),
            },
            r#""view":["c:1"]"#,
        ),
        (
            400,
            "bad_view_change",
            ViewRefusal::Impossible("it is the last one".into()),
            "",
        ),
        (
            503,
            "unreachable_node",
            ViewRefusal::Unreachable {
                node: node.clone(),
                why: why(),
            },
            "",
        ),
        (
            409,
            "other_cluster",
            ViewRefusal::OtherCluster {
                node: node.clone(),
                why: why(),
            },
            "",
        ),
        (
            503,
            "no_majority",
            ViewRefusal::NoMajority { silent: list() },
            r#""missing":["c:1"]"#,
        ),
        (
            409,
            "would_lose_data",
            ViewRefusal::WouldLoseData {
                node: node.clone(),
                slots: 9,
            },
            r#""slots":9"#,
        ),
        (
            504,
            "unfinished",
            ViewRefusal::Unfinished {
                epoch: Epoch(4),
                waits_for: list(),
            },
            r#""epoch":4,"waits_for":["c:1"]"#,
        ),
        (503, "not_in_view", ViewRefusal::NotHere(not_in_view()), ""),
    ] {
        let text = refusal.to_string();
        let (got, body, reply) = failure(ApiError::View(refusal));
        assert_eq!(
            (got.as_u16(), body.code.as_str(), &body.error),
            (status, code, &text)
        );
        assert_eq!(reply.headers().contains_key(RETRY_AFTER), status == 503, "{code}");
        let body = std::str::from_utf8(reply.body()).expect("is text");
        assert!(body.contains(state), "{state} in {body}");
    }
}

#[test]
fn the_exact_words_of_the_contract() {
    let partition = PartitionId(2);
    let (_, body, reply) = failure(ApiError::KeyNotFound {
        partition,
        payload: "p".into(),
    });
    assert_eq!(body.error, "Key does not exist");
    assert_eq!(
        (body.partition_id, body.causal_payload.as_deref()),
        (Some(2), Some("p"))
    );
    assert_eq!(reply.headers()["causal-payload"], "p");
    let (_, body, _) = failure(ApiError::Refused(Refusal::Unavailable { partition }));
    assert_eq!(body.error, "key value store is not available");
}

#[test]
fn a_wrong_method_says_which_are_right() {
    let (status, body, reply) = failure(ApiError::BadMethod {
        method: "PATCH".into(),
        path: "/kv-store/x".into(),
        allow: "GET, PUT",
    });
    assert_eq!((status.as_u16(), body.code.as_str()), (405, "bad_method"));
    assert_eq!(reply.headers()[ALLOW], "GET, PUT");
}

#[test]
fn a_node_that_starts_names_the_missing_nodes() {
    let missing = vec!["10.0.0.22:8080".parse().expect("is a node")];
    let reply = ApiError::Refused(Refusal::Starting {
        missing,
        quarrel: vec![],
    })
    .into_reply();
    let body: serde_json::Value = serde_json::from_slice(reply.body()).expect("is JSON");
    assert_eq!(body["missing"][0], "10.0.0.22:8080");
    assert!(
        body["error"]
            .as_str()
            .expect("is text")
            .contains("10.0.0.22:8080")
    );
}
