//! The text that leads from one page of a listing to the next: the key to continue after, and the
//! reader's dependencies. It is opaque to clients and survives an unquoted `curl -d`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Where a listing continues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// A key, or a text in its place.
    pub after: String,
    /// A causal payload in its text form. Without it the reader might see an older state.
    pub payload: String,
}

/// The text is not a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("after is not a cursor; take it from \"next\" of the page before, or leave it out to begin")]
pub struct CursorError;

impl Cursor {
    pub fn to_text(&self) -> String {
        format!("{}.{}", URL_SAFE_NO_PAD.encode(&self.after), self.payload)
    }

    pub fn parse(text: &str) -> Result<Self, CursorError> {
        let parts = text.split_once('.');
        let whole = parts.filter(|(after, payload)| !after.is_empty() && !payload.is_empty());
        let (after, payload) = whole.ok_or(CursorError)?;
        let after = URL_SAFE_NO_PAD.decode(after).map_err(|_| CursorError)?;
        Ok(Self {
            after: String::from_utf8(after).map_err(|_| CursorError)?,
            payload: payload.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_is_read_back(after in "\\PC{1,200}", payload in "[A-Za-z0-9_.-]{1,40}") {
            let cursor = Cursor { after, payload };
            let text = cursor.to_text();
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)));
            prop_assert_eq!(Cursor::parse(&text), Ok(cursor));
        }

        #[test]
        fn any_text_is_a_cursor_or_refused(text in any::<String>()) {
            let _ = Cursor::parse(&text);
        }
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        for text in ["", "somekey", "not base64!.x", "_w.x", ".x", "Yg.", "."] {
            assert_eq!(Cursor::parse(text), Err(CursorError), "{text:?}");
        }
    }
}
