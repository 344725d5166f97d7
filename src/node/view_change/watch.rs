//! Watches over view changes: admits nodes that came back empty, takes over from silent drivers, and
//! catches up with a view that has moved on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::names::{Epoch, Member, NodeId};
use crate::node::view_change::ViewChanges;
use crate::planted::{self, Fault};
use crate::protocol::placement::{LeftBehind, View, next};
use crate::protocol::view_change::Electorate;
use crate::wire::peer::{Answer, Declined, Greeting, Question};

/// How long a driver may be silent, plus up to as much again at random, before another node takes over.
const DRIVER_SILENCE: Duration = Duration::from_secs(1);

/// The same for a change that was under way when this node stopped: writes wait, and no node drives it.
const RESUME_AFTER: Duration = Duration::from_millis(50);

/// How soon the others are asked again for a view that could not be followed.
const FOLLOW_PAUSE: Duration = Duration::from_millis(20);

/// Nodes of the view that came back empty and wait to be listed.
#[derive(Debug, Default)]
pub(crate) struct Admissions {
    waiting: Mutex<BTreeMap<Member, Vec<LeftBehind>>>,
    arrived: Notify,
}

impl ViewChanges {
    /// Watches over changes: admits nodes that ask, takes over from silent drivers, and follows nodes that
    /// are further.
    pub(crate) async fn watch_changes(self: Arc<Self>) {
        // When the pending change was noticed. The silence of earlier drivers says nothing about it: a view
        // is learned shortly before its driver's first order.
        let mut noticed = (Epoch::NONE, Instant::now());
        // The driver of a change that was under way when this node stopped has most likely stopped, too.
        let mut resumed = self.pending_change().map(|view| view.epoch);
        loop {
            let silence = match resumed {
                Some(_) => RESUME_AFTER,
                None => DRIVER_SILENCE,
            };
            let patience = silence + silence.mul_f64((self.shared.me.world.random() % 1000) as f64 / 1000.0);
            tokio::select! {
                biased;
                () = self.admissions.arrived.notified() => self.admit_waiting().await,
                () = self.shared.me.heard_newer.notified() => self.catch_up().await,
                () = sleep(silence / 4) => {}
            }
            let pending = self.pending_change();
            let epoch = pending.as_ref().map(|view| view.epoch);
            resumed = resumed.filter(|_| resumed == epoch);
            if let Some(epoch) = epoch.filter(|epoch| *epoch != noticed.0) {
                noticed = (epoch, Instant::now());
            }
            let undriven = self.following.driver_silence().min(noticed.1.elapsed());
            let is_due = undriven >= patience && !self.shared.me.is_unproven();
            if let Some(view) = pending.filter(|_| is_due) {
                tracing::info!(epoch = %view.epoch, "no node drives the view change; taking over");
                self.drive(view).await;
            } else if epoch.is_none() && self.shared.me.state().is_member() {
                self.finish_undecided(patience).await;
            }
        }
    }

    /// The view that this node is on its way to, or will be when its disk is proven.
    fn pending_change(&self) -> Option<Arc<View>> {
        let state = self.shared.me.state();
        let newest = state.newest().filter(|view| view.epoch > state.active)?;
        let concerns_us = newest.is_member(&state.me) || state.is_listed();
        (concerns_us && state.ended.is_none()).then(|| Arc::clone(newest))
    }

    /// Finishes a view that was accepted here and may be chosen, its proposer gone before it could say so.
    /// Without this it waits for the next proposer, and there is none until another change is wanted.
    async fn finish_undecided(self: &Arc<Self>, patience: Duration) {
        let state = self.shared.me.state();
        let undecided = self.shared.me.accepted.undecided(state.active.next(), patience);
        // It may have been accepted for a line that this node has left since.
        let undecided = undecided.filter(|view| view.has(state.active));
        let (Some(view), Some(before)) = (undecided, state.view()) else {
            return;
        };
        tracing::info!(epoch = %view.epoch, "found an undecided view change; finishing it");
        let epoch = before.epoch.next();
        match self
            .propose(epoch, Some(before), &Electorate::of(before), &view)
            .await
        {
            Ok(view) => self.drive(view).await,
            Err(reason) => tracing::info!(%reason, "cannot finish the view change yet"),
        }
    }

    /// A new incarnation of a listed node asks to be listed, or a node announces what its earlier lives
    /// left behind. Only a node's own word counts.
    pub(crate) fn answer_admit(&self, from: &Member, left: Vec<LeftBehind>) -> Answer {
        let state = self.shared.me.state();
        let is_own = left.iter().all(|left| left.by.node == from.node);
        let may_admit = |view: &Arc<View>| view.lists(&from.node) || !left.is_empty();
        if !(is_own && state.is_member() && state.view().is_some_and(may_admit)) {
            return Answer::Declined(Declined::NotOwner);
        }
        self.admissions.waiting.lock().insert(from.clone(), left);
        self.admissions.arrived.notify_one();
        Answer::Noted
    }

    /// True if this very life answers at its node's address. Two processes may be started with one IPPORT,
    /// but only one of them is the node. For the other, the log says what to mend once it asks again: a life
    /// that has just ended does not ask again.
    pub(crate) async fn is_at_its_address(&self, member: &Member) -> bool {
        let there = self.shared.peers.who_answers_at(&member.node).await;
        if there.as_ref().is_some_and(|there| there.member == *member)
            || planted::is(Fault::OtherNamesBelieved)
        {
            return true;
        }
        let asks_again = !self
            .shared
            .complaints
            .note_if_new(&format!("{member:?} is not at its address"));
        if asks_again {
            self.complain_of_impostor(&member.node, there);
        }
        false
    }

    fn complain_of_impostor(&self, node: &NodeId, there: Option<Greeting>) {
        let found = match there {
            None => "nobody answers".to_owned(),
            Some(there) if there.member.node == *node => "another process answers".to_owned(),
            Some(there) => format!("{} answers", there.member.node),
        };
        let complaint = format!(
            "a process calls itself {node} and asks to be admitted, but at that address {found}; \
             set its IPPORT to the address at which the other nodes reach it"
        );
        if self.shared.complaints.note_if_new(&complaint) {
            tracing::warn!("{complaint}");
        }
    }

    async fn admit_waiting(self: &Arc<Self>) {
        let waiting = std::mem::take(&mut *self.admissions.waiting.lock());
        let state = self.shared.me.state();
        let Some(view) = state.view() else { return };
        if state.newest().is_some_and(|newest| newest.epoch > state.active) {
            // A change is under way; the nodes ask again.
            return;
        }
        let is_new = |member: &Member| view.lists(&member.node) && !view.is_member(member);
        let has_news = |left: &[LeftBehind]| left.iter().any(|left| !view.removed.contains_key(&left.name));
        let concerned = waiting
            .into_iter()
            .filter(|(member, left)| is_new(member) || has_news(left));
        let asked = concerned.map(async |one| self.is_at_its_address(&one.0).await.then_some(one));
        let there: Vec<_> = join_all(asked).await.into_iter().flatten().collect();
        let missing: Vec<Member> = there
            .iter()
            .map(|(member, _)| member)
            .filter(|member| is_new(member))
            .cloned()
            .collect();
        let left: Vec<LeftBehind> = there.into_iter().flat_map(|(_, left)| left).collect();
        let mut wanted = next::admit(view, &missing);
        let notes = self.note_left_behind(&mut wanted, view, &left);
        if missing.is_empty() && !notes {
            return;
        }
        match self
            .propose(view.epoch.next(), Some(view), &Electorate::of(view), &wanted)
            .await
        {
            Ok(view) => self.drive(view).await,
            Err(reason) => tracing::info!(%reason, nodes = ?missing, "cannot admit these nodes yet"),
        }
    }

    /// Learns the views of a peer that named a newer epoch. The view that is active there has passed this
    /// member over: it seals itself, activates that view, and hands over late.
    async fn catch_up(&self) {
        let state = self.shared.me.state();
        let ahead = self.shared.me.take_newer().into_iter();
        let siblings = state.siblings().into_iter().map(|member| member.node);
        for node in ahead.chain(siblings) {
            let Ok(Answer::Met { known, .. }) = self
                .shared
                .peers
                .call(&node, Question::Meet, crate::node::limits::ASK_LIMIT)
                .await
            else {
                continue;
            };
            let target = known.active;
            self.learn(known).await;
            let state = self.shared.me.state();
            let takes_part = state
                .views
                .get(&target)
                .is_some_and(|view| view.is_member(&state.me) || state.is_member());
            if target > state.active && takes_part && state.may_act() {
                self.seal(target).await;
                self.activate(target).await;
                if self.shared.me.state().active >= target {
                    tracing::info!(epoch = %target, "caught up with a newer view");
                    return;
                }
            }
        }
        // Nothing to follow yet, or it could not be stored. The next word of a node ahead leads here again.
        sleep(FOLLOW_PAUSE).await;
    }
}
