//! One simulated run: a workload under a plan of faults, then repair, recovery and judgement.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::{Instant, sleep, timeout};

use super::cluster::SimCluster;
use super::fault::{Event, Fault};
use super::outcomes::{Attempt, Outcomes, Recovery};
use super::stage::Stage;
use super::waits::Waits;
use super::{hostile, large, panics, simulate};
use crate::support::driver;
use crate::support::oracle::{Rules, judge};
use crate::support::workload::Workload;

pub use super::setting::Setting;

/// Replicas agree this long after the last fault was mended and every node serves.
const AGREE_LIMIT: Duration = Duration::from_secs(5);

/// How often the replicas are compared until they agree.
const COMPARE_PAUSE: Duration = Duration::from_millis(100);

/// Operators are answered this long after the last repair: `VIEW_CHANGE_TIMEOUT`, and the time that a
/// node needs to reply.
const OPERATOR_LIMIT: Duration = Duration::from_secs(62);

/// Runs a setting from beginning to end, under the plan that its seed draws.
pub fn run(setting: &Setting) -> Outcomes {
    run_under(setting, &setting.plan())
}

/// Runs a setting under a given plan: a shorter one shows what a failure needs.
pub fn run_under(setting: &Setting, plan: &[Event]) -> Outcomes {
    let panics_before = panics::count();
    let mut outcomes = simulate(run_in_simulation(setting, plan));
    outcomes.panics = panics::count() - panics_before;
    outcomes
}

/// The same for runs that may break the simulator itself: a panic outside of a node ends the attempt.
pub fn attempt(setting: &Setting, plan: &[Event]) -> Attempt {
    let ran = catch_unwind(AssertUnwindSafe(|| run_under(setting, plan)));
    Attempt(ran.ok())
}

async fn run_in_simulation(setting: &Setting, plan: &[Event]) -> Outcomes {
    let began = Instant::now();
    let mut cluster = SimCluster::with_spares(setting.seed, setting.nodes, setting.spares, setting.replicas);
    cluster.limits = setting.limits();
    cluster.spares_last_disks = setting.severity.changes > 0;
    if !setting.severity.rough_birth {
        cluster.start_all().await;
    }
    let began_us = cluster.now_us();
    let stage = Stage::new(cluster);
    let workload = RefCell::new(Workload::new(setting.seed, setting.shape.clone()));
    let attack = async {
        if setting.hostile {
            hostile::attack(&stage, &workload, setting).await;
        }
    };
    let load = async {
        if setting.large {
            large::load(&stage, setting).await
        } else {
            Vec::new()
        }
    };
    let (_, mut operators, _, (), garbled) = tokio::join!(
        driver::run(&stage, &workload),
        stage.strike(plan),
        stage.watch_views(),
        attack,
        load
    );
    let mut outcomes = Outcomes {
        changes_under_fault: stage.views.borrow().changes(),
        garbled,
        ..Outcomes::default()
    };
    let answered = async { while operators.next().await.is_some() {} };
    let (recovery, answered) = tokio::join!(recover(&stage), timeout(OPERATOR_LIMIT, answered));
    if answered.is_err() {
        let waiting = operators.len();
        outcomes.pending = Some(format!("{waiting} operators wait for an answer for ever"));
    }
    // A change that was left undecided may meanwhile have been found and finished.
    let recovery = match recovery {
        Ok(recovery) => stage.make_peace().await.map(|()| recovery),
        stuck => stuck,
    };
    match recovery {
        Ok(recovery) => {
            outcomes.recovery = Some(recovery);
            stage.ask_members();
            stage.look();
            outcomes.differences = stage.cluster.borrow().differences();
            driver::final_reads(&stage, &workload).await;
        }
        Err(nodes) => outcomes.stuck = Some(nodes),
    }
    drop(operators);
    outcomes.history = workload.into_inner().into_history();
    // Each lost disk may have had the last copy but for others. Clients wait for what an unreachable
    // member had when it was removed; where tombstones expire soon, it is refused. A write that only one
    // node had is also lost when slots are given up by force, or when an older disk is restored.
    let lasting_replicas = 1
        + u32::from(setting.severity.wipes)
        + u32::from(plan.iter().any(|event| is_forced(event.fault)))
        + u32::from(plan.iter().any(|event| matches!(event.fault, Fault::GoBack(_))))
        + if setting.severity.gentle {
            stage.left_behind.get()
        } else {
            0
        };
    let rules = Rules {
        // Regardless of the number of replicas: a shrunken partition has fewer copies, and an operator
        // who gave up the last holder's slots was warned.
        lasting_replicas: if stage.gave_up_slots.get() {
            u32::MAX
        } else {
            lasting_replicas
        },
        ..Rules::default()
    };
    outcomes.verdict = judge(&outcomes.history, &rules);
    outcomes.waits = Waits::of(&outcomes.history, plan, began_us);
    outcomes.find_swollen();
    outcomes.changes = stage.changes.get();
    outcomes.struck = stage.struck.into_inner();
    outcomes.count_fates(&stage.cluster.borrow());
    outcomes.overlong = stage.cluster.borrow().network.overlong();
    outcomes.rivals = stage.views.into_inner().into_rivals();
    outcomes.simulated = began.elapsed();
    outcomes
}

fn is_forced(fault: Fault) -> bool {
    matches!(fault, Fault::RemoveHere { force: true, .. })
}

/// Repairs everything, and gives the replicas their time. Returns how long all nodes took to serve, and
/// the replicas to agree after that; or what the nodes do if they do not serve in time.
async fn recover(stage: &Stage) -> Result<Recovery, String> {
    let healed = Instant::now();
    stage.make_peace().await?;
    let serving = Instant::now();
    let mut agreed = None;
    while serving.elapsed() < AGREE_LIMIT {
        let agrees = || stage.cluster.borrow().differences().is_empty();
        if agreed.is_none() && agrees() {
            agreed = Some(serving.elapsed());
        }
        sleep(COMPARE_PAUSE).await;
    }
    Ok(Recovery {
        served_after: serving - healed,
        agreed_after: agreed.unwrap_or(AGREE_LIMIT),
    })
}
