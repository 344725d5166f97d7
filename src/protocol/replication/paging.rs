//! Divides records into pages, as they are sent and stored.

use crate::protocol::causality::Record;

/// Records that fit into one frame.
pub type Page = Vec<Record>;

/// A page holds at most this much, plus one record. It is stored in one commit, and writes wait behind it.
pub const PAGE_BYTES: usize = 256 * 1024;

/// Splits records into pages, in their order; one empty page if there are none.
pub fn pages(records: Vec<Record>) -> Vec<Page> {
    let mut pages = vec![Vec::new()];
    let mut bytes = 0;
    for record in records {
        if bytes >= PAGE_BYTES {
            pages.push(Vec::new());
            bytes = 0;
        }
        bytes += record.as_block().len();
        pages.last_mut().expect("begins with one page").push(record);
    }
    pages
}
