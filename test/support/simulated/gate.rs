//! Freezes a process and thaws it later, as SIGSTOP and SIGCONT do. Meanwhile none of its tasks takes a
//! step, its connections stay, and data sent to it waits. Its timers are overdue when it thaws.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use causeway::node::Spawner;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;

/// Holds all futures of one node while it is frozen.
#[derive(Debug, Clone, Default)]
pub struct Gate(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    frozen: bool,
    held: Vec<Waker>,
}

impl Gate {
    pub fn freeze(&self) {
        self.0.lock().frozen = true;
    }

    pub fn thaw(&self) {
        let held = {
            let mut state = self.0.lock();
            state.frozen = false;
            std::mem::take(&mut state.held)
        };
        held.into_iter().for_each(Waker::wake);
    }

    pub fn is_frozen(&self) -> bool {
        self.0.lock().frozen
    }

    /// The same future, which takes no step while the node is frozen.
    pub fn hold<F: Future>(&self, inside: F) -> Held<F> {
        Held {
            gate: self.clone(),
            inside: Box::pin(inside),
        }
    }

    fn may_pass(&self, context: &Context<'_>) -> bool {
        let mut state = self.0.lock();
        if state.frozen {
            state.held.push(context.waker().clone());
        }
        !state.frozen
    }
}

/// See [`Gate::hold`].
#[derive(Debug)]
pub struct Held<F> {
    gate: Gate,
    inside: Pin<Box<F>>,
}

impl<F: Future> Future for Held<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        if !self.gate.may_pass(context) {
            return Poll::Pending;
        }
        self.inside.as_mut().poll(context)
    }
}

impl Spawner for Gate {
    #[expect(
        clippy::disallowed_methods,
        reason = "the tasks of a node are its own; it only holds them up"
    )]
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        tokio::spawn(self.hold(task));
    }
}
