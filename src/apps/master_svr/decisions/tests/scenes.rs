//! What the master and the servers do in situations that chance seldom brings about.

use super::super::master::Beat;
use super::*;

/// A master that leads and servers that have joined, one after the other.
fn settled(ports: u16) -> World {
    let mut world = World::new(0);
    world.start_master();
    for port in 1..=ports {
        world.start(port);
        world.settle(0);
    }
    world
}

fn ports(servers: &[Server]) -> Vec<u16> {
    servers.iter().map(|server| server.port).collect()
}

fn layout(world: &World) -> &Layout {
    world.master.as_ref().and_then(Master::layout).expect("it leads")
}

#[test]
fn silence_is_death_and_the_numbers_close_up() {
    let mut world = settled(3);
    assert_eq!(ports(&layout(&world).shards), [1, 2, 3]);
    world.servers.get_mut(&2).expect("runs").is_frozen = true;
    let mut waited_ms = 0;
    while layout(&world).shards.contains(&world.servers[&2].holder.me()) {
        world.tick();
        waited_ms += 100;
        assert!(waited_ms <= 2000);
    }
    assert!(waited_ms > SURE_MS, "{waited_ms}");
    // The next server stands in at once.
    assert_eq!(ports(&layout(&world).shards), [1, 3, 3]);
    world.servers.remove(&2);
    world.settle(0);
    assert_eq!(ports(&layout(&world).shards), [1, 3]);
    world.start(2);
    world.settle(0);
    assert_eq!(ports(&layout(&world).shards), [1, 3, 2]);
}

#[test]
fn a_master_that_was_frozen_declares_no_server_dead() {
    let mut world = settled(2);
    let master = world.master.as_mut().expect("runs");
    master.tick(world.now_ms + 60_000);
    assert_eq!(ports(&layout(&world).shards), [1, 2]);
}

#[test]
fn servers_that_waited_for_a_master_join_in_the_order_of_their_start() {
    let mut master = Master::new(1, 0);
    for (port, age_ms) in [(3, 100), (1, 300), (2, 200)] {
        let server = Server { port, run: 1 };
        let beat = Beat {
            server,
            age_ms,
            layout: Layout::default(),
            is_drained: true,
        };
        master.hear(50, beat);
    }
    assert_eq!(master.layout(), None);
    (1..=15).for_each(|tick| master.tick(tick * 100));
    assert_eq!(ports(&master.layout().expect("it leads").shards), [1, 2, 3]);
}

#[test]
fn a_batch_that_was_overtaken_undoes_nothing() {
    let mut world = settled(1);
    let key = 1;
    world.put(key, 1);
    world.start(2);
    world.beat(2);
    world.deliver(0);
    let (master, svrs) = (world.master.as_ref().expect("runs"), &mut world.servers);
    let layout = master.layout().expect("it leads").clone();
    svrs.values_mut()
        .for_each(|svr| assert!(svr.holder.adopt(layout.clone())));
    let first = svrs.get_mut(&1).expect("runs");
    let (to, old) = first.holder.next_batch().expect("a key moves");
    first.holder.note_sent(to, &old, false);
    first
        .holder
        .put(key, Bytes::from("2"))
        .expect("is still the owner");
    let (_, new) = first.holder.next_batch().expect("is sent again");
    first.holder.note_sent(to, &new, true);
    let second = svrs.get_mut(&2).expect("runs");
    assert!(second.holder.take(new.clone()) && !second.holder.take(old) && second.holder.take(new));
    world.put.insert(key, Bytes::from("2"));
    world.settle(0);
    assert_eq!(world.servers[&2].holder.get(key), Ok(Some(Bytes::from("2"))));
}

/// The beat that a server would send.
fn beat(world: &World, port: u16) -> Beat {
    world.servers[&port].holder.beat(1000)
}

/// A beat of one server and its answer.
fn exchange(world: &mut World, port: u16) {
    let beat = beat(world, port);
    let master = world.master.as_mut().expect("runs");
    master.hear(world.now_ms, beat);
    let layout = master.layout().expect("it leads").clone();
    world.servers.get_mut(&port).expect("runs").holder.adopt(layout);
}

/// Everything that a server has to send arrives.
fn send_all(world: &mut World, port: u16) {
    while let Some((to, batch)) = world.servers.get_mut(&port).expect("runs").holder.next_batch() {
        let receiver = &mut world.servers.get_mut(&to.port).expect("runs").holder;
        let is_taken = receiver.take(batch.clone());
        let sender = &mut world.servers.get_mut(&port).expect("runs").holder;
        sender.note_sent(to, &batch, is_taken);
    }
}

#[test]
fn the_seal_waits_for_what_was_never_sent_and_not_for_what_is_put_again() {
    let mut world = settled(1);
    (0..6).for_each(|key| world.put(key, 1));
    world.start(2);
    exchange(&mut world, 2);
    exchange(&mut world, 1);
    let is_drained = |world: &World| beat(world, 1).is_drained;
    assert!(!is_drained(&world), "its first copies are still to be sent");
    send_all(&mut world, 1);
    (0..6).for_each(|key| world.put(key, 2));
    assert!(is_drained(&world), "these few can go under the seal");
    exchange(&mut world, 2);
    exchange(&mut world, 1);
    exchange(&mut world, 1);
    assert!(layout(&world).is_sealed() && !is_drained(&world));
    send_all(&mut world, 1);
    assert!(is_drained(&world));
    world.settle(0);
    let of_second = (0..6).filter_map(|key| world.servers[&2].holder.get(key).ok());
    assert_eq!(of_second.collect::<Vec<_>>(), vec![Some(Bytes::from("2")); 3]);
}

#[test]
fn a_new_owner_answers_when_everybody_knows_of_it() {
    let mut world = settled(1);
    world.put(1, 7);
    world.start(2);
    exchange(&mut world, 2);
    exchange(&mut world, 1);
    send_all(&mut world, 1);
    for port in [2, 1, 2, 1, 2] {
        assert!(!layout(&world).is_opening);
        exchange(&mut world, port);
    }
    // The last to report was the new owner: it knows, and the old one does not yet.
    assert!(layout(&world).is_opening);
    let answers = |world: &World| [1, 2].map(|port| world.servers[&port].holder.get(1));
    assert_eq!(
        answers(&world),
        [Err(Refusal::Unsettled), Err(Refusal::Unsettled)]
    );
    exchange(&mut world, 1);
    assert_eq!(
        answers(&world),
        [Err(Refusal::Elsewhere), Err(Refusal::Unsettled)]
    );
    exchange(&mut world, 1);
    exchange(&mut world, 2);
    assert_eq!(
        answers(&world),
        [Err(Refusal::Elsewhere), Ok(Some(Bytes::from("7")))]
    );
}

/// A master that has just been started and has heard only these.
fn restarted(world: &World, beats: &[Beat]) -> Master {
    let mut master = Master::new(world.term + 1, 0);
    beats.iter().for_each(|beat| master.hear(0, beat.clone()));
    master
}

/// When the master leads, in milliseconds after its start, if `late` is heard after a second.
fn leads_at_ms(master: &mut Master, late: Option<Beat>) -> u64 {
    let mut late = late;
    (1..50)
        .map(|tick| tick * 100)
        .find(|now_ms| {
            if *now_ms == 1000 {
                late.take()
                    .into_iter()
                    .for_each(|beat| master.hear(*now_ms, beat));
            }
            master.tick(*now_ms);
            master.layout().is_some()
        })
        .expect("it leads some time")
}

#[test]
fn a_restarted_master_waits_for_servers_that_may_know_more() {
    let mut world = settled(2);
    let before = beat(&world, 1);
    world.start(3);
    world.settle(0);
    let [first, second, third] = [1, 2, 3].map(|port| beat(&world, port));

    let mut master = restarted(&world, &[first, second.clone(), third.clone()]);
    assert_eq!(leads_at_ms(&mut master, None), 700);
    assert_eq!(ports(&master.layout().expect("it leads").shards), [1, 2, 3]);

    // Server 1 has missed that 3 has joined, and 2 is silent for a second.
    let mut master = restarted(&world, std::slice::from_ref(&before));
    assert_eq!(leads_at_ms(&mut master, Some(second)), 1500);
    assert_eq!(ports(&master.layout().expect("it leads").servers()), [1, 2]);
    let mut master = restarted(&world, &[before, third.clone()]);
    assert_eq!(leads_at_ms(&mut master, None), 1500);
    assert_eq!(ports(&master.layout().expect("it leads").servers()), [1, 3]);

    // A server that has never joined knows of no other.
    world.start(4);
    let mut master = restarted(&world, &[beat(&world, 4)]);
    assert_eq!(leads_at_ms(&mut master, Some(third)), 1500);
    assert_eq!(ports(&master.layout().expect("it leads").servers())[0], 3);
}
