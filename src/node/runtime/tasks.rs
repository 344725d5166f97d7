//! The tasks of a node: each belongs to the node, and all end with it.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span};

/// Runs tasks for the simulator, which can freeze a node.
pub trait Spawner: Send + Sync + fmt::Debug {
    fn spawn(&self, task: BoxFuture<'static, ()>);
}

#[derive(Debug, Clone)]
enum Runtime {
    Tokio(Handle),
    Other(Arc<dyn Spawner>),
}

/// Spawns a node's tasks on its own runtime, and ends them together.
#[derive(Debug, Clone)]
pub struct Tasks {
    runtime: Runtime,
    tracker: TaskTracker,
    stop: CancellationToken,
    /// The span in which the tasks were made: the simulator tells its nodes apart by it.
    span: Span,
}

impl Tasks {
    /// Tasks on the runtime of the caller.
    pub fn on_this_runtime() -> Self {
        Self::on(Runtime::Tokio(Handle::current()))
    }

    /// Tasks that `spawner` runs.
    pub fn run_by(spawner: Arc<dyn Spawner>) -> Self {
        Self::on(Runtime::Other(spawner))
    }

    fn on(runtime: Runtime) -> Self {
        Self {
            runtime,
            tracker: TaskTracker::new(),
            stop: CancellationToken::new(),
            span: Span::current(),
        }
    }

    /// Runs `task` until it ends or the node does.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn_until(&self.stop, task);
    }

    /// Runs `task` until it ends, the node does, or `stop` is cancelled, which comes from [`Self::child`].
    pub fn spawn_until(&self, stop: &CancellationToken, task: impl Future<Output = ()> + Send + 'static) {
        // Boxed: an async block that awaits the task would hold it a second time.
        let task = Box::pin(task);
        let stop = stop.clone();
        let task = async move {
            // The stop comes first: after a kill in the simulator, nothing more may happen.
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = task => {}
            }
        };
        let task = task.instrument(self.span.clone());
        match &self.runtime {
            Runtime::Tokio(handle) => drop(self.tracker.spawn_on(task, handle)),
            Runtime::Other(spawner) => spawner.spawn(Box::pin(self.tracker.track_future(task))),
        }
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
