//! Renders a lab: which node runs where, and which commands to try first.

use std::path::Path;

use serde_json::{Value, json};

use super::folder::Folder;
use super::layout::Layout;
use super::process::Process;
use crate::cli::cluster_table::{Cluster, Place};
use crate::wire::public::Status;

/// What is about to start, in which folder; `goes_on` if an earlier lab left it.
pub(super) fn opening(folder: &Path, layout: &Layout, goes_on: bool) -> String {
    let nodes = layout.size();
    let (path, replicas) = (folder.display(), layout.replicas);
    match (goes_on, layout.memory) {
        (false, _) => format!("starting {nodes}, K={replicas}, in {path}"),
        (true, false) => format!("starting the {nodes} of {path} again (--fresh would wipe it)"),
        (true, true) => format!("starting the {nodes} of {path} again, empty: their data was in memory"),
    }
}

/// One line for programs.
pub(super) fn json(folder: &Folder, processes: &[Process], status: &Status) -> Value {
    let cluster = Cluster::from(status);
    let node = |process: &Process| {
        // As everywhere on the wire: no partition is -1.
        let (role, partition_id) = match cluster.place(process.node.as_str()) {
            Place::Partition(id) => ("replica", id as i64),
            Place::Proxy => ("proxy", -1),
            Place::Waiting => ("waiting", -1),
        };
        json!({
            "address": process.node.as_str(),
            "role": role,
            "partition_id": partition_id,
            "pid": process.pid,
            "log": process.log.display().to_string(),
            "data_dir": process.data_dir.display().to_string(),
        })
    };
    let (first, spares) = processes.split_at(folder.layout.ports.len());
    let all = |processes: &[Process]| processes.iter().map(node).collect::<Vec<_>>();
    json!({
        "dir": folder.path.display().to_string(),
        "k": folder.layout.replicas,
        "memory": folder.layout.memory,
        "nodes": all(first),
        "spares": all(spares),
    })
}

/// A table and some lines to paste, for people; `program` is this program as the user types it.
pub(super) fn text(folder: &Folder, processes: &[Process], status: &Status, program: &str) -> String {
    let rows = processes.iter().map(|process| {
        let columns = [process.pid.to_string(), folder.shown(&process.log)];
        (process.node.as_str(), columns)
    });
    let table = Cluster::from(status).table(["PID", "LOG"], rows);
    let data = match folder.layout.memory {
        true => "Their data is in memory and goes with them.".into(),
        false => format!("Their data stays in {}.", folder.shown.display()),
    };
    format!(
        "{table}\n\nTry, in another terminal:\n{}\n\nCtrl-C stops the nodes. {data}\n",
        examples(&nodes(processes), status, program),
    )
}

fn nodes(processes: &[Process]) -> Vec<&str> {
    processes.iter().map(|process| process.node.as_str()).collect()
}

/// Put at the first node of the view, get at the last one (with defaults a proxy), the members of a
/// partition, and how a node that waits is added.
fn examples(nodes: &[&str], status: &Status, program: &str) -> String {
    let cluster = Cluster::from(status);
    let waits = |node: &&&str| cluster.place(node) == Place::Waiting;
    let mut members = nodes.iter().filter(|node| !waits(node));
    let Some(first) = members.next() else {
        return String::new();
    };
    let last = members.next_back().unwrap_or(first);
    let mut lines = vec![
        format!("  curl -X PUT http://{first}/kv-store/greeting -d val=hello"),
        format!("  curl http://{last}/kv-store/greeting"),
        format!("  curl -G http://{last}/kv-store/get_partition_members -d partition_id=0"),
    ];
    let waiting = nodes.iter().find(waits);
    lines.extend(waiting.map(|waiting| format!("  {program} view add {waiting} --node {first}")));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_opening_says_what_starts_and_what_is_left_of_an_earlier_lab() {
        let layout = |ports: &[u16], memory| Layout {
            replicas: 2,
            memory,
            base_port: 8081,
            ports: ports.to_vec(),
            spare_ports: if memory { vec![] } else { vec![9000] },
        };
        for (layout, goes_on, expected) in [
            (
                layout(&[8081, 8082], false),
                false,
                "starting 2 nodes and 1 spare, K=2, in lab",
            ),
            (
                layout(&[8081], false),
                true,
                "starting the 1 node and 1 spare of lab again (--fresh would wipe it)",
            ),
            (
                layout(&[8081], true),
                true,
                "starting the 1 node of lab again, empty: their data was in memory",
            ),
        ] {
            assert_eq!(opening(Path::new("lab"), &layout, goes_on), expected);
        }
    }

    #[test]
    fn examples_name_members_and_how_to_add_a_waiting_node() {
        let list = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let status = Status {
            node: "n2:1".into(),
            partitions: vec![list(&["n2:1", "n3:1"])],
            proxies: list(&["n4:1"]),
            ..Status::example()
        };
        let text = examples(&["n1:1", "n2:1", "n3:1", "n4:1"], &status, "causeway");
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        assert_eq!(lines[0], "curl -X PUT http://n2:1/kv-store/greeting -d val=hello");
        assert_eq!(lines[1], "curl http://n4:1/kv-store/greeting");
        assert_eq!(lines[3], "causeway view add n1:1 --node n2:1");
        let text = examples(&["n2:1"], &status, "causeway");
        assert_eq!((text.lines().count(), text.matches("n2:1").count()), (3, 3));
    }
}
