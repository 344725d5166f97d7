//! Draws the faults of a run from its seed: a list by time, which can be printed, shrunk and run again.

use super::dice::Dice;
use super::fault::{Event, Fault, QUICK_SYNC_MS};

/// How harsh a run is.
#[derive(Debug, Clone, Copy)]
pub struct Severity {
    pub faults: u64,
    pub span_ms: u64,
    /// How often an operator changes the view.
    pub changes: u64,
    /// True if disks are destroyed.
    pub wipes: bool,
    /// True if the nodes start one by one under faults, instead of together before them.
    pub rough_birth: bool,
    /// True if links are only slow and clocks right: tombstones expire soon, and frames and writes in
    /// flight must not outlive them.
    pub gentle: bool,
    /// How often clocks are set wrong by minutes, days or years.
    pub clock_steps: u64,
}

/// Draws a plan. Each fault of a node or a link is repaired a little later, so that faults overlap in
/// changing ways. The end of a run repairs the rest.
pub fn draw(dice: &Dice, nodes: usize, spares: usize, replicas: u32, severity: Severity) -> Vec<Event> {
    let mut draft = Draft::new(dice, nodes + spares, replicas as usize, severity);
    draft.weather();
    if severity.rough_birth {
        draft.birth();
    }
    for _ in 0..severity.faults {
        draft.misfortune();
    }
    for _ in 0..severity.changes {
        draft.change();
    }
    for _ in 0..severity.clock_steps {
        draft.clock_step();
    }
    draft.events.sort_by_key(|event| event.at_ms);
    draft.events
}

/// Draws wrong names: addresses that lead to other nodes for a while, and at rough births a node that is
/// started under another's name, until its operator notices. Most seeds have none.
pub fn draw_wrong_names(dice: &Dice, nodes: usize, spares: usize, severity: Severity) -> Vec<Event> {
    let mut draft = Draft::new(dice, nodes + spares, 1, severity);
    if severity.gentle || !dice.chance(WRONG_NAMES) {
        return draft.events;
    }
    // Not both: a node under another's name, to which the other's address leads, is that other node.
    if severity.rough_birth && nodes > 2 && dice.chance(50) {
        draft.misname();
    } else {
        for _ in 0..dice.between(1, 3) {
            draft.redirect();
        }
    }
    draft.events
}

/// Draws cuts through the whole cluster. One side forces a removal, and the other may decide a different
/// one: two lines of views. Most seeds have none.
pub fn draw_two_lines(dice: &Dice, nodes: usize, spares: usize, severity: Severity) -> Vec<Event> {
    let mut draft = Draft::new(dice, nodes + spares, 1, severity);
    if severity.gentle || severity.changes == 0 || !dice.chance(TWO_LINES) {
        return draft.events;
    }
    for _ in 0..dice.between(1, 2) {
        draft.two_lines(nodes);
    }
    draft.events
}

/// Draws disks that a copy is restored to. Most seeds have none.
pub fn draw_old_disks(dice: &Dice, nodes: usize, severity: Severity) -> Vec<Event> {
    let mut draft = Draft::new(dice, nodes, 1, severity);
    if severity.gentle || !dice.chance(OLD_DISKS) {
        return draft.events;
    }
    for _ in 0..dice.between(1, 3) {
        let copied_ms = dice.between(200, severity.span_ms * 3 / 4);
        let node = draft.node();
        let back_ms = copied_ms + dice.between(300, severity.span_ms / 2);
        draft.strike(copied_ms, back_ms, Fault::Copy(node), Fault::GoBack(node));
    }
    draft.events
}

/// Of a hundred seeds with view changes, those with a removal that is forced on one side of a cut.
const TWO_LINES: u64 = 40;

/// Of a hundred seeds, those in which older copies of disks are restored.
const OLD_DISKS: u64 = 25;

/// Of a hundred seeds, those with wrong names.
const WRONG_NAMES: u64 = 25;

struct Draft<'a> {
    dice: &'a Dice,
    nodes: usize,
    replicas: usize,
    severity: Severity,
    events: Vec<Event>,
    wiped: Vec<usize>,
}

impl<'a> Draft<'a> {
    fn new(dice: &'a Dice, nodes: usize, replicas: usize, severity: Severity) -> Self {
        Self {
            dice,
            nodes,
            replicas,
            severity,
            events: Vec::new(),
            wiped: Vec::new(),
        }
    }

    /// What holds from the beginning of every run: links that lag, so that reads meet replicas that are
    /// behind; slow disks; wrong clocks.
    fn weather(&mut self) {
        for _ in 0..self.dice.between(1, self.nodes as u64) {
            let (a, b) = (self.node(), self.node());
            let lag_ms = self.dice.between(20, 600);
            self.at(
                0,
                Fault::Slow(a, (a + 1 + b % (self.nodes - 1)) % self.nodes, lag_ms),
            );
        }
        for node in 0..self.nodes {
            if self.dice.chance(60) {
                let sync_ms = self.dice.between(1, QUICK_SYNC_MS);
                self.at(0, Fault::SlowDisk(node, sync_ms));
            }
            if self.dice.chance(40) && !self.severity.gentle {
                let skew = self.skew();
                self.at(0, Fault::Clock(node, skew));
            }
        }
    }

    /// Most nodes start at once or nearly so, and a few much later; links may be cut.
    fn birth(&mut self) {
        for node in 0..self.nodes {
            let is_late = self.dice.chance(30);
            let latest_ms = if is_late { self.severity.span_ms / 2 } else { 300 };
            let at_ms = self.dice.between(0, latest_ms);
            self.at(at_ms, Fault::Start(node));
            if is_late {
                self.company(node, at_ms);
            }
        }
        for _ in 0..self.dice.between(0, self.nodes as u64) {
            let (a, b) = (self.node(), self.node());
            let mended_ms = self.dice.between(100, self.severity.span_ms / 2);
            self.strike(0, mended_ms, Fault::Cut(a, b), Fault::HealLink(a, b));
        }
    }

    fn misfortune(&mut self) {
        let at_ms = self.dice.between(0, self.severity.span_ms);
        let mended_ms = at_ms + self.dice.between(50, self.severity.span_ms / 2);
        let kinds = if self.severity.gentle { 16..=31 } else { 0..=31 };
        let draw = self.dice.between(*kinds.start(), *kinds.end());
        if draw >= 16 {
            return self.gentle_misfortune(draw, at_ms, mended_ms);
        }
        let (a, b) = (self.node(), self.node());
        let (fault, mending) = match draw {
            0..=2 => (Fault::Cut(a, b), Fault::HealLink(a, b)),
            3..=4 => (Fault::CutOneWay(a, b), Fault::HealLink(a, b)),
            5..=6 => (Fault::Isolate(a), Fault::Rejoin(a)),
            7 => (Fault::Clock(a, self.skew()), Fault::Clock(a, self.skew())),
            8 => (Fault::Drift(a, self.drift()), Fault::Drift(a, 0)),
            9..=11 => (Fault::Kill(a), Fault::Start(a)),
            12..=13 => (Fault::Freeze(a), Fault::Thaw(a)),
            14 => (
                Fault::Flap(a, b, self.dice.between(20, 900)),
                Fault::HealLink(a, b),
            ),
            _ => return self.unanswered(at_ms, a, b),
        };
        self.strike(at_ms, mended_ms, fault, mending);
    }

    /// Faults that delay a frame or a write only briefly, except for destroyed disks.
    fn gentle_misfortune(&mut self, draw: u64, at_ms: u64, mended_ms: u64) {
        let (a, b) = (self.node(), self.node());
        let soon_ms = at_ms + self.dice.between(10, 900);
        let (mended_ms, fault, mending) = match draw {
            16 => (
                mended_ms,
                Fault::Slow(a, b, self.dice.between(5, 800)),
                Fault::HealLink(a, b),
            ),
            17 => (
                mended_ms,
                Fault::Lose(a, b, self.dice.between(2, 40)),
                Fault::HealLink(a, b),
            ),
            18..=19 => return self.at(at_ms, Fault::Break(a, b)),
            20..=23 if self.severity.wipes && !self.wiped.contains(&a) => {
                self.wiped.push(a);
                self.company(a, mended_ms);
                (mended_ms, Fault::Wipe(a), Fault::Start(a))
            }
            20..=23 => (at_ms + 1, Fault::Kill(a), Fault::Start(a)),
            24..=26 => (mended_ms, Fault::DiskFull(a, true), Fault::DiskFull(a, false)),
            27..=28 => (soon_ms, Fault::DiskInDoubt(a, true), Fault::DiskInDoubt(a, false)),
            _ => {
                let sync_ms = self.dice.between(1, 120);
                (mended_ms, Fault::SlowDisk(a, sync_ms), Fault::SlowDisk(a, 2))
            }
        };
        self.strike(at_ms, mended_ms, fault, mending);
    }

    /// The network splits in two, and operators on both sides act on what they see.
    fn two_lines(&mut self, listed: usize) {
        let at_ms = self.dice.between(0, self.severity.span_ms);
        let mended_ms = at_ms + self.dice.between(2_000, 9_000);
        let mut sides = [Vec::new(), Vec::new()];
        for node in 0..self.nodes {
            let side = usize::from(self.dice.chance(50));
            sides[side].push(node);
        }
        for one in 0..listed.min(2) {
            // Each side has one of the first two nodes, so that neither is empty.
            sides.iter_mut().for_each(|side| side.retain(|node| *node != one));
            sides[one].push(one);
        }
        let [here, there] = sides;
        for a in &here {
            for b in &there {
                self.strike(at_ms, mended_ms, Fault::Cut(*a, *b), Fault::HealLink(*a, *b));
            }
        }
        let pick = |side: &[usize]| side[self.dice.between(0, side.len() as u64 - 1) as usize];
        let (via, node) = (pick(&here), pick(&there));
        let force = true;
        let forced_ms = at_ms + self.dice.between(100, 2_000);
        let other = (pick(&there), pick(&here), self.dice.chance(40));
        let other_ms = at_ms + self.dice.between(100, 2_000);
        self.at(forced_ms, Fault::RemoveHere { node, via, force });
        if self.dice.chance(70) {
            let (via, node, force) = other;
            self.at(other_ms, Fault::RemoveHere { node, via, force });
        }
    }

    /// A port leads to the wrong node, or two ports are swapped.
    fn redirect(&mut self) {
        let at_ms = self.dice.between(0, self.severity.span_ms);
        let mended_ms = at_ms + self.dice.between(50, self.severity.span_ms / 2);
        let (a, b) = (self.node(), self.node());
        self.strike(at_ms, mended_ms, Fault::Redirect(a, b), Fault::EndRedirect(a));
        if self.dice.chance(50) {
            self.strike(at_ms, mended_ms, Fault::Redirect(b, a), Fault::EndRedirect(b));
        }
    }

    fn misname(&mut self) {
        let (node, other) = (self.node(), self.node());
        let mended_ms = self.dice.between(500, self.severity.span_ms);
        self.at(0, Fault::StartAs(node, other));
        self.strike(mended_ms, mended_ms + 1, Fault::Kill(node), Fault::Start(node));
    }

    /// Requests from one node to another arrive, and no answer comes back before the streams break: it
    /// repeats requests that were carried out already.
    fn unanswered(&mut self, at_ms: u64, asking: usize, asked: usize) {
        let broken_ms = at_ms + self.dice.between(10, 600);
        let cut = Fault::CutOneWay(asked, asking);
        self.strike(at_ms, broken_ms + 1, cut, Fault::HealLink(asked, asking));
        self.at(broken_ms, Fault::Break(asked, asking));
    }

    /// An operator at work: the change may be impossible at that time. Half of the time something goes
    /// wrong right then.
    fn change(&mut self) {
        let at_ms = self.dice.between(0, self.severity.span_ms);
        let (node, via) = (self.node(), self.node());
        let wish = if self.dice.chance(50) {
            Fault::Add { node, via }
        } else {
            Fault::Remove { node, via }
        };
        self.at(at_ms, wish);
        if self.severity.gentle || self.dice.chance(50) {
            return;
        }
        let (a, b) = (self.node(), self.node());
        let (fault, mending) = match self.dice.between(0, 7) {
            0 => (Fault::Kill(via), Fault::Start(via)),
            1 => (Fault::Kill(node), Fault::Start(node)),
            2 => (Fault::Kill(a), Fault::Start(a)),
            3 => (Fault::Isolate(a), Fault::Rejoin(a)),
            4 => (Fault::Isolate(node), Fault::Rejoin(node)),
            5 => (Fault::Freeze(a), Fault::Thaw(a)),
            6 => (Fault::Freeze(node), Fault::Thaw(node)),
            _ => (Fault::Cut(a, b), Fault::HealLink(a, b)),
        };
        let struck_ms = at_ms + self.dice.between(0, 150);
        let mended_ms = struck_ms + self.dice.between(50, 5000);
        self.strike(struck_ms, mended_ms, fault, mending);
    }

    /// Faults while a node that lost its disk is added again: members are cut off, so that the change
    /// passes them over or a new owner cannot reach the node that has the data.
    fn company(&mut self, newcomer: usize, back_ms: u64) {
        if self.severity.gentle || self.dice.chance(25) {
            return;
        }
        let at_ms = back_ms.saturating_sub(self.dice.between(0, 1500));
        let mended_ms = back_ms + self.dice.between(1000, 6000);
        let (a, sibling) = (self.node(), self.sibling(newcomer));
        let (fault, mending) = match self.dice.between(0, 5) {
            0 => (Fault::Isolate(a), Fault::Rejoin(a)),
            1 => (Fault::Cut(a, sibling), Fault::HealLink(a, sibling)),
            2..=3 => (Fault::Cut(newcomer, sibling), Fault::HealLink(newcomer, sibling)),
            _ => (Fault::Isolate(sibling), Fault::Rejoin(sibling)),
        };
        self.strike(at_ms, mended_ms, fault, mending);
    }

    /// Another node of its partition in the first view, which assigns them in order; for a proxy, any.
    fn sibling(&self, node: usize) -> usize {
        let first = node / self.replicas * self.replicas;
        let others: Vec<usize> = (first..(first + self.replicas).min(self.nodes))
            .filter(|other| *other != node)
            .collect();
        if others.is_empty() {
            return self.node();
        }
        others[self.node() % others.len()]
    }

    /// The clock of a node, or of all, is set wrong and mostly corrected; some stay wrong to the end.
    fn clock_step(&mut self) {
        let at_ms = self.dice.between(0, self.severity.span_ms);
        let right_ms = at_ms + self.dice.between(50, self.severity.span_ms / 2);
        let (node, off_ms) = (self.node(), self.far_off());
        let of_all = self.dice.chance(40);
        let set = |off_ms| {
            if of_all {
                Fault::Clocks(off_ms)
            } else {
                Fault::Clock(node, off_ms)
            }
        };
        self.at(at_ms, set(off_ms));
        if self.dice.chance(80) {
            self.at(right_ms, set(0));
        }
    }

    /// Minutes to decades ahead or behind; far behind means 1970.
    fn far_off(&self) -> i64 {
        const UNITS_MS: [i64; 4] = [60_000, 3_600_000, 86_400_000, 365 * 86_400_000];
        let unit_ms = UNITS_MS[usize::try_from(self.dice.between(0, 3)).expect("few")];
        let off_ms = unit_ms * i64::try_from(self.dice.between(1, 60)).expect("few");
        if self.dice.chance(50) { off_ms } else { -off_ms }
    }

    fn strike(&mut self, at_ms: u64, mended_ms: u64, fault: Fault, mending: Fault) {
        self.at(at_ms, fault);
        self.at(mended_ms, mending);
    }

    fn at(&mut self, at_ms: u64, fault: Fault) {
        self.events.push(Event { at_ms, fault });
    }

    fn node(&self) -> usize {
        usize::try_from(self.dice.between(0, self.nodes as u64 - 1)).expect("few nodes")
    }

    /// Up to five minutes ahead or behind; half of the time only a few seconds.
    fn skew(&self) -> i64 {
        let most = if self.dice.chance(50) { 300_000 } else { 3_000 };
        i64::try_from(self.dice.between(0, 2 * most)).expect("minutes")
            - i64::try_from(most).expect("minutes")
    }

    /// Up to a twentieth too fast or too slow: far more than any machine's clock.
    fn drift(&self) -> i64 {
        i64::try_from(self.dice.between(0, 100_000)).expect("millionths") - 50_000
    }
}
