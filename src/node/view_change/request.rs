//! Changes the view on request, from the first check to the reply.
//!
//! ```text
//! request ─ is it possible? ─ can the node be added? ─ is the change chosen? ─ does it serve everywhere?
//!           the view says     ask it                   register, drive          wait
//!                             would keys be lost?      another's came first:
//!                             ask the owners           finish that, start over
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use crate::names::NodeId;
use crate::node::limits::ASK_LIMIT;
use crate::node::view_change::ViewChanges;
use crate::node::view_change::propose::ProposeError;
use crate::node::view_change::view_request::{Changed, RequestKind, ViewOutcome, ViewRefusal, ViewRequest};
use crate::protocol::placement::View;
use crate::protocol::view_change::Electorate;
use crate::wire::peer::{Answer, Question};

/// How often this node checks whether an awaited event has happened.
pub(crate) const LOOK_PAUSE: Duration = Duration::from_millis(10);

/// How long the other nodes wait for a silent node that is being removed.
const GONE_AFTER: Duration = Duration::from_secs(2);

impl ViewChanges {
    /// Adds or removes a node, or says what that would do. Answers when the new view serves on every
    /// reachable node, or with the reason why nothing was changed. A chosen change goes on, whether or not
    /// a client waits for the answer.
    pub async fn change_view(self: &Arc<Self>, request: ViewRequest) -> Result<ViewOutcome, ViewRefusal> {
        let (reply, outcome) = oneshot::channel();
        let node = Arc::clone(self);
        // A task of its own: a client that hangs up must not leave a change half driven.
        self.shared.tasks.spawn(async move {
            // The client that asked may be gone.
            let _ = reply.send(node.carry_out(request).await);
        });
        match outcome.await {
            Ok(outcome) => outcome,
            Err(_) => Err(ViewRefusal::Impossible("this node is stopping".to_owned())),
        }
    }

    async fn carry_out(self: &Arc<Self>, request: ViewRequest) -> Result<ViewOutcome, ViewRefusal> {
        let deadline = Instant::now() + self.shared.limits.view_change_timeout;
        // A node that has just started votes for nothing before its disk is proven.
        self.replication.proven().await;
        loop {
            self.route()?;
            let before = self.settled_view(deadline).await?;
            let request = as_listed(request.clone(), &before);
            let (wanted, slots_given_up) = self.check(&request, &before, deadline).await?;
            if request.dry_run {
                return Ok(ViewOutcome::Preview(
                    self.preview(before, wanted, slots_given_up).await,
                ));
            }
            let chosen = self.choose(&request, &before, &wanted).await?;
            // The view may have moved on by this very change, which another driver carried out.
            let Some(chosen) = chosen.or_else(|| self.made_by_others(&wanted)) else {
                // The view may move on again and again; the client is answered in time.
                if Instant::now() >= deadline {
                    let (epoch, waits_for) = (before.epoch, self.waited_for());
                    return Err(ViewRefusal::Unfinished { epoch, waits_for });
                }
                continue;
            };
            let is_ours = is_same_change(&chosen, &wanted);
            self.drive_until(Arc::clone(&chosen), deadline).await?;
            if is_ours {
                let has_left = self.wait_for_the_removed(&before, &chosen, deadline).await;
                return Ok(ViewOutcome::Changed(Changed {
                    view: chosen,
                    slots_given_up,
                    is_left_behind: !has_left,
                }));
            }
        }
    }

    /// Waits until no change is under way, and returns the active view.
    async fn settled_view(self: &Arc<Self>, deadline: Instant) -> Result<Arc<View>, ViewRefusal> {
        loop {
            let state = self.shared.me.state();
            match (state.view(), state.newest()) {
                (Some(view), Some(newest)) if newest.epoch == view.epoch && !state.is_sealed() => {
                    return Ok(Arc::clone(view));
                }
                (_, Some(newest)) if Instant::now() >= deadline => {
                    return Err(ViewRefusal::Unfinished {
                        epoch: newest.epoch,
                        waits_for: self.waited_for(),
                    });
                }
                _ => {}
            }
            self.route()?;
            sleep(LOOK_PAUSE).await;
        }
    }

    fn waited_for(&self) -> Vec<NodeId> {
        self.change_progress()
            .map_or_else(Vec::new, |progress| progress.waits_for)
    }

    /// Has a view chosen: the wanted one, or a rival's that came first. None if the view has moved on.
    async fn choose(
        &self,
        request: &ViewRequest,
        before: &View,
        wanted: &View,
    ) -> Result<Option<Arc<View>>, ViewRefusal> {
        let electorate = Electorate::of(before);
        let epoch = wanted.epoch;
        let is_forced = request.kind == RequestKind::Remove { force: true };
        let removed = is_forced.then_some(&request.node);
        let nobody = BTreeSet::new();
        let proposed = self.propose_by_force(&nobody, removed, epoch, Some(before), &electorate, wanted);
        let silent = match proposed.await {
            Ok(view) => return Ok(Some(view)),
            Err(ProposeError::MovedOn) => return Ok(None),
            Err(ProposeError::NoMajority(silent)) => silent,
        };
        if !is_forced {
            let silent = silent.into_iter().collect();
            return Err(ViewRefusal::NoMajority { silent });
        }
        tracing::warn!(?silent, "the view is changed by force, without these nodes");
        match self
            .propose_by_force(&silent, removed, epoch, Some(before), &electorate, wanted)
            .await
        {
            Ok(view) => Ok(Some(view)),
            Err(ProposeError::MovedOn) => Ok(None),
            Err(ProposeError::NoMajority(silent)) => Err(ViewRefusal::NoMajority {
                silent: silent.into_iter().collect(),
            }),
        }
    }

    fn made_by_others(&self, wanted: &View) -> Option<Arc<View>> {
        let state = self.shared.me.state();
        let mut later = state
            .views
            .values()
            .filter(|view| view.epoch.number() == wanted.epoch.number());
        later.find(|chosen| is_same_change(chosen, wanted)).cloned()
    }

    /// Drives a change, and waits for it until `deadline`; the change goes on after that.
    async fn drive_until(self: &Arc<Self>, view: Arc<View>, deadline: Instant) -> Result<(), ViewRefusal> {
        let epoch = view.epoch;
        let (node, (done, driven)) = (Arc::clone(self), oneshot::channel());
        self.shared.tasks.spawn(async move {
            node.drive(view).await;
            // The caller may have given up.
            let _ = done.send(());
        });
        match tokio::time::timeout_at(deadline, driven).await {
            Ok(_) => Ok(()),
            Err(_) => Err(ViewRefusal::Unfinished {
                epoch,
                waits_for: self.waited_for(),
            }),
        }
    }

    /// Waits for removed nodes that are alive. Each hands over what others have not confirmed yet, and
    /// begins another life: only then does it keep nothing. While an owner is unreachable it cannot, and
    /// the wait is short. True if every removed node has begun another life.
    async fn wait_for_the_removed(&self, before: &View, after: &View, deadline: Instant) -> bool {
        let mut all_left = true;
        let removed = before.members().filter(|member| !after.lists(&member.node));
        for member in removed {
            let began = Instant::now();
            let (mut heard, mut has_left) = (began, false);
            while Instant::now() < deadline && heard.elapsed() < GONE_AFTER {
                let lives = if member.node == self.shared.me.node {
                    Some(self.shared.me.member())
                } else {
                    match self
                        .shared
                        .peers
                        .call_known(&member.node, Question::Meet, ASK_LIMIT)
                        .await
                    {
                        Ok((Answer::Met { by, .. }, answered)) if by == answered => Some(by),
                        _ => None,
                    }
                };
                match lives {
                    Some(by) if by != member => {
                        has_left = true;
                        break;
                    }
                    Some(_) => heard = Instant::now(),
                    None if self.is_gone(&member.node) => break,
                    None => {}
                }
                let is_hindered = after.nodes().any(|node| self.shared.peers.is_away(node));
                if is_hindered && began.elapsed() >= GONE_AFTER {
                    break;
                }
                sleep(LOOK_PAUSE).await;
            }
            all_left &= has_left;
        }
        all_left
    }

    /// True if a node being removed is not waited for: it is dead, or was silent for long enough.
    pub(crate) fn is_gone(&self, node: &NodeId) -> bool {
        let is_silent = self.shared.peers.is_away(node) && self.shared.peers.silence(node) >= GONE_AFTER;
        is_silent || self.shared.peers.is_dead(node)
    }
}

/// The request with the view's own spelling of its node's address, if the request spells it differently.
fn as_listed(request: ViewRequest, view: &View) -> ViewRequest {
    let removed = view.removed.values().map(|removal| &removal.node);
    let mut listed = view.nodes().chain(removed);
    match listed
        .find(|listed| listed.is_same_address(&request.node))
        .cloned()
    {
        Some(node) => ViewRequest { node, ..request },
        None => request,
    }
}

/// True if a view makes the wanted change, whatever removals it notes and whether or not it was forced.
fn is_same_change(chosen: &View, wanted: &View) -> bool {
    chosen.places_alike(wanted)
}
