//! What is known about versions: which writes a replica holds, what a client depends on, and which of
//! two records of one key wins. Pure facts; how replicas act on them is `replication`.

mod clock;
mod payload;
mod record;
mod version_vector;

pub use clock::{Clock, Timestamp};
pub use payload::{ClusterTag, Payload, PayloadError};
pub use record::{DEPENDENCIES_MAX, Record, RecordError, Supersedes};
pub use version_vector::VersionVector;
