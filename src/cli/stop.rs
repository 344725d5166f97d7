//! How a command that goes on for long is asked to end.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Failure;

/// Every way in which a terminal, a person or another program asks a command to end.
pub(super) struct Stop {
    signals: [Signal; 3],
}

impl Stop {
    pub(super) fn new() -> Result<Self, Failure> {
        let listen =
            |kind| signal(kind).map_err(|error| Failure::Failed(format!("cannot wait for signals: {error}")));
        let signals = [
            listen(SignalKind::interrupt())?,
            listen(SignalKind::terminate())?,
            listen(SignalKind::hangup())?,
        ];
        Ok(Self { signals })
    }

    pub(super) async fn asked(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.signals;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
