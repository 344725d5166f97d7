//! Shows the progress of a view change on standard error while a command waits for it: one changing line
//! on a terminal, and a line for each phase elsewhere.

use std::convert::Infallible;
use std::io::{IsTerminal, stderr};
use std::time::Duration;

use tokio::time::sleep;

use crate::client::Client;
use crate::process::telemetry;
use crate::wire::public::Progress as Change;

/// Often enough to look alive, seldom enough to cost the node nothing.
const POLL: Duration = Duration::from_millis(200);

/// Nodes that are named in the line, which should fit a terminal.
const NAMED_MAX: usize = 2;

/// The lines that were printed so far.
#[derive(Debug)]
pub(super) struct Progress {
    is_terminal: bool,
    /// True if a line is on the terminal.
    is_shown: bool,
    /// The epoch and phase that were shown last.
    said: Option<(u64, String)>,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            is_terminal: stderr().is_terminal(),
            is_shown: false,
            said: None,
        }
    }

    /// Polls the node, and shows its progress.
    pub(super) async fn follow(&mut self, client: &Client) -> Infallible {
        loop {
            sleep(POLL).await;
            // A node that does not answer this may still be changing the view.
            let change = client.status().await.ok().and_then(|status| status.change);
            if let Some(text) = change.and_then(|change| self.text(&change)) {
                telemetry::show(&text);
            }
        }
    }

    /// Removes the line from the terminal.
    pub(super) fn end(&self) {
        if self.is_shown {
            telemetry::show("\r\x1b[K");
        }
    }

    /// The next line, if there is anything new.
    fn text(&mut self, change: &Change) -> Option<String> {
        let sentence = sentence(change);
        if self.is_terminal {
            self.is_shown = true;
            // Clears what is left of a longer line.
            return Some(format!("\r{sentence}\x1b[K"));
        }
        let now = Some((change.epoch, change.phase.clone()));
        if self.said == now {
            return None;
        }
        self.said = now;
        Some(format!("{sentence}\n"))
    }
}

/// `epoch 5: copy, 120 keys moved, 30 to go, 3.2 s; waits for a:1, b:1 and 2 more`
pub(super) fn sentence(change: &Change) -> String {
    let shown = change.waits_for.len().min(NAMED_MAX);
    let waits_for = match (
        change.waits_for[..shown].join(", "),
        change.waits_for.len() - shown,
    ) {
        (names, 0) if names.is_empty() => String::new(),
        (names, 0) => format!("; waits for {names}"),
        (names, more) => format!("; waits for {names} and {more} more"),
    };
    format!(
        "epoch {}: {}, {} keys moved, {} to go, {:.1} s{waits_for}",
        change.epoch,
        change.phase.replace('_', " "),
        change.keys_moved,
        change.keys_to_go,
        Duration::from_millis(change.for_ms).as_secs_f64(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(phase: &str, waits_for: &[&str]) -> Change {
        Change {
            epoch: 5,
            phase: phase.into(),
            waits_for: waits_for.iter().map(ToString::to_string).collect(),
            keys_moved: 120,
            keys_to_go: 30,
            for_ms: 3240,
        }
    }

    fn progress(is_terminal: bool) -> Progress {
        Progress {
            is_terminal,
            is_shown: false,
            said: None,
        }
    }

    #[test]
    fn a_change_is_one_short_line() {
        for (waits_for, end) in [
            (&[][..], ""),
            (&["a:1"], "; waits for a:1"),
            (&["a:1", "b:1", "c:1", "d:1"], "; waits for a:1, b:1 and 2 more"),
        ] {
            let expected = format!("epoch 5: hand over, 120 keys moved, 30 to go, 3.2 s{end}");
            assert_eq!(sentence(&change("hand_over", waits_for)), expected);
        }
    }

    #[test]
    fn a_person_sees_one_line_change_and_a_program_gets_one_for_each_phase() {
        let mut seen = progress(true);
        for phase in ["copy", "copy", "seal"] {
            let text = seen.text(&change(phase, &[])).expect("is shown each time");
            assert!(
                text.starts_with("\repoch 5: ") && text.ends_with("\x1b[K"),
                "{text:?}"
            );
        }
        let mut kept = progress(false);
        let mut lines = |phase| {
            kept.text(&change(phase, &[]))
                .is_some_and(|text| text.ends_with('\n'))
        };
        let said = ["copy", "copy", "seal"].map(&mut lines);
        assert_eq!(said, [true, false, true]);
        assert!(!kept.is_shown, "nothing is to be taken back");
    }
}
