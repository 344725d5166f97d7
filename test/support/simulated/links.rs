//! The state of every link, one way each: cut, flapping, slow, losing frames. Streams ask it when the
//! frames that they carry arrive; nothing here waits.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use causeway::names::NodeId;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::dice::Dice;

/// From one node to another.
pub(super) type Link = (NodeId, NodeId);

/// How long a transport waits before it sends a lost frame again; twice as long each time.
const RESEND_MS: u64 = 200;

/// A frame gets through after so many losses, so that no run waits for one for ever.
const LOSSES_MAX: u32 = 4;

/// Every link that is not whole and quick.
#[derive(Default)]
pub(super) struct Links {
    /// What a frame takes on a quick link, at the most.
    delay_us: u64,
    cut: BTreeSet<Link>,
    flapping: BTreeMap<Link, Flapping>,
    /// Extra delay of a link, in milliseconds at the most.
    slow: BTreeMap<Link, u64>,
    /// Frames of a hundred that are lost.
    lossy: BTreeMap<Link, u64>,
    /// Addresses that lead to another node than the one that they name.
    misled: BTreeMap<NodeId, NodeId>,
    /// The streams that are open at this moment end when this is cancelled.
    open: BTreeMap<Link, CancellationToken>,
}

/// Whole first, then cut, and so on.
struct Flapping {
    since: Instant,
    half: Duration,
}

/// Whether frames pass at this moment.
pub(super) enum Passes {
    Now,
    /// Look again then.
    At(Instant),
    /// When somebody mends it.
    Never,
}

impl Links {
    pub(super) fn new(delay_us: u64) -> Self {
        Self {
            delay_us,
            ..Self::default()
        }
    }

    pub(super) fn cut(&mut self, link: Link) {
        self.cut.insert(link);
    }

    pub(super) fn flap(&mut self, link: Link, half: Duration) {
        let since = Instant::now();
        self.flapping.insert(link, Flapping { since, half });
    }

    pub(super) fn slow_down(&mut self, link: Link, delay_ms: u64) {
        self.slow.insert(link, delay_ms);
    }

    pub(super) fn quicken(&mut self, link: &Link) {
        self.slow.remove(link);
    }

    pub(super) fn lose(&mut self, link: Link, percent: u64) {
        self.lossy.insert(link, percent);
    }

    /// Lets whoever dials `address` reach another node from now on, or the right one. What was open to either
    /// ends.
    pub(super) fn mislead(&mut self, address: &NodeId, other: Option<NodeId>) {
        let reached = match other {
            Some(other) => self.misled.insert(address.clone(), other),
            None => self.misled.remove(address),
        };
        let wired_anew = [Some(address), reached.as_ref()];
        for (link, open) in &self.open {
            if wired_anew.contains(&Some(&link.0)) || wired_anew.contains(&Some(&link.1)) {
                open.cancel();
            }
        }
        self.open.retain(|_, open| !open.is_cancelled());
    }

    /// Who is reached by an address.
    pub(super) fn reached_at(&self, address: &NodeId) -> NodeId {
        self.misled.get(address).unwrap_or(address).clone()
    }

    /// Lets frames pass again. A link that is slow stays so.
    pub(super) fn mend(&mut self, link: &Link) {
        self.cut.remove(link);
        self.flapping.remove(link);
        self.lossy.remove(link);
    }

    /// Makes every link whole and quick.
    pub(super) fn mend_all(&mut self) {
        self.cut.clear();
        self.flapping.clear();
        self.slow.clear();
        self.lossy.clear();
        for address in self.misled.keys().cloned().collect::<Vec<_>>() {
            self.mislead(&address, None);
        }
    }

    pub(super) fn passes(&self, link: &Link) -> Passes {
        if self.cut.contains(link) {
            return Passes::Never;
        }
        let Some(flapping) = self.flapping.get(link) else {
            return Passes::Now;
        };
        let halves = flapping.since.elapsed().as_micros() / flapping.half.as_micros();
        if halves.is_multiple_of(2) {
            return Passes::Now;
        }
        let passed = u32::try_from(halves).expect("a short simulation");
        Passes::At(flapping.since + flapping.half * (passed + 1))
    }

    /// How long a frame takes that is sent now.
    pub(super) fn delay(&self, link: &Link, dice: &Dice) -> Duration {
        let slow_us = self.slow.get(link).copied().unwrap_or(0) * 1000;
        let most_us = self.delay_us + slow_us;
        let quickest = Duration::from_micros(dice.between(50, most_us.max(50)));
        let percent = self.lossy.get(link).copied().unwrap_or(0);
        let losses = (0..LOSSES_MAX).take_while(|_| percent > 0 && dice.chance(percent));
        let resent_ms: u64 = losses.map(|before| RESEND_MS << before).sum();
        quickest + Duration::from_millis(resent_ms)
    }

    /// Ends with every stream on this link that is open when it breaks.
    pub(super) fn opened(&mut self, link: &Link) -> CancellationToken {
        self.open.entry(link.clone()).or_default().clone()
    }

    pub(super) fn break_streams(&mut self, link: &Link) {
        if let Some(open) = self.open.remove(link) {
            open.cancel();
        }
    }
}
