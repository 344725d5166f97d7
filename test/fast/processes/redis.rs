//! `causeway redis` as people and programs use it, over real Redis servers: its shell, its scripts, its
//! HTTP, its library, and what becomes of the pairs when servers die. What a test says of copies, it has
//! seen inside of the servers.
//!
//! It needs `redis-server` (`apt-get install redis-server`) and fails without.

mod death;
mod http;
mod library;
mod refusals;
mod rig;
mod room;
mod shell;
mod silence;
