//! The state of every link, each way: cut, flapping, slow, losing frames. Streams query it when their
//! frames arrive; nothing here waits.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use causeway::names::NodeId;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::dice::Dice;

/// From one node to another.
pub(super) type Link = (NodeId, NodeId);

/// How long a transport waits before it resends a lost frame; twice as long each time.
const RESEND_MS: u64 = 200;

/// A frame gets through after this many losses, so that no run waits for one for ever.
const LOSSES_MAX: u32 = 4;

/// Every link that has a fault.
#[derive(Default)]
pub(super) struct Links {
    /// The longest delay of a frame on a quick link.
    delay_us: u64,
    cut: BTreeSet<Link>,
    flapping: BTreeMap<Link, Flapping>,
    /// Extra delay of a link, in milliseconds at the most.
    slow: BTreeMap<Link, u64>,
    /// Frames of a hundred that are lost.
    lossy: BTreeMap<Link, u64>,
    /// Addresses that lead to another node than the one that they name.
    redirected: BTreeMap<NodeId, NodeId>,
    /// The streams that are open now end when this is cancelled.
    open: BTreeMap<Link, CancellationToken>,
}

/// Whole first, then cut, and so on.
struct Flapping {
    since: Instant,
    half: Duration,
}

/// Whether frames pass now.
pub(super) enum Passes {
    Now,
    /// Check again at this time.
    At(Instant),
    /// Only a repair lets frames pass.
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

    /// Redirects dials of `address` to another node from now on, or to the right one. Open streams to
    /// either end.
    pub(super) fn redirect(&mut self, address: &NodeId, other: Option<NodeId>) {
        let reached = match other {
            Some(other) => self.redirected.insert(address.clone(), other),
            None => self.redirected.remove(address),
        };
        let wired_anew = [Some(address), reached.as_ref()];
        for (link, open) in &self.open {
            if wired_anew.contains(&Some(&link.0)) || wired_anew.contains(&Some(&link.1)) {
                open.cancel();
            }
        }
        self.open.retain(|_, open| !open.is_cancelled());
    }

    /// The node that an address leads to.
    pub(super) fn reached_at(&self, address: &NodeId) -> NodeId {
        self.redirected.get(address).unwrap_or(address).clone()
    }

    /// Lets frames pass again. A slow link stays slow.
    pub(super) fn mend(&mut self, link: &Link) {
        self.cut.remove(link);
        self.flapping.remove(link);
        self.lossy.remove(link);
    }

    /// Repairs every link.
    pub(super) fn mend_all(&mut self) {
        self.cut.clear();
        self.flapping.clear();
        self.slow.clear();
        self.lossy.clear();
        for address in self.redirected.keys().cloned().collect::<Vec<_>>() {
            self.redirect(&address, None);
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

    /// The delay of a frame that is sent now.
    pub(super) fn delay(&self, link: &Link, dice: &Dice) -> Duration {
        let slow_us = self.slow.get(link).copied().unwrap_or(0) * 1000;
        let most_us = self.delay_us + slow_us;
        let quickest = Duration::from_micros(dice.between(50, most_us.max(50)));
        let percent = self.lossy.get(link).copied().unwrap_or(0);
        let losses = (0..LOSSES_MAX).take_while(|_| percent > 0 && dice.chance(percent));
        let resent_ms: u64 = losses.map(|before| RESEND_MS << before).sum();
        quickest + Duration::from_millis(resent_ms)
    }

    /// A token that is cancelled when the streams on this link break.
    pub(super) fn opened(&mut self, link: &Link) -> CancellationToken {
        self.open.entry(link.clone()).or_default().clone()
    }

    pub(super) fn break_streams(&mut self, link: &Link) {
        if let Some(open) = self.open.remove(link) {
            open.cancel();
        }
    }
}
