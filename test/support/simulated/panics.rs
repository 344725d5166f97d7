//! Counts panics: a panic in a node's task ends only the task, and must still fail the run.

use std::cell::Cell;
use std::sync::Once;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
    static SILENT: Cell<bool> = const { Cell::new(false) };
}

static HOOK: Once = Once::new();

/// Panics on this thread, which runs a whole simulation, since the first call.
pub fn count() -> u64 {
    HOOK.call_once(|| {
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            COUNT.set(COUNT.get() + 1);
            if !SILENT.get() {
                told(info);
            }
        }));
    });
    COUNT.get()
}

/// Sets whether panics on this thread are expected and not printed.
pub fn silence(silent: bool) {
    SILENT.set(silent);
}
