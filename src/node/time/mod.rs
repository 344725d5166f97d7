//! Judges time: whether the wall clock can be trusted (`walls`), and how old removals are (`ages`). The caller reads
//! the clocks; a node's own clocks are part of its identity.

pub(super) mod ages;
pub(super) mod walls;

use self::walls::Doubt;

/// The difference of two clocks in words: `2 h ahead of`, `5 s behind`.
pub fn clock_difference(ahead_ms: i64) -> String {
    let side = if ahead_ms < 0 { "behind" } else { "ahead of" };
    format!("{} {side}", span(ahead_ms))
}

/// The difference in the largest unit that fits.
fn span(ms: i64) -> String {
    let seconds = (ms.unsigned_abs() + 500) / 1000;
    match seconds {
        0..7_200 => format!("{seconds} s"),
        7_200..172_800 => format!("{} h", (seconds + 1_800) / 3_600),
        _ => format!("{} days", (seconds + 43_200) / 86_400),
    }
}

impl std::fmt::Display for Doubt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Jumped { by_ms } => write!(
                f,
                "it jumped {} {}, and no majority of the members confirms it; check it, and theirs",
                span(*by_ms),
                if *by_ms < 0 { "back" } else { "ahead" }
            ),
            Self::Outvoted { ahead_ms } => write!(
                f,
                "it is {} those of a majority of the members; set it",
                clock_difference(*ahead_ms)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_told_in_the_unit_that_fits() {
        let told = [-5_200, 7_199_400, 7_199_600, -172_800_000, 31_536_000_000].map(clock_difference);
        let expected = [
            "5 s behind",
            "7199 s ahead of",
            "2 h ahead of",
            "2 days behind",
            "365 days ahead of",
        ];
        assert_eq!(told, expected);
    }
}
