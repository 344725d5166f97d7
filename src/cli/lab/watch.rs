//! Reports each change of a node's condition once, while a lab runs.

/// The condition of a node, seen from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Condition {
    Answers,
    /// The process lives and does not answer: frozen, or not yet up.
    Silent,
    /// The process is gone, and nothing else answers in its place.
    Ended(String),
}

/// The line about a node whose condition was `before` and is `now`.
pub(super) fn news(node: &str, before: &Condition, now: &Condition, command: &str) -> Option<String> {
    if before == now {
        return None;
    }
    Some(match now {
        Condition::Answers => format!("{node} answers again"),
        Condition::Silent => format!("{node} does not answer"),
        Condition::Ended(how) => format!("{node} has ended ({how}); to start it again:\n  {command}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_said_once() {
        let ended = Condition::Ended("signal: 9".into());
        let say = |before: &Condition, now: &Condition| news("n:1", before, now, "causeway serve");
        assert_eq!(say(&Condition::Answers, &Condition::Answers), None);
        assert_eq!(say(&ended, &ended), None);
        let gone = say(&Condition::Answers, &ended).expect("is news");
        assert!(
            gone.contains("signal: 9") && gone.contains("causeway serve"),
            "{gone}"
        );
        assert_eq!(
            say(&ended, &Condition::Answers).as_deref(),
            Some("n:1 answers again")
        );
        assert_eq!(
            say(&Condition::Answers, &Condition::Silent).as_deref(),
            Some("n:1 does not answer")
        );
    }
}
