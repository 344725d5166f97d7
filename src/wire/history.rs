//! Writes histories: what clients asked and what the nodes answered, one line for each operation, so that a program
//! elsewhere can judge whether the answers were causal.
//!
//! `causeway bench --history` and the simulator write them; `test/support/history/text.rs` parses them.
//!
//! A line has fields `name=value`, separated by tabs, in any order. Blank lines and lines that begin with `#` mean
//! nothing. In a value, `\t`, `\n`, `\r` and `\\` stand for tab, line feed, carriage return and backslash.
//!
//! ```text
//! op=7  session=2  node=1  start=1200  end=1350  kind=put  key=x  write=v7  after=3,5  in=AbC,dEf
//!       outcome=written  created=yes  replicas=2  stamp=1700000000.123000000  out=GhI
//! ```
//!
//! - `op`, `session`, `node` (the place in the list of nodes), `start`, `end` (microseconds), `kind` (get, put,
//!   delete), `key` and `outcome` are always there; `write` with a put.
//! - `after`: the operations whose payloads were sent, `in` and `out` the payloads; left out when
//!   empty. `phase=final` marks the reads at the end of the run.
//! - Operations of one request have the same `session`, `node`, `start` and `end`; each may come `after` one
//!   before it.
//! - `outcome` is `found` (`value`, `stamp`), `missing`, `written` (`created`, `replicas`, `stamp`),
//!   `refused` or `unknown` (`reason`). `stamp`, the reply's timestamp, is left out where the reply had none.
//! - A session ends with a write of unknown outcome.

use std::fmt::{Display, Write as _};

/// An operation as a client asked for it.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub op: u32,
    pub session: u32,
    /// True for the reads at the end of the run.
    pub is_final: bool,
    pub node: usize,
    pub start_us: u64,
    pub end_us: u64,
    /// `get`, `put` or `delete`.
    pub kind: &'static str,
    pub key: &'a str,
    /// The value of a put.
    pub write: Option<&'a str>,
    /// The operations whose payloads were sent.
    pub after: &'a [u32],
    pub payload: &'a str,
}

/// Its outcome; a `stamp` is the timestamp of the reply.
#[derive(Debug, Clone, Copy)]
pub enum Told<'a> {
    Found {
        value: &'a str,
        stamp: Option<&'a str>,
    },
    Missing,
    Written {
        created: bool,
        replicas: i64,
        stamp: Option<&'a str>,
    },
    Refused(&'a str),
    Unknown(&'a str),
}

/// The line, without its end. `payload` is the payload of the reply, if it had one.
pub fn line(asked: &Asked<'_>, told: &Told<'_>, payload: &str) -> String {
    let mut line = Line(format!("op={}", asked.op));
    line.field("session", asked.session);
    if asked.is_final {
        line.field("phase", "final");
    }
    line.field("node", asked.node);
    line.field("start", asked.start_us);
    line.field("end", asked.end_us);
    line.field("kind", asked.kind);
    line.field("key", asked.key);
    line.optional("write", asked.write);
    let after: Vec<String> = asked.after.iter().map(u32::to_string).collect();
    line.unless_empty("after", &after.join(","));
    line.unless_empty("in", asked.payload);
    line.told(told);
    line.unless_empty("out", payload);
    line.0
}

struct Line(String);

impl Line {
    fn field(&mut self, name: &str, value: impl Display) {
        write!(self.0, "\t{name}={}", escape(&value.to_string())).expect("a string takes every text");
    }

    fn optional(&mut self, name: &str, value: Option<&str>) {
        value.into_iter().for_each(|value| self.field(name, value));
    }

    fn unless_empty(&mut self, name: &str, value: &str) {
        self.optional(name, Some(value).filter(|value| !value.is_empty()));
    }

    fn told(&mut self, told: &Told<'_>) {
        match *told {
            Told::Found { value, stamp } => {
                self.field("outcome", "found");
                self.field("value", value);
                self.optional("stamp", stamp);
            }
            Told::Missing => self.field("outcome", "missing"),
            Told::Written {
                created,
                replicas,
                stamp,
            } => {
                self.field("outcome", "written");
                self.field("created", if created { "yes" } else { "no" });
                self.field("replicas", replicas);
                self.optional("stamp", stamp);
            }
            Told::Refused(reason) => {
                self.field("outcome", "refused");
                self.unless_empty("reason", reason);
            }
            Told::Unknown(reason) => {
                self.field("outcome", "unknown");
                self.unless_empty("reason", reason);
            }
        }
    }
}

fn escape(text: &str) -> String {
    // The backslash first: the other replacements add backslashes.
    let text = text.replace('\\', "\\\\").replace('\t', "\\t");
    text.replace('\n', "\\n").replace('\r', "\\r")
}
