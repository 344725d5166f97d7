//! Complaints about peers, each made once in a while: a peer that speaks nonsense, or another version,
//! calls again and again, and a log that says so each time hides everything else.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// How long the same complaint is not made again.
const SILENCE: Duration = Duration::from_secs(60);

/// Complaints that are remembered. A stranger may call by a new name each time; when there is no room
/// left nothing more is said until some are forgotten.
const REMEMBERED_MAX: usize = 32;

/// What was complained of lately.
#[derive(Debug, Default)]
pub(crate) struct Complaints(Mutex<BTreeMap<String, Instant>>);

impl Complaints {
    /// True if this is to be said now: it was not said lately.
    pub(crate) fn is_news(&self, complaint: &str) -> bool {
        let mut said = self.0.lock();
        said.retain(|_, at| at.elapsed() < SILENCE);
        if said.len() >= REMEMBERED_MAX || said.contains_key(complaint) {
            return false;
        }
        said.insert(complaint.to_owned(), Instant::now());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_same_complaint_is_made_once_a_minute() {
        let complaints = Complaints::default();
        assert!(complaints.is_news("it mumbles"));
        assert!(!complaints.is_news("it mumbles"));
        assert!(complaints.is_news("it shouts"));
        tokio::time::advance(SILENCE).await;
        assert!(complaints.is_news("it mumbles"));
    }

    #[tokio::test(start_paused = true)]
    async fn ever_new_complaints_are_not_made_for_ever() {
        let complaints = Complaints::default();
        let made = (0..10_000).filter(|number| complaints.is_news(&format!("n{number} mumbles")));
        assert_eq!(made.count(), REMEMBERED_MAX);
        tokio::time::advance(SILENCE).await;
        assert!(complaints.is_news("another"));
    }
}
