//! Draws the faults of a fault run from its seed: a list by time, which the run prints. The same seed
//! gives the same list. Nothing here depends on containers.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

/// A fault or its repair. Nodes by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Kill(usize),
    Start(usize),
    Pause(usize),
    Unpause(usize),
    /// Cuts a node off from all others; its clients still reach it.
    CutOff(usize),
    CutLink(usize, usize),
    CutOneWay(usize, usize),
    HealLinks(usize),
    /// Kills a node and destroys its disk: this one, or the first after it whose disk is not needed.
    Wipe(usize),
    KillAll,
    /// Starts every node that is down.
    StartAll,
    /// An operator adds or removes a node: by its place among those that can be added or removed.
    Change(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) at: Duration,
    pub(crate) fault: Fault,
}

/// Draws a plan for `nodes` nodes. Kinds are dealt from a deck, so that even a short run has most of
/// them. Each fault is repaired a little later, so that faults overlap in changing ways.
pub(crate) fn draw(seed: u64, nodes: usize, span: Duration) -> Vec<Event> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut events = Vec::new();
    let mut deck = Vec::new();
    let mut at_ms = 500;
    while at_ms < span.as_millis() {
        if deck.is_empty() {
            deck = fresh_deck(&mut rng);
        }
        let a = rng.random_range(0..nodes);
        let b = (a + rng.random_range(1..nodes)) % nodes;
        let (fault, mending, lasts_ms) = match deck.pop() {
            Some(Card::Kill) => (Fault::Kill(a), Some(Fault::Start(a)), 300..5000),
            Some(Card::Pause) => (Fault::Pause(a), Some(Fault::Unpause(a)), 300..6000),
            Some(Card::CutOff) => (Fault::CutOff(a), Some(Fault::HealLinks(a)), 500..6000),
            Some(Card::CutLink) => (Fault::CutLink(a, b), Some(Fault::HealLinks(a)), 500..9000),
            Some(Card::CutOneWay) => (Fault::CutOneWay(a, b), Some(Fault::HealLinks(a)), 500..9000),
            Some(Card::Wipe) => (Fault::Wipe(a), Some(Fault::StartAll), 300..2000),
            Some(Card::KillAll) => (Fault::KillAll, Some(Fault::StartAll), 0..2000),
            Some(Card::Change) | None => (Fault::Change(a), None, 0..1),
        };
        let lasts_ms: u64 = rng.random_range(lasts_ms);
        let at = Duration::from_millis(at_ms as u64);
        events.push(Event { at, fault });
        events.extend(mending.map(|fault| Event {
            at: at + Duration::from_millis(lasts_ms),
            fault,
        }));
        at_ms += rng.random_range(400..3500);
    }
    events.sort_by_key(|event| event.at);
    events
}

#[derive(Debug, Clone, Copy)]
enum Card {
    Kill,
    Pause,
    CutOff,
    CutLink,
    CutOneWay,
    Wipe,
    KillAll,
    Change,
}

fn fresh_deck(rng: &mut StdRng) -> Vec<Card> {
    let mut deck = vec![
        Card::Kill,
        Card::Kill,
        Card::Pause,
        Card::Pause,
        Card::CutOff,
        Card::CutLink,
        Card::CutLink,
        Card::CutOneWay,
        Card::Wipe,
        Card::KillAll,
        Card::Change,
        Card::Change,
        Card::Change,
    ];
    deck.shuffle(rng);
    deck
}

#[test]
fn a_seed_gives_the_same_faults_again_and_a_minute_has_each_kind() {
    let minute = Duration::from_secs(60);
    for seed in 0..20 {
        let plan = draw(seed, 6, minute);
        assert_eq!(plan, draw(seed, 6, minute));
        let has = |kind: fn(&Fault) -> bool| plan.iter().any(|event| kind(&event.fault));
        assert!(has(|fault| matches!(fault, Fault::Kill(_))), "{plan:?}");
        assert!(has(|fault| matches!(fault, Fault::Pause(_))), "{plan:?}");
        assert!(has(|fault| matches!(fault, Fault::CutOff(_))), "{plan:?}");
        assert!(has(|fault| matches!(fault, Fault::CutLink(..))), "{plan:?}");
        assert!(has(|fault| matches!(fault, Fault::CutOneWay(..))), "{plan:?}");
        assert!(has(|fault| matches!(fault, Fault::Wipe(_))), "{plan:?}");
        assert!(has(|fault| *fault == Fault::KillAll), "{plan:?}");
        assert!(has(|fault| matches!(fault, Fault::Change(_))), "{plan:?}");
    }
    assert_ne!(draw(1, 6, minute), draw(2, 6, minute));
}
