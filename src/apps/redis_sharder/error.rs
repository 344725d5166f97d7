//! Errors of the sharder. Each variant is one that a caller may handle in its own way.

/// Why an operation was not done. Except with [`SharderError::Unavailable`], nothing has changed by it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SharderError {
    /// The request makes no sense, with these servers at least.
    #[error("{0}")]
    BadArgument(String),
    /// The servers have not been brought up.
    #[error("call bringUp first")]
    NotUp,
    /// The servers have been brought up, and it can be done once.
    #[error("bringUp was already called, and can be called only once")]
    AlreadyUp,
    /// Another process listens on a port that a server would need.
    #[error("port {0} is in use; end the process that listens there, or choose other ports with --base-port")]
    PortInUse(u16),
    /// A program is missing.
    #[error("{program} is not installed; apt-get install {package}")]
    NotInstalled {
        program: &'static str,
        package: &'static str,
    },
    /// A program is there, but cannot be run.
    #[error(
        "{path} cannot be run: {reason}; repair or remove it, or set PATH so that another one comes first"
    )]
    CannotRun { path: String, reason: &'static str },
    /// A server does not start for another reason.
    #[error("the redis-server for port {port} does not start: {reason}")]
    CannotStart { port: u16, reason: String },
    /// A strict sharder takes no put when fewer servers live than a key has copies.
    #[error("only {live} of the {level} servers that a put needs are alive, and --strict needs all of them")]
    TooFewServers { live: usize, level: usize },
    /// There is no room for all copies of a new key.
    #[error("capacity exceeded")]
    CapacityExceeded,
    /// Servers that are needed live and do not answer, or no server lives. If all servers of a key fell
    /// silent during a put, the new value may still appear, on all of them alike.
    #[error("unavailable")]
    Unavailable,
}
