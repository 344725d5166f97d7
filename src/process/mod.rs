//! What a program needs of the machine that it runs on, whichever of our programs it is.

// signals: how it is told to end
pub mod signals;

// telemetry: what it says while it runs
pub mod telemetry;

// threads
pub mod threads;

// system: what errors of the system mean, and what to do about them
pub mod system;
