//! `causeway view` shows the view; `view add` and `view remove` change it and show the progress.

use super::arguments::{Asking, View as Arguments, ViewCommand};
use super::cluster_table::{Cluster, Place};
use super::progress::Progress;
use super::{client, cluster_table, progress};
use crate::client::{Client, ClientError, ViewChange, ViewChangeKind, ViewChanged};
use crate::names::{NodeId, SLOTS};
use crate::process::telemetry;
use crate::terminal::{Failure, Verdict, output};
use crate::wire::public::{Status, ViewPreview, ViewUpdated};

pub async fn view(arguments: Arguments) -> Result<Verdict, Failure> {
    let Arguments { asking, command } = arguments;
    let (node, kind, dry_run) = match command {
        None => return cluster_table::show(&asking, picture).await,
        Some(ViewCommand::Add(add)) if add.force => {
            let text = "view add takes no --force: only a removal can be forced; leave it out";
            return Err(Failure::Usage(text.into()));
        }
        Some(ViewCommand::Add(add)) => (add.address, ViewChangeKind::Add, add.dry_run),
        Some(ViewCommand::Remove(remove)) => {
            let force = remove.force;
            (remove.address, ViewChangeKind::Remove { force }, remove.dry_run)
        }
    };
    change(&asking, &ViewChange { node, kind, dry_run }).await
}

async fn change(asking: &Asking, change: &ViewChange) -> Result<Verdict, Failure> {
    let client = client(&asking.node);
    // The node that answers this is asked first for the change and for its progress.
    client.status_reply().await?;
    let outcome = if change.dry_run {
        client.change_view(change).await
    } else {
        watched(&client, change).await
    };
    if asking.json
        && let Some(body) = match &outcome {
            Ok(changed) => Some(&changed.reply().body),
            Err(ClientError::Refused(reply)) => Some(&reply.body),
            Err(_) => None,
        }
    {
        let is_done = outcome.is_ok() && !change.dry_run;
        printed(is_done, output::print_json(body))?;
    }
    let changed = outcome.map_err(failure)?;
    if let ViewChanged::Changed(updated, _) = &changed
        && let Some(warning) = &updated.warning
    {
        telemetry::say(&format!("causeway: {}", as_flags(warning)));
    }
    if !asking.json {
        let text = match &changed {
            ViewChanged::Changed(updated, _) => sentence(&change.node, updated),
            ViewChanged::Preview(preview, _) => preview_text(preview),
        };
        printed(!change.dry_run, output::print_line(&text))?;
    }
    Ok(Verdict::Done)
}

/// A change that was made is still reported when its result cannot be printed.
fn printed(is_done: bool, printed: Result<(), Failure>) -> Result<(), Failure> {
    printed.map_err(|failure| {
        if is_done {
            failure.after("the view was changed")
        } else {
            failure
        }
    })
}

/// Changes the view, and meanwhile shows the progress on standard error.
async fn watched(client: &Client, change: &ViewChange) -> Result<ViewChanged, ClientError> {
    let mut progress = Progress::new();
    let outcome = tokio::select! {
        biased;
        outcome = client.change_view(change) => outcome,
        never = progress.follow(client) => match never {},
    };
    progress.end();
    outcome
}

fn failure(error: ClientError) -> Failure {
    match error {
        ClientError::UnknownOutcome(error) => Failure::Failed(format!(
            "{error}; the view may have been changed, or may be changing: causeway view shows it"
        )),
        ClientError::Refused(reply) => Failure::Failed(as_flags(&reply.refusal())),
        other => other.into(),
    }
}

/// The advice of a node, with the flags of the command line in place of the API's parameters.
fn as_flags(text: &str) -> String {
    text.replace("force=true", "--force")
}

/// `10.0.0.25:8080 is a replica of partition 2; 3 partitions, epoch 4`
fn sentence(node: &NodeId, updated: &ViewUpdated) -> String {
    let place = match updated.partition_id {
        None => "is removed".to_owned(),
        Some(-1) => "is a proxy".to_owned(),
        Some(id) => format!("is a replica of partition {id}"),
    };
    let partitions = match updated.number_of_partitions {
        1 => "1 partition".to_owned(),
        many => format!("{many} partitions"),
    };
    format!("{node} {place}; {partitions}, epoch {}", updated.epoch)
}

/// The nodes, a change that is under way, and why keys are not served.
fn picture(status: &Status) -> String {
    let change = status.change.as_ref();
    let change = change.map(|change| format!("it is changing: {}", progress::sentence(change)));
    let waiting = status.waiting_for.as_ref().map(|why| why.error.clone());
    let remarks = [change, waiting].into_iter().flatten();
    cluster_table::picture(status, [], |_| [], remarks)
}

/// Where each node is and would be, and what would move.
fn preview_text(preview: &ViewPreview) -> String {
    let [before, after] = [&preview.before, &preview.after].map(Cluster::from);
    let removed = before.nodes().filter(|node| after.place(node) == Place::Waiting);
    let rows = after.nodes().chain(removed).map(|node| match after.place(node) {
        Place::Waiting => (node, ["removed".to_owned()]),
        place => (node, [place.to_string()]),
    });
    let mut lines = vec![before.table(["AFTER"], rows)];
    lines.push(format!(
        "{} of {SLOTS} slots would move, with {} keys; nothing was changed",
        preview.slots_moved, preview.keys_moved
    ));
    if preview.slots_given_up > 0 {
        lines.push(format!(
            "the keys of {} slots would be given up",
            preview.slots_given_up
        ));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::public::{Progress as Change, Reason, ViewLayout};

    fn nodes(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    fn updated(partition_id: Option<i64>, number_of_partitions: u32) -> ViewUpdated {
        ViewUpdated {
            result: "success".into(),
            partition_id,
            number_of_partitions,
            role: None,
            epoch: 4,
            slots_given_up: None,
            warning: None,
        }
    }

    #[test]
    fn advice_names_the_flag_and_not_the_parameter() {
        assert_eq!(
            as_flags("or remove it with force=true"),
            "or remove it with --force"
        );
    }

    #[test]
    fn what_became_of_the_node_is_one_sentence() {
        let node: NodeId = "c:1".parse().expect("is a node");
        for (updated, expected) in [
            (
                updated(Some(2), 3),
                "c:1 is a replica of partition 2; 3 partitions, epoch 4",
            ),
            (updated(Some(-1), 1), "c:1 is a proxy; 1 partition, epoch 4"),
            (updated(None, 2), "c:1 is removed; 2 partitions, epoch 4"),
        ] {
            assert_eq!(sentence(&node, &updated), expected);
        }
    }

    #[test]
    fn a_view_is_a_row_a_node_and_what_becomes_of_it() {
        let mut status = Status {
            change: Some(Change {
                epoch: 5,
                phase: "copy".into(),
                waits_for: vec![],
                keys_moved: 3,
                keys_to_go: 4,
                for_ms: 200,
            }),
            ..Status::example()
        };
        let table = "\
view 4, K=2: 2 partitions, 1 proxy; 3 keys here; seen by a:1
 PARTITION  NODE
 0          a:1
 0          b:1
 1          c:1
 1          d:1
 proxy      e:1
it is changing: epoch 5: copy, 3 keys moved, 4 to go, 0.2 s";
        assert_eq!(picture(&status), table);
        (status.k, status.epoch, status.change) = (None, 0, None);
        (status.partitions, status.proxies, status.keys) = (vec![], vec![], 0);
        status.waiting_for = Some(Reason {
            code: "not_in_view".into(),
            error: "in no view".into(),
        });
        let expected = "\
view 0, K unknown: 0 partitions, 0 proxies; 0 keys here; seen by a:1
in no view";
        assert_eq!(picture(&status), expected);
    }

    #[test]
    fn a_preview_shows_where_each_node_is_and_would_be() {
        let preview = ViewPreview {
            result: "success".into(),
            dry_run: true,
            before: ViewLayout {
                partitions: vec![nodes(&["a:1", "b:1"])],
                proxies: nodes(&["c:1", "e:1"]),
            },
            after: ViewLayout {
                partitions: vec![nodes(&["a:1", "b:1"]), nodes(&["c:1", "d:1"])],
                proxies: vec![],
            },
            slots_moved: 8192,
            keys_moved: 17,
            slots_given_up: 0,
        };
        let expected = "
 PARTITION  NODE  AFTER
 0          a:1   0
 0          b:1   0
 proxy      c:1   1
 waiting    d:1   1
 proxy      e:1   removed
8192 of 16384 slots would move, with 17 keys; nothing was changed";
        assert_eq!(format!("\n{}", preview_text(&preview)), expected);
    }
}
