//! Runs `master-svr`: takes beats, tells clients which server owns a key, and lets time pass.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use super::reply::{DONE, NOT_YET, bad_request, reply};
use super::{BEAT_HELD, here};
use crate::apps::master_svr::decisions::{self, Beat, Layout, Server, Version};
use crate::apps::master_svr::messages::{decode, encode};
use crate::config::millis;
use crate::net::http_client::{HttpClient, SendError};

const TICK: Duration = Duration::from_millis(100);

/// How long a silent server may take to answer a probe.
const PROBE_LIMIT: Duration = Duration::from_millis(500);

/// The master behind its port.
#[derive(Debug)]
pub struct Master {
    state: Arc<MasterState>,
    tasks: Mutex<JoinSet<()>>,
}

#[derive(Debug)]
struct MasterState {
    began: Instant,
    decisions: Mutex<decisions::Master>,
    /// The version of the current layout; beats wait for the next.
    version: watch::Sender<Version>,
    http: HttpClient,
}

impl Master {
    /// Starts a master, which only listens at first. `term` is larger at every start.
    pub fn start(term: u64) -> Self {
        let state = Arc::new(MasterState {
            began: Instant::now(),
            decisions: Mutex::new(decisions::Master::new(term, 0)),
            version: watch::Sender::new(Version::default()),
            http: HttpClient::default(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&state).watch());
        Self {
            state,
            tasks: Mutex::new(tasks),
        }
    }

    /// Answers a server or a client.
    pub async fn respond(&self, request: Request<Bytes>) -> Response<Bytes> {
        let path = request.uri().path();
        match (request.method(), path.strip_prefix("/owner/")) {
            (&Method::GET, None) if path == "/livez" => reply(DONE, "alive\n"),
            (&Method::GET, Some(key)) => key
                .parse()
                .map_or_else(|_| bad_request(), |key| self.state.owner(key)),
            (&Method::POST, _) if path == "/beat" => match decode(request.body()) {
                Ok(beat) => self.state.hear(beat).await,
                Err(_) => bad_request(),
            },
            _ => bad_request(),
        }
    }

    pub fn stop(&self) {
        self.tasks.lock().abort_all();
    }
}

impl MasterState {
    /// Milliseconds of a monotonic clock.
    fn now_ms(&self) -> u64 {
        millis(self.began.elapsed())
    }

    /// Applies an event, and wakes the waiting beats if it changed the layout.
    fn decide<T>(&self, happen: impl FnOnce(&mut decisions::Master, u64) -> T) -> T {
        let now_ms = self.now_ms();
        let mut decisions = self.decisions.lock();
        let outcome = happen(&mut decisions, now_ms);
        let version = decisions
            .layout()
            .map(|layout| layout.version)
            .unwrap_or_default();
        // Under the lock, so that versions are sent in order.
        self.version
            .send_if_modified(|sent| std::mem::replace(sent, version) != version);
        outcome
    }

    fn owner(&self, key: i64) -> Response<Bytes> {
        match self.decisions.lock().layout().map(|layout| layout.owner(key)) {
            Some(Some(owner)) => reply(DONE, owner.port.to_string()),
            Some(None) => reply(NOT_YET, "no server has joined\n"),
            None => reply(
                NOT_YET,
                "the master has just started and is waiting for the servers\n",
            ),
        }
    }

    async fn hear(&self, beat: Beat) -> Response<Bytes> {
        let known = beat.layout.version;
        let mut version = self.version.subscribe();
        self.decide(|master, now_ms| master.hear(now_ms, beat));
        let is_new = |version: &Version| ![Version::default(), known].contains(version);
        let changed = tokio::time::timeout(BEAT_HELD, version.wait_for(is_new)).await;
        // The lock on the version must not be held while the layout is read.
        drop(changed);
        match self.decisions.lock().layout() {
            Some(layout) => reply(DONE, encode::<Layout>(layout)),
            None => reply(NOT_YET, "listening\n"),
        }
    }

    async fn watch(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut probes = JoinSet::new();
        loop {
            ticks.tick().await;
            self.decide(decisions::Master::tick);
            while probes.try_join_next().is_some() {}
            // While probes are under way their answers decide; another round would tell nothing more.
            if probes.is_empty() {
                let doubtful = self.decisions.lock().doubtful(self.now_ms());
                for server in doubtful {
                    probes.spawn(Arc::clone(&self).probe(server));
                }
            }
        }
    }

    /// Probes a silent server. A refused connection means dead. No answer may mean frozen; the silence
    /// limit decides.
    async fn probe(self: Arc<Self>, server: Server) {
        let request = Request::get("/run").body(Bytes::new()).expect("is a request");
        match self.http.send(&here(server.port), request, PROBE_LIMIT).await {
            Ok(reply) if reply.body() == server.run.to_string().as_bytes() => {
                self.decide(|master, now_ms| master.saw(now_ms, server));
            }
            Err(SendError::NotSent { .. }) => self.decide(|master, _| master.lost(server)),
            Ok(_) | Err(SendError::NoReply { .. }) => {}
        }
    }
}
