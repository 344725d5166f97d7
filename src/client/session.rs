//! A client session: the causal payload that the client sends with its next request.

/// The header in which a payload travels, both ways.
pub(super) const PAYLOAD_HEADER: &str = "causal-payload";

/// Longer than any cluster's payload; a guard against a file that is something else.
pub const PAYLOAD_CHARS_MAX: usize = 64 * 1024;

/// The text is no causal payload, nor several joined by commas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not a causal payload; it has only letters, digits and . _ - (several are joined by commas)")]
pub struct SessionError;

/// The dependencies of a client. A new session has none, and each operation adds to them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Session {
    payload: String,
}

impl Session {
    /// A session that continues an earlier one from its payload.
    pub fn from_payload(text: &str) -> Result<Self, SessionError> {
        let text = text.trim();
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-,".contains(&byte);
        if text.len() > PAYLOAD_CHARS_MAX || !text.bytes().all(allowed) {
            return Err(SessionError);
        }
        let mut session = Self::default();
        session.join_text(text);
        Ok(session)
    }

    /// The text that a request carries.
    pub fn payload(&self) -> &str {
        &self.payload
    }

    /// True if it depends on nothing yet.
    pub fn is_fresh(&self) -> bool {
        self.payload.is_empty()
    }

    /// Adds everything that `other` depends on.
    pub fn join(&mut self, other: &Self) {
        self.join_text(&other.payload);
    }

    /// Takes a reply's payload in place of its own, because it contains that of the request.
    pub(super) fn go_on_with(&mut self, reply: Option<&str>) -> Result<(), SessionError> {
        if let Some(text) = reply.filter(|text| !text.is_empty()) {
            *self = Self::from_payload(text)?;
        }
        Ok(())
    }

    fn join_text(&mut self, text: &str) {
        for part in text.split(',').filter(|part| !part.is_empty()) {
            if self.payload.split(',').any(|known| known == part) {
                continue;
            }
            if !self.payload.is_empty() {
                self.payload.push(',');
            }
            self.payload.push_str(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(text: &str) -> Session {
        Session::from_payload(text).expect("is a payload")
    }

    #[test]
    fn joined_sessions_depend_on_both_once() {
        let mut one = session("a,b");
        one.join(&session("b,c"));
        assert_eq!(one.payload(), "a,b,c");
        one.join(&Session::default());
        assert_eq!(one.payload(), "a,b,c");
    }

    #[test]
    fn a_reply_takes_the_place_of_what_was_asked_with() {
        let mut one = session("a,b");
        one.go_on_with(Some("c")).expect("is a payload");
        assert_eq!(one.payload(), "c");
        one.go_on_with(None).expect("changes nothing");
        one.go_on_with(Some("")).expect("changes nothing");
        assert_eq!(one.payload(), "c");
    }

    #[test]
    fn what_cannot_be_a_payload_is_refused() {
        for text in ["two words", "a\nb", "<html>", "é"] {
            assert_eq!(Session::from_payload(text), Err(SessionError), "{text:?}");
        }
        assert!(session(" ,\n").is_fresh());
    }
}
