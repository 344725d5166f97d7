//! Ports on 127.0.0.1 for processes that a test restarts at the same address.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

/// Ports for one test: enough for its servers and for HTTP.
pub(crate) const BLOCK: u16 = 16;

/// The first of a block of unused ports, below those that the kernel assigns to clients. Each call gives
/// another block, also across concurrent runs.
pub(crate) fn free_ports() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let blocks = (32_000 - 10_000) / BLOCK;
    loop {
        let number = std::process::id().wrapping_mul(37) + NEXT.fetch_add(1, Ordering::Relaxed);
        let base_port = 10_000 + BLOCK * u16::try_from(number % u32::from(blocks)).expect("is a few");
        let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if (base_port..base_port + BLOCK).all(is_free) {
            return base_port;
        }
    }
}
