//! Time limits for what was promised, as seen from outside of a cluster.

use std::time::Duration;

pub(crate) use crate::support::waiting::{Stopwatch, eventually, let_pass};

/// A request that can be served has its answer within this time, whatever the other nodes do.
pub(crate) const PROMPT: Duration = Duration::from_secs(1);
/// Replicas agree within this time after a cut heals.
pub(crate) const HEALED: Duration = Duration::from_secs(5);
/// For waits without a promised time, such as the start of containers on a busy machine.
pub(crate) const PATIENT: Duration = Duration::from_secs(30);
