//! Ctrl-C: an interrupted soak still reports what it has found.
#![expect(
    clippy::disallowed_methods,
    reason = "a thread of its own listens, and the second time ends the process"
)]

use std::process::exit;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

/// The exit code of an interrupted process.
pub(crate) const INTERRUPTED: u8 = 130;

#[derive(Debug)]
pub(crate) struct Interruption(Arc<AtomicBool>);

impl Interruption {
    pub(crate) fn listen() -> Self {
        let heard = Arc::new(AtomicBool::new(false));
        let hear = Arc::clone(&heard);
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_io().build();
            runtime.expect("a runtime is built").block_on(async {
                let mut interrupts = signal(SignalKind::interrupt()).expect("can be listened for");
                interrupts.recv().await;
                hear.store(true, Ordering::Relaxed);
                eprintln!("\nthe seeds under way are finished; once more to end at once");
                interrupts.recv().await;
                exit(INTERRUPTED.into());
            });
        });
        Self(heard)
    }

    pub(crate) fn is_heard(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
