//! The line format of histories, written and parsed.
//!
//! One operation a line, fields `name=value` separated by tabs, in any order; blank lines and lines
//! that begin with `#` say nothing. In a value, `\t`, `\n`, `\r` and `\\` stand for tab, line feed,
//! carriage return and backslash.
//!
//! ```text
//! op=7  session=2  node=1  start=1200  end=1350  kind=put  key=x  write=v7  after=3,5  in=AbC,dEf
//!       outcome=written  created=yes  replicas=2  stamp=1700000000.123000000  out=GhI
//! ```
//!
//! - `op`, `session`, `node`, `start`, `end` (microseconds), `kind` (get, put, delete), `key`,
//!   `outcome` are always there; `write` with a put.
//! - `after`: the operations whose payloads were handed in, `in` and `out` the payloads; left out when
//!   empty. `phase=final` marks the reads at the end of the run.
//! - Operations of one request have the same `session`, `node`, `start` and `end`; each may come `after` one
//!   before it.
//! - `outcome` is `found` (`value`, `stamp`), `missing`, `written` (`created`, `replicas`, `stamp`),
//!   `refused` or `unknown` (`reason`). `stamp` is left out where the reply had none.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write as _};
use std::str::FromStr;

use super::{Action, Answer, Event, History, OpId, Operation, Outcome, Phase, SessionId, Stamp};

/// Where a text is no history, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct ParseError {
    pub line: usize,
    pub what: String,
}

impl Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.events.iter().try_for_each(|event| writeln!(f, "{event}"))
    }
}

impl FromStr for History {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let lines = text.lines().zip(1..);
        let told = lines.filter(|(line, _)| !line.trim().is_empty() && !line.starts_with('#'));
        let events = told
            .map(|(text, line)| parse_event(text).map_err(|what| ParseError { line, what }))
            .collect::<Result<_, _>>()?;
        Ok(Self { events })
    }
}

impl Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = Line(String::new());
        line.field("op", self.id.0);
        line.field("session", self.session.0);
        if self.phase == Phase::Final {
            line.field("phase", "final");
        }
        line.field("node", self.node);
        line.field("start", self.start_us);
        line.field("end", self.end_us);
        line.operation(&self.operation);
        let after: Vec<_> = self.after.iter().map(|id| id.0.to_string()).collect();
        line.field_unless_empty("after", &after.join(","));
        line.field_unless_empty("in", &self.payload_in);
        line.outcome(&self.outcome);
        line.field_unless_empty("out", &self.payload_out);
        f.write_str(&line.0)
    }
}

struct Line(String);

impl Line {
    fn field(&mut self, name: &str, value: impl Display) {
        if !self.0.is_empty() {
            self.0.push('\t');
        }
        write!(self.0, "{name}={}", escape(&value.to_string())).expect("a string takes every text");
    }

    fn field_unless_empty(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.field(name, value);
        }
    }

    fn operation(&mut self, operation: &Operation) {
        let (kind, value) = match &operation.action {
            Action::Get => ("get", None),
            Action::Put(value) => ("put", Some(value)),
            Action::Delete => ("delete", None),
        };
        self.field("kind", kind);
        self.field("key", &operation.key);
        value.into_iter().for_each(|value| self.field("write", value));
    }

    fn outcome(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Ok(answer) => self.answer(answer),
            Outcome::Refused(reason) => {
                self.field("outcome", "refused");
                self.field_unless_empty("reason", reason);
            }
            Outcome::Unknown(reason) => {
                self.field("outcome", "unknown");
                self.field_unless_empty("reason", reason);
            }
        }
    }

    fn answer(&mut self, answer: &Answer) {
        let stamp = match answer {
            Answer::Found { value, stamp } => {
                self.field("outcome", "found");
                self.field("value", value);
                stamp
            }
            Answer::NotFound => {
                self.field("outcome", "missing");
                &None
            }
            Answer::Written {
                created,
                replicas,
                stamp,
            } => {
                self.field("outcome", "written");
                self.field("created", if *created { "yes" } else { "no" });
                self.field("replicas", replicas);
                stamp
            }
        };
        stamp.iter().for_each(|stamp| self.field("stamp", stamp));
    }
}

fn parse_event(line: &str) -> Result<Event, String> {
    let mut fields = Fields(BTreeMap::new());
    for field in line.split('\t') {
        let (name, value) = field
            .split_once('=')
            .ok_or_else(|| format!("{field:?} is no name=value"))?;
        if fields.0.insert(name, unescape(value)?).is_some() {
            return Err(format!("{name:?} comes twice"));
        }
    }
    let event = Event {
        id: OpId(fields.number("op")?),
        session: SessionId(fields.number("session")?),
        phase: fields.phase()?,
        node: fields.number("node")?,
        start_us: fields.number("start")?,
        end_us: fields.number("end")?,
        operation: fields.operation()?,
        after: fields.after()?,
        payload_in: fields.0.remove("in").unwrap_or_default(),
        outcome: fields.outcome()?,
        payload_out: fields.0.remove("out").unwrap_or_default(),
    };
    match fields.0.keys().next() {
        Some(stranger) => Err(format!("{stranger:?} is no field of this operation")),
        None => Ok(event),
    }
}

/// What is left of a line: every field that is read is taken out.
struct Fields<'a>(BTreeMap<&'a str, String>);

impl Fields<'_> {
    fn text(&mut self, name: &str) -> Result<String, String> {
        self.0.remove(name).ok_or_else(|| format!("{name:?} is missing"))
    }

    fn number<T: FromStr>(&mut self, name: &str) -> Result<T, String> {
        let text = self.text(name)?;
        text.parse()
            .map_err(|_| format!("{name:?} is no number: {text:?}"))
    }

    fn phase(&mut self) -> Result<Phase, String> {
        match self.0.remove("phase").as_deref() {
            None => Ok(Phase::Run),
            Some("final") => Ok(Phase::Final),
            Some(other) => Err(format!("no phase is called {other:?}")),
        }
    }

    fn operation(&mut self) -> Result<Operation, String> {
        let action = match self.text("kind")?.as_str() {
            "get" => Action::Get,
            "put" => Action::Put(self.text("write")?),
            "delete" => Action::Delete,
            other => return Err(format!("no kind is called {other:?}")),
        };
        let key = self.text("key")?;
        Ok(Operation { key, action })
    }

    fn after(&mut self) -> Result<Vec<OpId>, String> {
        let text = self.0.remove("after").unwrap_or_default();
        let ids = text.split(',').filter(|id| !id.is_empty());
        ids.map(|id| {
            id.parse()
                .map(OpId)
                .map_err(|_| format!("no operation is {id:?}"))
        })
        .collect()
    }

    fn outcome(&mut self) -> Result<Outcome, String> {
        let outcome = match self.text("outcome")?.as_str() {
            "found" => Outcome::Ok(Answer::Found {
                value: self.text("value")?,
                stamp: self.stamp()?,
            }),
            "missing" => Outcome::Ok(Answer::NotFound),
            "written" => Outcome::Ok(Answer::Written {
                created: self.text("created")? == "yes",
                replicas: self.number("replicas")?,
                stamp: self.stamp()?,
            }),
            "refused" => Outcome::Refused(self.0.remove("reason").unwrap_or_default()),
            "unknown" => Outcome::Unknown(self.0.remove("reason").unwrap_or_default()),
            other => return Err(format!("no outcome is called {other:?}")),
        };
        Ok(outcome)
    }

    fn stamp(&mut self) -> Result<Option<Stamp>, String> {
        let text = self.0.remove("stamp");
        text.map(|text| Stamp::parse(&text).ok_or_else(|| format!("{text:?} is no timestamp")))
            .transpose()
    }
}

fn escape(text: &str) -> String {
    // The backslash first: the others bring new ones.
    let text = text.replace('\\', "\\\\").replace('\t', "\\t");
    text.replace('\n', "\\n").replace('\r', "\\r")
}

fn unescape(text: &str) -> Result<String, String> {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        plain.push(match char {
            '\\' => match chars.next() {
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('\\') => '\\',
                _ => return Err(format!("a backslash in {text:?} stands before no escape")),
            },
            plain => plain,
        });
    }
    Ok(plain)
}
