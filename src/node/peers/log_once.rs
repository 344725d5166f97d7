//! Limits each complaint about a peer to one a minute. A peer that sends invalid frames, or runs another
//! version, calls again and again; its complaints would hide everything else in the log.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// How long a complaint is suppressed after it was made.
const SILENCE: Duration = Duration::from_secs(60);

/// How many complaints are remembered. A stranger may use a new name for each call; at this number no more
/// complaints are made until some are forgotten.
const REMEMBERED_MAX: usize = 32;

/// The recent complaints.
#[derive(Debug, Default)]
pub(crate) struct Complaints(Mutex<BTreeMap<String, Instant>>);

impl Complaints {
    /// True if this complaint may be made: it was not made lately, and there is room to remember it.
    pub(crate) fn note_if_new(&self, complaint: &str) -> bool {
        let mut said = self.0.lock();
        said.retain(|_, at| at.elapsed() < SILENCE);
        if said.len() >= REMEMBERED_MAX || said.contains_key(complaint) {
            return false;
        }
        said.insert(complaint.to_owned(), Instant::now());
        true
    }

    #[cfg(test)]
    pub(crate) fn is_made(&self, part: &str) -> bool {
        self.0.lock().keys().any(|complaint| complaint.contains(part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_same_complaint_is_made_once_a_minute() {
        let complaints = Complaints::default();
        assert!(complaints.note_if_new("it mumbles"));
        assert!(!complaints.note_if_new("it mumbles"));
        assert!(complaints.note_if_new("it shouts"));
        tokio::time::advance(SILENCE).await;
        assert!(complaints.note_if_new("it mumbles"));
    }

    #[tokio::test(start_paused = true)]
    async fn ever_new_complaints_are_not_made_for_ever() {
        let complaints = Complaints::default();
        let made = (0..10_000).filter(|number| complaints.note_if_new(&format!("n{number} mumbles")));
        assert_eq!(made.count(), REMEMBERED_MAX);
        tokio::time::advance(SILENCE).await;
        assert!(complaints.note_if_new("another"));
    }
}
