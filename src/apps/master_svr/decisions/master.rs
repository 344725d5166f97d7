//! What the master decides: who is dead, who joins, and when a change goes on. It keeps nothing on disk:
//! after a restart it listens first, and takes over the latest layout that a server knows.

use super::layout::{Change, Layout, Server, Version};

/// How long a master that was started only listens, at the least. Servers call every 100 ms where nobody
/// answers.
const LISTEN_MS: u64 = 700;

/// A server that was silent for so long is asked whether it is still there.
const DOUBT_MS: u64 = 400;

/// A server that was silent for so long is dead.
const DEAD_MS: u64 = 1500;

/// For so long after it has asked, a server can be sure that it was not put out. Later it answers nobody until
/// it has asked again: it stood still, and others may have answered in its place.
pub const SURE_MS: u64 = 1400;

/// Ticks come every 100 ms. When none came for so long, the master itself stood still, and silence
/// says nothing about the servers.
const FROZEN_MS: u64 = 600;

/// What a server tells the master, several times a second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    pub server: Server,
    /// Since it was started.
    pub age_ms: u64,
    /// The latest layout that it knows.
    pub layout: Layout,
    /// It has nothing more to send for that layout.
    pub is_drained: bool,
}

#[derive(Debug)]
struct Present {
    heard_ms: u64,
    beat: Beat,
}

impl Present {
    /// Before the master, for some: below zero.
    fn started_ms(&self) -> i128 {
        i128::from(self.heard_ms) - i128::from(self.beat.age_ms)
    }
}

/// The master's state. Every `now_ms` is of one clock that never goes back.
#[derive(Debug)]
pub struct Master {
    layout: Layout,
    /// Everybody who is not known to be dead, in the order of the first beat.
    present: Vec<Present>,
    /// Since when it only listens; none once it leads.
    listens_since_ms: Option<u64>,
    ticked_ms: u64,
}

impl Master {
    /// A master that has just been started and knows nobody. `term` is above those of all masters before it.
    pub fn new(term: u64, now_ms: u64) -> Self {
        let version = Version { term, step: 0 };
        Self {
            layout: Layout {
                version,
                ..Layout::default()
            },
            present: Vec::new(),
            listens_since_ms: Some(now_ms),
            ticked_ms: now_ms,
        }
    }

    /// The layout that holds; none while the master only listens.
    pub fn layout(&self) -> Option<&Layout> {
        self.listens_since_ms.is_none().then_some(&self.layout)
    }

    /// A server has called.
    pub fn hear(&mut self, now_ms: u64, beat: Beat) {
        let is_outcast = beat.layout.names(beat.server) && !self.layout.names(beat.server);
        if self.listens_since_ms.is_none() && is_outcast {
            // It was put out and does not know it; the layout that it is answered tells.
            return;
        }
        let heard = Present {
            heard_ms: now_ms,
            beat,
        };
        let same_port = |present: &Present| present.beat.server.port == heard.beat.server.port;
        match self.present.iter().position(same_port) {
            Some(index) if self.present[index].beat.server == heard.beat.server => {
                self.present[index] = heard;
            }
            // The last word of a process that somebody else has followed on its port.
            Some(index) if heard.started_ms() < self.present[index].started_ms() => return,
            Some(index) => {
                let before = self.present[index].beat.server;
                self.bury(before);
                self.present.push(heard);
            }
            None => self.present.push(heard),
        }
        self.advance();
    }

    /// A server was found to be there, though it has not called.
    pub fn saw(&mut self, now_ms: u64, server: Server) {
        let found = self
            .present
            .iter_mut()
            .find(|present| present.beat.server == server);
        if let Some(present) = found {
            present.heard_ms = now_ms;
        }
    }

    /// A server is dead: nobody listens on its port.
    pub fn lost(&mut self, server: Server) {
        self.bury(server);
        self.advance();
    }

    /// Whose silence is long enough to ask whether they are there.
    pub fn doubtful(&self, now_ms: u64) -> Vec<Server> {
        self.silent(now_ms, DOUBT_MS)
    }

    /// Time has passed: to be called every 100 ms.
    pub fn tick(&mut self, now_ms: u64) {
        let stood_still_ms = now_ms.saturating_sub(self.ticked_ms);
        self.ticked_ms = now_ms;
        if stood_still_ms > FROZEN_MS {
            let clocks = self.present.iter_mut().map(|present| &mut present.heard_ms);
            clocks
                .chain(&mut self.listens_since_ms)
                .for_each(|clock| *clock += stood_still_ms);
        }
        if let Some(since_ms) = self.listens_since_ms {
            self.lead_if_all_is_heard(now_ms.saturating_sub(since_ms));
        } else {
            self.silent(now_ms, DEAD_MS)
                .into_iter()
                .for_each(|server| self.bury(server));
        }
        self.advance();
    }

    fn silent(&self, now_ms: u64, for_ms: u64) -> Vec<Server> {
        let is_silent = |present: &&Present| now_ms.saturating_sub(present.heard_ms) > for_ms;
        self.present
            .iter()
            .filter(is_silent)
            .map(|present| present.beat.server)
            .collect()
    }

    /// The latest layout that anybody knows holds, once all that it names have been heard or are dead: one
    /// that is still silent may know a later one.
    fn lead_if_all_is_heard(&mut self, listened_ms: u64) {
        let layouts = self.present.iter().map(|present| &present.beat.layout);
        let latest = layouts
            .max_by_key(|layout| layout.version)
            .cloned()
            .unwrap_or_default();
        let parties = latest.parties();
        let is_missing = |server: &Server| self.beat_of(*server).is_none();
        let missing: Vec<Server> = parties.iter().copied().filter(is_missing).collect();
        // Where nobody knows of anything, the only one who does may be slow.
        let is_complete = !parties.is_empty() && missing.is_empty();
        if listened_ms < if is_complete { LISTEN_MS } else { DEAD_MS } {
            return;
        }
        self.listens_since_ms = None;
        let term = self.layout.version.term.max(latest.version.term + 1);
        // A change that was under way is begun anew: who has sent what, the old master knew.
        self.layout = Layout {
            version: Version { term, step: 0 },
            change: None,
            ..latest
        };
        let is_outcast = |beat: &Beat| beat.layout.names(beat.server) && !parties.contains(&beat.server);
        self.present.retain(|present| !is_outcast(&present.beat));
        // Several who waited for a master join in the order in which they were started.
        self.present.sort_by_key(Present::started_ms);
        missing.into_iter().for_each(|server| self.bury(server));
    }

    fn beat_of(&self, server: Server) -> Option<&Beat> {
        let mut beats = self.present.iter().map(|present| &present.beat);
        beats.find(|beat| beat.server == server)
    }

    fn bury(&mut self, server: Server) {
        self.present.retain(|present| present.beat.server != server);
        if self.listens_since_ms.is_none() && self.layout.names(server) {
            self.layout.bury(server);
            self.publish();
        }
    }

    /// Takes the next step, if everybody has done their part in the last one.
    fn advance(&mut self) {
        if self.listens_since_ms.is_some() {
            return;
        }
        if (self.layout.is_opening || self.layout.change.is_some()) && !self.all_are_drained() {
            return;
        }
        match self.layout.change.clone() {
            _ if self.layout.is_opening => {
                self.layout.is_opening = false;
                self.publish();
                self.begin();
            }
            Some(change) if change.is_sealed => {
                (self.layout.shards, self.layout.completed) = (change.to, change.id);
                (self.layout.change, self.layout.is_opening) = (None, true);
                self.publish();
            }
            Some(change) => {
                self.layout.change = Some(Change {
                    is_sealed: true,
                    ..change
                });
                self.publish();
            }
            None => self.begin(),
        }
    }

    /// Begins a change to the servers that are there: those of the layout, then whoever waits to join.
    fn begin(&mut self) {
        let mut to = self.layout.servers();
        let others = self.present.iter().map(|present| present.beat.server);
        to.extend(
            others
                .filter(|server| !self.layout.names(*server))
                .collect::<Vec<_>>(),
        );
        if self.layout.shards == to {
            return;
        }
        self.publish();
        if self.layout.shards.is_empty() {
            self.layout.shards = to;
        } else {
            let id = self.layout.version;
            self.layout.change = Some(Change {
                id,
                to,
                is_sealed: false,
            });
        }
    }

    fn all_are_drained(&self) -> bool {
        self.layout.parties().into_iter().all(|server| {
            self.beat_of(server)
                .is_some_and(|beat| beat.is_drained && beat.layout.version == self.layout.version)
        })
    }

    /// What is changed with this gets a version of its own.
    fn publish(&mut self) {
        self.layout.version.step += 1;
    }
}
