//! The promise about room, over every order of puts and failures in small sharders and over random orders
//! in larger ones.

mod choices;

use proptest::prelude::*;

use super::*;

/// A layout, and the contents of the servers if every step that it asks for is done.
#[derive(Debug, Clone)]
struct Bench {
    layout: Layout,
    servers: BTreeMap<u16, BTreeSet<i64>>,
    capacity: u64,
    level: usize,
}

impl Bench {
    fn new(servers: u16, capacity: u64, level: usize) -> Self {
        let ports = 1..=servers;
        Self {
            layout: Layout::new(ports.clone(), capacity, level),
            servers: ports.map(|port| (port, BTreeSet::new())).collect(),
            capacity,
            level,
        }
    }

    fn transfer(&mut self, transfer: Transfer) {
        let Transfer { key, from, to } = transfer;
        assert!(self.servers[&from].contains(&key), "{transfer:?} from {self:?}");
        self.write(key, to);
    }

    fn write(&mut self, key: i64, port: u16) {
        let server = self.servers.get_mut(&port).expect("lives");
        assert!(server.insert(key), "{key} is on {port} already");
        assert!(
            server.len() as u64 <= self.capacity,
            "{port} is over its capacity"
        );
        self.layout.record(key, port);
    }

    fn make_room(&mut self, transfer: Transfer) {
        self.transfer(transfer);
        self.servers
            .get_mut(&transfer.from)
            .expect("lives")
            .remove(&transfer.key);
        self.layout.forget(transfer.key, transfer.from);
    }

    /// Does one step of a repair, or only its first transfers. True if there was one.
    fn repair_step(&mut self, transfers_max: usize) -> bool {
        match self.layout.next_repair() {
            Some(Repair::Copies(transfers)) => {
                let done = transfers.into_iter().take(transfers_max);
                done.for_each(|transfer| self.transfer(transfer));
                true
            }
            Some(Repair::MakeRoom(transfer)) => {
                self.make_room(transfer);
                true
            }
            None => false,
        }
    }

    fn repair(&mut self) {
        // Each copy takes a place or two steps.
        let steps_max = 2 * self.servers.values().map(BTreeSet::len).sum::<usize>() + 2;
        let steps = (0..=steps_max)
            .take_while(|_| self.repair_step(usize::MAX))
            .count();
        assert!(steps <= steps_max, "the repair of {self:?} goes on for ever");
    }

    fn fail(&mut self, port: u16) {
        let dead = self.servers.remove(&port).expect("lives");
        let elsewhere = |key: &&i64| self.servers.values().any(|server| server.contains(key));
        let lost = dead.iter().filter(|key| !elsewhere(key)).count();
        assert_eq!(self.layout.bury(port), lost, "{self:?}");
    }

    /// True if the key was stored, after at most as many moves as it has copies.
    fn put(&mut self, key: i64) -> bool {
        for _ in 0..=self.level {
            match self.layout.place(key) {
                Placement::Overwrite(holders) => {
                    assert!(holders.iter().all(|port| self.servers[port].contains(&key)));
                    return true;
                }
                Placement::Fresh(ports) => {
                    ports.into_iter().for_each(|port| self.write(key, port));
                    return true;
                }
                Placement::MakeRoom(transfer) => self.make_room(transfer),
                Placement::NoRoom => return false,
                Placement::Unavailable => {
                    assert!(self.servers.is_empty());
                    return false;
                }
            }
        }
        panic!("{self:?} makes room for ever");
    }

    fn keys(&self) -> BTreeSet<i64> {
        self.servers.values().flatten().copied().collect()
    }

    /// How many keys the specification promises room for.
    fn promised(&self) -> usize {
        let places = self.servers.len() as u64 * self.capacity;
        usize::try_from(places / self.level as u64).expect("is small")
    }

    fn check(&self) {
        let full_level = self.level.min(self.servers.len());
        let free = self
            .servers
            .values()
            .any(|server| (server.len() as u64) < self.capacity);
        let mut short = BTreeSet::new();
        for key in self.keys() {
            let held = |server: &&BTreeSet<i64>| server.contains(&key);
            let copies = self.servers.values().filter(held).count();
            assert!(
                copies == full_level || (copies < full_level && !free),
                "{key} in {self:?}"
            );
            if copies < self.level {
                short.insert((copies, key));
            }
        }
        assert_eq!(&short, self.layout.short());
        assert_eq!(self.layout.keys(), self.keys().len());
        assert!(self.layout.lost().is_disjoint(&self.keys()));
    }

    /// Puts a new key, which must succeed where the specification promises it.
    fn put_new(&mut self, key: i64) -> bool {
        let before = self.keys().len();
        let lost_before = self.layout.lost().clone();
        let stored = self.put(key);
        assert!(
            stored || before >= self.promised(),
            "no room for {key} in {self:?}"
        );
        assert_eq!(stored, self.keys().contains(&key));
        if !stored {
            assert_eq!((self.keys().len(), self.layout.lost()), (before, &lost_before));
        }
        self.check();
        stored
    }
}

/// Explores every order of puts and failures from here on; counts the states.
fn explore(bench: &Bench, next_key: i64) -> usize {
    let mut states = 1;
    let mut with_key = bench.clone();
    if with_key.put_new(next_key) {
        states += explore(&with_key, next_key + 1);
    }
    for port in bench.servers.keys() {
        let mut survivors = bench.clone();
        survivors.fail(*port);
        survivors.repair();
        survivors.check();
        states += explore(&survivors, next_key);
    }
    states
}

#[test]
fn floor_of_live_times_capacity_by_level_keys_fit_in_every_order_of_puts_and_failures() {
    let mut states = 0;
    for (servers, capacity_max) in [(1, 4), (2, 4), (3, 4), (4, 3)] {
        for capacity in 1..=capacity_max {
            for level in 1..=usize::from(servers) {
                states += explore(&Bench::new(servers, capacity, level), 0);
            }
        }
    }
    assert!(states > 20_000, "only {states} states were looked at");
}

#[derive(Debug, Clone)]
enum Event {
    /// Puts one of a few keys, so that old, lost and new ones are put.
    Put(i64),
    /// Kills the server that the number chooses. Another one may die while its copies are made again,
    /// after so many steps and in the last one after so many transfers.
    Fail(usize, Option<(usize, usize)>),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let during = proptest::option::of((0..4_usize, 0..6_usize));
    let event = prop_oneof![
        9 => (0..60_i64).prop_map(Event::Put),
        1 => (any::<usize>(), during).prop_map(|(who, during)| Event::Fail(who, during)),
    ];
    proptest::collection::vec(event, 1..120)
}

proptest! {
    #[test]
    fn larger_sharders_keep_the_rule_too(
        servers in 1..9_u16, capacity in 1..12_u64, level in 1..5_usize, events in events(),
    ) {
        let mut bench = Bench::new(servers, capacity, level.min(usize::from(servers)));
        for event in events {
            match event {
                Event::Put(key) if bench.keys().contains(&key) => prop_assert!(bench.put(key)),
                Event::Put(key) => {
                    bench.put_new(key);
                }
                Event::Fail(who, during) => {
                    fail_one(&mut bench, who);
                    if let Some((steps, transfers_max)) = during {
                        for _ in 0..steps {
                            bench.repair_step(usize::MAX);
                        }
                        bench.repair_step(transfers_max);
                        fail_one(&mut bench, who / 7);
                    }
                    bench.repair();
                }
            }
            bench.check();
        }
    }
}

fn fail_one(bench: &mut Bench, who: usize) {
    let ports: Vec<u16> = bench.servers.keys().copied().collect();
    if !ports.is_empty() {
        bench.fail(ports[who % ports.len()]);
    }
}
