//! Ports for processes on 127.0.0.1 that a test starts again where they were.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

/// Ports of one test: enough for its servers and for HTTP.
pub(crate) const BLOCK: u16 = 16;

/// The first of a block of ports that nobody listens on: below those that the kernel gives to clients, and
/// another one each time, also in other runs at the same time.
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
