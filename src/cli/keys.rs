//! `causeway get`, `put`, `delete`: one operation on a key, as part of a session if one is named.

use std::io::{Read, stdin};
use std::path::Path;

use super::arguments::{Asking, Causal, OneKey, Put};
use super::{client, session_file};
use crate::client::{ClientError, Found, Reply, Session, Written};
use crate::process::system;
use crate::terminal::{Failure, Verdict, both, output};

pub async fn get(arguments: OneKey) -> Result<Verdict, Failure> {
    let OneKey { key, asking, causal } = arguments;
    let mut session_use = SessionUse::open(&causal)?;
    let outcome = client(&asking.node).get(&key, &mut session_use.session).await;
    let kept = session_use.close(&outcome, "the value was read");
    finish(
        outcome,
        kept,
        &asking,
        &causal,
        |found: &Found| &found.reply,
        |found| {
            output::print(&found.value)?;
            // A pipe gets the value as it was stored; a person wants the prompt on a line of its own.
            if output::is_terminal() {
                output::print(b"\n")
            } else {
                Ok(())
            }
        },
    )
}

pub async fn put(arguments: Put) -> Result<Verdict, Failure> {
    let Put {
        key,
        value,
        asking,
        causal,
    } = arguments;
    let value = match value.as_str() {
        "-" => standard_input()?,
        _ => value.into_bytes(),
    };
    let mut session_use = SessionUse::open(&causal)?;
    let outcome = client(&asking.node)
        .put(&key, value.into(), &mut session_use.session)
        .await;
    let kept = session_use.close(&outcome, "the value was stored");
    finish(
        outcome,
        kept,
        &asking,
        &causal,
        |written: &Written| &written.reply,
        |written| {
            let verb = if written.created { "created" } else { "replaced" };
            output::print_line(&sentence(verb, written))
        },
    )
}

pub async fn delete(arguments: OneKey) -> Result<Verdict, Failure> {
    let OneKey { key, asking, causal } = arguments;
    let mut session_use = SessionUse::open(&causal)?;
    let outcome = client(&asking.node).delete(&key, &mut session_use.session).await;
    let kept = session_use.close(&outcome, "the key was deleted");
    finish(
        outcome,
        kept,
        &asking,
        &causal,
        |written: &Written| &written.reply,
        |written| output::print_line(&sentence("deleted", written)),
    )
}

/// `created in partition 1, on 2 replicas`
pub(super) fn sentence(verb: &str, written: &Written) -> String {
    let place = format!("{verb} in partition {}", written.partition_id);
    match written.replicas {
        Some(1) => format!("{place}, on 1 replica"),
        Some(replicas) => format!("{place}, on {replicas} replicas"),
        None => place,
    }
}

/// A session while one command uses it.
pub(super) struct SessionUse<'a> {
    pub(super) causal: &'a Causal,
    /// The file's session when the command began.
    before: Session,
    pub(super) session: Session,
}

impl<'a> SessionUse<'a> {
    pub(super) fn open(causal: &'a Causal) -> Result<Self, Failure> {
        let before = match &causal.session {
            Some(path) => session_file::open(path)?,
            None => Session::default(),
        };
        let mut session = before.clone();
        if let Some(payload) = &causal.payload {
            let given = Session::from_payload(payload);
            session.join(&given.map_err(|error| Failure::Usage(format!("--payload: {error}")))?);
        }
        Ok(Self {
            causal,
            before,
            session,
        })
    }

    /// Saves the payload after the command, also if the key does not exist: later reads depend on that
    /// too. `done` says what the command did, in case saving fails.
    pub(super) fn close<T>(self, outcome: &Result<T, ClientError>, done: &str) -> Result<(), Failure> {
        match (outcome, &self.causal.session) {
            (Ok(_), Some(path)) => self.write(path).map_err(|failure| failure.after(done)),
            (Err(ClientError::NoSuchKey(_)), Some(path)) => self
                .write(path)
                .map_err(|failure| failure.after("there is no such key")),
            _ => Ok(()),
        }
    }

    fn write(&self, path: &Path) -> Result<(), Failure> {
        session_file::add(path, &self.before, &self.session).map_err(|failure| {
            let payload = self.session.payload();
            Failure::Failed(format!(
                "{failure}; to continue this session, use --payload {payload}"
            ))
        })
    }
}

/// Prints the outcome, for a person or for a program, and then reports a problem with the session file
/// separately.
fn finish<T>(
    outcome: Result<T, ClientError>,
    kept: Result<(), Failure>,
    asking: &Asking,
    causal: &Causal,
    reply: impl Fn(&T) -> &Reply,
    show: impl FnOnce(&T) -> Result<(), Failure>,
) -> Result<Verdict, Failure> {
    let mut printed = Ok(());
    if asking.json
        && let Some(reply) = match &outcome {
            Ok(done) => Some(reply(done)),
            Err(ClientError::NoSuchKey(reply) | ClientError::Refused(reply)) => Some(&**reply),
            Err(_) => None,
        }
    {
        printed = output::print_json(&reply.body);
    }
    match outcome {
        Ok(done) => {
            let printed = if asking.json { printed } else { show(&done) };
            let printed = printed.map_err(|failure| failure.after("it was done"));
            both(printed, kept).map(|()| Verdict::Done)
        }
        Err(ClientError::NoSuchKey(_)) => both(printed, kept).map(|()| Verdict::NoSuchKey),
        Err(error) => Err(failure(error, causal)),
    }
}

/// Why a command of a session failed. For a bad payload it names where the payload came from.
pub(super) fn failure(error: ClientError, causal: &Causal) -> Failure {
    let source = match (&error, &causal.session, &causal.payload) {
        (ClientError::Refused(reply), session, payload) if reply.code() == Some("bad_payload") => {
            let file = session
                .as_ref()
                .map(|path| format!("the session file {}", path.display()));
            let flag = payload.as_ref().map(|_| "--payload".to_owned());
            let sources: Vec<String> = file.into_iter().chain(flag).collect();
            sources.join(" or ")
        }
        _ => String::new(),
    };
    if source.is_empty() {
        return error.into();
    }
    Failure::Failed(format!(
        "{error}; this payload comes from {source}: begin a new session without it"
    ))
}

pub(super) fn standard_input() -> Result<Vec<u8>, Failure> {
    let mut value = Vec::new();
    match stdin().lock().read_to_end(&mut value) {
        Ok(_) => Ok(value),
        Err(error) => Err(Failure::Failed(format!(
            "cannot read standard input: {}",
            system::explain(&error)
        ))),
    }
}
