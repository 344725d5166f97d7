//! Which server of `master-svr` answers for which key, and how that changes. Pure: the files next to this
//! folder carry it out.
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
//! * **R2** A change is completed when every server in it, old owner or new, has said of its *sealed*
//!   layout that it has nothing to send. From the seal on no server takes a put for a key that moves, so
//!   the next owner has the last of them.
//! * **R3** Arriving pairs are kept aside, by change, until a layout says that this change was completed;
//!   pairs of any other change are thrown away. So a change that is interrupted, because a server or the
//!   master died, changes nothing and starts again.
//! * **R4** Old owners drop a pair only when they learn that the change was completed: its next owner has
//!   confirmed it by then. New owners answer only when every server has learned it (*opening*).
//!   Otherwise, if a new owner and the master died at once, an old one could be left with replaced pairs.
//! * **R5** A restarted master leads only when every server that the latest layout names has called or is
//!   dead: a missing one may know that the change was completed.
//! * **R6** An expelled server starts over, without pairs: others may have taken newer ones in its place.
//!
//! There are no copies: what a server held is gone when it dies. While a change for a dead server is
//! under way, the next living server stands in for it ([`Layout`]), so that puts have an owner at once.

mod holder;
mod layout;
mod master;
#[cfg(test)]
mod tests;

pub use holder::{Batch, Holder, Refusal};
pub use layout::{Change, Layout, Server, Version, shard_of};
pub use master::{Beat, Master, SURE_MS};
