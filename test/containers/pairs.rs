//! A proxy and data servers, each in a container of its own: killed, cut off from each other, and
//! changed meanwhile.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::cluster::{Cluster, Disk, Start};
use crate::docker::Corner;
use crate::patience::{PATIENT, eventually, let_pass};
use crate::support::pairs::{asked, found, keys, pairs};
use crate::support::request::{Reply, Request};
use crate::support::stopping::StopOnDrop;

/// The containers by number: two proxies, then three data servers, of which the proxies know two.
const PROXIES: [usize; 2] = [0, 1];
const SERVERS: [usize; 3] = [2, 3, 4];
const SPARE: usize = 4;

/// Seconds after which a client retries a proxy that is unavailable.
const RETRY: f64 = 0.02;

/// The proxies and servers, and the names by which they know each other.
struct Cast {
    cluster: Cluster,
    names: Vec<String>,
}

impl Cast {
    fn start() -> Self {
        let corner = Corner::open();
        let names: Vec<String> = (0..5)
            .map(|index| format!("{}:8080", corner.node(index)))
            .collect();
        let known = names[SERVERS[0]..SPARE].join(",");
        let listen = ["--listen", "0.0.0.0:8080"];
        let proxy = ["proxy", "--servers", &known];
        let server = ["data-server", "--data-dir", "/data"];
        let starts = (0..5).map(|index| {
            let words = if PROXIES.contains(&index) { proxy } else { server };
            let mut start = Start::new(Disk::Volume);
            start.arguments = words
                .iter()
                .chain(&listen)
                .map(|word| (*word).to_owned())
                .collect();
            start
        });
        let cluster = Cluster::create(corner, starts.collect());
        let cast = Self { cluster, names };
        cast.cluster.on_all(|index| cast.bring_back(index));
        for proxy in PROXIES {
            cast.wait_for_servers(proxy, 2);
        }
        cast
    }

    /// Waits until a proxy knows this many servers, and no key is moving to one of them.
    fn wait_for_servers(&self, proxy: usize, count: usize) {
        eventually(PATIENT, "a settled list of servers", || {
            let reply = self.ask(proxy, "GET", "/servers", &Value::Null);
            let listed = reply.json().as_array().map(Vec::len);
            match (listed == Some(count), reply.header("causeway-moving")) {
                (true, None) => Ok(()),
                (_, moving) => Err(format!("{reply}, moving: {moving:?}")),
            }
        });
    }

    /// Starts a container and waits until it answers.
    fn bring_back(&self, index: usize) {
        self.cluster.start(index);
        self.cluster.wait_live(index);
    }

    fn try_ask(&self, at: usize, method: &str, path: &str, body: &Value) -> Option<Reply> {
        let request = Request::new(method, path).body("application/x-www-form-urlencoded", body.to_string());
        self.cluster.try_send(at, request).ok()
    }

    #[track_caller]
    fn ask(&self, at: usize, method: &str, path: &str, body: &Value) -> Reply {
        let reply = self.try_ask(at, method, path, body);
        reply.unwrap_or_else(|| panic!("{method} {path} at n{}: no answer", at + 1))
    }

    /// Sets pairs until all are confirmed: on a busy disk a sync may take longer than a request.
    fn set(&self, path: &str, pairs: &Value) {
        eventually(PATIENT, "a set is confirmed", || {
            let reply = self.ask(PROXIES[0], "PUT", path, pairs);
            if reply.status == 200 {
                Ok(())
            } else {
                Err(reply.to_string())
            }
        });
    }

    /// The values of these keys, all of which must be known.
    fn try_values(&self, at: usize, keys: &[String]) -> Option<Vec<Option<String>>> {
        found(&self.try_ask(at, "POST", "/fetch", &asked(keys))?.json())
    }

    /// Waits until a proxy returns every key.
    fn values(&self, at: usize, keys: &[String]) -> Vec<Option<String>> {
        eventually(PATIENT, "every key is to be had", || {
            self.try_values(at, keys).ok_or_else(|| "some are not".to_owned())
        })
    }

    /// The number of pairs that a server stores itself.
    fn share(&self, server: usize) -> usize {
        self.ask(server, "GET", "/fetch", &Value::Null).list().len()
    }
}

/// Writers and readers of one set of keys; a writer sets all of them to one number at once.
struct Load<'a> {
    cast: &'a Cast,
    keys: &'a [String],
    path: &'a str,
    /// The number of sets that were answered, with any result.
    answered: AtomicUsize,
    stop: AtomicBool,
}

impl Load<'_> {
    /// Sets the keys through a proxy until told to stop; returns the last confirmed number.
    fn write_on(&self, proxy: usize) -> usize {
        let (mut number, mut confirmed) = (0, 0);
        while !self.stop.load(Ordering::Relaxed) {
            number += 1;
            let body = pairs(self.keys, &number.to_string());
            let Some(reply) = self.cast.try_ask(proxy, "PUT", self.path, &body) else {
                let_pass(RETRY);
                continue;
            };
            if reply.status == 200 {
                confirmed = number;
            }
            self.answered.fetch_add(1, Ordering::Relaxed);
        }
        confirmed
    }

    /// Reads all of them through a proxy until told to stop; returns how often it got them.
    fn read_on(&self, proxy: usize) -> usize {
        let mut whole = 0;
        while !self.stop.load(Ordering::Relaxed) {
            let Some(values) = self.cast.try_values(proxy, self.keys) else {
                continue;
            };
            let different: BTreeSet<_> = values.iter().collect();
            assert_eq!(different.len(), 1, "half of a set was seen: {different:?}");
            whole += 1;
        }
        whole
    }

    /// Kills a server and restarts it, then cuts it off from the writer's proxy and heals the cut.
    fn trouble(&self, server: usize) {
        self.cast.cluster.kill(server);
        self.wait_for_sets(2);
        self.cast.bring_back(server);
        self.wait_for_sets(5);
        self.cast.cluster.cut_link(server, PROXIES[0]);
        self.wait_for_sets(2);
        self.cast.cluster.heal_links(server);
    }

    /// Waits for this many more answers.
    fn wait_for_sets(&self, count: usize) {
        let goal = self.answered.load(Ordering::Relaxed) + count;
        eventually(PATIENT, "sets go on", || {
            let now = self.answered.load(Ordering::Relaxed);
            match now >= goal {
                true => Ok(()),
                false => Err(format!("{now} of {goal}")),
            }
        });
    }
}

/// One writer and one reader, each at a proxy of its own, for as long as `disturb` takes. Returns the
/// writer's last confirmed number.
fn under_load(cast: &Cast, keys: &[String], path: &str, disturb: impl FnOnce(&Load)) -> usize {
    let load = Load {
        cast,
        keys,
        path,
        answered: AtomicUsize::new(0),
        stop: AtomicBool::new(false),
    };
    thread::scope(|scope| {
        let writer = scope.spawn(|| load.write_on(PROXIES[0]));
        let reader = path
            .contains("atomic")
            .then(|| scope.spawn(|| load.read_on(PROXIES[1])));
        let stopping = StopOnDrop(&load.stop);
        disturb(&load);
        drop(stopping);
        if let Some(reader) = reader {
            assert!(reader.join().expect("no reader saw half") > 0, "nothing was read");
        }
        writer.join().expect("no writer panics")
    })
}

#[track_caller]
fn assert_not_before(values: &[Option<String>], confirmed: usize) {
    for value in values {
        let number: usize = value.as_ref().expect("was set").parse().expect("is a number");
        assert!(number >= confirmed, "{number}, and {confirmed} was confirmed");
    }
}

#[test]
fn servers_that_are_killed_and_cut_off_keep_what_was_confirmed() {
    let cast = Cast::start();
    let keys = keys("k", 60);
    let confirmed = under_load(&cast, &keys, "/set", |load| {
        for server in [SERVERS[0], SERVERS[1]] {
            load.wait_for_sets(5);
            load.trouble(server);
        }
        load.wait_for_sets(5);
    });
    assert!(confirmed > 10);
    for proxy in PROXIES {
        assert_not_before(&cast.values(proxy, &keys), confirmed);
    }
    cast.cluster.kill_all();
    cast.cluster.on_all(|index| cast.bring_back(index));
    assert_not_before(&cast.values(PROXIES[1], &keys), confirmed);
    assert_eq!(cast.share(SERVERS[0]) + cast.share(SERVERS[1]), keys.len());
}

#[test]
fn no_client_sees_half_of_an_atomic_set_whichever_process_is_killed_or_cut_off() {
    let cast = Cast::start();
    let keys = keys("k", 12);
    cast.set("/set?atomic=true", &pairs(&keys, "0"));
    let confirmed = under_load(&cast, &keys, "/set?atomic=true", |load| {
        for server in [SERVERS[0], SERVERS[1]] {
            load.wait_for_sets(5);
            cast.cluster.kill(PROXIES[0]);
            cast.bring_back(PROXIES[0]);
            load.wait_for_sets(5);
            load.trouble(server);
        }
        load.wait_for_sets(5);
    });
    assert!(confirmed > 0);
    let values = cast.values(PROXIES[1], &keys);
    assert_not_before(&values, confirmed);
    assert_eq!(values.iter().collect::<BTreeSet<_>>().len(), 1, "{values:?}");
}

#[test]
fn a_join_whose_proxy_and_whose_server_are_killed_is_finished_by_another_proxy() {
    let cast = Cast::start();
    let keys = keys("k", 3000);
    for some in keys.chunks(300) {
        cast.set("/set", &pairs(some, &"x".repeat(500)));
    }
    let body = json!({"server": cast.names[SPARE]});
    thread::scope(|scope| {
        // A busy server may not answer in time; then nothing has begun.
        let was_heard = || {
            let reply = cast.try_ask(PROXIES[0], "POST", "/servers", &body);
            reply.is_none_or(|reply| reply.status != 503)
        };
        let adding = scope.spawn(move || (0..50).any(|_| was_heard()));
        eventually(PATIENT, "the first keys move", || match cast.share(SPARE) {
            0 => Err("none yet".to_owned()),
            _ => Ok(()),
        });
        cast.cluster.kill_these(&[PROXIES[0], SPARE]);
        drop(adding.join());
    });
    cast.bring_back(SPARE);
    let values = cast.values(PROXIES[1], &keys);
    assert!(values.iter().all(Option::is_some), "while they move");
    cast.wait_for_servers(PROXIES[1], 3);
    let shares = SERVERS.map(|server| cast.share(server));
    assert_eq!(shares.iter().sum::<usize>(), keys.len(), "{shares:?}");
    assert!(shares.iter().all(|share| *share > 700), "{shares:?}");
    cast.bring_back(PROXIES[0]);
    assert!(cast.values(PROXIES[0], &keys).iter().all(Option::is_some));
}
