//! Random schedules of everything that can happen. In all of them no server answers with an old value,
//! and acknowledged values are there, unless a server that answered for them died.

use super::*;

const STEPS: usize = 400;
const SEEDS: u64 = 1500;

fn run(seed: u64, has_deaths: bool) -> World {
    let mut world = World::new(seed);
    for step in 0..STEPS {
        let port = u16::try_from(world.pick(usize::from(PORTS))).expect("is small") + 1;
        match world.pick(100) {
            0..20 => world.beat(port),
            20..70 if !world.letters.is_empty() => {
                let index = world.pick(world.letters.len());
                world.deliver(index);
            }
            70..85 => {
                let key = KEYS.start + i64::try_from(world.pick(KEYS.count())).expect("is small");
                world.put(key, step);
            }
            85..94 => world.tick(),
            // Without a master, an expelled server cannot learn of it.
            94 if world.servers.values().all(|svr| svr.is_sure(world.now_ms)) => world.master = None,
            95..97 if world.master.is_none() => world.start_master(),
            97 if !world.servers.contains_key(&port) => world.start(port),
            98 if has_deaths => world.kill(port),
            99 if has_deaths => match world.servers.get_mut(&port) {
                Some(svr) if svr.is_frozen => svr.is_frozen = false,
                Some(_) if world.master.is_some() => world.freeze(port),
                _ => {}
            },
            _ => {}
        }
        world.read_all(seed);
    }
    world.settle(seed);
    world
}

#[test]
fn nothing_is_lost_while_servers_join_and_masters_come_and_go() {
    let mut answers = 0;
    for seed in 0..SEEDS {
        let world = run(seed, false);
        assert!(world.doubtful.is_empty());
        answers += world.answers;
    }
    assert!(answers > 100_000, "only {answers} reads were answered");
}

#[test]
fn the_dead_take_only_what_they_answered_for_and_nothing_old_comes_back() {
    let kept: usize = (0..SEEDS)
        .map(|seed| {
            let world = run(seed, true);
            world
                .put
                .keys()
                .filter(|key| !world.doubtful.contains(key))
                .count()
        })
        .sum();
    assert!(kept > 1000, "only {kept} keys had to be there at the end");
}
