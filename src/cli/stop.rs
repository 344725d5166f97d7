//! How a command that goes on for long is asked to end.

use futures_util::future::select_all;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Failure;

/// Every way in which a terminal, a person or another program asks a command to end.
pub(super) struct Stop {
    signals: Vec<Signal>,
}

impl Stop {
    pub(super) fn new() -> Result<Self, Failure> {
        let mut signals = vec![listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?];
        signals.extend(hangup()?);
        Ok(Self { signals })
    }

    pub(super) async fn asked(&mut self) {
        let signals = self.signals.iter_mut();
        select_all(signals.map(|signal| Box::pin(signal.recv()))).await;
    }
}

/// The end of the terminal; none under `nohup`, which has it ignored.
pub(super) fn hangup() -> Result<Option<Signal>, Failure> {
    if is_ignored(SignalKind::hangup()) {
        return Ok(None);
    }
    listen(SignalKind::hangup()).map(Some)
}

fn listen(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| Failure::Failed(format!("cannot wait for signals: {error}")))
}

/// Whether whoever started this process has a signal ignored, as Linux tells; elsewhere it is heard.
fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask >> (kind.as_raw_value() - 1) & 1 == 1)
}
