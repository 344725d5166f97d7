//! Random runs of a whole simulated cluster under faults, judged by the oracle: a few of the runs that
//! `scripts/soak` does with any number of seeds.
//!
//! `SEED=n cargo test --test simulated one_seed -- --nocapture --ignored` repeats one run with the logs of
//! its nodes; `SEEDS=n FIRST=m` chooses how many runs the gate does and from which seed.

mod clocks;
mod faults;
mod on_the_way;
mod plain;

use std::process::Command;
use std::time::Duration;

use causeway::protocol::causality::Payload;
use futures_util::future::join_all;

use crate::simulated::cluster::SimCluster;
use crate::simulated::run::{Setting, attempt, run, run_under};
use crate::simulated::{key, simulate};
use crate::support::shrink::shrink;

/// More than five hours of a cluster's life.
const SEEDS: u64 = 1100;

#[expect(
    clippy::disallowed_methods,
    reason = "which seeds to run is said from outside"
)]
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// Runs of many seeds, taken together.
#[derive(Debug, Default)]
struct Runs {
    failed: Vec<u64>,
    changes_under_fault: u64,
    simulated: Duration,
}

impl Runs {
    /// Every second seed from `first` on. A simulation stays on its thread.
    fn of_every_second(first: u64, end: u64) -> Self {
        let mut runs = Self::default();
        for seed in (first..end).step_by(2) {
            let setting = Setting::of_seed(seed);
            let plan = setting.plan();
            let ran = attempt(&setting, &plan);
            if let Some(outcomes) = &ran.0 {
                runs.changes_under_fault += outcomes.changes_under_fault;
                runs.simulated += outcomes.simulated;
            }
            if !ran.is_clean() {
                println!("{}", ran.tell(&setting, &plan));
                runs.failed.push(seed);
            }
        }
        runs
    }

    fn add(&mut self, others: Self) {
        self.failed.extend(others.failed);
        self.changes_under_fault += others.changes_under_fault;
        self.simulated += others.simulated;
    }
}

#[test]
fn clusters_under_faults_keep_their_promises() {
    let (first, seeds) = (number("FIRST", 1), number("SEEDS", SEEDS));
    let end = first + seeds;
    let mut runs = std::thread::scope(|scope| {
        let others = scope.spawn(move || Runs::of_every_second(first + 1, end));
        let mut runs = Runs::of_every_second(first, end);
        runs.add(others.join().expect("what a run panics with is caught"));
        runs
    });
    let hours = runs.simulated.as_secs_f64() / 3600.0;
    let changes = runs.changes_under_fault;
    println!("{seeds} seeds, {hours:.1} simulated hours, {changes} view changes under fault");
    runs.failed.sort_unstable();
    assert!(runs.failed.is_empty(), "seeds that failed: {:?}", runs.failed);
}

#[test]
fn runs_that_showed_a_fault_once_are_clean() {
    let shown = [
        (
            914_732,
            "after another removal, nobody waits for who was removed before it and is cut off",
        ),
        (
            920_894,
            "once every earlier epoch is closed, a lost line is waited for, for ever",
        ),
        (
            936_982,
            "an owner that was started after the clocks were set by years refuses what a removed member returns",
        ),
        (
            930_927,
            "an owner that was added after the clocks were set by years neither takes nor refuses it",
        ),
        (
            946_591,
            "a disk from when its node was alone begins a line of its own while a later view serves",
        ),
        (
            952_715,
            "a batch whose keys come to lie in two partitions while it waits begins to wait anew",
        ),
        (
            960_271,
            "nobody asks what is left of an earlier life of a node whose later one lost its disk with it",
        ),
        (
            960_007,
            "an earlier life of a listed node is waited for on a lost line, for ever",
        ),
        (
            972_771,
            "a new owner refuses honest payloads, since it has not heard what records of old owners claimed",
        ),
        (
            975_666,
            "a batch of unknown outcome is done again when the view scatters its keys",
        ),
        (
            988_322,
            "a deletion in a batch is not judged by what a read before it has shown",
        ),
        (
            986_237,
            "the last member is removed, and nobody is left in the view who could carry it out",
        ),
        (
            991_070,
            "a node keeps what it copied for a view that was given up",
        ),
        (
            988_875,
            "a disk of before the first view forms a cluster anew, though a member knows its node",
        ),
        (
            1_013_163,
            "an old disk says that a member has handed over which wrote on, and the last copy is dropped",
        ),
        (
            1_016_075,
            "a node that a lost line had added, and that never served there, is waited for, for ever",
        ),
        (
            1_031_811,
            "a write behind an activation counts what siblings had acknowledged in the epoch before",
        ),
        (
            1_040_031,
            "a member that went back calls while links break, and who knew it to be further forgets that",
        ),
        (
            1_100_166,
            "a removal that clocks noted decades off is forgotten by the next one, and what returns is refused",
        ),
        (
            1_200_784,
            "what was read of a record that a fast clock had stamped is refused by who has that record",
        ),
        (
            1_400_538,
            "reads that one owner cannot answer together wait anew, one by one, for as long again",
        ),
        (
            1_604_572,
            "two lines that share no node, each of which has settled the removal of the other's, never meet",
        ),
        (
            1_504_907,
            "in an epoch from before two lines parted, a forged number is believed to exist",
        ),
        (
            1_510_787,
            "readers are refused who were shown a false dependency by a member that was removed since",
        ),
        (
            937_293,
            "who is in no view believes an owner to be away for ever, and hands over nothing to it",
        ),
        (
            700_148,
            "a line of views that could not be stored when it was met is never asked about again",
        ),
        (
            697,
            "a lone member whose clock was set right refuses honest payloads of that time",
        ),
        (
            101_927,
            "of two drivers at once, the second makes a node forget what it was handed for the first",
        ),
        (
            401_607,
            "a stream whose other end began another life, and owes an answer, is never opened anew",
        ),
        (
            503_201,
            "who comes late from an earlier change drops what was copied for the next",
        ),
        (
            401_848,
            "who only knows nodes that were removed and came back asks none of them for newer views",
        ),
        (
            5_012_925,
            "who refuses what comes back too late waits for what others had handed over to its giver",
        ),
        (
            686,
            "a removal names a log of an epoch that its proposer had not closed yet, and readers wait for it",
        ),
        (
            403,
            "a restarted node has forgotten that a record claimed what its writer made up, and refuses its reader",
        ),
        (21_404, "a node that called its own address counts itself as away"),
        (
            3268,
            "a process with the name of the last member decides alone while that member is dead",
        ),
    ];
    for (seed, fault) in shown {
        let outcomes = run(&Setting::of_seed(seed));
        assert!(outcomes.is_clean(), "{fault}: {}", outcomes.summary());
    }
}

#[test]
fn two_runs_of_a_seed_are_the_same_run() {
    for seed in 1..=6 {
        let history = || run(&Setting::of_seed(seed)).history.to_string();
        assert!(history() == history(), "seed {seed} was not the same twice");
    }
}

/// Together they exceed a frame between nodes.
#[test]
fn large_values_that_are_written_at_once_come_to_every_replica() {
    const VALUE_BYTES: usize = 1024 * 1024;
    let replicas = simulate(async {
        let cluster = SimCluster::serving(1, 2, 2).await;
        let node = cluster.node(0).expect("runs");
        let writes = (0..20).map(|number| async move {
            let key = key(&format!("large-{number}"));
            let written = node
                .requests
                .put(&key, vec![b'v'; VALUE_BYTES].into(), Payload::default());
            written.await.expect("is taken").replicas
        });
        join_all(writes).await
    });
    assert_eq!(replicas, [2; 20]);
}

#[test]
fn a_plan_says_what_strikes() {
    let setting = Setting::of_seed(1);
    let (plan, outcomes) = (setting.plan(), run(&setting));
    assert!(outcomes.struck.values().sum::<u64>() > 0, "{plan:?}");
    let in_peace = run_under(&setting, &[]);
    assert!(in_peace.is_clean() && in_peace.struck.values().all(|count| *count == 0));
}

#[test]
fn a_plan_shrinks_to_what_a_failure_needs() {
    let items: Vec<u32> = (0..40).collect();
    let needs = |kept: &[u32]| kept.contains(&7) && kept.contains(&31);
    assert_eq!(shrink(&items, 1000, needs), [7, 31]);
    let mut asked = 0;
    let of_few_tries = shrink(&items, 5, |kept| {
        asked += 1;
        needs(kept)
    });
    assert!(asked == 5 && needs(&of_few_tries));
    assert!(shrink(&items, 1000, |_| true).is_empty());
}

#[test]
fn a_soak_refuses_mistaken_arguments_before_anything_is_built() {
    let mistakes: [&[&str]; 9] = [
        &["--sedes", "3"],
        &["--seeds"],
        &["--seeds", "0"],
        &["--seeds", "many"],
        &["--seed", "-1"],
        &["--hours", "0"],
        &["--seeds", "3", "--hours", "1"],
        &["--planted", "--hours", "1"],
        &["--keep-histories"],
    ];
    for mistake in mistakes {
        let soak = Command::new("scripts/soak")
            .args(mistake)
            .output()
            .expect("bash runs");
        let said = String::from_utf8_lossy(&soak.stderr);
        assert_eq!(soak.status.code(), Some(64), "{mistake:?}: {said}");
        assert!(
            said.starts_with("scripts/soak: ") && said.lines().count() == 1,
            "{said}"
        );
    }
}

#[test]
#[ignore = "repeats one seed"]
fn one_seed() {
    tracing_subscriber::fmt()
        .with_env_filter("debug")
        .without_time()
        .init();
    let setting = Setting::of_seed(number("SEED", 1));
    let plan = setting.plan();
    let ran = attempt(&setting, &plan);
    println!("{}", ran.tell(&setting, &plan));
    assert!(ran.is_clean());
}
