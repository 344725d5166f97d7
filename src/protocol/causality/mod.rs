//! Facts about versions: which writes a replica holds, what a client depends on, and which of two
//! records of a key wins. Pure values; `replication` acts on them.

mod clock;
mod payload;
mod record;
mod version_vector;

pub use clock::{Clock, Timestamp};
pub use payload::{ClusterTag, Payload, PayloadError};
pub use record::{DEPENDENCIES_MAX, Record, RecordError, Supersedes};
pub use version_vector::VersionVector;
