//! A simulated world for master and servers. Messages are late, lost, repeated and overtaken. Servers are
//! killed, frozen, taken for dead and started again, and so is the master. In `schedules` chance decides
//! what happens, in `scenes` the test does.

mod scenes;
mod schedules;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

const PORTS: u16 = 4;
const KEYS: std::ops::Range<i64> = -6..7;

struct Svr {
    holder: Holder,
    is_frozen: bool,
    /// When the last question that the master answered was asked.
    asked_ms: u64,
}

impl Svr {
    fn is_sure(&self, now_ms: u64) -> bool {
        !self.is_frozen && now_ms - self.asked_ms <= SURE_MS
    }
}

/// A message under way.
#[derive(Clone)]
enum Letter {
    Beat(u64, Beat),
    Answer(u64, u16, Option<Layout>),
    Batch(Server, Server, Batch),
    Confirmed(Server, Server, Batch, bool),
}

struct World {
    dice: StdRng,
    now_ms: u64,
    master: Option<Master>,
    term: u64,
    /// When the master was started.
    begun_ms: u64,
    runs: u64,
    killed: Vec<Server>,
    servers: BTreeMap<u16, Svr>,
    letters: Vec<Letter>,
    /// The last acknowledged value of each key.
    put: BTreeMap<i64, Bytes>,
    /// Keys that may be gone, because a server that answered for them died.
    doubtful: BTreeSet<i64>,
    answers: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            dice: StdRng::seed_from_u64(seed),
            now_ms: 0,
            master: None,
            term: 0,
            begun_ms: 0,
            runs: 0,
            killed: Vec::new(),
            servers: BTreeMap::new(),
            letters: Vec::new(),
            put: BTreeMap::new(),
            doubtful: BTreeSet::new(),
            answers: 0,
        }
    }

    fn pick(&mut self, count: usize) -> usize {
        self.dice.random_range(0..count)
    }

    fn start_master(&mut self) {
        self.term += 1;
        self.begun_ms = self.now_ms;
        self.master = Some(Master::new(self.term, self.now_ms));
    }

    fn start(&mut self, port: u16) {
        self.runs += 1000;
        let server = Server { port, run: self.runs };
        let svr = Svr {
            holder: Holder::new(server),
            is_frozen: false,
            asked_ms: self.now_ms,
        };
        self.servers.insert(port, svr);
    }

    /// All keys of servers that are frozen, expelled, or killed and not yet detected may be gone.
    fn doubt_the_gone(&mut self) {
        let decided = self.master.as_ref().and_then(Master::layout);
        let is_gone = |svr: &&Svr| {
            let me = svr.holder.me();
            let is_put_out = decided.is_some_and(|layout| !layout.names(me) && svr.holder.layout().names(me));
            svr.is_frozen || is_put_out
        };
        let gone = self.servers.values().filter(is_gone);
        let gone: Vec<Server> = gone.map(|svr| svr.holder.me()).collect();
        for server in gone.into_iter().chain(self.killed.clone()) {
            self.doubt(server);
        }
    }

    /// All keys that `server` answered for, by any layout that is known or on its way, may be gone.
    fn doubt(&mut self, server: Server) {
        let known = self.servers.values().map(|svr| svr.holder.layout());
        let layouts: Vec<Layout> = known
            .chain(self.master.as_ref().and_then(Master::layout))
            .cloned()
            .collect();
        let under_way = self.letters.iter().filter_map(|letter| match letter {
            Letter::Answer(.., layout) => layout.clone(),
            _ => None,
        });
        for layout in layouts.into_iter().chain(under_way) {
            self.doubtful
                .extend(KEYS.filter(|key| layout.owner(*key) == Some(server)));
        }
    }

    fn kill(&mut self, port: u16) {
        let Some(svr) = self.servers.get(&port) else {
            return;
        };
        let server = svr.holder.me();
        self.doubt(server);
        self.servers.remove(&port);
        self.killed.push(server);
        if self.dice.random_bool(0.7) {
            self.find_dead(server);
        }
    }

    fn find_dead(&mut self, server: Server) {
        if let Some(master) = &mut self.master {
            master.lost(server);
        }
    }

    /// Freezes a server, for long enough to be taken for dead or for less.
    fn freeze(&mut self, port: u16) {
        let Some(svr) = self.servers.get_mut(&port) else {
            return;
        };
        svr.is_frozen = true;
        let ticks = self.pick(20);
        (0..ticks).for_each(|_| self.tick());
    }

    /// Lets time pass; the master sees every server that is not frozen.
    fn tick(&mut self) {
        self.now_ms += 100;
        self.doubt_the_gone();
        let Some(master) = &mut self.master else { return };
        // Servers call every 100 ms: a master has heard them before it has listened for long enough.
        let is_called_by_all = self.now_ms == self.begun_ms + 600;
        for svr in self.servers.values().filter(|svr| !svr.is_frozen) {
            master.saw(self.now_ms, svr.holder.me());
            if is_called_by_all {
                master.hear(self.now_ms, svr.holder.beat(0));
            }
        }
        master.tick(self.now_ms);
    }

    fn beat(&mut self, port: u16) {
        let Some(svr) = self.servers.get_mut(&port).filter(|svr| !svr.is_frozen) else {
            return;
        };
        let beat = Letter::Beat(self.now_ms, svr.holder.beat(0));
        let batch = svr.holder.next_batch();
        let me = svr.holder.me();
        self.letters.push(beat);
        self.letters
            .extend(batch.map(|(to, batch)| Letter::Batch(me, to, batch)));
    }

    fn deliver(&mut self, index: usize) {
        let letter = self.letters.swap_remove(index);
        if self.dice.random_bool(0.05) {
            self.letters.push(letter.clone());
        }
        match letter {
            Letter::Beat(asked_ms, beat) => self.hear(asked_ms, beat),
            Letter::Answer(asked_ms, port, layout) => {
                if let Some(svr) = self.awake(port) {
                    layout.map(|layout| svr.holder.adopt(layout));
                    svr.asked_ms = svr.asked_ms.max(asked_ms);
                }
            }
            Letter::Batch(from, to, batch) => {
                // A batch that is never answered counts as lost for its sender, and may still arrive.
                let is_silent = self.dice.random_bool(0.1);
                if is_silent {
                    self.letters.push(Letter::Batch(from, to, batch.clone()));
                }
                let taken = !is_silent
                    && self
                        .awake(to.port)
                        .is_some_and(|svr| svr.holder.take(batch.clone()));
                self.letters.push(Letter::Confirmed(from, to, batch, taken));
            }
            Letter::Confirmed(from, to, batch, is_taken) => {
                // A frozen server finds it when it goes on.
                let svr = self.servers.get_mut(&from.port);
                if let Some(svr) = svr.filter(|svr| svr.holder.me() == from) {
                    svr.holder.note_sent(to, &batch, is_taken);
                }
            }
        }
    }

    fn awake(&mut self, port: u16) -> Option<&mut Svr> {
        self.servers.get_mut(&port).filter(|svr| !svr.is_frozen)
    }

    fn hear(&mut self, asked_ms: u64, beat: Beat) {
        let port = beat.server.port;
        let sender = self.servers.get(&port).map(|svr| svr.holder.me());
        // A beat is heard only while its sender waits for the answer.
        if sender != Some(beat.server) {
            return;
        }
        let layout = self.master.as_mut().and_then(|master| {
            master.hear(self.now_ms, beat);
            master.layout().cloned()
        });
        self.letters.push(Letter::Answer(asked_ms, port, layout));
    }

    fn put(&mut self, key: i64, value: usize) {
        let (now_ms, value) = (self.now_ms, Bytes::from(value.to_string()));
        for svr in self.servers.values_mut().filter(|svr| svr.is_sure(now_ms)) {
            if svr.holder.put(key, value.clone()).is_ok() {
                self.put.insert(key, value.clone());
                self.doubtful.remove(&key);
            }
        }
    }

    fn read_all(&mut self, seed: u64) {
        let now_ms = self.now_ms;
        self.doubt_the_gone();
        for (port, svr) in self.servers.iter().filter(|(_, svr)| svr.is_sure(now_ms)) {
            for key in KEYS {
                let Ok(found) = svr.holder.get(key) else { continue };
                self.answers += 1;
                let expected = self.put.get(&key);
                let is_gone = found.is_none() && self.doubtful.contains(&key);
                assert!(
                    is_gone || found.as_ref() == expected,
                    "seed {seed}: key {key} at {port} is {found:?} and not {expected:?}: {svr:?}",
                    svr = svr.holder
                );
            }
        }
    }

    /// Heals everything; then each key must have an owner that answers.
    fn settle(&mut self, seed: u64) {
        if self.master.is_none() {
            self.start_master();
        }
        self.servers.values_mut().for_each(|svr| svr.is_frozen = false);
        for _ in 0..60 {
            self.tick();
            (1..=PORTS).for_each(|port| self.beat(port));
            // What was lost on the way is given up for lost by its sender.
            while !self.letters.is_empty() {
                let index = self.pick(self.letters.len());
                self.deliver(index);
            }
        }
        let Some(layout) = self.master.as_ref().and_then(Master::layout) else {
            panic!("seed {seed}: the master does not lead");
        };
        assert_eq!(layout.change, None, "seed {seed}");
        assert_eq!(layout.shards.len(), self.servers.len(), "seed {seed}: {layout:?}");
        for key in KEYS {
            let answering = self.servers.values().filter(|svr| svr.holder.get(key).is_ok());
            assert_eq!(
                answering.count(),
                usize::from(!self.servers.is_empty()),
                "seed {seed}"
            );
        }
        self.read_all(seed);
    }
}
