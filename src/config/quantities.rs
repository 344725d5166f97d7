//! Parses numbers with units: sizes, durations, counts. Each has a least and a most, so that a forgotten
//! unit (`VIEW_CHANGE_TIMEOUT=60`, which would be 60 ms) is found here and not in operation.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::ConfigError;

/// A duration in whole milliseconds, as the wire and the disk carry it.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A size in bytes: `1MiB`, `500kB`, `1048576`.
pub(super) fn size(
    setting: &'static str,
    text: &Option<String>,
    default: usize,
    allowed: RangeInclusive<usize>,
) -> Result<usize, ConfigError> {
    let Some(text) = text else { return Ok(default) };
    let Some(bytes) = scaled(text, byte_unit).map(|bytes| bytes as usize) else {
        let problem = format!("{text:?} is not a size; write it like 1MiB, 500kB or 1048576");
        return Err(ConfigError::new(setting, problem));
    };
    within(setting, text, bytes, allowed, |bytes| format!("{bytes} bytes"))
}

/// A duration: `800ms`, `2s`, `1h`; a plain number is milliseconds.
pub(super) fn duration(
    setting: &'static str,
    text: &Option<String>,
    default: Duration,
    allowed: RangeInclusive<Duration>,
) -> Result<Duration, ConfigError> {
    let Some(text) = text else { return Ok(default) };
    let Some(millis) = scaled(text, millisecond_unit) else {
        let problem = format!("{text:?} is not a duration; write it like 800ms, 2s or 1h");
        return Err(ConfigError::new(setting, problem));
    };
    let duration = Duration::from_millis(millis as u64);
    within(setting, text, duration, allowed, |duration| {
        format!("{duration:?}")
    })
}

/// A plain number.
pub(super) fn count(
    setting: &'static str,
    text: &Option<String>,
    default: usize,
    allowed: RangeInclusive<usize>,
) -> Result<usize, ConfigError> {
    let Some(text) = text else { return Ok(default) };
    let Ok(number) = text.trim().parse() else {
        let problem = format!("{text:?} is not a whole number; write it like {default}");
        return Err(ConfigError::new(setting, problem));
    };
    within(setting, text, number, allowed, |number| number.to_string())
}

fn within<T: PartialOrd>(
    setting: &'static str,
    text: &str,
    value: T,
    allowed: RangeInclusive<T>,
    show: impl Fn(&T) -> String,
) -> Result<T, ConfigError> {
    if allowed.contains(&value) {
        return Ok(value);
    }
    let (value, least, most) = (show(&value), show(allowed.start()), show(allowed.end()));
    let problem = format!("{text:?} means {value}; choose from {least} to {most}");
    Err(ConfigError::new(setting, problem))
}

/// A number (fractions allowed) times its unit; none if either is not understood.
fn scaled(text: &str, unit: fn(&str) -> Option<f64>) -> Option<f64> {
    let text = text.trim();
    let digits_end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits_end);
    let number: f64 = number.parse().ok()?;
    Some((number * unit(&suffix.trim().to_ascii_lowercase())?).round())
}

fn byte_unit(suffix: &str) -> Option<f64> {
    Some(match suffix {
        "" | "b" => 1.0,
        "k" | "kib" => 1024.0,
        "kb" => 1e3,
        "m" | "mib" => 1024.0 * 1024.0,
        "mb" => 1e6,
        "g" | "gib" => 1024.0 * 1024.0 * 1024.0,
        "gb" => 1e9,
        _ => return None,
    })
}

fn millisecond_unit(suffix: &str) -> Option<f64> {
    Some(match suffix {
        "" | "ms" => 1.0,
        "s" | "sec" => 1e3,
        "m" | "min" => 60e3,
        "h" => 3_600e3,
        "d" => 24.0 * 3_600e3,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(text: &str) -> Option<u64> {
        let all = Duration::ZERO..=Duration::MAX;
        let read = duration("T", &Some(text.to_owned()), Duration::ZERO, all);
        read.ok().map(|duration| duration.as_millis() as u64)
    }

    fn bytes(text: &str) -> Option<usize> {
        size("S", &Some(text.to_owned()), 0, 0..=usize::MAX).ok()
    }

    #[test]
    fn durations_carry_units_and_plain_numbers_are_milliseconds() {
        for (text, expected) in [
            ("800ms", Some(800)),
            ("800", Some(800)),
            (" 2 s ", Some(2_000)),
            ("0.8s", Some(800)),
            ("1h", Some(3_600_000)),
            ("1d", Some(86_400_000)),
            ("", None),
            ("soon", None),
            ("-1s", None),
            ("1.2.3s", None),
            ("5 lightyears", None),
        ] {
            assert_eq!(millis(text), expected, "{text:?}");
        }
    }

    #[test]
    fn sizes_carry_units_and_plain_numbers_are_bytes() {
        for (text, expected) in [
            ("1MiB", Some(1 << 20)),
            ("1mb", Some(1_000_000)),
            ("64k", Some(65_536)),
            ("1048576", Some(1 << 20)),
            ("0.5 KiB", Some(512)),
            ("MiB", None),
            ("1 MiBB", None),
        ] {
            assert_eq!(bytes(text), expected, "{text:?}");
        }
    }

    /// Every way to write numbers with a unit: in each case, with and without blanks.
    fn spellings(unit: &str) -> Vec<(f64, String)> {
        let numbers = [("1", 1.0), ("007", 7.0), ("0.5", 0.5), (".25", 0.25), ("3.", 3.0)];
        let mut capital = unit.to_owned();
        capital
            .get_mut(..1)
            .into_iter()
            .for_each(str::make_ascii_uppercase);
        let cases = [unit.to_owned(), unit.to_ascii_uppercase(), capital];
        let written = |(text, number): (&str, f64)| {
            let blanks = |unit: &String| {
                [
                    format!("{text}{unit}"),
                    format!("{text} {unit}"),
                    format!("\t{text}  {unit} \n"),
                ]
            };
            let texts: Vec<_> = cases.iter().flat_map(blanks).collect();
            texts.into_iter().map(move |text| (number, text))
        };
        numbers.into_iter().flat_map(written).collect()
    }

    #[test]
    fn every_unit_may_be_written_in_any_case_and_with_blanks() {
        let (second, kib) = (1e3, 1024.0);
        for (units, factor) in [
            (&["", "ms"][..], 1.0),
            (&["s", "sec"], second),
            (&["m", "min"], 60.0 * second),
            (&["h"], 3_600.0 * second),
            (&["d"], 86_400.0 * second),
        ] {
            for (number, text) in units.iter().flat_map(|unit| spellings(unit)) {
                assert_eq!(millis(&text), Some((number * factor).round() as u64), "{text:?}");
            }
        }
        for (units, factor) in [
            (&["", "b"][..], 1.0),
            (&["k", "kib"], kib),
            (&["kb"], 1e3),
            (&["m", "mib"], kib * kib),
            (&["mb"], 1e6),
            (&["g", "gib"], kib * kib * kib),
            (&["gb"], 1e9),
        ] {
            for (number, text) in units.iter().flat_map(|unit| spellings(unit)) {
                assert_eq!(bytes(&text), Some((number * factor).round() as usize), "{text:?}");
            }
        }
    }

    #[test]
    fn a_value_out_of_range_is_named_with_the_range() {
        let read = duration(
            "T",
            &Some("60".into()),
            Duration::ZERO,
            Duration::from_secs(1)..=Duration::from_secs(600),
        );
        let error = read.expect_err("60 ms is too short").to_string();
        assert_eq!(error, r#"T: "60" means 60ms; choose from 1s to 600s"#);
    }
}
