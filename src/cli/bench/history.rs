//! Writes what every client of a bench asked and was told, as lines that `wire::history` explains.
//!
//! Apart from the clients, because they share one file and its numbers.

use std::io::{self, BufWriter, IntoInnerError, Write as _};
use std::path::Path;

use tokio::time::Instant;

use crate::cli::user_file::{self, UserFile};
use crate::client::{ClientError, Found, Reply, Written};
use crate::wire::history::{Asked, Told, line};

/// The file, and the next numbers. The first error is kept for the end.
pub(super) struct History {
    file: BufWriter<UserFile>,
    began: Instant,
    operations: u32,
    sessions: u32,
    error: Option<io::Error>,
}

/// An operation of a client.
pub(super) struct Noted<'a> {
    pub(super) node: usize,
    pub(super) session: u32,
    pub(super) sent: Instant,
    pub(super) key: &'a str,
    /// The written value; none for a read.
    pub(super) write: Option<&'a str>,
    pub(super) after: Option<u32>,
    pub(super) payload: &'a str,
}

/// The outcome of an operation.
pub(super) enum Outcome<'a> {
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
    pub(super) fn note(&mut self, noted: &Noted<'_>, outcome: &Outcome<'_>) -> u32 {
        self.operations += 1;
        let since_began = |at: Instant| u64::try_from((at - self.began).as_micros()).unwrap_or(u64::MAX);
        let asked = Asked {
            op: self.operations,
            session: noted.session,
            is_final: false,
            node: noted.node,
            start_us: since_began(noted.sent),
            end_us: since_began(Instant::now()),
            kind: if noted.write.is_some() { "put" } else { "get" },
            key: noted.key,
            write: noted.write,
            after: noted.after.as_slice(),
            payload: noted.payload,
        };
        if let Err(error) = writeln!(self.file, "{}", told(&asked, outcome)) {
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

fn told(asked: &Asked<'_>, outcome: &Outcome<'_>) -> String {
    match outcome {
        Outcome::Found(found) => {
            let told = Told::Found {
                value: &String::from_utf8_lossy(&found.value),
                stamp: found.reply.text("timestamp"),
            };
            line(asked, &told, payload(&found.reply))
        }
        Outcome::Written(written) => {
            let told = Told::Written {
                created: written.created,
                replicas: written.replicas.unwrap_or(1),
                stamp: written.reply.text("timestamp"),
            };
            line(asked, &told, payload(&written.reply))
        }
        Outcome::Failed(ClientError::NoSuchKey(reply)) => line(asked, &Told::Missing, payload(reply)),
        Outcome::Failed(error) => {
            let reason = error.to_string();
            let told = if is_unknown(error) {
                Told::Unknown(&reason)
            } else {
                Told::Refused(&reason)
            };
            line(asked, &told, "")
        }
    }
}

fn payload(reply: &Reply) -> &str {
    reply.text("causal_payload").unwrap_or_default()
}

/// True if a write with this error may have taken effect, or may do so yet.
pub(super) fn is_unknown(error: &ClientError) -> bool {
    match error {
        ClientError::UnknownOutcome(_) | ClientError::Garbled { .. } => true,
        ClientError::Refused(reply) => reply.status.as_u16() == 504,
        ClientError::NoAnswer(_) | ClientError::NoSuchKey(_) => false,
    }
}
