//! Converts text and bytes to types, and back: what clients and peers send, and a node's state on disk.

pub mod cursor;
mod fields;
pub mod history;
pub mod json;
pub mod notes;
pub mod peer;
pub mod pieces;
pub mod public;
#[cfg(test)]
mod samples;

pub use fields::SharedView;
pub(crate) use fields::{by_fields, by_form};
