//! How long what was promised may take, seen from outside of a cluster.

use std::time::Duration;

pub(crate) use crate::support::waiting::{Stopwatch, eventually, let_pass};

/// Within this, a request that can be served has its answer, whatever the other nodes do.
pub(crate) const PROMPT: Duration = Duration::from_secs(1);
/// Within this after a cut heals, replicas agree.
pub(crate) const HEALED: Duration = Duration::from_secs(5);
/// For what has no promised time, such as the start of containers on a busy machine.
pub(crate) const PATIENT: Duration = Duration::from_secs(30);
