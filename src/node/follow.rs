//! Following a view change: copying, sealing, taking over and activating as its driver asks.
//!
//! Every step goes from durable state or begins anew, so it does not matter who asks, or how often.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Node;
use super::jobs::Job;
use crate::causality::VersionVector;
use crate::names::{Epoch, Member, MemberId, NodeId};
use crate::planted::{self, Fault};
use crate::view_change::{Order, Phase, Report};
use crate::wire::peer::{Answer, Known, Question};

/// How often a hand-over is tried before its giver is given up for now; what it has comes late then.
const ATTEMPTS: usize = 2;

/// What this node has done of the change that is under way.
#[derive(Debug)]
pub(super) struct Following {
    state: Mutex<State>,
    driver_heard: Mutex<Instant>,
}

#[derive(Debug, Default)]
struct State {
    target: Epoch,
    copy: Copy,
    through_with: BTreeSet<MemberId>,
    under_way: BTreeSet<MemberId>,
}

#[derive(Debug, Default, Clone, PartialEq)]
enum Copy {
    #[default]
    NotBegun,
    Running,
    /// Done, and what the giver held when it began.
    Done(VersionVector),
}

impl Default for Following {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            driver_heard: Mutex::new(Instant::now()),
        }
    }
}

impl Following {
    /// Begins to follow the change to `target`, unless it is followed already.
    fn begin(&self, target: Epoch) {
        *self.driver_heard.lock() = Instant::now();
        let mut state = self.state.lock();
        if state.target != target {
            *state = State {
                target,
                ..State::default()
            };
        }
    }

    pub(super) fn driver_silence(&self) -> Duration {
        self.driver_heard.lock().elapsed()
    }
}

impl Node {
    /// Does what a driver asks, and reports how far this node is.
    pub(super) async fn follow(self: &Arc<Self>, order: Order, known: Known) -> Report {
        let facts = self.me.facts();
        if !facts.views.contains_key(&order.target) {
            self.learn(known).await;
        }
        let facts = self.me.facts();
        let listed = facts
            .views
            .get(&order.target)
            .is_some_and(|view| view.is_member(&self.me.member));
        if facts.active < order.target && listed {
            self.following.begin(order.target);
            match order.phase {
                Phase::Copy => self.begin_copy(order.target),
                Phase::Seal => self.seal(order.target).await,
                Phase::HandOver => {
                    self.seal(order.target).await;
                    self.begin_taking(order.target, &order.givers);
                }
                Phase::Activate | Phase::Done => self.activate(order.target).await,
            }
        }
        self.report(order.target)
    }

    fn report(&self, target: Epoch) -> Report {
        let facts = self.me.facts();
        let state = self.following.state.lock();
        let is_current = state.target == target;
        Report {
            by: facts.id,
            active: facts.active,
            sealed: facts.sealed,
            copied: is_current && matches!(state.copy, Copy::Done(_)),
            through_with: if is_current {
                state.through_with.clone()
            } else {
                BTreeSet::new()
            },
        }
    }

    pub(super) async fn seal(&self, target: Epoch) {
        if self.me.facts().sealed < target {
            let (reply, done) = oneshot::channel();
            self.enqueue(Job::Seal { target, reply }).await;
            let _ = done.await;
        }
    }

    pub(super) async fn activate(&self, target: Epoch) {
        let (reply, done) = oneshot::channel();
        self.enqueue(Job::Activate { target, reply }).await;
        let _ = done.await;
    }

    /// Copies the slots that this node gains, from an owner that answers, while the old view serves.
    fn begin_copy(self: &Arc<Self>, target: Epoch) {
        {
            let mut state = self.following.state.lock();
            if state.copy != Copy::NotBegun {
                return;
            }
            state.copy = Copy::Running;
        }
        let node = Arc::clone(self);
        self.tasks.spawn(async move {
            let holds = node.copy_gained(target).await;
            let mut state = node.following.state.lock();
            if state.target == target {
                state.copy = Copy::Done(holds);
            }
        });
    }

    /// What the giver held before the copy began; nothing if there is nothing to copy or nobody to copy
    /// from, and then the hand-over brings everything.
    async fn copy_gained(&self, target: Epoch) -> VersionVector {
        let facts = self.me.facts();
        let Some(view) = facts
            .views
            .get(&target)
            .filter(|view| view.is_member(&self.me.member))
        else {
            return VersionVector::default();
        };
        let owned = facts
            .regions
            .iter()
            .fold(Default::default(), |all: crate::placement::SlotSet, region| {
                all.union(&region.slots)
            });
        let gained = view.slots_of_node(&self.me.member.node).difference(&owned);
        let Some(before) = facts.views.range(..target).next_back().map(|(_, before)| before) else {
            return VersionVector::default();
        };
        let Some(first) = gained.iter().next() else {
            return VersionVector::default();
        };
        let givers = before
            .members_of(before.partition_of_slot(first))
            .filter(|member| member.node != self.me.member.node);
        for giver in givers {
            if let Some(holds) = self.copy_from(&giver.node, target).await {
                return holds;
            }
        }
        VersionVector::default()
    }

    async fn copy_from(&self, giver: &NodeId, target: Epoch) -> Option<VersionVector> {
        let mut from_slot = 0;
        let mut held_at_start = None;
        loop {
            let question = Question::Copy { target, from_slot };
            let answer = self
                .peers
                .call(giver, question, 2 * super::ASK_LIMIT)
                .await
                .ok()?;
            let Answer::Copied {
                records,
                holds,
                next_slot,
            } = answer
            else {
                return None;
            };
            if planted::is(Fault::CopyClaimsItsEnd) {
                held_at_start = None;
            }
            let held_at_start = held_at_start.get_or_insert(holds);
            let (reply, done) = oneshot::channel();
            self.enqueue(Job::Stage {
                target,
                records,
                reply,
            })
            .await;
            done.await.ok()?.ok()?;
            match next_slot {
                Some(next) => from_slot = next,
                None => return Some(held_at_start.clone()),
            }
        }
    }

    /// Takes the hand-over of every sealed giver that it is not through with.
    fn begin_taking(self: &Arc<Self>, target: Epoch, givers: &BTreeSet<MemberId>) {
        let facts = self.me.facts();
        let before = facts
            .views
            .range(..target)
            .next_back()
            .map(|(_, before)| Arc::clone(before));
        let mut state = self.following.state.lock();
        for giver in givers {
            if state.through_with.contains(giver) || !state.under_way.insert(*giver) {
                continue;
            }
            let member = before.as_ref().and_then(|view| view.member_by_id(*giver));
            let node = Arc::clone(self);
            self.tasks
                .spawn(async move { node.take_from(target, member).await });
        }
    }

    async fn take_from(self: Arc<Self>, target: Epoch, giver: Option<Member>) {
        let Some(giver) = giver else { return };
        let is_me = giver.node == self.me.member.node;
        for _ in 0..ATTEMPTS {
            // Writes wait: a giver that is cut off from here must not cost the time of a page.
            if !is_me && !self.is_alive(&giver.node, super::ASK_LIMIT).await {
                continue;
            }
            if is_me || self.take_hand_over(target, &giver).await {
                break;
            }
        }
        let mut state = self.following.state.lock();
        if state.target == target {
            state.through_with.insert(giver.id());
            state.under_way.remove(&giver.id());
        }
    }

    async fn take_hand_over(&self, target: Epoch, giver: &Member) -> bool {
        let copied = match &self.following.state.lock().copy {
            Copy::Done(holds) => holds.clone(),
            _ => VersionVector::default(),
        };
        let Some(ask) = self.me.facts().ask_hand_over(target, &copied) else {
            return true;
        };
        if ask.wanted.is_empty() {
            return true;
        }
        match self.exchange(&giver.node, ask).await {
            Ok(()) => true,
            Err(reason) => {
                tracing::info!(giver = %giver.node, %reason, "hand-over failed");
                false
            }
        }
    }
}
