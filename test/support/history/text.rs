//! Parses histories, in the line format that `causeway::wire::history` explains and writes.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::str::FromStr;

use causeway::wire::history::{Asked, Told, line};

use super::{Action, Answer, Event, History, OpId, Operation, Outcome, Phase, SessionId, Stamp};

/// Why a text is not a history, and in which line.
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
        let (kind, write) = match &self.operation.action {
            Action::Get => ("get", None),
            Action::Put(value) => ("put", Some(value.as_str())),
            Action::Delete => ("delete", None),
        };
        let after: Vec<u32> = self.after.iter().map(|id| id.0).collect();
        let asked = Asked {
            op: self.id.0,
            session: self.session.0,
            is_final: self.phase == Phase::Final,
            node: self.node,
            start_us: self.start_us,
            end_us: self.end_us,
            kind,
            key: &self.operation.key,
            write,
            after: &after,
            payload: &self.payload_in,
        };
        let stamp = self.stamp().map(|stamp| stamp.to_string());
        let stamp = stamp.as_deref();
        let told = match &self.outcome {
            Outcome::Ok(Answer::Found { value, .. }) => Told::Found { value, stamp },
            Outcome::Ok(Answer::NotFound) => Told::Missing,
            Outcome::Ok(Answer::Written {
                created, replicas, ..
            }) => Told::Written {
                created: *created,
                replicas: (*replicas).into(),
                stamp,
            },
            Outcome::Refused(reason) => Told::Refused(reason),
            Outcome::Unknown(reason) => Told::Unknown(reason),
        };
        f.write_str(&line(&asked, &told, &self.payload_out))
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

/// The fields of a line that are still unread: reading a field removes it.
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
