//! Judges the end of the run: every replica holds the winner of every key, and its reads return it.

use std::collections::BTreeMap;

use super::causal::{Ends, KeyEnd};
use super::ledger::Ledger;
use super::past::Mark;
use super::{Kind, Violation};
use crate::support::history::{Outcome, Phase};

/// For one key: each answer of the final reads (a write, or nothing), and the reads that gave it.
type Answers = BTreeMap<Option<usize>, Vec<usize>>;

pub(super) fn judge_end(ledger: &Ledger<'_>, ends: &Ends, violations: &mut Vec<Violation>) {
    for (key, answers) in gather(ledger, violations).iter().enumerate() {
        for (answer, reads) in answers {
            let lost = lost_write(ledger, ends, &ends.keys[key], *answer);
            violations.extend(lost.map(|mark| tell_lost(ledger, mark, reads[0])));
        }
        violations.extend(disagreement(ledger, key, answers));
    }
}

fn gather(ledger: &Ledger<'_>, violations: &mut Vec<Violation>) -> Vec<Answers> {
    let mut answers = vec![Answers::new(); ledger.keys.len()];
    for (read, event) in ledger.events.iter().enumerate() {
        let source = ledger.source[read];
        match &event.outcome {
            _ if event.phase == Phase::Run => {}
            Outcome::Ok(_) if source.is_some() || event.found_nothing() => {
                answers[ledger.key[read]].entry(source).or_default().push(read);
            }
            // A value without a write was reported before.
            Outcome::Ok(_) => {}
            Outcome::Refused(reason) | Outcome::Unknown(reason) => {
                let sentence = format!("{} when all should have recovered: {reason}", ledger.tell(read));
                violations.push(ledger.violation(Kind::NoAnswerAtEnd, &[read], sentence));
            }
        }
    }
    answers
}

/// An acknowledged write that must be present, and against which the answer cannot have won.
fn lost_write<'e>(
    ledger: &Ledger<'_>,
    ends: &'e Ends,
    end: &'e KeyEnd,
    answer: Option<usize>,
) -> Option<&'e Mark> {
    let winner = end.winner.iter().map(|(_, mark)| mark);
    let mut owed = winner.chain(&end.unstamped).map(AsRef::as_ref);
    owed.find(|mark: &&Mark| match answer {
        Some(write) => !ends.may_win(ledger, write, mark),
        None => {
            let deletions = &ledger.deletions[ledger.key[mark.event]];
            !deletions.iter().any(|one| ends.may_win(ledger, *one, mark))
        }
    })
}

fn tell_lost(ledger: &Ledger<'_>, mark: &Mark, read: usize) -> Violation {
    let (write, told) = (ledger.tell(mark.event), ledger.tell(read));
    let sentence =
        format!("{write} was acknowledged and lost: at the end, {told} saw what cannot have won against it");
    ledger.violation(Kind::LostWrite, &[mark.event, read], sentence)
}

fn disagreement(ledger: &Ledger<'_>, key: usize, answers: &Answers) -> Option<Violation> {
    let settled = answers
        .iter()
        .filter(|(answer, _)| is_settled(ledger, key, **answer));
    let reads: Vec<_> = settled.map(|(_, reads)| reads[0]).collect();
    if reads.len() < 2 {
        return None;
    }
    let told: Vec<_> = reads.iter().map(|read| ledger.tell(*read)).collect();
    let sentence = format!(
        "replicas disagree about {:?} at the end: {}",
        ledger.keys[key],
        told.join("; ")
    );
    Some(ledger.violation(Kind::Disagreement, &reads, sentence))
}

/// True if no unknown write can have changed this answer during the final reads.
fn is_settled(ledger: &Ledger<'_>, key: usize, answer: Option<usize>) -> bool {
    let acknowledged = |write: usize| ledger.events[write].is_acknowledged();
    let made_before = match answer {
        Some(write) => acknowledged(write),
        None => ledger.deletions[key]
            .iter()
            .all(|deletion| acknowledged(*deletion)),
    };
    made_before || !ledger.rules.late_writes
}
