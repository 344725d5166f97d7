//! The thread that owns the servers: it takes orders one after the other and notices when servers die.
//!
//! It is a thread and not a task because the kernel ends a server together with the thread that started
//! it (see `process`), and because an order must go on when the task that gave it is gone.

use std::io;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::fleet::Fleet;
use super::start::start;
use super::{Found, Repaired, Settings, SharderError, Size, Status, Stored};
use crate::process::threads;

/// How often silent servers are asked whether they answer again.
const SILENCE_PERIOD: Duration = Duration::from_secs(1);

pub(super) type Answer<T> = oneshot::Sender<Result<T, SharderError>>;

/// An operation, and where its outcome goes.
#[derive(Debug)]
pub(super) enum Order {
    BringUp(Size, Answer<Vec<u16>>),
    FailNode(i64, Answer<Repaired>),
    Put {
        key: i64,
        value: i64,
        answer: Answer<Stored>,
    },
    Get(i64, Answer<Found>),
    Status(Answer<Status>),
}

/// Starts the thread. It ends when `stop` is cancelled or all senders of orders are gone, and ends the
/// servers.
pub(super) fn spawn(
    settings: Settings,
    mut orders: mpsc::Receiver<Order>,
    stop: CancellationToken,
) -> io::Result<JoinHandle<()>> {
    threads::start("redis-owner", || {
        let mut deaths = signal(SignalKind::child())?;
        Ok(move || async move {
            let mut owner = Owner {
                settings,
                fleet: None,
            };
            // An operation under way ends too: no reader will see what it leaves behind.
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = owner.work(&mut orders, &mut deaths) => {}
            }
            // The servers first: they must be gone when the senders of orders see the channel close.
            drop(owner);
            drop(orders);
        })
    })
}

struct Owner {
    settings: Settings,
    fleet: Option<Fleet>,
}

impl Owner {
    async fn work(&mut self, orders: &mut mpsc::Receiver<Order>, deaths: &mut Signal) {
        loop {
            let is_anyone_silent = self.fleet.as_ref().is_some_and(Fleet::is_anyone_silent);
            tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => self.carry_out(order).await,
                    None => return,
                },
                _ = deaths.recv() => self.look_after().await,
                () = tokio::time::sleep(SILENCE_PERIOD), if is_anyone_silent => self.look_after().await,
            }
        }
    }

    async fn look_after(&mut self) {
        if let Some(fleet) = &mut self.fleet {
            fleet.weigh_silent().await;
            fleet.tidy().await;
        }
    }

    async fn carry_out(&mut self, order: Order) {
        match order {
            Order::BringUp(size, answer) => tell(answer, self.bring_up(size)).await,
            Order::FailNode(port, answer) => {
                tell(answer, async { self.fleet()?.fail(port).await }).await;
            }
            Order::Put { key, value, answer } => {
                tell(answer, async { self.fleet()?.put(key, value).await }).await;
            }
            Order::Get(key, answer) => tell(answer, async { self.fleet()?.get(key).await }).await,
            Order::Status(answer) => tell(answer, async { Ok(self.fleet()?.status().await) }).await,
        }
    }

    fn fleet(&mut self) -> Result<&mut Fleet, SharderError> {
        self.fleet.as_mut().ok_or(SharderError::NotUp)
    }

    async fn bring_up(&mut self, size: Size) -> Result<Vec<u16>, SharderError> {
        if self.fleet.is_some() {
            return Err(SharderError::AlreadyUp);
        }
        let servers = start(self.settings.base_port, size.servers).await?;
        let ports = servers.keys().copied().collect();
        self.fleet = Some(Fleet::new(servers, size, self.settings.is_strict));
        Ok(ports)
    }
}

async fn tell<T>(answer: Answer<T>, outcome: impl Future<Output = Result<T, SharderError>>) {
    // The caller may be gone; the order is carried out all the same.
    let _ = answer.send(outcome.await);
}
