//! Who of the servers of `master-svr` answers for which key, and how that changes. Pure: the
//! files beside this folder carry it out.
//!
//! ```text
//!   svr                              master-svr                               svr
//!    │ ── beat: my layout, drained? ──▶ │ ◀── beat ──────────────────────────── │
//!    │ ◀──────── begin: to [a b c] ──── │ ───────────────────────────────────▶ │
//!    │ ──────────────── pairs that move, again when they are put ─────────────▶ │  kept aside
//!    │ ── (nearly) drained ───────────▶ │ ◀── drained ───────────────────────── │
//!    │ ◀──────── seal ───────────────── │ ───────────────────────────────────▶ │
//!    │ ──────────────── the last pairs; these keys wait ──────────────────────▶ │
//!    │ ── drained ────────────────────▶ │ ◀── drained ───────────────────────── │
//!    │ ◀──────── opening ────────────── │ ───────────────────────────────────▶ │  what is kept aside counts
//!    │ ── known ──────────────────────▶ │ ◀── known ─────────────────────────── │
//!    │ ◀──────── open ───────────────── │ ───────────────────────────────────▶ │  and is answered for
//! ```
//!
//! # The invariants
//!
//! * **R1** A key has one owner in every layout, and only the owner answers. Owners change in two ways
//!   only: a change is completed, or the owner is dead.
//! * **R2** A change is completed when everybody in it, old owners and new, has said of its *sealed* layout
//!   that they have nothing to send. From the seal on nobody takes a put for a key that moves, so the
//!   next owner has the last of them.
//! * **R3** What arrives is kept aside, by change, until a layout says that this change was completed; what
//!   arrived for another is thrown away. So a change that is broken off, because somebody died or the
//!   master did, changes nothing, and is begun anew.
//! * **R4** Old owners drop a pair only when they learn that the change was completed: its next owner has
//!   confirmed it then. New owners answer only when everybody has learned it (*opening*): else, if a new owner
//!   died at once and the master with it, an old one could be left with pairs that were replaced.
//! * **R5** A master that was restarted leads only when it has heard everybody that the latest layout
//!   names, or they are dead: one who is missing may know that the change was completed.
//! * **R6** A server that was put out starts over, without pairs: others may have taken newer ones in its place.
//!
//! There are no copies: what a server held is gone when it dies. While a change for a dead server is under
//! way, the next living server stands in for it ([`Layout`]), so that puts have somewhere to go at once.

mod holder;
mod layout;
mod master;
#[cfg(test)]
mod tests;

pub use holder::{Batch, Holder, Refusal};
pub use layout::{Change, Layout, Server, Version, shard_of};
pub use master::{Beat, Master, SURE_MS};
