//! Causeway: a partitioned, replicated, causally consistent key-value store.
//!
//! This file draws the floors, top first, and holds nothing else. A module may use lower floors only,
//! never a neighbour on its own floor and never a floor above. `test/fast` reads this drawing and those
//! in the folders, and checks every `crate::…` path against them. To understand the store, read from the
//! bottom up: names, protocol, then node.

// commands: each with its arguments and its output
pub mod cli;

// annexes: three other products, each complete in its folder
pub mod apps;

// assembly: listeners, signals, the order of starting and stopping
pub mod server;

// edge: the HTTP interface
pub mod api;

// house: a running node, and the client of a cluster
pub mod client;
pub mod node;

// terminal: how a program talks to a person, and how it exits
pub mod terminal;

// instruments: each owns one thing outside the process
pub mod net;
pub mod store;

// process: what a program needs from its machine: signals, threads, log lines, system errors
pub mod process;

// translations: text and bytes to types, and back
pub mod config;
pub mod wire;

// decisions: what a replica and a view change do next
pub mod protocol;

// names: what everything is called
pub mod names;

// writing: reads texts as people write them
pub mod text;

// planted: rules that a test can switch off; always on without the feature `planted-faults`
pub mod planted;
