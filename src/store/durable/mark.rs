//! The store's mark: random bytes at the start of each of its batches in the journal.
//!
//! A journal contains values, and a value may hold anything, even a whole batch. When the end of a journal
//! is torn, `journal` must know whether acknowledged batches follow, and the content of a value must not
//! count. No client ever sees the mark, so bytes that bear it were written by the store, or copied from
//! what it wrote.
//!
//! The mark is in the lock file, because it is needed before the database is open. A store without one
//! (from an earlier version, or created on a full disk) gets it at the next start.

/// The note that bears the mark: the first row of each batch.
pub(super) const NOTE: &[u8] = b"!mark";

const BYTES: usize = 16;

/// The length of a batch's start in the journal, as `journal` draws it.
pub(super) const START_BYTES: usize = 13;
/// The length of an item without its key and value.
pub(super) const ITEM_HEAD_BYTES: usize = 21;

/// The offset of the note's key in a batch.
const KEY_AT: usize = START_BYTES + ITEM_HEAD_BYTES;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark([u8; BYTES]);

impl Mark {
    pub(super) fn random() -> Self {
        Self(rand::random())
    }

    pub(super) fn bytes(self) -> [u8; BYTES] {
        self.0
    }

    /// The mark's line in the lock file.
    pub(super) fn to_text(self) -> String {
        format!("mark {:032x}\n", u128::from_be_bytes(self.0))
    }

    /// The mark in a lock file, if there is a whole one.
    pub(super) fn from_text(text: &str) -> Option<Self> {
        let digits = text.lines().find_map(|line| line.strip_prefix("mark "))?;
        let number = u128::from_str_radix(digits, 16)
            .ok()
            .filter(|_| digits.len() == 2 * BYTES);
        number.map(|number| Self(number.to_be_bytes()))
    }

    /// The offsets of batches that bear the mark.
    pub(super) fn batches_in(self, bytes: &[u8]) -> impl Iterator<Item = usize> {
        let row = [NOTE, &self.0].concat();
        let mut from = 0;
        std::iter::from_fn(move || {
            // Searching for one byte is fast, and other places need no comparison.
            while let Some(next) = bytes[from..].iter().position(|byte| *byte == row[0]) {
                let at = from + next;
                from = at + 1;
                if at >= KEY_AT && bytes[at..].starts_with(&row) {
                    return Some(at - KEY_AT);
                }
            }
            None
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_survives_its_text_and_half_of_it_is_none() {
        let mark = Mark::random();
        let text = format!("complete\n{}", mark.to_text());
        assert_eq!(Mark::from_text(&text), Some(mark));
        for end in 0..text.len() - 1 {
            assert_eq!(Mark::from_text(&text[..end]), None, "{end}");
        }
    }
}
