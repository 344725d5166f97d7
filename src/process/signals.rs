//! Receives the signals that ask this process to end, and makes sure that it ends.
//!
//! A separate thread receives the signals. The other threads may be stuck: in a write to a disk that does
//! not answer, in a write to a pipe that is not read, in a loop. They are notified, and if the process
//! still runs when its time is over, this thread ends it.
#![expect(
    clippy::disallowed_methods,
    reason = "the one end of the process that nobody else can bring about"
)]

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select_all;
use parking_lot::Mutex;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::process::{telemetry, threads};

/// The exit code of a process that did not end by itself.
const CUT_OFF: i32 = 1;

/// The request to end, received by a separate thread.
#[derive(Debug, Clone)]
pub struct Ending(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    asked: Notify,
    /// How long the process may take to end.
    patience: Mutex<Duration>,
}

/// Turns SIGTERM, SIGINT and, if `with_hangup`, SIGHUP into requests. Until [`Ending::allow`] the process
/// has nothing to finish, and a request ends it at once.
pub fn hear(with_hangup: bool) -> io::Result<Ending> {
    let ending = Ending(Arc::new(Shared {
        asked: Notify::new(),
        patience: Mutex::new(Duration::ZERO),
    }));
    let shared = Arc::clone(&ending.0);
    threads::start("signals", || {
        survive_file_size_limit()?;
        let signals = listen(with_hangup)?;
        Ok(move || async move { shared.attend(signals).await })
    })?;
    Ok(ending)
}

impl Ending {
    /// Lets the process take this long to end.
    pub fn allow(&self, patience: Duration) {
        *self.0.patience.lock() = patience;
    }

    /// Resolves when the process is asked to end; again when it is asked again.
    pub async fn asked(&self) {
        self.0.asked.notified().await;
    }
}

/// Makes a write beyond the limit of a file's size (`ulimit -f`) fail instead of ending the process. Must
/// be called within a runtime.
pub fn survive_file_size_limit() -> io::Result<()> {
    let exceeded = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
    // The handler stays for the life of the process, even without a receiver.
    signal(exceeded).map(drop)
}

/// True if this process was started with the signal ignored, as Linux reports it; false on other systems.
pub fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask >> (kind.as_raw_value() - 1) & 1 == 1)
}

type Named = (&'static str, Signal);

fn listen(with_hangup: bool) -> io::Result<Vec<Named>> {
    let mut kinds = vec![
        ("SIGTERM", SignalKind::terminate()),
        ("SIGINT", SignalKind::interrupt()),
    ];
    if with_hangup && !is_ignored(SignalKind::hangup()) {
        kinds.push(("SIGHUP", SignalKind::hangup()));
    }
    kinds
        .into_iter()
        .map(|(name, kind)| Ok((name, signal(kind)?)))
        .collect()
}

impl Shared {
    async fn attend(&self, mut signals: Vec<Named>) {
        let name = next(&mut signals).await;
        let (begin, patience) = (Instant::now(), *self.patience.lock());
        tracing::info!("stopping: {name}");
        self.asked.notify_one();
        if patience.is_zero() {
            telemetry::flush();
            std::process::exit(0);
        }
        let again = async {
            loop {
                next(&mut signals).await;
                self.asked.notify_one();
            }
        };
        tokio::select! {
            () = again => {}
            () = sleep_until(begin + patience) => {}
        }
        telemetry::say(&format!(
            "causeway: {name} came {} s ago and the process is still stopping (a disk or a pipe \
             that does not answer?); ended without waiting for it",
            patience.as_secs()
        ));
        std::process::exit(CUT_OFF);
    }
}

async fn next(signals: &mut [Named]) -> &'static str {
    let each = signals.iter_mut().map(|(name, signal)| {
        Box::pin(async move {
            signal.recv().await;
            *name
        })
    });
    select_all(each).await.0
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::process::{Command, Stdio};
    use std::thread;

    use super::*;

    const ALLOWED: &str = "CAUSEWAY_TEST_ALLOWED_MS";

    /// Not a test by itself: a process whose threads never end.
    #[test]
    fn frozen() {
        let Ok(allowed) = std::env::var(ALLOWED) else {
            return;
        };
        let ending = hear(false).expect("hears");
        ending.allow(Duration::from_millis(allowed.parse().expect("a number")));
        println!("\nready");
        loop {
            thread::park();
        }
    }

    fn code_after(signal: rustix::process::Signal, allowed_ms: u64) -> Option<i32> {
        let mut frozen = Command::new(std::env::current_exe().expect("runs"))
            .args(["--exact", "process::signals::tests::frozen", "--nocapture"])
            .env(ALLOWED, allowed_ms.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let mut lines = BufReader::new(frozen.stdout.take().expect("is piped")).lines();
        lines.find(|line| line.as_ref().is_ok_and(|line| line == "ready"));
        let pid = rustix::process::Pid::from_child(&frozen);
        rustix::process::kill_process(pid, signal).expect("runs");
        frozen.wait().expect("ends").code()
    }

    #[test]
    fn a_process_that_is_frozen_ends_when_its_time_is_over() {
        for signal in [rustix::process::Signal::TERM, rustix::process::Signal::INT] {
            assert_eq!(code_after(signal, 50), Some(CUT_OFF), "{signal:?}");
        }
    }

    #[test]
    fn a_process_that_has_not_begun_ends_at_once_and_in_good_order() {
        assert_eq!(code_after(rustix::process::Signal::TERM, 0), Some(0));
    }
}
