//! `PUT /kv-store/update_view`: parses view change requests and renders their outcome. Both are pure. Such
//! requests are rare, hence written through the types of `wire`.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;

use super::error::ApiError;
use super::meant;
use super::parameters::Parameters;
use super::reply::{json, names, success};
use crate::config::millis;
use crate::names::{NodeId, SLOTS};
use crate::node::{
    ChangeProgress, Changed, Node, Preview, RequestKind, ViewOutcome, ViewRefusal, ViewRequest,
};
use crate::protocol::placement::View;
use crate::protocol::view_change::Phase;
use crate::wire::public::{Progress, ViewLayout, ViewPreview, ViewUpdated};

/// The parameters of a change. A payload has no effect here, but clients may send it with every request.
const PARAMETERS: [&str; 5] = ["type", "ip_port", "dry_run", "force", "causal_payload"];

/// The requested change, or what is wrong with the request and how to write it.
pub(super) fn parse(parameters: &Parameters<'_>) -> Result<ViewRequest, ApiError> {
    meant::only(parameters, &PARAMETERS, ApiError::BadViewChange)?;
    let kind = kind(parameters)?;
    let node = node(parameters)?;
    let dry_run = parameters
        .flag("dry_run", ApiError::BadViewChange)?
        .unwrap_or_default();
    let force = parameters.flag("force", ApiError::BadViewChange)?;
    // A body that was not understood may have said something else.
    parameters.require_read()?;
    let kind = match (kind, force) {
        (RequestKind::Add, Some(_)) => {
            let text = "force is for removing only: adding a node gives up nothing; leave it out";
            return Err(ApiError::BadViewChange(text.into()));
        }
        (RequestKind::Add, None) => RequestKind::Add,
        (RequestKind::Remove { .. }, force) => RequestKind::Remove {
            force: force.unwrap_or_default(),
        },
    };
    Ok(ViewRequest { node, kind, dry_run })
}

fn kind(parameters: &Parameters<'_>) -> Result<RequestKind, ApiError> {
    let advice = "write update_view?type=add or update_view?type=remove";
    match required(parameters, "type", advice)?.trim() {
        text if text.eq_ignore_ascii_case("add") => Ok(RequestKind::Add),
        text if text.eq_ignore_ascii_case("remove") => Ok(RequestKind::Remove { force: false }),
        other => Err(ApiError::BadViewChange(format!("type is {other:?}; {advice}"))),
    }
}

fn node(parameters: &Parameters<'_>) -> Result<NodeId, ApiError> {
    let advice = "name the node to add or remove, such as ip_port=10.0.0.21:8080";
    let text = required(parameters, "ip_port", advice)?;
    text.parse()
        .map_err(|error| ApiError::BadViewChange(format!("ip_port: {error}")))
}

fn required<'a>(parameters: &'a Parameters<'_>, name: &str, advice: &str) -> Result<&'a str, ApiError> {
    if let Some(text) = parameters.one(name)? {
        return Ok(text);
    }
    parameters.require_read()?;
    Err(ApiError::BadViewChange(format!("{name} is missing; {advice}")))
}

/// Asks the node for the change, and renders its outcome.
pub(super) async fn update(node: &Arc<Node>, request: ViewRequest) -> Result<Response<Bytes>, ApiError> {
    match node.view_changes.change_view(request.clone()).await {
        Ok(outcome) => Ok(reply(&request, &outcome)),
        Err(ViewRefusal::NotHere(refusal)) => Err(ApiError::Refused(refusal)),
        Err(refusal) => Err(ApiError::View(refusal)),
    }
}

fn reply(request: &ViewRequest, outcome: &ViewOutcome) -> Response<Bytes> {
    match outcome {
        ViewOutcome::Changed(changed) => json(&updated(request, changed)),
        ViewOutcome::Preview(preview) => json(&previewed(preview)),
    }
}

fn updated(request: &ViewRequest, changed: &Changed) -> ViewUpdated {
    let partition = changed.partition_of(&request.node);
    let added = matches!(request.kind, RequestKind::Add).then_some(partition);
    let given_up = changed.slots_given_up;
    ViewUpdated {
        result: success(),
        partition_id: added.map(|partition| partition.map_or(-1, |id| i64::from(id.0))),
        number_of_partitions: count(&changed.view),
        role: added.map(|partition| if partition.is_some() { "replica" } else { "proxy" }.into()),
        epoch: changed.view.epoch.number(),
        slots_given_up: (given_up > 0).then_some(given_up),
        warning: warning(request, changed),
    }
}

fn warning(request: &ViewRequest, changed: &Changed) -> Option<String> {
    let (node, given_up) = (&request.node, changed.slots_given_up);
    if given_up > 0 {
        let text = format!(
            "the keys of {given_up} slots of {SLOTS} were given up: no node that has them could be reached"
        );
        return Some(text);
    }
    if !changed.is_left_behind {
        return None;
    }
    let text = match request.kind {
        RequestKind::Remove { force: true } => {
            format!(
                "{node} did not hand over its writes; those that only it has are given up: nobody waits for them, and \
                 they come back only if it returns before FORGET_AFTER is over"
            )
        }
        _ => format!(
            "{node} did not hand over its writes; those that only it has are missing until it is back: start it \
             before FORGET_AFTER is over, or give them up with force=true"
        ),
    };
    Some(text)
}

fn count(view: &View) -> u32 {
    u32::try_from(view.partition_count()).expect("there are no more partitions than slots")
}

fn previewed(preview: &Preview) -> ViewPreview {
    ViewPreview {
        result: success(),
        dry_run: true,
        before: layout(&preview.before),
        after: layout(&preview.after),
        slots_moved: preview.slots_moved,
        keys_moved: preview.keys_moved,
        slots_given_up: preview.slots_given_up,
    }
}

fn layout(view: &View) -> ViewLayout {
    ViewLayout {
        partitions: view.partitions().map(|(_, nodes)| names(nodes)).collect(),
        proxies: view.proxies().map(NodeId::to_string).collect(),
    }
}

/// The progress of a change, as `GET /status` shows it.
pub(super) fn progress(change: &ChangeProgress) -> Progress {
    Progress {
        epoch: change.epoch.number(),
        phase: phase(change.phase).into(),
        waits_for: names(&change.waits_for),
        keys_moved: change.keys_moved,
        keys_to_go: change.keys_to_go,
        for_ms: millis(change.since),
    }
}

fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Copy => "copy",
        Phase::Seal => "seal",
        Phase::HandOver => "hand_over",
        Phase::Activate => "activate",
        Phase::Done => "done",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::time::Duration;

    use super::*;
    use crate::names::{ClusterId, Epoch};

    fn node(name: &str) -> NodeId {
        name.parse().expect("is a node")
    }

    fn view(nodes: &[&str]) -> Arc<View> {
        let nodes: BTreeSet<NodeId> = nodes.iter().map(|name| node(name)).collect();
        Arc::new(View::first(ClusterId(1), 2, &nodes, &BTreeMap::new()))
    }

    fn request(kind: RequestKind, name: &str) -> ViewRequest {
        ViewRequest {
            node: node(name),
            kind,
            dry_run: false,
        }
    }

    fn body(request: &ViewRequest, outcome: ViewOutcome) -> String {
        String::from_utf8(reply(request, &outcome).into_body().into()).expect("is text")
    }

    fn changed(view: Arc<View>, slots_given_up: u32) -> ViewOutcome {
        ViewOutcome::Changed(Changed {
            view,
            slots_given_up,
            is_left_behind: false,
        })
    }

    #[test]
    fn an_added_node_is_told_its_partition_and_a_proxy_minus_one() {
        let five = view(&["a:1", "b:1", "c:1", "d:1", "e:1"]);
        for (name, expected) in [
            (
                "d:1",
                r#""partition_id":1,"number_of_partitions":2,"role":"replica","epoch":1"#,
            ),
            (
                "e:1",
                r#""partition_id":-1,"number_of_partitions":2,"role":"proxy","epoch":1"#,
            ),
        ] {
            let body = body(&request(RequestKind::Add, name), changed(Arc::clone(&five), 0));
            assert_eq!(body, format!(r#"{{"result":"success",{expected}}}"#));
        }
    }

    #[test]
    fn a_removal_says_how_many_partitions_are_left_and_what_was_given_up() {
        let two = view(&["a:1", "b:1"]);
        let remove = request(RequestKind::Remove { force: true }, "c:1");
        assert_eq!(
            body(&remove, changed(Arc::clone(&two), 0)),
            r#"{"result":"success","number_of_partitions":1,"epoch":1}"#
        );
        let read: ViewUpdated = serde_json::from_str(&body(&remove, changed(two, 7))).expect("is a reply");
        assert_eq!(read.slots_given_up, Some(7));
        let warning = read.warning.expect("warns");
        assert!(warning.contains("7 slots of 16384"), "{warning}");
    }

    #[test]
    fn a_dry_run_shows_both_views_and_what_would_move() {
        let preview = Preview {
            before: view(&["a:1", "b:1", "c:1"]),
            after: view(&["a:1", "b:1", "c:1", "d:1"]),
            slots_moved: 8192,
            keys_moved: 17,
            slots_given_up: 0,
        };
        assert_eq!(
            body(&request(RequestKind::Add, "d:1"), ViewOutcome::Preview(preview)),
            r#"{"result":"success","dry_run":true,"#.to_owned()
                + r#""before":{"partitions":[["a:1","b:1"]],"proxies":["c:1"]},"#
                + r#""after":{"partitions":[["a:1","b:1"],["c:1","d:1"]],"proxies":[]},"#
                + r#""slots_moved":8192,"keys_moved":17,"slots_given_up":0}"#
        );
    }

    #[test]
    fn each_phase_has_its_word() {
        let words = [
            (Phase::Copy, "copy"),
            (Phase::Seal, "seal"),
            (Phase::HandOver, "hand_over"),
            (Phase::Activate, "activate"),
            (Phase::Done, "done"),
        ];
        for (phase, word) in words {
            let read = progress(&ChangeProgress {
                epoch: Epoch(5),
                phase,
                waits_for: vec![node("b:1")],
                keys_moved: 3,
                keys_to_go: 4,
                since: Duration::from_millis(1500),
            });
            let expected = Progress {
                epoch: 5,
                phase: word.into(),
                waits_for: vec!["b:1".into()],
                keys_moved: 3,
                keys_to_go: 4,
                for_ms: 1500,
            };
            assert_eq!(read, expected);
        }
    }
}
