//! Tests two processes that replicate, each from a configuration file in a container of its own, as on
//! two machines. They reach each other by name, and suffer the faults of machines.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use tempfile::TempDir;

use crate::cluster::{Cluster, Disk, Start};
use crate::docker::Corner;
use crate::patience::{HEALED, PATIENT, PROMPT, eventually, let_pass};
use crate::support::request::{Reply, Request};
use crate::support::stopping::StopOnDrop;

/// Seconds after which a client retries a process that did not take its write.
const RETRY: f64 = 0.02;

/// The two, and the folder with their files, which their containers have open.
struct Two {
    cluster: Cluster,
    _files: TempDir,
}

impl Two {
    /// Writes the files, creates the containers and starts none.
    fn lay_out() -> Self {
        let (corner, files) = (Corner::open(), TempDir::new().expect("a folder"));
        let starts = [(0, 1), (1, 0)].map(|(own, other)| {
            let address = format!("{}:8080", corner.node(own));
            let peer = format!("{}:8080", corner.node(other));
            let text = format!(
                "port = 8080\naddress = \"{address}\"\npeers = [\"{peer}\"]\nreplication_factor = 2\n"
            );
            let file = files.path().join(format!("n{own}.toml"));
            fs::write(&file, text).expect("the folder is there");
            let mut start = Start::new(Disk::Volume);
            let mount = format!("--volume={}:/node.toml:ro", file.display());
            start.options.push(mount);
            start.arguments = ["serve", "--config", "/node.toml"].map(str::to_owned).into();
            start
        });
        readable(files.path());
        Self {
            cluster: Cluster::create(corner, starts.into()),
            _files: files,
        }
    }

    fn start() -> Self {
        let two = Self::lay_out();
        two.cluster.on_all(|index| two.cluster.start(index));
        (0..2).for_each(|index| two.cluster.wait_ready(index));
        two
    }

    fn try_set(&self, at: usize, key: &str, value: &[u8]) -> bool {
        let request = Request::new("PUT", &format!("/set/{key}")).body("application/json", value);
        let reply = self.cluster.try_send(at, request);
        reply.is_ok_and(|reply| reply.status == 200 && reply.body == b"OK\n")
    }

    #[track_caller]
    fn set(&self, at: usize, key: &str, value: &[u8]) {
        assert!(self.try_set(at, key, value), "{key} at n{}", at + 1);
    }

    #[track_caller]
    fn get(&self, at: usize, key: &str) -> Reply {
        self.cluster.send(at, Request::new("GET", &format!("/get/{key}")))
    }

    #[track_caller]
    fn assert_has(&self, at: usize, key: &str, value: &[u8]) {
        let reply = self.get(at, key).expect(200);
        assert!(reply.body == value, "{key} at n{}: {reply}", at + 1);
    }
}

/// The program in the container runs as another user than the tests.
fn readable(folder: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("is our own");
}

/// A writer's confirmed values: its own keys, whose values only rise.
type Stored = BTreeMap<String, u64>;

/// A writer at each of the two, and the number of its confirmed writes.
struct Load<'a> {
    two: &'a Two,
    stored: [AtomicUsize; 2],
    stop: AtomicBool,
}

impl Load<'_> {
    /// Writes its own keys at one of them until told to stop, whether it answers or not.
    fn write_on(&self, at: usize) -> Stored {
        let mut stored = Stored::new();
        for turn in 1.. {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let key = format!("load-{at}-{}", turn % 40);
            if self.two.try_set(at, &key, turn.to_string().as_bytes()) {
                stored.insert(key, turn);
                self.stored[at].fetch_add(1, Ordering::Relaxed);
            } else {
                let_pass(RETRY);
            }
        }
        stored
    }

    /// Waits until both have taken a few more writes.
    fn goes_on(&self) {
        for stored in &self.stored {
            let goal = stored.load(Ordering::Relaxed) + 50;
            eventually(PATIENT, "writes go on", || match stored.load(Ordering::Relaxed) {
                now if now >= goal => Ok(()),
                now => Err(format!("{now} of {goal}")),
            });
        }
    }
}

impl Two {
    /// Writes to both for as long as `disturb` takes.
    fn under_load(&self, disturb: impl FnOnce(&Load)) -> [Stored; 2] {
        let load = Load {
            two: self,
            stored: Default::default(),
            stop: AtomicBool::new(false),
        };
        thread::scope(|scope| {
            let load = &load;
            let writers = [0, 1].map(|at| scope.spawn(move || load.write_on(at)));
            let stopping = StopOnDrop(&load.stop);
            disturb(load);
            drop(stopping);
            writers.map(|writer| writer.join().expect("no writer panics"))
        })
    }

    /// Both have each key's last confirmed value, or a later unconfirmed one.
    #[track_caller]
    fn assert_all_there(&self, stored: &[Stored]) {
        for (key, confirmed) in stored.iter().flatten() {
            let [one, other] = [0, 1].map(|at| self.get(at, key).expect(200).body);
            assert_eq!(one, other, "{key}");
            let value: u64 = String::from_utf8_lossy(&one).parse().expect("is a number");
            assert!(value >= *confirmed, "{key} is {value}, {confirmed} was confirmed");
        }
    }
}

#[test]
fn they_find_each_other_by_name_and_values_are_fresh_and_verbatim() {
    let two = Two::lay_out();
    two.cluster.start(1);
    two.cluster.wait_live(1);
    two.cluster.start(0);
    (0..2).for_each(|index| two.cluster.wait_ready(index));
    let values: [&[u8]; 4] = [b"", b"\0\xff\r\n", br#"{"a": [1, 2]}"#, &[7; 1 << 20]];
    for (number, value) in values.into_iter().cycle().take(40).enumerate() {
        let (at, key) = (number % 2, format!("k{}", number % 3));
        two.set(at, &key, value);
        two.assert_has(1 - at, &key, value);
    }
    let reply = two.get(0, "k0").expect(200);
    assert_eq!(reply.header("content-type"), Some("application/octet-stream"));
    two.get(1, "never").expect(404);
}

#[test]
fn a_process_that_is_killed_under_load_comes_back_and_nothing_is_lost() {
    let two = Two::start();
    for victim in [1, 0] {
        let stored = two.under_load(|load| {
            load.goes_on();
            two.cluster.kill(victim);
            // It is detected at once, not only when connections to it have been given up.
            for round in 0..20 {
                let value = format!("alone {victim} {round}");
                let request = Request::new("PUT", "/set/alone").body("text/plain", value.as_str());
                two.cluster.send(1 - victim, request).expect(200).within(PROMPT);
                two.assert_has(1 - victim, "alone", value.as_bytes());
            }
            two.cluster.start(victim);
            two.cluster.wait_ready(victim);
            load.goes_on();
        });
        two.assert_all_there(&stored);
        two.assert_has(victim, "alone", format!("alone {victim} 19").as_bytes());
    }
    two.cluster.kill_all();
    two.cluster.on_all(|index| two.cluster.start(index));
    (0..2).for_each(|index| two.cluster.wait_ready(index));
    two.assert_has(0, "alone", b"alone 0 19");
    two.assert_has(1, "alone", b"alone 0 19");
}

#[test]
fn a_cut_stops_nobody_and_both_agree_when_it_heals() {
    let two = Two::start();
    two.set(0, "shared", b"before");
    let stored = two.under_load(|load| {
        load.goes_on();
        two.cluster.cut_link(0, 1);
        for round in 0..10 {
            for at in [0, 1] {
                two.set(at, "shared", format!("{round} at {at}").as_bytes());
                two.assert_has(at, "shared", format!("{round} at {at}").as_bytes());
            }
        }
        load.goes_on();
        two.cluster.heal_links(0);
    });
    let shared = eventually(HEALED, "one value of the shared key", || {
        let [one, other] = [0, 1].map(|at| two.get(at, "shared").expect(200).body);
        match one == other {
            true => Ok(one),
            false => Err(format!("{one:?} and {other:?}")),
        }
    });
    assert!(
        String::from_utf8_lossy(&shared).starts_with("9 at "),
        "{shared:?}"
    );
    eventually(HEALED, "all that was stored, at both", || {
        let all = stored.iter().flatten();
        let differs = |key: &String| two.get(0, key).body != two.get(1, key).body;
        match all.map(|(key, _)| key).find(|key| differs(key)) {
            None => Ok(()),
            Some(key) => Err(format!("{key} differs")),
        }
    });
    two.assert_all_there(&stored);
    two.set(0, "shared", b"after");
    two.assert_has(1, "shared", b"after");
}

#[test]
fn a_machine_that_lost_its_disk_gets_everything_back() {
    let two = Two::start();
    let keys: Vec<String> = (0..200).map(|number| format!("kept-{number}")).collect();
    for key in &keys {
        two.set(1, key, key.as_bytes());
    }
    two.cluster.kill(1);
    two.cluster.wipe(1);
    two.cluster.start(1);
    two.cluster.wait_ready(1);
    for key in &keys {
        two.assert_has(1, key, key.as_bytes());
    }
    two.cluster.kill(0);
    for key in &keys {
        two.assert_has(1, key, key.as_bytes());
    }
}

#[test]
fn a_machine_that_was_frozen_or_cut_off_sees_at_once_what_was_set_meanwhile() {
    let two = Two::start();
    for round in 0..6 {
        let (away, stays) = (round % 2, 1 - round % 2);
        let value = format!("round {round}");
        if round < 4 {
            two.cluster.pause(away);
        } else {
            two.cluster.cut_link(0, 1);
        }
        // Longer than either waits for the other, and long enough for TCP to resend rarely.
        let_pass(1.5);
        // The first is pushed to the other and waits there; the second is not even sent.
        two.set(stays, "k", b"old");
        two.set(stays, "k", value.as_bytes());
        if round < 4 {
            two.cluster.unpause(away);
        } else {
            two.cluster.heal_links(0);
        }
        two.assert_has(away, "k", value.as_bytes());
        two.set(away, "k", b"later");
        two.assert_has(stays, "k", b"later");
    }
}
