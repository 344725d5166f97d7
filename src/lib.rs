//! Causeway: a partitioned, replicated, causally consistent key-value store.
//!
//! This file is the drawing of the floors, top first, and nothing else. A module may use what stands
//! on a lower floor, never a neighbour on its own floor and never what stands above; `test/fast`
//! reads this drawing, and those inside of folders, and holds every `crate::…` path against them. To
//! understand the store, read from the bottom up: names, protocol, then node.

// commands: each with its arguments and what it prints
pub mod cli;

// annexes: three other products, each whole in its folder
pub mod apps;

// assembly: listeners, signals, the order of starting and stopping
pub mod server;

// edge: what HTTP looks like
pub mod api;

// house: a running node, and what callers of one hold
pub mod client;
pub mod node;

// terminal: how a program speaks to a person, and how it ends
pub mod terminal;

// instruments: each owns one thing outside the process
pub mod net;
pub mod store;

// process: what a program needs of its machine: signals, threads, log lines, what errors of the system mean
pub mod process;

// translations: text and bytes to types, and back
pub mod config;
pub mod wire;

// decisions: what a replica and a view change do next
pub mod protocol;

// names: what everything is called
pub mod names;

// writing: texts as people hand them in
pub mod text;

// planted: rules that a test can switch off; nothing without the feature `planted-faults`
pub mod planted;
