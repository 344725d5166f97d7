//! Tests `causeway redis` as people and programs use it, over real Redis servers: its shell, its
//! scripts, its HTTP, its library, and the fate of the pairs when servers die. Tests check copies inside
//! of the servers.
//!
//! Needs `redis-server` (`apt-get install redis-server`) and fails without it.

mod death;
mod http;
mod library;
mod refusals;
mod rig;
mod room;
mod shell;
mod silence;
