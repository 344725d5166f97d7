//! Text and bytes to types, and back: what clients and peers are told, and how a node's state lies on disk.

pub mod cursor;
mod fields;
pub mod json;
pub mod notes;
pub mod peer;
pub mod pieces;
pub mod public;
#[cfg(test)]
mod samples;

pub use fields::SharedView;
pub(crate) use fields::{by_fields, by_form};
