//! The information endpoints: the layout of the cluster, as far as the node knows it. Before the first
//! view that follows from `VIEW`, so they answer at once. Such requests are rare, hence written through
//! the types of `wire`.

use bytes::Bytes;
use http::Response;

use super::error::ApiError;
use super::operation::Question;
use super::reply::{json, names, success};
use super::routes::ENDPOINTS;
use super::status::word;
use super::view;
use crate::names::{Incarnation, NodeId};
use crate::node::{NodeStatus, Role};
use crate::wire::public::{
    ClockApart, Home, NodeDetails, PartitionIdList, PartitionIdOf, PartitionMembers, Reason, Replicas, Status,
};

pub(super) fn answer(question: Question, status: &NodeStatus) -> Result<Response<Bytes>, ApiError> {
    let result = success();
    Ok(match question {
        Question::PartitionId => {
            let (role, partition_id) = part(status);
            json(&PartitionIdOf {
                result,
                partition_id,
                role,
            })
        }
        Question::AllPartitionIds => {
            let partition_id_list = (0..).take(status.partitions.len()).collect();
            json(&PartitionIdList {
                result,
                partition_id_list,
            })
        }
        Question::PartitionMembers(asked) => {
            let members = usize::try_from(asked)
                .ok()
                .and_then(|id| status.partitions.get(id));
            let partitions = status.partitions.len();
            let members = members.ok_or(ApiError::NoPartition { asked, partitions })?;
            json(&PartitionMembers {
                result,
                partition_members: names(members),
            })
        }
        Question::NodeDetails => {
            let (role, _) = part(status);
            let replica = if role == "replica" { "Yes" } else { "No" }.into();
            json(&NodeDetails {
                result,
                replica,
                role,
            })
        }
        Question::AllReplicas => {
            let replicas = status
                .partitions
                .iter()
                .flat_map(|members| names(members))
                .collect();
            json(&Replicas { result, replicas })
        }
    })
}

/// `GET /`.
pub(super) fn home(status: &NodeStatus) -> Response<Bytes> {
    let (role, partition_id) = part(status);
    json(&Home {
        result: success(),
        service: "causeway".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        node: status.node.to_string(),
        role,
        partition_id,
        endpoints: ENDPOINTS.lines().map(String::from).collect(),
        clock_troubles: status.clock_troubles(),
    })
}

/// `GET /status`: everything that the node knows of itself and its cluster.
pub(super) fn status(status: &NodeStatus) -> Response<Bytes> {
    let (role, partition_id) = part(status);
    let Incarnation { started_ms, random } = status.incarnation;
    json(&Status {
        result: success(),
        version: env!("CARGO_PKG_VERSION").into(),
        node: status.node.to_string(),
        incarnation: format!("{started_ms}-{random:016x}"),
        role,
        partition_id,
        cluster: status.cluster.map(|cluster| format!("{:016x}", cluster.0)),
        epoch: status.epoch.number(),
        k: status.replicas,
        partitions: status.partitions.iter().map(|members| names(members)).collect(),
        proxies: names(&status.proxies),
        ready: status.ready,
        waiting_for: status.waiting_for.as_ref().map(|refusal| Reason {
            code: word(refusal).into(),
            error: status.why_not().unwrap_or_default(),
        }),
        away: names(&status.away),
        keys: status.keys,
        left_behind: status.left_behind,
        slots_lost: status.slots_lost,
        storage_failure: status.storage_failure.clone(),
        clock_doubt: status.clock_doubt.clone(),
        clocks_apart: status.clocks_apart.iter().map(clock_apart).collect(),
        change: status.change.as_ref().map(view::progress),
    })
}

fn clock_apart((node, ahead_ms): &(NodeId, i64)) -> ClockApart {
    ClockApart {
        node: node.to_string(),
        ahead_ms: *ahead_ms,
    }
}

/// The node's role, and its partition or -1.
fn part(status: &NodeStatus) -> (String, i64) {
    match status.role {
        Role::Replica(partition) => ("replica".into(), i64::from(partition.0)),
        Role::Proxy => ("proxy".into(), -1),
        Role::Waiting => ("waiting".into(), -1),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::api::testing::node_status;
    use crate::names::{Epoch, PartitionId};
    use crate::node::ChangeProgress;
    use crate::protocol::view_change::Phase;

    fn text(question: Question, status: &NodeStatus) -> String {
        let reply = answer(question, status).expect("is answered");
        String::from_utf8(reply.into_body().into()).expect("is text")
    }

    #[test]
    fn the_information_endpoints_answer_as_the_contract_shows() {
        let replica = node_status(Role::Replica(PartitionId(1)));
        for (question, body) in [
            (
                Question::PartitionId,
                r#"{"result":"success","partition_id":1,"role":"replica"}"#,
            ),
            (
                Question::AllPartitionIds,
                r#"{"result":"success","partition_id_list":[0,1]}"#,
            ),
            (
                Question::PartitionMembers(1),
                r#"{"result":"success","partition_members":["c:1","d:1"]}"#,
            ),
            (
                Question::NodeDetails,
                r#"{"result":"success","replica":"Yes","role":"replica"}"#,
            ),
            (
                Question::AllReplicas,
                r#"{"result":"success","replicas":["a:1","b:1","c:1","d:1"]}"#,
            ),
        ] {
            assert_eq!(text(question, &replica), body);
        }
    }

    #[test]
    fn a_node_without_a_partition_says_minus_one_and_its_role() {
        for (role, word) in [(Role::Proxy, "proxy"), (Role::Waiting, "waiting")] {
            let outside = node_status(role);
            let id = format!(r#"{{"result":"success","partition_id":-1,"role":"{word}"}}"#);
            assert_eq!(text(Question::PartitionId, &outside), id);
            let details = format!(r#"{{"result":"success","replica":"No","role":"{word}"}}"#);
            assert_eq!(text(Question::NodeDetails, &outside), details);
        }
    }

    #[test]
    fn there_is_no_partition_beyond_the_last_or_before_the_first() {
        for asked in [-1, 2, i64::MAX] {
            let error =
                answer(Question::PartitionMembers(asked), &node_status(Role::Proxy)).expect_err("is refused");
            assert_eq!(error, ApiError::NoPartition { asked, partitions: 2 });
        }
    }

    #[test]
    fn status_tells_all_that_the_node_knows() {
        let reply = status(&node_status(Role::Proxy));
        let read: Status = serde_json::from_slice(reply.body()).expect("is a status");
        assert_eq!(
            (read.epoch, read.k, read.keys, read.partition_id),
            (4, Some(2), 17, -1)
        );
        assert_eq!(read.cluster.as_deref(), Some("0000000000000abc"));
        assert_eq!(read.incarnation, "1000-000000000000002a");
        assert_eq!(read.version, env!("CARGO_PKG_VERSION"));
        assert_eq!(read.proxies, ["e:1"]);
        assert_eq!(read.change, None);
        let home: Home = serde_json::from_slice(home(&node_status(Role::Proxy)).body()).expect("is a home");
        assert_eq!((home.node.as_str(), home.role.as_str()), ("a:1", "proxy"));
    }

    #[test]
    fn a_view_change_that_is_under_way_is_in_the_status() {
        let changing = NodeStatus {
            change: Some(ChangeProgress {
                epoch: Epoch(5),
                phase: Phase::Copy,
                waits_for: Vec::new(),
                keys_moved: 3,
                keys_to_go: 4,
                since: Duration::from_millis(20),
            }),
            ..node_status(Role::Proxy)
        };
        let reply = status(&changing);
        let body = std::str::from_utf8(reply.body()).expect("is text");
        let change =
            r#""change":{"epoch":5,"phase":"copy","waits_for":[],"keys_moved":3,"keys_to_go":4,"for_ms":20}"#;
        assert!(body.contains(change), "{body}");
    }
}
