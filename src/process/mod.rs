//! What all our programs need from the machine that they run on.

// signals: the requests to end
pub mod signals;

// telemetry: the messages on standard error
pub mod telemetry;

// threads
pub mod threads;

// system: what errors of the system mean, and what to do about them
pub mod system;
