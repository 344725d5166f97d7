//! Decides which servers are dead, which join, and when a change continues. The master keeps nothing on
//! disk: after a restart it listens first, and takes over the latest layout that a server knows.

use super::layout::{Change, Layout, Server, Version};

/// The least time for which a master only listens after its start. Servers call every 100 ms while no
/// master answers.
const LISTEN_MS: u64 = 700;

/// A server that has been silent for this long is asked whether it is still there.
const DOUBT_MS: u64 = 400;

/// A server that has been silent for this long is dead.
const DEAD_MS: u64 = 1500;

/// For this long after it has asked, a server can be sure that it was not expelled. Later it answers no
/// request until it has asked again: it was frozen, and others may have answered in its place.
pub const SURE_MS: u64 = 1400;

/// Ticks come every 100 ms. After a longer gap than this the master itself was frozen, and silence says
/// nothing about the servers.
const FROZEN_MS: u64 = 600;

/// What a server tells the master, several times a second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    pub server: Server,
    /// Since its start.
    pub age_ms: u64,
    /// The latest layout that it knows.
    pub layout: Layout,
    /// True if it has nothing more to send for that layout.
    pub is_drained: bool,
}

#[derive(Debug)]
struct Present {
    heard_ms: u64,
    beat: Beat,
}

impl Present {
    /// Below zero for servers that started before the master.
    fn started_ms(&self) -> i128 {
        i128::from(self.heard_ms) - i128::from(self.beat.age_ms)
    }
}

/// The master's state. Every `now_ms` is of one monotonic clock.
#[derive(Debug)]
pub struct Master {
    layout: Layout,
    /// All servers that are not known to be dead, in the order of their first beats.
    present: Vec<Present>,
    /// Since when it only listens; none once it leads.
    listens_since_ms: Option<u64>,
    ticked_ms: u64,
}

impl Master {
    /// A master that was just started and knows no server. `term` is above that of every earlier master.
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

    /// The current layout; none while the master only listens.
    pub fn layout(&self) -> Option<&Layout> {
        self.listens_since_ms.is_none().then_some(&self.layout)
    }

    /// Takes a server's beat.
    pub fn hear(&mut self, now_ms: u64, beat: Beat) {
        let is_outcast = beat.layout.names(beat.server) && !self.layout.names(beat.server);
        if self.listens_since_ms.is_none() && is_outcast {
            // The sender was expelled and does not know it; the layout in the answer tells it.
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
            // A late beat of a process that another one has followed on its port.
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

    /// Notes that a server was found alive, though it has not called.
    pub fn saw(&mut self, now_ms: u64, server: Server) {
        let found = self
            .present
            .iter_mut()
            .find(|present| present.beat.server == server);
        if let Some(present) = found {
            present.heard_ms = now_ms;
        }
    }

    /// Notes that a server is dead: no process listens on its port.
    pub fn lost(&mut self, server: Server) {
        self.bury(server);
        self.advance();
    }

    /// The servers whose silence is long enough to ask whether they are there.
    pub fn doubtful(&self, now_ms: u64) -> Vec<Server> {
        self.silent(now_ms, DOUBT_MS)
    }

    /// Lets time pass; to be called every 100 ms.
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

    /// Leads by the latest layout that any server knows, once every server that it names has called or is
    /// dead: a silent one may know a later layout.
    fn lead_if_all_is_heard(&mut self, listened_ms: u64) {
        let layouts = self.present.iter().map(|present| &present.beat.layout);
        let latest = layouts
            .max_by_key(|layout| layout.version)
            .cloned()
            .unwrap_or_default();
        let parties = latest.parties();
        let is_missing = |server: &Server| self.beat_of(*server).is_none();
        let missing: Vec<Server> = parties.iter().copied().filter(is_missing).collect();
        // If no server knows a layout, the only one that does may be slow.
        let is_complete = !parties.is_empty() && missing.is_empty();
        if listened_ms < if is_complete { LISTEN_MS } else { DEAD_MS } {
            return;
        }
        self.listens_since_ms = None;
        let term = self.layout.version.term.max(latest.version.term + 1);
        // A change that was under way starts again: only the old master knew which server had sent what.
        self.layout = Layout {
            version: Version { term, step: 0 },
            change: None,
            ..latest
        };
        let is_outcast = |beat: &Beat| beat.layout.names(beat.server) && !parties.contains(&beat.server);
        self.present.retain(|present| !is_outcast(&present.beat));
        // Servers that waited for a master join in the order in which they were started.
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

    /// Takes the next step, if every server has done its part in the last one.
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

    /// Begins a change to the servers that are there: those of the layout, then those that wait to join.
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

    /// Gives a changed layout a version of its own.
    fn publish(&mut self) {
        self.layout.version.step += 1;
    }
}
