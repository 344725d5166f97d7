//! One simulated run: a workload under a plan of faults, then peace, recovery, and the judgement.

use std::cell::RefCell;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::cluster::SimCluster;
use super::plan::{Event, Fault, QUICK_SYNC_MS, draw};
use super::stage::Stage;
use super::{panics, simulate};
use crate::support::driver;
use crate::support::history::{self, History, Phase};
use crate::support::oracle::{Rules, Verdict, judge};
use crate::support::workload::Workload;

pub use super::setting::Setting;

/// Replicas agree this long after the last fault was mended.
const AGREE_LIMIT: Duration = Duration::from_secs(5);

/// A request is answered within this, or refused.
const ANSWER_LIMIT_US: u64 = 1_300_000;

/// For this long after its start a node may keep requests waiting.
const STARTING_US: u64 = 2_000_000;

/// What came of a run.
#[derive(Debug)]
pub struct Outcomes {
    pub plan: Vec<Event>,
    pub history: History,
    pub verdict: Verdict,
    /// Replicas of one partition that hold different records at the end.
    pub differences: Vec<String>,
    /// Epochs that have more than one view.
    pub rivals: Vec<String>,
    /// Answers that took too long.
    pub late: Vec<String>,
    pub panics: u64,
    /// View changes that an operator was told are done.
    pub changes: u64,
    pub simulated: Duration,
}

impl Outcomes {
    pub fn is_clean(&self) -> bool {
        self.is_safe() && self.late.is_empty()
    }

    /// True if every promise was kept, however late.
    pub fn is_safe(&self) -> bool {
        let same = self.differences.is_empty() && self.rivals.is_empty();
        self.verdict.is_clean() && self.panics == 0 && same
    }

    /// What was wrong, in a word or two.
    pub fn summary(&self) -> String {
        let kinds = self
            .verdict
            .violations
            .iter()
            .map(|violation| format!("{:?}", violation.kind));
        let mut words: Vec<String> = kinds.collect();
        words.dedup();
        let lists = [
            (&self.differences, "replicas differ"),
            (&self.rivals, "two views"),
            (&self.late, "late answers"),
        ];
        let listed = lists.into_iter().filter(|(list, _)| !list.is_empty());
        words.extend(listed.map(|(_, word)| word.to_owned()));
        if self.panics > 0 {
            words.push("panic".to_owned());
        }
        words.join(", ")
    }
}

/// Runs a setting from beginning to end.
pub fn run(setting: &Setting) -> Outcomes {
    let panics_before = panics::count();
    let mut outcomes = simulate(run_in_simulation(setting));
    outcomes.panics = panics::count() - panics_before;
    outcomes
}

async fn run_in_simulation(setting: &Setting) -> Outcomes {
    let began = Instant::now();
    let mut cluster = SimCluster::with_spares(setting.seed, setting.nodes, setting.spares, setting.replicas);
    cluster.limits = setting.limits();
    if !setting.severity.rough_birth {
        cluster.start_all().await;
    }
    let plan = draw(
        &cluster.dice,
        setting.nodes,
        setting.spares,
        setting.replicas,
        setting.severity,
    );
    let began_us = cluster.now_us();
    let stage = Stage::new(cluster);
    let workload = RefCell::new(Workload::new(setting.seed, setting.shape.clone()));
    tokio::join!(
        driver::run(&stage, &workload),
        stage.strike(&plan, setting),
        stage.watch_views()
    );
    stage.make_peace().await;
    sleep(AGREE_LIMIT).await;
    // A change that was left undecided may have been found and finished meanwhile.
    stage.make_peace().await;
    stage.ask_members();
    stage.look();
    let differences = stage.cluster.borrow().differences();
    driver::final_reads(&stage, &workload).await;
    let history = workload.borrow().history().clone();
    let rules = Rules {
        // Each disk that is lost, and each member that was removed while it was away, may have had the last
        // copy but for others; readers do not wait for what such a member returns.
        lasting_replicas: 1 + u32::from(setting.severity.wipes) + stage.left_behind.get(),
        ..Rules::default()
    };
    Outcomes {
        verdict: judge(&history, &rules),
        late: late_answers(&history, &plan, began_us),
        rivals: stage.views.into_inner().into_rivals(),
        plan,
        history,
        differences,
        panics: 0,
        changes: stage.changes.get(),
        simulated: began.elapsed(),
    }
}

/// Answers over the limit that nothing excuses: all disks were quick, and the node that was asked was
/// not just starting.
fn late_answers(history: &History, plan: &[Event], began_us: u64) -> Vec<String> {
    let over = history
        .events
        .iter()
        .filter(|event| event.took_us() > ANSWER_LIMIT_US);
    let excused = |event: &&history::Event| event.phase == Phase::Run && is_excused(event, plan, began_us);
    let late = over.filter(|event| !excused(event));
    late.map(|event| format!("took {} ms: {event}", event.took_us() / 1000))
        .collect()
}

fn is_excused(event: &history::Event, plan: &[Event], began_us: u64) -> bool {
    let at_us = |one: &Event| began_us + one.at_ms * 1000;
    let mut slow_since = None;
    plan.iter().any(|one| match one.fault {
        Fault::Start(node) => {
            node == event.node && (at_us(one)..at_us(one) + STARTING_US).contains(&event.start_us)
        }
        Fault::SlowDisk(node, sync_ms) if sync_ms > QUICK_SYNC_MS => {
            slow_since = Some((node, at_us(one)));
            false
        }
        _ => false,
    }) || slow_since.is_some_and(|(_, since_us)| since_us <= event.end_us)
}
