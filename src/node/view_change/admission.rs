//! Brings a later life of a node into the view that lists an earlier one: a member has it listed. If no
//! listed life is left, the later lives of all listed nodes decide together.

use std::sync::Arc;

use futures_util::future::join_all;

use crate::names::Member;
use crate::node::limits::ASK_LIMIT;
use crate::node::view_change::ViewChanges;
use crate::protocol::placement::{LeftBehind, View, next};
use crate::protocol::view_change::Electorate;
use crate::wire::peer::{Answer, Question};

impl ViewChanges {
    /// Asks a member to have this life listed, and to note what earlier ones left behind. True if it will.
    pub(crate) async fn ask_to_admit(&self, member: &Member) -> bool {
        let left = self.shared.me.state().left_behind();
        let admitted = self
            .shared
            .peers
            .call(&member.node, Question::Admit { left }, ASK_LIMIT)
            .await;
        matches!(admitted, Ok(Answer::Noted))
    }

    /// Has the next view decided by later lives, if every life that this view lists has ended.
    pub(crate) async fn decide_after_all_ended(self: &Arc<Self>, view: &Arc<View>) {
        if !self.shared.me.state().votes_after_all_ended(view.epoch.next()) {
            return;
        }
        // Another process may have this node's name, and no other node is there to see it.
        if view.members().count() == 1 && !self.formation.is_reached() {
            return;
        }
        let later = view.members().map(|listed| self.later_life_of(listed, view));
        let Some(later) = join_all(later).await.into_iter().collect::<Option<Vec<_>>>() else {
            return;
        };
        let lives: Vec<Member> = later.iter().map(|(life, _)| life.clone()).collect();
        let left: Vec<LeftBehind> = later.into_iter().flat_map(|(_, left)| left).collect();
        let mut wanted = next::admit(view, &lives);
        wanted.note_left_behind(&left, &[view], self.shared.me.time().likely_ms);
        tracing::warn!(
            "every life that the view lists has ended; their nodes decide on the next one together"
        );
        let electorate = Electorate::of_later_lives(view);
        match self
            .propose(view.epoch.next(), Some(view), &electorate, &wanted)
            .await
        {
            Ok(chosen) => self.drive(chosen).await,
            Err(reason) => tracing::info!(%reason, "cannot decide on the next view yet"),
        }
    }

    /// The life in which a node answers and what it left behind, if the listed life has ended and the node
    /// knows no later view.
    async fn later_life_of(&self, listed: Member, view: &View) -> Option<(Member, Vec<LeftBehind>)> {
        if listed.node == self.shared.me.node {
            return Some((self.shared.me.member(), self.shared.me.state().left_behind()));
        }
        let met = self
            .shared
            .peers
            .call_known(&listed.node, Question::Meet, ASK_LIMIT)
            .await;
        let Ok((Answer::Met { by, known, left, .. }, answered)) = met else {
            return None;
        };
        let newest = known.views.iter().map(|view| view.0.epoch).max();
        let has_ended = by == answered && by != listed && newest == Some(view.epoch);
        has_ended.then_some((by, left))
    }
}
