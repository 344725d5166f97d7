//! Starts threads with their own runtime: the committer, the owner of servers, the receiver of signals.
//!
//! Everything that can fail does so before the thread runs, so that the caller gets the error. Separate
//! from the threads' owners, because a runtime must not be dropped inside another one, and a caller may be
//! inside one when its thread cannot start.

use std::io;
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

/// Longer than any process lives.
const FOR_GOOD: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Starts a thread for the work that `prepare` returns. `prepare` is called within the thread's runtime.
pub fn start<W, F>(name: &str, prepare: impl FnOnce() -> io::Result<W>) -> io::Result<JoinHandle<()>>
where
    W: FnOnce() -> F + Send + 'static,
    F: Future<Output = ()>,
{
    let runtime = Owned(Some(builder()?.build()?));
    let work = {
        let _inside = runtime.get().enter();
        prepare()?
    };
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || runtime.get().block_on(async { work().await }))
}

/// How much a thread of low priority yields to others, as `nice` counts it: with both running, it gets about a tenth.
pub const LOW_PRIORITY: i32 = 10;

/// Does work in a thread of low priority, and waits for it. Threads that the work starts inherit the priority.
pub fn at_low_priority<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let lowered = || {
            // Linux has a priority for each thread. Where there is none, the work is done all the same.
            let _ = rustix::process::nice(LOW_PRIORITY);
            work()
        };
        let thread = thread::Builder::new()
            .name("low-priority".into())
            .spawn_scoped(scope, lowered)?;
        Ok(thread.join().expect("the work does not panic"))
    })
}

/// A runtime for one thread, on which names can be looked up.
pub fn runtime() -> io::Result<Runtime> {
    // A look-up needs a thread. The library panics if it cannot start one, and waits if it already has
    // one: so it gets one at once, for good. The probe makes the failure to start one an error instead of
    // a panic.
    let probe = thread::Builder::new().name("probe".into()).spawn(|| {})?;
    probe.join().expect("does nothing");
    let runtime = builder()?.thread_keep_alive(FOR_GOOD).build()?;
    drop(runtime.spawn_blocking(|| {}));
    Ok(runtime)
}

fn builder() -> io::Result<Builder> {
    // The library panics if it cannot open its two descriptors for signals. It opens six more before.
    drop(
        [(); 4]
            .map(|()| UnixStream::pair())
            .into_iter()
            .collect::<io::Result<Vec<_>>>()?,
    );
    let mut builder = Builder::new_current_thread();
    builder.enable_all();
    Ok(builder)
}

/// A runtime that may be dropped anywhere: dropping it does not wait for its pending tasks.
struct Owned(Option<Runtime>);

impl Owned {
    fn get(&self) -> &Runtime {
        self.0.as_ref().expect("is there until it is dropped")
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Work = fn() -> std::future::Ready<()>;

    #[tokio::test]
    async fn a_failure_before_the_thread_runs_is_reported_inside_another_runtime_too() {
        let cannot = || -> io::Result<Work> { Err(io::ErrorKind::OutOfMemory.into()) };
        let error = start("never", cannot).expect_err("cannot be prepared");
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
        let ended: Work = || std::future::ready(());
        let thread = start("ends", || Ok(ended)).expect("starts");
        thread.join().expect("ends without a panic");
    }
}
