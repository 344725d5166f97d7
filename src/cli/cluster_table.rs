//! Shows a cluster: a headline, and a table with one row for each node and its partition.
//!
//! `status`, `view` and `lab` add columns of their own. One file, so that all of them show a cluster in the
//! same way.

use std::fmt;

use super::arguments::Asking;
use super::client;
use crate::terminal::{Failure, Verdict, output};
use crate::wire::public::{Status, ViewLayout};

/// The place of a node in a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Partition(usize),
    Proxy,
    /// In no partition and no proxy: it waits to be added.
    Waiting,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Partition(id) => id.fmt(f),
            Self::Proxy => f.write_str("proxy"),
            Self::Waiting => f.write_str("waiting"),
        }
    }
}

/// The nodes of a view.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cluster<'a> {
    partitions: &'a [Vec<String>],
    proxies: &'a [String],
}

impl<'a> From<&'a Status> for Cluster<'a> {
    fn from(
        Status {
            partitions, proxies, ..
        }: &'a Status,
    ) -> Self {
        Self { partitions, proxies }
    }
}

impl<'a> From<&'a ViewLayout> for Cluster<'a> {
    fn from(ViewLayout { partitions, proxies }: &'a ViewLayout) -> Self {
        Self { partitions, proxies }
    }
}

impl<'a> Cluster<'a> {
    /// The replicas by partition, then the proxies.
    pub(super) fn nodes(self) -> impl Iterator<Item = &'a str> {
        let nodes = self.partitions.iter().flatten().chain(self.proxies);
        nodes.map(String::as_str)
    }

    pub(super) fn place(self, node: &str) -> Place {
        let lists = |nodes: &[String]| nodes.iter().any(|member| member == node);
        match self.partitions.iter().position(|nodes| lists(nodes)) {
            Some(id) => Place::Partition(id),
            None if lists(self.proxies) => Place::Proxy,
            None => Place::Waiting,
        }
    }

    /// A row for each of `nodes`, with the caller's columns.
    pub(super) fn table<'n, const N: usize>(
        self,
        header: [&str; N],
        nodes: impl IntoIterator<Item = (&'n str, [String; N])>,
    ) -> String {
        let mut table = output::table(&[&["PARTITION", "NODE"], &header[..]].concat());
        for (node, columns) in nodes {
            let place = [self.place(node).to_string(), node.to_owned()];
            table.add_row(place.into_iter().chain(columns));
        }
        output::lines(&table)
    }
}

/// Asks a node for its status and prints it: as it came, or as `picture` draws it for a person.
pub(super) async fn show(asking: &Asking, picture: fn(&Status) -> String) -> Result<Verdict, Failure> {
    let reply = client(&asking.node).status_reply().await?;
    if asking.json {
        output::print_json(&reply.body)?;
    } else {
        output::print_line(&picture(&reply.read()?))?;
    }
    Ok(Verdict::Done)
}

/// The headline, the table with the caller's columns, and the caller's remarks.
pub(super) fn picture<const N: usize>(
    status: &Status,
    header: [&str; N],
    columns: impl Fn(&str) -> [String; N],
    remarks: impl IntoIterator<Item = String>,
) -> String {
    let cluster = Cluster::from(status);
    let mut parts = vec![headline(status)];
    let mut nodes = cluster.nodes().map(|node| (node, columns(node))).peekable();
    if nodes.peek().is_some() {
        parts.push(cluster.table(header, nodes));
    }
    parts.extend(remarks);
    parts.join("\n")
}

fn headline(status: &Status) -> String {
    let count = |number: u64, one: &str, many: &str| match number {
        1 => format!("1 {one}"),
        _ => format!("{number} {many}"),
    };
    let replicas = status.k.map_or_else(|| "K unknown".into(), |k| format!("K={k}"));
    format!(
        "view {}, {replicas}: {}, {}; {} here; seen by {}",
        status.epoch,
        count(status.partitions.len() as u64, "partition", "partitions"),
        count(status.proxies.len() as u64, "proxy", "proxies"),
        count(status.keys, "key", "keys"),
        status.node,
    )
}
