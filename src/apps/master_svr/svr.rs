//! Runs `svr`: answers for its keys, asks the master for new layouts, and sends on pairs that move.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use super::reply::{DONE, ELSEWHERE, NO_SUCH_KEY, NOT_YET, TOO_LARGE, bad_request, refuse, reply};
use super::{BEAT_HELD, here};
use crate::apps::master_svr::decisions::{Batch, Holder, Layout, Refusal, SURE_MS, Server};
use crate::apps::master_svr::messages::{decode, encode};
use crate::config::millis;
use crate::names::NodeId;
use crate::net::http_client::{HttpClient, SendError};

/// The master answers a beat after [`BEAT_HELD`] at the latest; one that does not is in trouble.
const BEAT_LIMIT: Duration = BEAT_HELD.saturating_add(Duration::from_millis(400));

/// Pause between two tries while no master answers.
const BEAT_PAUSE: Duration = Duration::from_millis(100);

/// A batch is a few hundred kilobytes at the most, or one large value.
const BATCH_LIMIT: Duration = Duration::from_secs(1);
const BATCH_PAUSE: Duration = Duration::from_millis(20);

/// More than an argument of `clt` can hold. With the rest of the message it must fit into a batch.
const VALUE_BYTES_MAX: usize = 1024 * 1024;

/// How long a request waits for its key to be settled, before its client gets the reply to try again.
const SETTLE_LIMIT: Duration = Duration::from_millis(1800);

/// A server behind its port.
#[derive(Debug)]
pub struct Svr {
    state: Arc<SvrState>,
    tasks: Mutex<JoinSet<()>>,
}

#[derive(Debug)]
struct SvrState {
    began: Instant,
    master: NodeId,
    holder: Mutex<Holder>,
    http: HttpClient,
    /// When the last answered question to the master was asked; also wakes requests that wait for news.
    asked: watch::Sender<Instant>,
    /// Wakes the sender: there may be something to send.
    unsent: Notify,
    /// Wakes the asker: everything was sent.
    drained: Notify,
}

impl Svr {
    /// Starts a server, which joins once a master answers on `master_port`. `run` differs at each start.
    pub fn start(port: u16, run: u64, master_port: u16) -> Self {
        let began = Instant::now();
        let state = Arc::new(SvrState {
            began,
            master: here(master_port),
            holder: Mutex::new(Holder::new(Server { port, run })),
            http: HttpClient::default(),
            asked: watch::Sender::new(began),
            unsent: Notify::new(),
            drained: Notify::new(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&state).keep_asking());
        tasks.spawn(Arc::clone(&state).keep_sending());
        Self {
            state,
            tasks: Mutex::new(tasks),
        }
    }

    /// Answers a client, the master or another server.
    pub async fn respond(&self, request: Request<Bytes>) -> Response<Bytes> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path();
        let key = path.strip_prefix("/key/").map(str::parse::<i64>);
        match (parts.method, key) {
            (Method::GET, Some(Ok(key))) => self.state.get(key).await,
            (Method::PUT, Some(Ok(key))) => self.state.put(key, body).await,
            (Method::POST, None) if path == "/pairs" => self.state.take(&body),
            (Method::GET, None) if path == "/livez" => reply(DONE, "alive\n"),
            (Method::GET, None) if path == "/run" => {
                reply(DONE, self.state.holder.lock().me().run.to_string())
            }
            _ => bad_request(),
        }
    }

    pub fn stop(&self) {
        self.tasks.lock().abort_all();
    }
}

impl SvrState {
    async fn get(&self, key: i64) -> Response<Bytes> {
        match self.settled(|holder| holder.get(key)).await {
            Ok(Some(value)) => reply(DONE, value),
            Ok(None) => reply(NO_SUCH_KEY, "there is no such key\n"),
            Err(refusal) => refuse(refusal),
        }
    }

    async fn put(&self, key: i64, value: Bytes) -> Response<Bytes> {
        if value.len() > VALUE_BYTES_MAX {
            return reply(TOO_LARGE, "a value has at most 1 MiB\n");
        }
        let done = self.settled(|holder| holder.put(key, value.clone())).await;
        // If the key moves, its new value has to follow it.
        self.unsent.notify_one();
        done.map_or_else(refuse, |()| reply(DONE, Bytes::new()))
    }

    /// Does the work, as soon as it is certain whether this server may do it.
    async fn settled<T>(&self, work: impl Fn(&mut Holder) -> Result<T, Refusal>) -> Result<T, Refusal> {
        let deadline = Instant::now() + SETTLE_LIMIT;
        let mut news = self.asked.subscribe();
        loop {
            news.borrow_and_update();
            let done = self.attempt(&work);
            if !matches!(done, Err(Refusal::Unsettled)) {
                return done;
            }
            if timeout_at(deadline, news.changed()).await.is_err() {
                return self.out_of_patience();
            }
        }
    }

    fn attempt<T>(&self, work: impl Fn(&mut Holder) -> Result<T, Refusal>) -> Result<T, Refusal> {
        let mut holder = self.holder.lock();
        let is_sure = self.asked.borrow().elapsed() <= Duration::from_millis(SURE_MS);
        if is_sure {
            work(&mut holder)
        } else {
            Err(Refusal::Unsettled)
        }
    }

    /// A server that has never joined owns nothing.
    fn out_of_patience<T>(&self) -> Result<T, Refusal> {
        let has_joined = self.holder.lock().layout() != &Layout::default();
        Err(if has_joined {
            Refusal::Unsettled
        } else {
            Refusal::Elsewhere
        })
    }

    fn take(&self, body: &Bytes) -> Response<Bytes> {
        match decode::<Batch>(body) {
            Err(_) => bad_request(),
            Ok(batch) => {
                let is_kept = self.holder.lock().take(batch);
                reply(if is_kept { DONE } else { ELSEWHERE }, Bytes::new())
            }
        }
    }

    /// Sends beats to the master, again and again, and adopts its layouts.
    async fn keep_asking(self: Arc<Self>) {
        // A beat is given up at most once for a better one; otherwise none might ever be answered.
        let mut may_ask_anew = true;
        loop {
            let asked = Instant::now();
            let answer = tokio::select! {
                // This is what the master waits for.
                () = self.drained.notified(), if may_ask_anew => {
                    may_ask_anew = false;
                    continue;
                }
                answer = self.ask_master() => answer,
            };
            may_ask_anew = true;
            match answer {
                Ok(reply) if reply.status() == DONE => {
                    self.adopt(reply.body());
                    self.asked.send_replace(asked);
                    continue;
                }
                Ok(reply) if reply.status() != NOT_YET => {}
                Err(SendError::NoReply { .. }) => {}
                // A master that only listens, or that is not running, has expelled no server.
                Ok(_) | Err(SendError::NotSent { .. }) => drop(self.asked.send_replace(asked)),
            }
            sleep(BEAT_PAUSE).await;
        }
    }

    async fn ask_master(&self) -> Result<Response<Bytes>, SendError> {
        let age_ms = millis(self.began.elapsed());
        let beat = encode(&self.holder.lock().beat(age_ms));
        let request = Request::post("/beat").body(beat).expect("is a request");
        self.http.send(&self.master, request, BEAT_LIMIT).await
    }

    fn adopt(&self, layout: &[u8]) {
        let Ok(layout) = decode::<Layout>(layout) else {
            tracing::warn!("the master did not answer with a layout");
            return;
        };
        if self.holder.lock().adopt(layout) {
            self.unsent.notify_one();
        }
    }

    /// Sends moving pairs to their next owners, batch by batch.
    async fn keep_sending(self: Arc<Self>) {
        loop {
            let next = self.holder.lock().next_batch();
            let Some((to, batch)) = next else {
                self.unsent.notified().await;
                continue;
            };
            let is_confirmed = self.send(to, &batch).await;
            let is_drained = {
                let mut holder = self.holder.lock();
                holder.note_sent(to, &batch, is_confirmed);
                holder.is_drained()
            };
            if is_drained {
                self.drained.notify_one();
            }
            if !is_confirmed {
                sleep(BATCH_PAUSE).await;
            }
        }
    }

    async fn send(&self, to: Server, batch: &Batch) -> bool {
        let request = Request::post("/pairs").body(encode(batch)).expect("is a request");
        match self.http.send(&here(to.port), request, BATCH_LIMIT).await {
            Ok(reply) => reply.status() == DONE,
            Err(error) => {
                tracing::debug!(%error, "cannot send pairs");
                false
            }
        }
    }
}
