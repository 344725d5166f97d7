//! What every client asked and was told, a line an operation, so that somebody else can judge whether it
//! was causal.
//!
//! Fields `name=value`, separated by tabs; in a value `\t`, `\n`, `\r` and `\\` stand for tab, line feed,
//! carriage return and backslash. `op` and `session` are numbers, `node` is the place in `--node`, `start`
//! and `end` are microseconds; `kind` is `get` or `put` (with the value as `write`); `after` is the
//! operation whose payload was handed in, `in` and `out` are the payloads. `outcome` is `found` (`value`,
//! `stamp`), `missing`, `written` (`created`, `replicas`, `stamp`), `refused` or `unknown` (`reason`);
//! `stamp` is the reply's timestamp. A session ends with a write of unknown outcome.
use std::fmt::{Display, Write as _};
use std::io::{self, BufWriter, IntoInnerError, Write as _};
use std::path::Path;

use tokio::time::Instant;

use crate::cli::user_file::{self, UserFile};
use crate::client::{ClientError, Found, Reply, Written};

/// The file, and the next numbers. The first error is kept for the end.
pub(super) struct History {
    file: BufWriter<UserFile>,
    began: Instant,
    operations: u32,
    sessions: u32,
    error: Option<io::Error>,
}

/// An operation as it was asked.
pub(super) struct Asked<'a> {
    pub(super) node: usize,
    pub(super) session: u32,
    pub(super) sent: Instant,
    pub(super) key: &'a str,
    /// What was written; nothing was, by a read.
    pub(super) write: Option<&'a str>,
    pub(super) after: Option<u32>,
    pub(super) payload: &'a str,
}

/// What came of it.
pub(super) enum Told<'a> {
    Found(&'a Found),
    Written(&'a Written),
    Failed(&'a ClientError),
}

impl History {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: BufWriter::new(user_file::create(path)?),
            began: Instant::now(),
            operations: 0,
            sessions: 0,
            error: None,
        })
    }

    pub(super) fn new_session(&mut self) -> u32 {
        self.sessions += 1;
        self.sessions
    }

    /// Notes an operation and gives it its number.
    pub(super) fn note(&mut self, asked: &Asked<'_>, told: &Told<'_>) -> u32 {
        self.operations += 1;
        let mut line = Line(format!("op={}", self.operations));
        line.field("start", (asked.sent - self.began).as_micros());
        line.field("end", self.began.elapsed().as_micros());
        line.asked(asked);
        line.told(told);
        line.0.push('\n');
        if let Err(error) = self.file.write_all(line.0.as_bytes()) {
            self.error.get_or_insert(error);
        }
        self.operations
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        match self.error.take() {
            Some(error) => Err(error),
            None => self
                .file
                .into_inner()
                .map_err(IntoInnerError::into_error)?
                .finish(),
        }
    }
}

struct Line(String);

impl Line {
    fn field(&mut self, name: &str, value: impl Display) {
        // The backslash first: the others bring new ones.
        let value = value.to_string().replace('\\', "\\\\").replace('\t', "\\t");
        let value = value.replace('\n', "\\n").replace('\r', "\\r");
        write!(self.0, "\t{name}={value}").expect("a string takes every text");
    }

    fn asked(&mut self, asked: &Asked<'_>) {
        self.field("session", asked.session);
        self.field("node", asked.node);
        self.field("kind", if asked.write.is_some() { "put" } else { "get" });
        self.field("key", asked.key);
        asked.write.iter().for_each(|value| self.field("write", value));
        asked.after.iter().for_each(|after| self.field("after", after));
        if !asked.payload.is_empty() {
            self.field("in", asked.payload);
        }
    }

    fn told(&mut self, told: &Told<'_>) {
        match told {
            Told::Found(found) => {
                self.field("outcome", "found");
                self.field("value", String::from_utf8_lossy(&found.value));
                self.reply(&found.reply);
            }
            Told::Written(written) => {
                self.field("outcome", "written");
                self.field("created", if written.created { "yes" } else { "no" });
                self.field("replicas", written.replicas.unwrap_or(1));
                self.reply(&written.reply);
            }
            Told::Failed(ClientError::NoSuchKey(reply)) => {
                self.field("outcome", "missing");
                self.payload(reply);
            }
            Told::Failed(error) => {
                let outcome = if is_unknown(error) { "unknown" } else { "refused" };
                self.field("outcome", outcome);
                self.field("reason", error);
            }
        }
    }

    fn reply(&mut self, reply: &Reply) {
        let stamp = reply.text("timestamp");
        stamp.iter().for_each(|stamp| self.field("stamp", stamp));
        self.payload(reply);
    }

    fn payload(&mut self, reply: &Reply) {
        let payload = reply.text("causal_payload");
        payload.iter().for_each(|payload| self.field("out", payload));
    }
}

/// Whether a write that ended so may have taken effect, or may do so yet.
pub(super) fn is_unknown(error: &ClientError) -> bool {
    match error {
        ClientError::UnknownOutcome(_) | ClientError::Garbled { .. } => true,
        ClientError::Refused(reply) => reply.status.as_u16() == 504,
        ClientError::NoAnswer(_) | ClientError::NoSuchKey(_) => false,
    }
}
