//! `causeway redis` as people and programs use it, over real Redis servers: its shell, its scripts, its
//! HTTP, its library, and what becomes of the pairs when servers die. What a test says of copies, it has
//! seen inside of the servers.
//!
//! It needs `redis-server` (`apt-get install redis-server`) and fails without.

#[path = "redis/death.rs"]
mod death;
#[path = "redis/http.rs"]
mod http;
#[path = "redis/library.rs"]
mod library;
#[path = "../support/ports.rs"]
mod ports;
#[path = "redis/refusals.rs"]
mod refusals;
#[path = "redis/rig.rs"]
mod rig;
#[path = "redis/room.rs"]
mod room;
#[path = "../support/running.rs"]
mod running;
#[path = "redis/shell.rs"]
mod shell;
#[path = "redis/silence.rs"]
mod silence;
#[path = "../support/waiting.rs"]
mod waiting;
