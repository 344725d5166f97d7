//! Draws the operations of sessions in a random run: a state machine over a seed, for any driver.
//!
//! Sessions work on a few keys so that they conflict. They thread their payloads through randomly drawn
//! nodes, and sometimes hand them to each other. Each lane runs one session after another. A session
//! ends with a write of unknown outcome, or by chance; the next one starts with its payload or with
//! none. A lane draws from its own seed, so its choices depend on the answers only.
//!
//! A session mostly stays at its key or goes to the neighbouring one: keys that are written together and
//! read together show an effect without its cause, and a lost write before another hides it. Only every
//! other key is deleted: a deletion of unknown outcome excuses "not found" for ever, and keys without
//! deletions stay strict.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

pub use super::shape::{Shape, spread_keys};

use super::history::{Action, Event, History, OpId, Operation, Outcome, Phase, Reply, SessionId};

/// At the end, the payloads of this many ended sessions are read again, the last ones: in a simulated
/// run, all. Long runs have thousands, and would read for longer than they ran.
const HEIRS_MAX: usize = 100;

/// One request: after the pause, sent to the node with the payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The number of the first operation; the others count on from it.
    pub id: OpId,
    pub session: SessionId,
    pub phase: Phase,
    pub pause_us: u64,
    pub node: usize,
    pub operations: Vec<Operation>,
    pub payload: String,
    pub after: Vec<OpId>,
}

#[derive(Debug)]
pub struct Workload {
    shape: Shape,
    lanes: Vec<Lane>,
    operations: u32,
    sessions: u32,
    /// The last payload of each ended session.
    ended: Vec<Known>,
    stopped: bool,
    history: History,
}

#[derive(Debug)]
struct Lane {
    rng: StdRng,
    session: SessionId,
    known: Known,
    /// The place of its last key.
    place: usize,
}

/// The payload that a session sends next, and the operations that it came from.
#[derive(Debug, Clone, Default)]
pub struct Known {
    payload: String,
    after: Vec<OpId>,
}

impl Workload {
    pub fn new(seed: u64, shape: Shape) -> Self {
        let lanes = (0..shape.lanes).map(|lane| Lane {
            rng: StdRng::seed_from_u64(seed ^ ((lane as u64) << 48)),
            session: SessionId(lane as u32),
            known: Known::default(),
            place: 0,
        });
        Self {
            lanes: lanes.collect(),
            sessions: shape.lanes as u32,
            shape,
            operations: 0,
            ended: Vec::new(),
            stopped: false,
            history: History::default(),
        }
    }

    pub fn lanes(&self) -> usize {
        self.lanes.len()
    }

    /// Sends no further operation; pending ones may finish.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    /// The lane's next step for a cluster of `nodes`, if the run continues.
    pub fn next(&mut self, lane: usize, nodes: usize) -> Option<Step> {
        if self.stopped || self.operations as usize >= self.shape.operations {
            return None;
        }
        if self.chance(lane, self.shape.session_ends) {
            self.begin_session(lane);
        }
        let mut known = self.lanes[lane].known.clone();
        if self.chance(lane, self.shape.hand_overs) {
            let lanes = self.lanes.len();
            let other = self.lanes[lane].rng.random_range(0..lanes);
            known.join(&self.lanes[other].known);
        }
        let operation = self.draw_operation(lane);
        let rng = &mut self.lanes[lane].rng;
        let pause_us = rng.random_range(0..=self.shape.pause_us_max);
        let node = rng.random_range(0..nodes);
        let session = self.lanes[lane].session;
        let mut step = self.step(session, Phase::Run, node, operation, known, pause_us);
        // Nothing is drawn without batches, so that older seeds keep their meaning.
        if self.shape.batches > 0.0 && self.chance(lane, self.shape.batches) {
            step.operations.push(self.draw_operation(lane));
            self.operations += 1;
        }
        Some(step)
    }

    /// Records the replies to a lane's step.
    pub fn finished(&mut self, lane: usize, step: Step, replies: Vec<Reply>, start_us: u64, end_us: u64) {
        let outcomes = replies.iter().zip(&step.operations);
        // A read that was not answered leaves the session as it was.
        let lost_a_write = outcomes.into_iter().any(|(reply, operation)| {
            matches!(reply.outcome, Outcome::Unknown(_)) && operation.action != Action::Get
        });
        if let Some(known) = self.record(step, replies, start_us, end_us) {
            self.lanes[lane].known = known;
        }
        if lost_a_write {
            self.begin_session(lane);
        }
    }

    /// The final reads, when the cluster is whole and quiet. Each session reads every key at every node
    /// with its payload, and so does a new session with none. With the payload of each ended session, a
    /// new one reads every key at one node.
    pub fn final_steps(&mut self, nodes: usize) -> Vec<Step> {
        let lanes = self.lanes.iter().map(|lane| (lane.session, lane.known.clone()));
        let mut readers: Vec<_> = lanes.map(|(session, known)| (session, known, 0..nodes)).collect();
        readers.push((self.fresh_session(), Known::default(), 0..nodes));
        let last = self.ended.split_off(self.ended.len().saturating_sub(HEIRS_MAX));
        for (heir, known) in last.into_iter().enumerate() {
            let node = heir % nodes;
            readers.push((self.fresh_session(), known, node..node + 1));
        }
        let keys = self.shape.keys.clone();
        let mut steps = Vec::new();
        for (session, known, nodes) in &readers {
            for (key, node) in keys
                .iter()
                .flat_map(|key| nodes.clone().map(move |node| (key, node)))
            {
                let operation = Operation {
                    key: key.clone(),
                    action: Action::Get,
                };
                steps.push(self.step(*session, Phase::Final, node, operation, known.clone(), 0));
            }
        }
        steps
    }

    /// One operation of a hostile client: a session of its own with a forged payload. It claims no past,
    /// so the store is judged only by what others see of it.
    pub fn hostile_step(&mut self, rng: &mut StdRng, nodes: usize, payload: String) -> Option<Step> {
        if self.stopped {
            return None;
        }
        let place = rng.random_range(0..self.shape.keys.len());
        let action = match rng.random_range(0..10) {
            0..=4 => Action::Put(format!("h{}", self.operations + 1)),
            5 if place.is_multiple_of(2) => Action::Delete,
            _ => Action::Get,
        };
        let key = self.shape.keys[place].clone();
        let (session, node) = (self.fresh_session(), rng.random_range(0..nodes));
        let known = Known {
            payload,
            after: Vec::new(),
        };
        let mut step = self.step(session, Phase::Run, node, Operation { key, action }, known, 0);
        if rng.random_bool(0.2) {
            let key = self.shape.keys[place ^ 1].clone();
            let action = Action::Put(format!("h{}", self.operations + 1));
            step.operations.push(Operation { key, action });
            self.operations += 1;
        }
        Some(step)
    }

    /// The payload that some lane's session would send next.
    pub fn stolen_payload(&self, rng: &mut StdRng) -> &str {
        &self.lanes[rng.random_range(0..self.lanes.len())].known.payload
    }

    fn fresh_session(&mut self) -> SessionId {
        self.sessions += 1;
        SessionId(self.sessions - 1)
    }

    /// Records a request's outcome. Its first operation has the payload that was sent, each later one
    /// that of the last success before it. Returns what the last success leaves, if there is one.
    pub fn record(&mut self, step: Step, replies: Vec<Reply>, start_us: u64, end_us: u64) -> Option<Known> {
        let sent = Known {
            payload: step.payload,
            after: step.after,
        };
        let mut left = None;
        for ((operation, reply), id) in step.operations.into_iter().zip(replies).zip(step.id.0..) {
            let known = left.as_ref().unwrap_or(&sent).clone();
            if matches!(reply.outcome, Outcome::Ok(_)) {
                left = Some(Known {
                    payload: reply.payload.clone(),
                    after: vec![OpId(id)],
                });
            }
            self.history.events.push(Event {
                id: OpId(id),
                session: step.session,
                phase: step.phase,
                node: step.node,
                start_us,
                end_us,
                operation,
                after: known.after,
                payload_in: known.payload,
                outcome: reply.outcome,
                payload_out: reply.payload,
            });
        }
        left
    }

    pub fn history(&self) -> &History {
        &self.history
    }

    pub fn into_history(self) -> History {
        self.history
    }

    fn step(
        &mut self,
        session: SessionId,
        phase: Phase,
        node: usize,
        operation: Operation,
        known: Known,
        pause_us: u64,
    ) -> Step {
        self.operations += 1;
        Step {
            id: OpId(self.operations),
            session,
            phase,
            pause_us,
            node,
            operations: vec![operation],
            payload: known.payload,
            after: known.after,
        }
    }

    fn chance(&mut self, lane: usize, share: f64) -> bool {
        self.lanes[lane].rng.random_bool(share)
    }

    fn begin_session(&mut self, lane: usize) {
        let blank = self.chance(lane, self.shape.blank_starts);
        let session = self.fresh_session();
        let lane = &mut self.lanes[lane];
        lane.session = session;
        if !lane.known.after.is_empty() {
            self.ended.push(lane.known.clone());
        }
        if blank {
            lane.known = Known::default();
        }
    }

    fn draw_operation(&mut self, lane: usize) -> Operation {
        let value = format!("v{}", self.operations + 1);
        let place = self.draw_place(lane);
        let draw: f64 = self.lanes[lane].rng.random();
        let action = if draw < self.shape.puts {
            Action::Put(value)
        } else if draw < self.shape.puts + self.shape.deletes && place.is_multiple_of(2) {
            Action::Delete
        } else {
            Action::Get
        };
        let key = self.shape.keys[place].clone();
        Operation { key, action }
    }

    fn draw_place(&mut self, lane: usize) -> usize {
        let returns = self.chance(lane, self.shape.returns);
        let lane = &mut self.lanes[lane];
        let places = self.shape.keys.len();
        let neighbour = (lane.place ^ 1).min(places - 1);
        lane.place = match (returns, lane.rng.random_bool(0.5)) {
            (true, true) => lane.place,
            (true, false) => neighbour,
            (false, _) => lane.rng.random_range(0..places),
        };
        lane.place
    }
}

impl Known {
    fn join(&mut self, other: &Self) {
        let news = other.after.iter().filter(|id| !self.after.contains(id));
        let news: Vec<_> = news.copied().collect();
        if news.is_empty() {
            return;
        }
        let separator = if self.payload.is_empty() { "" } else { "," };
        self.payload = format!("{}{separator}{}", self.payload, other.payload);
        self.after.extend(news);
    }
}
