//! How a program deals with a person: arguments and settings in, lines and an exit code out, and how it
//! is asked to end. It is the same for every program here, so it knows none of their commands.

pub mod given;
pub mod logging;
pub mod output;
pub mod parent;
pub mod program;
pub mod stop;

/// How a command ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Done,
    /// The key that was asked for does not exist.
    NoSuchKey,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The request makes no sense; nothing was tried.
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Failed(String),
}

impl Failure {
    /// A failure of a step after the work: the work stays done.
    pub fn after(self, done: &str) -> Self {
        Self::Failed(format!("{done}, but {self}"))
    }
}

/// The first failure of two steps; if both failed, both are reported.
pub fn both(first: Result<(), Failure>, second: Result<(), Failure>) -> Result<(), Failure> {
    match (first, second) {
        (Err(first), Err(second)) => Err(Failure::Failed(format!("{first}; {second}"))),
        (first, second) => first.and(second),
    }
}
