//! What a node makes of its wall clock, judged with written readings.

use super::*;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

/// Some day in 2023, when the process starts.
const BEGIN: i64 = 1_700_000_000_000;

fn node(number: usize) -> NodeId {
    format!("n{number}:80").parse().expect("is a node")
}

/// A node among others, with the offsets of all walls from the true time.
struct Scene {
    walls: Walls,
    monotonic_ms: i64,
    own: i64,
    others: Vec<Option<i64>>,
}

impl Scene {
    fn new(own: i64, others: &[Option<i64>]) -> Self {
        let reading = Reading {
            wall_ms: u64::try_from(BEGIN + own).expect("after 1970"),
            monotonic_ms: 0,
        };
        let mut scene = Self {
            walls: Walls::new(Duration::from_secs(3600), Duration::from_secs(24 * 3600), reading),
            monotonic_ms: 0,
            own,
            others: others.to_vec(),
        };
        scene.judge();
        scene
    }

    fn reading_of(&self, offset: i64) -> Reading {
        let wall_ms = BEGIN + self.monotonic_ms + offset;
        Reading {
            wall_ms: u64::try_from(wall_ms).unwrap_or(0),
            monotonic_ms: u64::try_from(self.monotonic_ms).expect("goes on"),
        }
    }

    /// All hear of each other, and the own clock is judged.
    fn judge(&mut self) -> Option<Doubt> {
        let reading = self.reading_of(self.own);
        let nodes: Vec<NodeId> = (0..self.others.len()).map(node).collect();
        for (node, offset) in nodes.iter().zip(&self.others) {
            if let Some(offset) = offset {
                self.walls.hear(reading, node, self.reading_of(*offset).wall_ms);
            }
        }
        self.walls.judge(reading, &nodes.iter().collect::<Vec<_>>());
        self.walls.doubt()
    }

    fn set(&mut self, own: i64) -> Option<Doubt> {
        self.own = own;
        self.judge()
    }

    fn set_others(&mut self, others: &[i64]) -> Option<Doubt> {
        self.others = others.iter().copied().map(Some).collect();
        self.judge()
    }

    fn pass(&mut self, ms: i64) -> Option<Doubt> {
        self.monotonic_ms += ms;
        self.judge()
    }

    /// The earliest, the latest and the likely time, from the true one.
    fn time(&self) -> (i64, i64, i64) {
        let time = self.walls.time(self.reading_of(self.own));
        let off = |ms: u64| signed(ms) - BEGIN - self.monotonic_ms;
        (off(time.low_ms), off(time.high_ms), off(time.likely_ms))
    }

    fn honest(&self) -> i64 {
        signed(self.walls.latest_honest_ms(self.reading_of(self.own))) - BEGIN - self.monotonic_ms
    }
}

#[test]
fn clocks_within_the_limit_are_trusted_whatever_they_do() {
    let mut scene = Scene::new(0, &[Some(HOUR), Some(-HOUR)]);
    for own in [HOUR / 2, -HOUR / 2, 0] {
        assert_eq!(scene.set(own), None);
        assert_eq!(scene.time(), (own, own, own));
    }
}

#[test]
fn the_one_that_differs_from_a_majority_doubts_itself_and_knows_their_time() {
    for ahead in [2 * HOUR, -2 * HOUR, DAY, -YEAR, 80 * YEAR] {
        let mut scene = Scene::new(ahead, &[Some(0), Some(60_000)]);
        let Some(Doubt::Outvoted { ahead_ms }) = scene.walls.doubt() else {
            panic!("{ahead} ms ahead of all others is not doubted");
        };
        assert!(ahead_ms.abs_diff(ahead) <= 60_000);
        let (low, high, likely) = scene.time();
        assert!(likely.abs() <= 60_000 && low <= likely.min(ahead) && high >= likely.max(ahead));
        // The others see who it is, and go on.
        let other = Scene::new(0, &[Some(60_000), Some(ahead)]);
        assert_eq!(other.walls.doubt(), None);
        assert_eq!(other.walls.apart(), [(node(1), ahead)]);
        assert_eq!(other.time(), (0, 0, 0));
        assert_eq!(scene.set(0), None);
        assert!(scene.walls.apart().is_empty());
    }
}

#[test]
fn without_a_majority_all_go_on_and_nothing_is_certain() {
    let settings: [&[Option<i64>]; 4] = [
        &[Some(YEAR)],
        &[Some(0), Some(YEAR), Some(YEAR)],
        // A majority of walls differ from the own one, and from each other.
        &[Some(DAY), Some(-DAY)],
        &[Some(YEAR), None, None],
    ];
    for others in settings {
        let scene = Scene::new(0, others);
        assert_eq!(scene.walls.doubt(), None, "{others:?}");
        let (low, high, likely) = scene.time();
        assert!(likely == 0 && high - low >= DAY, "{others:?}: {low} to {high}");
    }
}

#[test]
fn a_jump_is_doubted_until_a_majority_confirms_it() {
    let mut scene = Scene::new(2 * HOUR, &[Some(2 * HOUR), Some(2 * HOUR)]);
    assert_eq!(scene.set(0), Some(Doubt::Outvoted { ahead_ms: -2 * HOUR }));
    // One of the two others is set right, too.
    assert_eq!(scene.set_others(&[0, 2 * HOUR]), None);
    assert_eq!(scene.walls.apart(), [(node(1), 2 * HOUR)]);
    assert_eq!(scene.set_others(&[0, 0]), None);

    let mut of_two = Scene::new(DAY, &[Some(DAY)]);
    assert_eq!(of_two.set(0), Some(Doubt::Jumped { by_ms: -DAY }));
    assert_eq!(of_two.pass(DAY), Some(Doubt::Jumped { by_ms: -DAY }));
    assert_eq!(of_two.set_others(&[0]), None);
    // Back where it was before anybody confirmed the jump.
    assert_eq!(of_two.set(YEAR), Some(Doubt::Jumped { by_ms: YEAR }));
    assert_eq!(of_two.time().2, 0);
    assert_eq!(of_two.set(0), None);
}

#[test]
fn a_jump_that_nobody_contradicts_is_trusted_after_a_while() {
    for others in [&[][..], &[None, None][..]] {
        let mut scene = Scene::new(DAY, others);
        assert_eq!(scene.set(0), Some(Doubt::Jumped { by_ms: -DAY }));
        assert_eq!(
            scene.pass(signed(TRUSTED_ANEW_MS) - 1),
            Some(Doubt::Jumped { by_ms: -DAY })
        );
        assert_eq!(scene.pass(1), None);
    }
}

#[test]
fn what_the_clock_showed_before_a_jump_counts_until_all_of_then_is_old() {
    let mut scene = Scene::new(0, &[Some(0), Some(0)]);
    scene.own = 2 * DAY;
    assert_eq!(scene.set_others(&[2 * DAY, 2 * DAY]), None);
    assert_eq!(scene.time(), (0, 2 * DAY, 2 * DAY));
    scene.pass(DAY - 1);
    assert_eq!(scene.time().0, 0);
    scene.pass(1);
    assert_eq!(scene.time(), (2 * DAY, 2 * DAY, 2 * DAY));
}

#[test]
fn what_was_on_disk_counts_when_the_clock_comes_back_behind_it() {
    let mut scene = Scene::new(0, &[]);
    let seen_ms = scene.reading_of(DAY).wall_ms;
    scene.walls.recall(scene.reading_of(0), seen_ms);
    assert_eq!(scene.time(), (0, DAY, 0));
    let mut right = Scene::new(DAY, &[]);
    right.walls.recall(right.reading_of(DAY), seen_ms);
    assert_eq!(right.time(), (DAY, DAY, DAY));
    scene.pass(DAY);
    assert_eq!(scene.time(), (0, 0, 0));
}

#[test]
fn a_payload_may_be_of_any_clock_unless_a_majority_knows_better() {
    // A member far ahead, and no majority that says it is wrong.
    assert_eq!(Scene::new(0, &[Some(YEAR)]).honest(), YEAR);
    assert_eq!(Scene::new(0, &[Some(0), Some(YEAR)]).honest(), 0);
    // The own clock is wrong: the majority's time counts.
    assert_eq!(Scene::new(YEAR, &[Some(0), Some(0)]).honest(), 0);
    assert_eq!(Scene::new(-YEAR, &[Some(0), Some(0)]).honest(), 0);
    // A jump of which nobody else has heard does not open the door.
    let mut jumped = Scene::new(0, &[Some(0)]);
    jumped.set(YEAR);
    assert_eq!(jumped.honest(), 0);
}

#[test]
fn of_many_jumps_the_furthest_count() {
    let mut scene = Scene::new(0, &[Some(0)]);
    for days in (1..100).chain([0]) {
        scene.own = days * DAY;
        scene.set_others(&[days * DAY]);
    }
    assert_eq!((scene.time().0, scene.time().1), (0, 99 * DAY));
    assert!(scene.walls.earlier.len() <= EARLIER_MAX);
}

#[test]
fn walls_at_the_ends_of_time_are_judged_without_a_panic() {
    for wall_ms in [0, 1, u64::MAX / 2, u64::MAX] {
        let reading = Reading {
            wall_ms,
            monotonic_ms: 5,
        };
        let mut walls = Walls::new(Duration::MAX, Duration::MAX, reading);
        let peers = [node(0), node(1)];
        let ends = [
            Reading {
                wall_ms: 0,
                ..reading
            },
            Reading {
                wall_ms: u64::MAX,
                ..reading
            },
        ];
        for seen in ends {
            walls.hear(reading, &peers[0], seen.wall_ms);
            walls.hear(reading, &peers[1], seen.wall_ms);
            walls.recall(reading, seen.wall_ms);
            walls.judge(seen, &peers.iter().collect::<Vec<_>>());
            let time = walls.time(seen);
            assert!(time.low_ms <= time.high_ms);
        }
    }
}
