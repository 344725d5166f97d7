//! Clients in a closed loop that record their results: each key's last acknowledged value, what failed,
//! how long the slowest answer took.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use crate::ask::{get, put};
use crate::cluster::Cluster;
use crate::patience::{HEALED, PROMPT, eventually};
use crate::support::request::{Reply, Request};
use crate::support::stopping::StopOnDrop;

/// A client gives up on a frozen node after this time; any other answer comes within a second.
const GIVE_UP: Duration = Duration::from_millis(2500);

/// The results of one client. Its keys are its own, and their values only rise.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// The last acknowledged value of each key.
    values: BTreeMap<String, u64>,
    payload: String,
    requests: usize,
    failures: Vec<String>,
    slowest: Duration,
}

/// The results of all clients.
#[derive(Debug)]
pub(crate) struct Books(Vec<Told>);

/// Writes this many keys through these nodes, two clients at each, then reads and writes them
/// continuously for as long as `disturb` takes.
pub(crate) fn under_load(cluster: &Cluster, nodes: &[usize], keys: usize, disturb: impl FnOnce()) -> Books {
    // Each load has keys of its own: the results of an earlier one stay valid.
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let load = NEXT.fetch_add(1, Ordering::Relaxed);
    let clients: Vec<usize> = nodes.iter().chain(nodes).copied().collect();
    let each = keys.div_ceil(clients.len());
    let (written, all_written) = channel();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let (stop, count) = (&stop, clients.len());
        let clients: Vec<_> = clients
            .iter()
            .enumerate()
            .map(|(number, node)| {
                let written = written.clone();
                scope.spawn(move || {
                    let mut told = Told::default();
                    let name = |key: usize| format!("load{load}-{number}-{key}");
                    for key in 0..each {
                        told.write(cluster, *node, &name(key), 0);
                    }
                    let _ = written.send(());
                    drop(written);
                    for turn in 1.. {
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                        // Every third is a write, and not always of the same keys.
                        let key = name(usize::try_from(turn * 7 % 1_000_003).expect("is small") % each);
                        match turn % 3 {
                            0 => told.write(cluster, *node, &key, turn),
                            _ => told.read(cluster, *node, &key),
                        }
                    }
                    told
                })
            })
            .collect();
        let stopping = StopOnDrop(stop);
        drop(written);
        // It ends with the last client, even if one panics before it has written.
        assert_eq!(all_written.iter().count(), count, "every client writes its keys");
        disturb();
        drop(stopping);
        let told = clients.into_iter().map(|client| client.join());
        Books(told.map(|told| told.expect("no client panics")).collect())
    })
}

impl Told {
    fn write(&mut self, cluster: &Cluster, node: usize, key: &str, value: u64) {
        let request = put(key, &value.to_string(), &self.payload);
        if let Some(reply) = self.ask(cluster, node, request, &[200, 201]) {
            self.payload = reply.payload();
            self.values.insert(key.into(), value);
        }
    }

    fn read(&mut self, cluster: &Cluster, node: usize, key: &str) {
        // A key whose first write was not acknowledged may be missing.
        let Some(least) = self.values.get(key).copied() else {
            return;
        };
        if let Some(reply) = self.ask(cluster, node, get(key, &self.payload), &[200]) {
            assert!(value_of(&reply) >= least, "{least} was acknowledged: {reply}");
            self.payload = reply.payload();
        }
    }

    fn ask(&mut self, cluster: &Cluster, node: usize, request: Request, good: &[u16]) -> Option<Reply> {
        self.requests += 1;
        let line = format!("{} {} at n{}", request.method, request.path, node + 1);
        let failure = match cluster.try_send(node, request.deadline(GIVE_UP)) {
            Ok(reply) if good.contains(&reply.status) => {
                self.slowest = self.slowest.max(reply.took);
                return Some(reply);
            }
            Ok(reply) => {
                assert_ne!(reply.status, 404, "it was acknowledged, by {line}: {reply}");
                format!("after {:?} at n{}: {reply}", reply.took, node + 1)
            }
            Err(error) => format!("{line}: {error}"),
        };
        self.failures.push(failure);
        None
    }
}

impl Books {
    /// Every request was served within a second.
    #[track_caller]
    pub(crate) fn all_were_served(&self) {
        self.all_were_served_but(|_| false);
    }

    /// The same, except that a write may have been in flight to the node that died.
    #[track_caller]
    pub(crate) fn all_were_served_by_the_living(&self) {
        self.all_were_served_but(|failure| failure.contains("unknown_outcome"));
    }

    #[track_caller]
    fn all_were_served_but(&self, is_excused: impl Fn(&str) -> bool) {
        let failures = self.0.iter().flat_map(|told| &told.failures);
        let failures: Vec<_> = failures.filter(|failure| !is_excused(failure)).collect();
        let requests: usize = self.0.iter().map(|told| told.requests).sum();
        let first = &failures[..failures.len().min(5)];
        assert!(
            failures.is_empty(),
            "{} of {requests} failed: {first:#?}",
            failures.len()
        );
        let slowest = self.0.iter().map(|told| told.slowest).max().unwrap_or_default();
        assert!(slowest <= PROMPT, "the slowest of {requests} took {slowest:?}");
        println!("{requests} requests, the slowest took {slowest:?}");
    }

    pub(crate) fn keys(&self) -> usize {
        self.0.iter().map(|told| told.values.len()).sum()
    }

    /// Every one of these nodes has every key, as it was acknowledged or as it was written later, for
    /// readers with the writer's payload.
    pub(crate) fn are_all_at(&self, cluster: &Cluster, nodes: &[usize]) {
        assert!(self.keys() > 0, "nothing was written: no load, no test");
        thread::scope(|scope| {
            for node in nodes {
                scope.spawn(move || {
                    for (told, (key, least)) in self.entries() {
                        let what = format!("{key} at n{} is {least} or later", node + 1);
                        eventually(HEALED, &what, || {
                            let sent = cluster.try_send(*node, get(key, &told.payload));
                            let reply = sent.map_err(|error| error.to_string())?;
                            // An answer may be missing for now; a wrong one is a fault.
                            assert_ne!(reply.status, 404, "{what}: {reply}");
                            if reply.status != 200 {
                                return Err(reply.to_string());
                            }
                            assert!(value_of(&reply) >= *least, "{what}: {reply}");
                            Ok(())
                        });
                    }
                });
            }
        });
    }

    fn entries(&self) -> impl Iterator<Item = (&Told, (&String, &u64))> {
        let entries = |told| std::iter::repeat(told);
        self.0
            .iter()
            .flat_map(move |told| entries(told).zip(&told.values))
    }
}

fn value_of(reply: &Reply) -> u64 {
    reply.text("value").parse().expect("values are numbers")
}
