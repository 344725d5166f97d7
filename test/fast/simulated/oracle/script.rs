//! Histories that read like a transcript, for the tables of anomalies and of legal runs.
//!
//! ```text
//! alice: put x 1 @5          acknowledged, stamped with 5 seconds
//! bob <- alice: get x = 1    bob hands in alice's payload and, if he has one, his own
//! bob: delete x *1           only one replica had it at the answer
//! carol: put x 2 unknown     or `refused`
//! end dave at 2: get x = none
//! ```
//!
//! Lines follow each other in time. A name is a session that threads its payload; `end` marks the reads
//! at the end of the run.

use std::collections::BTreeMap;

use crate::support::history::{
    Action, Answer, Event, History, OpId, Operation, Outcome, Phase, SessionId, Stamp,
};

pub(super) fn history(text: &str) -> History {
    let mut script = Script::default();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.for_each(|line| script.line(line));
    script.history
}

#[derive(Default)]
struct Script {
    history: History,
    names: BTreeMap<String, SessionId>,
    known: BTreeMap<String, OpId>,
}

impl Script {
    fn line(&mut self, line: &str) {
        let (who, what) = line.split_once(": ").expect("who: what");
        let (phase, who) = match who.strip_prefix("end ") {
            Some(who) => (Phase::Final, who),
            None => (Phase::Run, who),
        };
        let (who, node) = who.split_once(" at ").unwrap_or((who, "0"));
        let (name, from) = who.split_once(" <- ").unwrap_or((who, ""));
        let fresh = SessionId(self.names.len() as u32);
        let session = *self.names.entry(name.into()).or_insert(fresh);
        let after: Vec<_> = [name].into_iter().chain(from.split(", ")).collect();
        let after: Vec<_> = after
            .iter()
            .filter_map(|name| self.known.get(*name))
            .copied()
            .collect();
        let id = OpId(self.history.events.len() as u32 + 1);
        let (operation, outcome) = parse_what(what);
        let answered = matches!(outcome, Outcome::Ok(_));
        if answered {
            self.known.insert(name.into(), id);
        }
        let payloads: Vec<_> = after.iter().map(|id| format!("p{}", id.0)).collect();
        self.history.events.push(Event {
            id,
            session,
            phase,
            node: node.parse().expect("a node is a number"),
            start_us: u64::from(id.0) * 10,
            end_us: u64::from(id.0) * 10 + 5,
            operation,
            after,
            payload_in: payloads.join(","),
            outcome,
            payload_out: if answered {
                format!("p{}", id.0)
            } else {
                String::new()
            },
        });
    }
}

fn parse_what(what: &str) -> (Operation, Outcome) {
    let (words, marks): (Vec<_>, Vec<_>) = what.split(' ').partition(|word| !word.starts_with(['@', '*']));
    let mark = |sign| marks.iter().find_map(|mark| mark.strip_prefix(sign));
    let stamp = mark('@').map(|text| Stamp::parse(text).expect("@ seconds"));
    let replicas = mark('*').map_or(2, |text| text.parse().expect("* replicas"));
    let written = Outcome::Ok(Answer::Written {
        created: false,
        replicas,
        stamp,
    });
    let (key, action, rest) = match words[..] {
        ["put", key, value, ref rest @ ..] => (key, Action::Put(value.into()), rest),
        ["get", key, ref rest @ ..] => (key, Action::Get, rest),
        ["delete", key, ref rest @ ..] => (key, Action::Delete, rest),
        _ => panic!("no operation: {what}"),
    };
    let outcome = match rest {
        [] => written,
        ["unknown"] => Outcome::Unknown("timeout".into()),
        ["refused"] => Outcome::Refused("behind".into()),
        ["=", "none"] => Outcome::Ok(Answer::NotFound),
        ["=", value] => Outcome::Ok(Answer::Found {
            value: (*value).into(),
            stamp,
        }),
        _ => panic!("no outcome: {what}"),
    };
    (
        Operation {
            key: key.into(),
            action,
        },
        outcome,
    )
}
