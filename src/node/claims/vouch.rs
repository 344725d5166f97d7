//! Asks other members whether the writes that clients claim to depend on exist.
//!
//! A payload is not signed, so an entry is vouched for before a write stores it: this node holds the
//! write, has heard of it, or asks the members. Only the member that owns the log can deny an entry; all
//! members of the newest view together can deny an epoch. While that member is unreachable, a write is not
//! refused: it stores the entry unvouched, and its replicas ask until they know (`clear`). Then a false
//! entry leaves the record, and the payloads of clients that read the record meanwhile.

use std::collections::BTreeSet;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, timeout_at};

use crate::names::{Dot, Epoch, Log, Member};
use crate::node::claims::Claims;
use crate::node::claims::ledger::{Doubts, Told};
use crate::node::limits::{GOSSIP_LIMIT, VOUCH_LIMIT};
use crate::node::outcome::{NotTaken, Refusal};
use crate::planted::{self, Fault};
use crate::protocol::causality::{Payload, VersionVector};
use crate::protocol::replication::{NotHere, ReplicaState, trimmed};
use crate::wire::peer::{Answer, Question, Vouched};

/// A payload without entries that are known to be false.
#[derive(Debug)]
pub(crate) struct Vetted {
    pub payload: Payload,
    /// True if every entry is known to exist.
    pub vouched: bool,
    /// True if a false entry was taken out.
    pub shorter: bool,
}

impl Claims {
    /// Judges all claims of a payload, as far as they matter here and members answer within `VOUCH_LIMIT`.
    /// Refuses a payload with a false entry, unless a stored record claims the same or a member that may
    /// store such a record has not answered: an honest reader of that record carries the entry, too, and
    /// goes on without it.
    pub(crate) async fn vetted(&self, payload: &Payload) -> Result<Vetted, Refusal> {
        let deadline = Instant::now() + VOUCH_LIMIT;
        let (mut payload, mut doubts) = self.doubts(&self.shared.me.state(), payload);
        if !doubts.entries.is_empty() {
            // Mostly the writers' answers settle everything.
            let writers = writers_of(&self.shared.me.state(), &doubts.entries);
            self.ask_each(writers, &doubts, deadline - VOUCH_LIMIT / 2).await;
            (payload, doubts) = self.doubts(&self.shared.me.state(), &payload);
        }
        if doubts.entries.is_empty() && doubts.epochs.is_empty() {
            return Ok(Vetted {
                payload,
                vouched: true,
                shorter: false,
            });
        }
        let state = self.shared.me.state();
        let told = self.ask_members(&state, &doubts, deadline).await;
        if let Some(epoch) = self.unheard_of(&state, &doubts, &told) {
            return Err(Refusal::unheard_of(epoch));
        }
        self.judged(payload, &doubts, &told)
    }

    fn judged(&self, mut payload: Payload, doubts: &Doubts, told: &Told) -> Result<Vetted, Refusal> {
        let state = self.shared.me.state();
        let is_claimed = |dot: Dot| {
            let is_claimed = state.claimed.includes(dot) || told.claimed.includes(dot);
            is_claimed && !planted::is(Fault::ClaimsNotCleared)
        };
        // Most nodes drop entries of a closed epoch, and have vouched for them: a false one is left out.
        let is_judged = |dot: Dot| !told.waits && !state.is_closed(dot.log.epoch);
        let is_forged = |dot: Dot| told.denies(dot) && is_judged(dot) && !is_claimed(dot);
        if doubts.entries.iter().any(is_forged) {
            return Err(Refusal::impossible());
        }
        let claimed = payload.entries;
        payload.entries = claimed.iter().filter_map(|dot| told.true_part_of(dot)).collect();
        let is_open = |dot: Dot| doubts.entries.includes(dot) && !told.exist.includes(dot);
        let vouched = !payload.entries.iter().any(is_open);
        Ok(Vetted {
            vouched,
            shorter: payload.entries != claimed,
            payload,
        })
    }

    /// The same, except that the epoch of a payload without entries is left to the fence.
    pub(crate) async fn vetted_entries(&self, payload: &Payload) -> Result<Vetted, Refusal> {
        if planted::is(Fault::ForgedStored) {
            return Ok(Vetted {
                payload: trimmed(&self.shared.me.state(), &self.shared.acks.stable(), payload),
                vouched: true,
                shorter: false,
            });
        }
        // The epoch of another line stands for everything of it.
        if payload.entries.is_empty() && self.shared.me.state().is_of_our_line(payload.epoch) {
            let payload = payload.clone();
            return Ok(Vetted {
                payload,
                vouched: true,
                shorter: false,
            });
        }
        self.vetted(payload).await
    }

    /// Refuses a payload of an epoch that no member knows.
    pub(crate) async fn vet_epoch(&self, payload: &Payload) -> Result<(), Refusal> {
        if self.shared.me.state().knows_epoch(payload.epoch) {
            return Ok(());
        }
        self.vetted(payload).await.map(drop)
    }

    /// The part of a payload that a write may store. Fails for entries of an epoch that is not known here.
    pub(crate) async fn vetted_for_storing(&self, payload: &Payload) -> Result<Vetted, NotTaken> {
        let vetted = self.vetted_entries(payload).await.map_err(NotTaken::Refused)?;
        let state = self.shared.me.state();
        let unknown = {
            let mut epochs = vetted.payload.entries.iter().map(|dot| dot.log.epoch);
            epochs.find(|epoch| !state.knows_epoch(*epoch))
        };
        match unknown {
            Some(epoch) => Err(NotTaken::NotHere(NotHere::EpochAhead(epoch))),
            None => Ok(vetted),
        }
    }

    /// The payload without what all replicas hold, and its claims that this node cannot confirm by itself.
    fn doubts(&self, state: &ReplicaState, payload: &Payload) -> (Payload, Doubts) {
        let payload = trimmed(state, &self.shared.acks.stable(), payload);
        let mut doubts = self.ledger.doubts(state, &payload.entries);
        if !state.knows_epoch(payload.epoch) {
            doubts.epochs.insert(payload.epoch);
        }
        (payload, doubts)
    }

    /// An epoch that no member of the newest view knows. None if any member has not answered: members
    /// choose views, so a silent one may have chosen it.
    fn unheard_of(&self, state: &ReplicaState, doubts: &Doubts, told: &Told) -> Option<Epoch> {
        let newest = state.newest()?;
        let is_unknown_to = |member: &Member, epoch: &Epoch| {
            *member == state.me
                || told
                    .unknown
                    .get(epoch)
                    .is_some_and(|by| by.contains(&member.id()))
        };
        let unknown_here: BTreeSet<Epoch> = self.unknown(state, &doubts.epochs).collect();
        let mut epochs = doubts.epochs.intersection(&unknown_here);
        let unheard_of = epochs.find(|epoch| newest.members().all(|member| is_unknown_to(&member, epoch)));
        unheard_of
            .copied()
            .filter(|_| !planted::is(Fault::UnknownEpochAwaited))
    }

    /// The given epochs whose views this node neither knows nor may have voted for.
    fn unknown<'a>(
        &self,
        state: &ReplicaState,
        epochs: impl IntoIterator<Item = &'a Epoch>,
    ) -> impl Iterator<Item = Epoch> {
        let newest = state.newest().map_or(Epoch::NONE, |view| view.epoch);
        let has_voted = self.shared.me.accepted.may_be_chosen_after(newest);
        let unknown = epochs.into_iter().filter(|epoch| !state.knows_epoch(**epoch));
        let unknown: Vec<Epoch> = unknown.copied().filter(|_| !has_voted).collect();
        unknown.into_iter()
    }

    /// The answer of this node to a member that asks.
    pub(crate) fn vouch(&self, epochs: &[Epoch], logs: &[Log]) -> Vouched {
        let state = self.shared.me.state();
        let mut stable = (*self.shared.acks.stable()).clone();
        stable.retain(|dot| logs.contains(&dot.log));
        Vouched {
            unknown: self.unknown(&state, epochs).collect(),
            stable,
            epoch: state.active,
            ..self.ledger.vouch(&state, logs)
        }
    }

    /// Asks the members of the newest view, and those whose logs are in doubt, until all doubts are settled
    /// or the time is up.
    pub(crate) async fn ask_members(&self, state: &ReplicaState, doubts: &Doubts, deadline: Instant) -> Told {
        let listed = state.newest().into_iter().flat_map(|view| view.members());
        let members = listed.chain(writers_of(state, &doubts.entries)).collect();
        self.ask_each(members, doubts, deadline).await
    }

    async fn ask_each(&self, members: BTreeSet<Member>, doubts: &Doubts, deadline: Instant) -> Told {
        let state = self.shared.me.state();
        let logs: Vec<Log> = doubts.entries.iter().map(|dot| dot.log).collect();
        let mut told = Told::default();
        told.hear(&state.me, self.vouch(&[], &logs));
        told.answered.clear();
        for dot in doubts.entries.iter().filter(|dot| state.is_no_dot(*dot)) {
            told.ends.insert(dot.log, 0);
        }
        let others = members
            .into_iter()
            .filter(|member| member.node != self.shared.me.node && !self.shared.peers.is_away(&member.node));
        let ask = |member: Member| {
            let question = Question::Vouch {
                epochs: doubts.epochs.iter().copied().collect(),
                logs: logs.clone(),
            };
            async move {
                // The deadline below drops the call: a peer that takes longer is not away.
                let answer = self
                    .shared
                    .peers
                    .call_known(&member.node, question, GOSSIP_LIMIT)
                    .await;
                (member, answer)
            }
        };
        let mut asked: FuturesUnordered<_> = others.map(ask).collect();
        while let Ok(Some((member, answer))) = timeout_at(deadline, asked.next()).await {
            if let Ok((Answer::Vouched(vouched), by)) = answer
                && by == member
            {
                if vouched.unknown.len() < doubts.epochs.len() {
                    self.shared.me.may_know_newer(&by.node);
                }
                let state = self.shared.me.state();
                self.shared
                    .acks
                    .hear_stable(&state, &by, vouched.epoch, &vouched.stable);
                told.hear(&by, vouched);
            }
            if told.settles(doubts) {
                break;
            }
        }
        told.waits = !asked.is_empty();
        self.ledger.hear(&told.exist);
        told
    }
}

/// The members that own the logs of the entries, as far as the views are known.
fn writers_of(state: &ReplicaState, entries: &VersionVector) -> BTreeSet<Member> {
    let member = |dot: Dot| state.views.get(&dot.log.epoch)?.member_by_id(dot.log.member);
    entries.iter().filter_map(member).collect()
}
