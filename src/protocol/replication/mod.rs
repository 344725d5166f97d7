//! Decides what a replica does with writes, reads and its siblings. Pure: `node` carries it out.
//!
//! [`Replica`] decides commands one after the other and returns their effects as data. The other files hold the
//! rules that it follows. A read is no command: it asks [`may_read`] and [`answer`] about a published state.
//!
//! ```text
//!            write                          read (slot, payload)
//!              │                                   │
//!    number, store, then push          may_read: owner? epoch? ready? covered?
//!              │                          │ yes              │ no
//!              ▼                          ▼                  ▼
//!         [ records ]  ───────────►  answer, with      pull from siblings, hand on,
//!              ▲                     dot and deps      wait; 503 at the bound
//!              │ exchange: everything that
//!              │ the taker's vector lacks, as one unit
//!          siblings
//! ```
//!
//! # The invariants
//!
//! * **I1** A dot is never used twice: the replica draws numbers above what is stored, in a log that
//!   carries the incarnation; a node that lost its disk writes to another log.
//! * **I2** Merging is commutative, associative and idempotent: `Record::supersedes` compares timestamp,
//!   log and number, and ignores how or when a record arrived.
//! * **I3** A reader depends on what it was shown: the reply's payload has the request's entries, the
//!   record's dot and the record's dependencies ([`answer`]).
//! * **I4** A tombstone is dropped only when no older version of its key can come back
//!   ([`ReplicaState::may_forget`]).
//! * **I5, I6, I7** are [`may_read`], the one place where a read is judged.
//! * **I8** Stored here before sent, stored there before acknowledged: the committer's order of work.
//! * **I9** Records and vectors become valid together: [`ReplicaState::take_steady`] and the records of
//!   the exchange are one commit, and a push of number *n* is taken only by a replica that holds *n-1*.
//! * **I12** Slots that moved away are kept until every owner of the active view has confirmed that it
//!   has all of them ([`ReplicaState::confirms`]); keepers give them to owners that ask, like any slots.
//! * **I11** Nothing is taken in a sealed epoch: pushes, exchanges and acknowledgements name their
//!   epoch and are compared with the active one and the seal.
//!
//! # Lines of views
//!
//! A decision without a quorum begins another line of views, and both lines serve while the network is
//! cut. A node takes note of views of the highest line only. If it was active on another one, its life
//! ends: the node lays its records aside, begins another life, and hands them over as new writes
//! ([`ReplicaState::learn`], [`ReplicaState::end`]). A client that saw the lost line waits for them
//! ([`Lost`]). A life whose disk went back in time ends in the same way ([`ReplicaState::went_back`]).
//!
//! # Members that are removed
//!
//! A removed member owns nothing and keeps everything. The owners confirm what it handed over before its
//! removal. It returns the rest as new writes ([`ReplicaState::may_adopt`]), since its logs were given up. If
//! no other member handed a slot over, its owners are not ready until the removed member does: "no such key"
//! would be a guess ([`ReplicaState::note_returned`]). An operator can give it up by force.
//!
//! # Forged payloads
//!
//! A payload is a client's claim. A write stores it for all readers of the record, so the coordinator judges
//! it first ([`ReplicaState::judge`]): an entry must name a member of a partition in the view of its epoch,
//! which bounds payloads by members and open epochs. Only the log's own member denies a number, and only all
//! members of the newest view deny an epoch; `node::claims` asks them. A record says whether its dependencies
//! were vouched for. Those that were not are removed when their member denies them.
//!
//! # Left out on purpose
//!
//! No leader, no quorum for data, no visibility delay: a record is shown as soon as it is here, and the
//! reader's payload says what it must find elsewhere.

// replica: decides commands by the rules below
mod replica;

mod activate;
mod exchange;
mod keep;
mod learn;
mod leftover;
mod lines;
mod paging;
mod progress;
mod records;
mod removed;
mod replica_state;
mod runs;
mod serve;
mod take;
#[cfg(test)]
mod tests;
mod unstable;
mod vet;

pub use activate::Activated;
pub use exchange::{Copied, ExchangeRequest, ExchangeResponse, NoExchange, Offered, Wanted};
pub use keep::{Confirm, NoReturn};
pub use leftover::{Ending, Leftover};
pub use lines::Lost;
pub use paging::{PAGE_BYTES, Page, pages};
pub use progress::{Progress, Step};
pub use records::Records;
pub use replica::{
    ChangeAttempt, Changed, Cleared, Effect, Effects, NotDone, Operation, Operations, Outcome, Push, Pushed,
    Replica, Return, ReturnTime, Stored, Write, may_do,
};
pub use replica_state::{Closed, Incoming, Kept, Region, ReplicaState};
pub use runs::{Mark, Marks, Run, Runs, last_write};
pub use serve::{NotHere, answer, may_list, may_read, may_write, trimmed};
pub use unstable::Unstable;
pub use vet::{Claim, Extent};
