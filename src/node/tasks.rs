//! The tasks of a node: each belongs to the node, and all end with it.

use std::future::Future;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span};

/// Spawns a node's tasks on its own runtime, and ends them together.
#[derive(Debug, Clone)]
pub struct Tasks {
    runtime: Handle,
    tracker: TaskTracker,
    stop: CancellationToken,
    /// Where the tasks were made: the simulator tells its nodes apart by it.
    span: Span,
}

impl Tasks {
    /// Tasks on the runtime of the caller.
    pub fn on_this_runtime() -> Self {
        Self {
            runtime: Handle::current(),
            tracker: TaskTracker::new(),
            stop: CancellationToken::new(),
            span: Span::current(),
        }
    }

    /// Runs `task` until it ends or the node does.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn_until(&self.stop, task);
    }

    /// Runs `task` until it ends, the node does, or `stop` is cancelled, which is a child of [`Self::child`].
    pub fn spawn_until(&self, stop: &CancellationToken, task: impl Future<Output = ()> + Send + 'static) {
        let stop = stop.clone();
        let task = async move {
            // The stop comes first: after a kill in the simulator, nothing more may happen.
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = task => {}
            }
        };
        self.tracker
            .spawn_on(task.instrument(self.span.clone()), &self.runtime);
    }

    /// A token that ends some of the node's tasks before the node ends.
    pub fn child(&self) -> CancellationToken {
        self.stop.child_token()
    }

    /// Ends every task at its next step.
    pub fn stop(&self) {
        self.stop.cancel();
        self.tracker.close();
    }

    /// Resolves when every task has ended.
    pub async fn ended(&self) {
        self.tracker.wait().await;
    }

    pub async fn stopping(&self) {
        self.stop.cancelled().await;
    }

    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }
}
