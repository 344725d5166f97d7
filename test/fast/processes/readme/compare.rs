//! Compares what a document shows with the actual output, apart from what differs from run to run.

/// Text that differs from run to run: characters of one kind, between two fixed texts.
struct Mask {
    before: &'static str,
    kind: fn(char) -> bool,
    after: &'static str,
    #[expect(dead_code, reason = "read by people")]
    reason: &'static str,
}

/// The mask of payloads, which later commands send again.
const PAYLOAD: Mask = Mask {
    before: r#""causal_payload":""#,
    kind: is_payload,
    after: r#"""#,
    reason: "has the identity of the cluster, a time and a checksum in it",
};

const MASKS: [Mask; 14] = [
    PAYLOAD,
    Mask {
        before: r#""next":""#,
        kind: is_payload,
        after: r#"""#,
        reason: "has a payload in it",
    },
    Mask {
        before: r#""timestamp":""#,
        kind: is_figure,
        after: r#"""#,
        reason: "a time",
    },
    Mask {
        before: r#""replicas":"#,
        kind: is_figure,
        after: "",
        reason: "a sibling on a busy machine may be too late to be counted",
    },
    Mask {
        before: ", on ",
        kind: |_| true,
        after: "",
        reason: "the same, in words: 1 replica, 2 replicas",
    },
    Mask {
        before: r#""epoch":"#,
        kind: is_figure,
        after: "",
        reason: "a listed node that comes up late on a busy machine is admitted by a view of its own",
    },
    Mask {
        before: " epoch ",
        kind: is_figure,
        after: "",
        reason: "the same, in words",
    },
    Mask {
        before: "view ",
        kind: is_figure,
        after: ",",
        reason: "the same, in words",
    },
    Mask {
        before: " ",
        kind: is_figure,
        after: " lab/node-",
        reason: "a process id",
    },
    Mask {
        before: "run: ",
        kind: is_figure,
        after: " requests",
        reason: "what a bench counts in a time depends on the machine",
    },
    Mask {
        before: " requests in ",
        kind: is_figure,
        after: " s,",
        reason: "a time",
    },
    Mask {
        before: " s, ",
        kind: is_figure,
        after: " a second;",
        reason: "depends on the machine",
    },
    Mask {
        before: " failed, ",
        kind: is_figure,
        after: " took over a second",
        reason: "depends on the machine",
    },
    Mask {
        before: " all ",
        kind: |c| is_figure(c) || c == ' ',
        after: "",
        reason: "the row of a bench: counts and times",
    },
];

const MASKED: &str = "<masked>";

/// Any text, also several lines.
pub(crate) const ANYTHING: char = '…';

fn is_payload(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.".contains(c)
}

fn is_figure(c: char) -> bool {
    c.is_ascii_digit() || c == '.'
}

impl Mask {
    /// The text with every match replaced, and the matches.
    fn apply(&self, text: &str) -> (String, Vec<String>) {
        let (mut masked, mut found) = (String::new(), Vec::new());
        let mut rest = text;
        while let Some((head, tail)) = rest.split_once(self.before) {
            masked = masked + head + self.before;
            let end = tail.find(|c| c == '\n' || !(self.kind)(c)).unwrap_or(tail.len());
            let (value, after) = tail.split_at(end);
            if !value.is_empty() && after.starts_with(self.after) {
                found.push(value.to_owned());
                masked += MASKED;
                rest = after;
            } else {
                rest = tail;
            }
        }
        (masked + rest, found)
    }
}

/// The payloads in a text, in order.
pub(crate) fn payloads(text: &str) -> Vec<String> {
    PAYLOAD.apply(text).1
}

/// True if a document that shows `shown` is right about a program that printed `printed`.
pub(crate) fn is_shown(shown: &str, printed: &str) -> bool {
    let (shown, printed) = (masked(shown), masked(printed));
    let mut parts = shown.split(ANYTHING);
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = printed.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// The text without what differs from run to run. Columns are as wide as their widest entry, and a reply
/// has no line end of its own.
pub(crate) fn masked(text: &str) -> String {
    let lines = text.trim_end().lines();
    let lines: Vec<String> = lines.map(one_blank_each).collect();
    let text = lines.join("\n");
    MASKS.iter().fold(text, |text, mask| mask.apply(&text).0)
}

fn one_blank_each(line: &str) -> String {
    let line = line.trim_end();
    let mut narrow = String::new();
    for c in line.chars() {
        if c != ' ' || !narrow.ends_with(' ') {
            narrow.push(c);
        }
    }
    narrow
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_from_run_to_run_may_differ() {
        let shown = r#"{"causal_payload":"AaZ_-1","timestamp":"17.8","replicas":2}"#;
        let other = r#"{"causal_payload":"B","timestamp":"18.00","replicas":1}"#;
        assert!(is_shown(shown, other));
        assert!(is_shown(
            " NODE  PID  LOG\n n:1   7  lab/node-1.log\n",
            " NODE PID LOG\n n:1 88 lab/node-1.log"
        ));
        for (shown, printed) in [
            (shown, r#"{"causal_payload":"","timestamp":"18.00","replicas":1}"#),
            (
                shown,
                r#"{"causal_payload":"B","timestamp":"18.00","replicas":1,"x":1}"#,
            ),
            ("OK\n", ""),
            ("2 partitions, epoch 3", "3 partitions, epoch 3"),
            (
                "fill: 10 requests in 1 s, 2 a second; 0 failed",
                "fill: 10 requests in 1 s, 2 a second; 1 failed",
            ),
        ] {
            assert!(!is_shown(shown, printed), "{shown} / {printed}");
        }
    }

    #[test]
    fn an_ellipsis_stands_for_anything_between_its_neighbours() {
        assert!(is_shown("a…c…e", "abcde") && is_shown("a\n…\nd", "a\nb\nc\nd") && is_shown("…", ""));
        assert!(!is_shown("a…c…e", "abde") && !is_shown("a…b", "abc") && !is_shown("a…", "ba"));
    }

    #[test]
    fn the_payloads_of_a_text_are_told_apart_from_its_other_words() {
        let text = r#"{"causal_payload":"Aa-1","x":"y"} {"causal_payload":"B_2"}"#;
        assert_eq!(payloads(text), ["Aa-1", "B_2"]);
    }
}
