//! Text and bytes to types, and back: what clients and peers are told, and how a node's facts lie on disk.

pub mod cursor;
mod fields;
pub mod json;
pub mod notes;
pub mod pairs;
pub mod peer;
pub mod pieces;
pub mod public;
pub mod roster;
#[cfg(test)]
mod samples;
pub mod sharder;

pub use fields::SharedView;
