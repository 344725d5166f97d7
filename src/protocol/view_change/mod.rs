//! Takes the cluster from one view to the next. Pure: `node` carries it out.
//!
//! ```text
//!  agree            copy                 seal            hand over          activate
//!  one decree  →  new owners pull   →  old members  →  the last records →  new view serves
//!  of view e      while e serves       stop in e       from every sealed    held writes go
//!                 (staging)            (writes wait)   old owner            on in the new epoch
//! ```
//!
//! # The rules
//!
//! * A view is agreed on, never guessed: [`Proposal`] and [`Acceptor`] choose the view of epoch *e+1*
//!   once, among the members of epoch *e* (**I10**). Nothing is ever proposed on suspicion: only on
//!   request, or when a node of the view answers with a new incarnation.
//! * A member answers in the register of *e+1* only if *e* is its active epoch, so changes follow one
//!   another.
//! * After the seal a member takes no write, record, vector or acknowledgement in any epoch below the
//!   new one (**I11**): what it hands over is final. The seal is durable before it is answered.
//! * No step can block another for ever: [`Change`] passes silent nodes over, and another
//!   node drives when the driver falls silent. What an owner then lacks shows only in its readiness and
//!   coverage (`replication`), slot by slot.

mod change;
mod register;
#[cfg(test)]
mod tests;

pub use change::{Change, Order, Phase, Report, SEALED_SILENCE_MS, SILENCE_MS, STUCK_MS};
pub use register::{Acceptor, Acceptors, Ballot, Electorate, Next, Proposal, Vote};
