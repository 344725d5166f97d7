//! Copies slots from an owner, page by page, while the view before serves. Fetches the next page while it
//! stores the one before.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::names::{Epoch, Member, MemberId, SLOTS};
use crate::node::view_change::ViewChanges;
use crate::planted::{self, Fault};
use crate::protocol::causality::Record;
use crate::protocol::placement::SlotSet;
use crate::protocol::replication::{ChangeAttempt, Copied};
use crate::wire::peer::{Answer, CopyPlace, Question};

/// The time limit for one page; the giver also serves clients.
const COPY_LIMIT: Duration = Duration::from_secs(1);

/// How soon an owner that does not know the view yet is asked again: the driver tells it as soon as it
/// tells this node.
const UNKNOWN_PAUSE: Duration = Duration::from_millis(20);

/// One page of a copy.
#[derive(Debug)]
struct Page {
    records: Vec<Record>,
    copied: Vec<Copied>,
    next: Option<CopyPlace>,
    keys_to_go: u64,
}

/// Why there is no page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NoPage {
    Declined,
    /// It does not answer, or answers in another life.
    Silent,
}

impl ViewChanges {
    /// Copies slots of one partition from one owner, and what that owner does not give from the next. The
    /// hand-over brings what no owner gives.
    pub(crate) async fn copy_partition(
        &self,
        attempt: ChangeAttempt,
        mut givers: Vec<Member>,
        slots: SlotSet,
    ) {
        givers.sort_by_key(|giver| self.shared.peers.is_away(&giver.node));
        let mut rest = slots;
        for giver in givers {
            let copied = self.copy_from(&giver, attempt, &rest).await;
            for one in &copied {
                rest = rest.difference(&one.slots);
            }
            self.following.note(attempt, |state| {
                state.keys_to_go.remove(&giver.id());
                if !copied.is_empty() && !state.taking {
                    state.copied.insert(giver.id(), copied);
                }
            });
            if rest.is_empty() {
                return;
            }
        }
    }

    /// What was copied from one owner: all of its share, or what came before it failed.
    async fn copy_from(&self, giver: &Member, attempt: ChangeAttempt, slots: &SlotSet) -> Vec<Copied> {
        let target = attempt.target;
        let mut offered = Vec::new();
        let mut following = self.first_page_from(giver, target, slots).await;
        let mut done = CopyPlace::default();
        while let Some(page) = following {
            if offered.is_empty() || planted::is(Fault::CopyClaimsItsEnd) {
                offered = page.copied;
            }
            self.count(attempt, giver.id(), page.records.len(), page.keys_to_go);
            let store = self.stage(attempt, page.records);
            let fetch = async {
                match &page.next {
                    Some(from) => self.copy_page_from(giver, target, slots, from).await.ok(),
                    None => None,
                }
            };
            let (stored, fetched) = tokio::join!(store, fetch);
            if !stored {
                break;
            }
            done = page.next.unwrap_or(CopyPlace {
                slot: SLOTS,
                after: None,
            });
            following = fetched;
        }
        // A partly copied slot does not count. It is copied from its beginning from the next owner, and no
        // giver would vouch for records that only this owner had.
        if done.after.is_some() {
            let broken_off = slots.from(done.slot).difference(&slots.from(done.slot + 1));
            if self.shared.commit.unstage(attempt, broken_off).await.is_err() {
                return Vec::new();
            }
        }
        let begun = slots.difference(&slots.from(done.slot));
        for one in &mut offered {
            one.slots = one.slots.intersection(&begun);
        }
        offered.retain(|one| !one.slots.is_empty());
        offered
    }

    /// The first page. A giver that declines may not have learned of the view yet. Going on without it
    /// would leave its share to the hand-over, for which writes wait.
    async fn first_page_from(&self, giver: &Member, target: Epoch, slots: &SlotSet) -> Option<Page> {
        let deadline = Instant::now() + COPY_LIMIT;
        loop {
            match self
                .copy_page_from(giver, target, slots, &CopyPlace::default())
                .await
            {
                Ok(page) => return Some(page),
                Err(NoPage::Declined) if Instant::now() < deadline => sleep(UNKNOWN_PAUSE).await,
                Err(_) => return None,
            }
        }
    }

    async fn copy_page_from(
        &self,
        giver: &Member,
        target: Epoch,
        slots: &SlotSet,
        from: &CopyPlace,
    ) -> Result<Page, NoPage> {
        let question = Question::Copy {
            target,
            slots: slots.clone(),
            from: from.clone(),
        };
        match self
            .shared
            .peers
            .call_known(&giver.node, question, COPY_LIMIT)
            .await
        {
            Ok((
                Answer::Copied {
                    records,
                    copied,
                    next,
                    keys_to_go,
                },
                answered,
            )) if answered == *giver => Ok(Page {
                records,
                copied,
                next,
                keys_to_go,
            }),
            Ok((Answer::Declined(_), answered)) if answered == *giver => Err(NoPage::Declined),
            _ => Err(NoPage::Silent),
        }
    }

    /// Stores a page, in pieces that are small enough not to hold up clients' writes.
    async fn stage(&self, attempt: ChangeAttempt, records: Vec<Record>) -> bool {
        let mut records = records.into_iter().peekable();
        while records.peek().is_some() {
            let mut room = self.shared.pace.budget();
            let piece = std::iter::from_fn(|| {
                let fits = room > 0;
                let record = records.next_if(|_| fits)?;
                room = room.saturating_sub(record.as_block().len());
                Some(record)
            });
            if self.shared.commit.stage(attempt, piece.collect()).await.is_err() {
                return false;
            }
        }
        true
    }

    fn count(&self, attempt: ChangeAttempt, giver: MemberId, moved: usize, to_go: u64) {
        self.following.note(attempt, |state| {
            state.keys_moved += u64::try_from(moved).unwrap_or(u64::MAX);
            state.keys_to_go.insert(giver, to_go);
        });
    }
}
