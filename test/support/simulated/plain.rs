//! Simulated runs of clients that carry no payload: two or three processes that are frozen, killed and
//! cut off, asked by `/get` and `/set`, and judged by real time.
//!
//! Every process holds every key, as two processes that replicate do. A process that reaches another must
//! see what was answered there ([`register`]). And each process is available: while nothing changes, it
//! answers within a second, whatever the others do.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use bytes::Bytes;
use causeway::api::respond;
use futures_util::future::join_all;
use http::{Method, Request, Response};
use tokio::time::{Instant, sleep, sleep_until};

use super::cluster::SimCluster;
use super::dice::Dice;
use super::fault::{Event, Fault};
use super::reach::Reach;
use super::stage::Stage;
use super::{panics, simulate};
use crate::support::history::Outcome;
use crate::support::oracle::register::{self, Act, Operation, Wrong};

pub use super::plain_plan::PlainSetting;

const LANES: usize = 6;

const KEYS: [&str; 3] = ["a", "b", "c"];

/// A process answers within this time while nothing changes.
const ANSWER_LIMIT_US: u64 = 1_000_000;

/// For this long after a change, the processes are detecting it, and may take longer or refuse.
const FIND_OUT_US: u64 = 1_500_000;

/// After the last fault everything comes to rest within this time.
const REST: Duration = Duration::from_secs(5);

/// The results of a run.
#[derive(Debug, Default)]
pub struct PlainOutcomes {
    pub history: Vec<Operation>,
    pub wrongs: Vec<Wrong>,
    /// Operations that took too long, or were refused, while nothing changed.
    pub unavailable: Vec<String>,
    pub stuck: Option<String>,
    pub panics: u64,
}

impl PlainOutcomes {
    pub fn is_clean(&self) -> bool {
        self.is_safe() && self.unavailable.is_empty() && self.stuck.is_none()
    }

    /// True if every operation saw what it must see.
    pub fn is_safe(&self) -> bool {
        self.wrongs.is_empty() && self.panics == 0
    }

    /// Reports everything about a failed run, and how to repeat it.
    pub fn tell(&self, setting: &PlainSetting, plan: &[Event]) -> String {
        let PlainSetting { seed, processes, .. } = setting;
        let mut text = format!("seed {seed}: {processes} processes\n");
        for event in plan {
            text += &format!("{:>6} ms  {:?}\n", event.at_ms, event.fault);
        }
        let wrongs = self.wrongs.iter().map(ToString::to_string);
        for line in wrongs.chain(self.unavailable.clone()).chain(self.stuck.clone()) {
            text += &format!("{line}\n");
        }
        if self.panics > 0 {
            text += &format!("{} panics\n", self.panics);
        }
        text + &format!(
            "repeat with: SEED={seed} cargo test --test simulated one_plain_seed -- --nocapture --ignored\n"
        )
    }
}

pub fn run(setting: &PlainSetting) -> PlainOutcomes {
    run_under(setting, &setting.plan())
}

pub fn run_under(setting: &PlainSetting, plan: &[Event]) -> PlainOutcomes {
    let panics_before = panics::count();
    let mut outcomes = simulate(PlainRun::go(setting, plan));
    outcomes.panics = panics::count() - panics_before;
    outcomes.wrongs = register::judge(&outcomes.history);
    outcomes
}

/// A run in progress.
struct PlainRun {
    stage: Stage,
    reach: RefCell<Reach>,
    history: RefCell<Vec<Operation>>,
    unavailable: RefCell<Vec<String>>,
    values: Cell<u32>,
}

impl PlainRun {
    async fn go(setting: &PlainSetting, plan: &[Event]) -> PlainOutcomes {
        let replicas = u32::try_from(setting.processes).expect("few");
        let mut cluster = SimCluster::new(setting.seed, setting.processes, replicas);
        cluster.network.back_off();
        cluster.start_all().await;
        let run = Self {
            stage: Stage::new(cluster),
            reach: RefCell::default(),
            history: RefCell::default(),
            unavailable: RefCell::default(),
            values: Cell::new(0),
        };
        run.look();
        let lanes = (0..LANES).map(|lane| run.lane(setting, lane as u64));
        tokio::join!(run.strike(plan, setting.span_ms), join_all(lanes));
        let stuck = run.rest().await.err();
        PlainOutcomes {
            history: run.history.into_inner(),
            unavailable: run.unavailable.into_inner(),
            stuck,
            ..PlainOutcomes::default()
        }
    }

    fn look(&self) {
        self.reach.borrow_mut().look(&self.stage.cluster.borrow());
    }

    /// Executes the plan; the clients run for as long as it does, and a little longer.
    async fn strike(&self, plan: &[Event], span_ms: u64) {
        let began = Instant::now();
        for event in plan {
            sleep_until(began + Duration::from_millis(event.at_ms)).await;
            self.stage.apply(event.fault).await;
            self.look();
            if matches!(event.fault, Fault::Break(..)) {
                let now_us = self.stage.cluster.borrow().now_us();
                self.reach.borrow_mut().interrupted(now_us);
            }
        }
        sleep_until(began + Duration::from_millis(span_ms)).await;
        self.stage.is_over.set(true);
    }

    async fn lane(&self, setting: &PlainSetting, lane: u64) {
        let dice = Dice::new(setting.seed ^ (lane << 48));
        while !self.stage.is_over.get() {
            sleep(Duration::from_micros(dice.between(0, setting.pause_us_max))).await;
            let node = usize::try_from(dice.between(0, setting.processes as u64 - 1)).expect("few");
            let key = KEYS[usize::try_from(dice.between(0, KEYS.len() as u64 - 1)).expect("few")];
            match dice.chance(45) {
                true => self.set(node, key).await,
                false => self.get(node, key, false).await,
            }
        }
    }

    async fn set(&self, node: usize, key: &str) {
        self.values.set(self.values.get() + 1);
        let value = format!("v{}", self.values.get());
        let request = request(Method::POST, &format!("/set/{key}"), value.clone());
        self.operate(node, key, request, false, |answer| match answer {
            Ok(reply) if reply.status() == 200 => Act::Set(value),
            Ok(reply) if reply.status() == 504 => Act::SetUnknown(value),
            Ok(_) | Err(Outcome::Refused(_)) => Act::SetRefused(value),
            Err(_) => Act::SetUnknown(value),
        })
        .await;
    }

    async fn get(&self, node: usize, key: &str, is_final: bool) {
        let request = request(Method::GET, &format!("/get/{key}"), String::new());
        self.operate(node, key, request, is_final, |answer| match answer {
            Ok(reply) if reply.status() == 200 => {
                let value = String::from_utf8(reply.body().to_vec());
                Act::Got(Some(value.expect("the clients write text")))
            }
            Ok(reply) if reply.status() == 404 => Act::Got(None),
            Ok(reply) => Act::GotNoAnswer(format!("{} {:?}", reply.status(), reply.body())),
            Err(outcome) => Act::GotNoAnswer(format!("{outcome:?}")),
        })
        .await;
    }

    /// Sends a request, and records its outcome.
    async fn operate(
        &self,
        node: usize,
        key: &str,
        request: Request<Bytes>,
        is_final: bool,
        act: impl FnOnce(Result<Response<Bytes>, Outcome>) -> Act,
    ) {
        let start_us = self.stage.cluster.borrow().now_us();
        let asked = self
            .stage
            .request(node, async |node| respond(&node, request).await);
        let answer = asked.await.map_err(|reply| reply.outcome);
        let end_us = self.stage.cluster.borrow().now_us();
        let reach = self.reach.borrow();
        let operation = Operation {
            key: key.to_owned(),
            node,
            start_us,
            end_us,
            act: act(answer),
            reaches: reach.since(node, start_us),
            is_final,
        };
        let steady_us = start_us.saturating_sub(FIND_OUT_US);
        if reach.is_awake_since(node, start_us) && reach.is_steady_since(steady_us) {
            let is_done = matches!(operation.act, Act::Set(_) | Act::Got(_));
            if !is_done || end_us - start_us > ANSWER_LIMIT_US {
                let what = if is_done { "late" } else { "not done" };
                self.unavailable.borrow_mut().push(format!("{what}: {operation}"));
            }
        }
        self.history.borrow_mut().push(operation);
    }

    /// Repairs everything, lets it come to rest, and reads every key at every process.
    async fn rest(&self) -> Result<(), String> {
        self.stage.make_peace().await?;
        self.look();
        sleep(REST).await;
        let count = self.stage.cluster.borrow().nodes.len();
        for key in KEYS {
            for node in 0..count {
                self.get(node, key, true).await;
            }
        }
        let differences = self.stage.cluster.borrow().differences();
        match differences.is_empty() {
            true => Ok(()),
            false => Err(format!("at the end the processes differ: {differences:?}")),
        }
    }
}

fn request(method: Method, path: &str, body: String) -> Request<Bytes> {
    Request::builder()
        .method(method)
        .uri(path)
        .body(Bytes::from(body))
        .expect("a method, a path and a body make a request")
}
