//! Parses the commands of a line. Pure, and tested with tables.

use std::num::IntErrorKind;

/// A command to the shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    BringUp { servers: i64, capacity: i64, level: i64 },
    FailNode(i64),
    Put { key: i64, value: i64 },
    Get(i64),
    Status,
    Help,
    Quit,
}

/// One line, because every command is answered by one line.
pub(super) const HELP: &str = "bringUp(N, capacity, reliabilityLevel); failNode(port); put(key, value); get(key); \
     status; help; quit";

/// The commands of a line, or what is wrong with them. `;` separates commands, and `#` begins a comment.
pub(super) fn parse(line: &str) -> Vec<Result<Command, String>> {
    let (said, _) = line.split_once('#').unwrap_or((line, ""));
    let commands = said.split(';').map(str::trim).filter(|text| !text.is_empty());
    commands.map(parse_one).collect()
}

fn parse_one(text: &str) -> Result<Command, String> {
    let end = text
        .find(|c: char| c == '(' || c.is_whitespace())
        .unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let words = words(rest.trim()).ok_or_else(|| format!("{text:?} is not a command; write {HELP}"))?;
    let numbers = || {
        words
            .iter()
            .map(|word| number(word))
            .collect::<Result<Vec<i64>, _>>()
    };
    let misused = |form: &str| Err(format!("{name} is written {form}, with integers"));
    match (name, words.len()) {
        ("bringUp", 3) => numbers().map(|n| Command::BringUp {
            servers: n[0],
            capacity: n[1],
            level: n[2],
        }),
        ("bringUp", _) => misused("bringUp(N, capacity, reliabilityLevel)"),
        ("failNode", 1) => numbers().map(|n| Command::FailNode(n[0])),
        ("failNode", _) => misused("failNode(port)"),
        ("put", 2) => numbers().map(|n| Command::Put {
            key: n[0],
            value: n[1],
        }),
        ("put", _) => misused("put(key, value)"),
        ("get", 1) => numbers().map(|n| Command::Get(n[0])),
        ("get", _) => misused("get(key)"),
        ("status", 0) => Ok(Command::Status),
        ("help", 0) => Ok(Command::Help),
        ("quit" | "exit", 0) => Ok(Command::Quit),
        ("status" | "help" | "quit" | "exit", _) => Err(format!("{name} takes no arguments")),
        _ => Err(format!("there is no command {name:?}; write {HELP}")),
    }
}

/// The words in brackets, separated by commas; or, without brackets, separated by blanks.
fn words(rest: &str) -> Option<Vec<&str>> {
    let Some(inside) = rest.strip_prefix('(') else {
        return Some(rest.split_whitespace().collect());
    };
    let inside = inside.strip_suffix(')')?.trim();
    if inside.is_empty() {
        return Some(Vec::new());
    }
    Some(inside.split(',').map(str::trim).collect())
}

fn number(word: &str) -> Result<i64, String> {
    word.parse()
        .map_err(|error: std::num::ParseIntError| match error.kind() {
            IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => {
                format!(
                    "{word} is outside of the 64-bit range, {} to {}",
                    i64::MIN,
                    i64::MAX
                )
            }
            _ => format!("{word:?} is not an integer"),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BRING_UP: Command = Command::BringUp {
        servers: 5,
        capacity: 3,
        level: 2,
    };
    const PUT: Command = Command::Put { key: 1, value: -2 };

    #[test]
    fn spaces_semicolons_and_comments_may_stand_anywhere() {
        for (line, expected) in [
            ("bringUp(5,3,2)", &[BRING_UP][..]),
            ("  bringUp ( 5 , 3,\t2 ) ; # a comment; put(1,2)\r\n", &[BRING_UP]),
            ("bringUp 5 3 2", &[BRING_UP]),
            ("put(1,-2);get(1);;", &[PUT, Command::Get(1)]),
            ("put 1 -2", &[PUT]),
            ("get(+7)", &[Command::Get(7)]),
            ("failNode(9001)", &[Command::FailNode(9001)]),
            ("status", &[Command::Status]),
            ("status()", &[Command::Status]),
            ("help ; quit", &[Command::Help, Command::Quit]),
            ("exit( )", &[Command::Quit]),
            ("", &[]),
            (" ; # get(1)", &[]),
            ("#", &[]),
        ] {
            let commands: Result<Vec<Command>, String> = parse(line).into_iter().collect();
            assert_eq!(commands.as_deref(), Ok(expected), "{line:?}");
        }
    }

    #[test]
    fn integers_have_64_bits() {
        let line = "put(-9223372036854775808, 9223372036854775807)";
        let put = Command::Put {
            key: i64::MIN,
            value: i64::MAX,
        };
        assert_eq!(parse(line), [Ok(put)]);
        for word in ["9223372036854775808", "-9223372036854775809", &"9".repeat(400)] {
            let mistake = parse(&format!("get({word})"))
                .pop()
                .expect("a command")
                .expect_err("too large");
            assert!(mistake.contains("64-bit"), "{mistake}");
        }
    }

    #[test]
    fn each_mistake_is_named() {
        for (line, part) in [
            ("put(1)", "put is written put(key, value)"),
            ("put(1,2,3)", "put(key, value)"),
            ("put(1,)", "\"\" is not an integer"),
            ("put", "put(key, value)"),
            ("get(1.5)", "\"1.5\" is not an integer"),
            ("get(one)", "\"one\""),
            ("get()", "get(key)"),
            ("get(1", "is not a command"),
            ("get(1) get(2)", "is not an integer"),
            ("get(1)x", "is not a command"),
            ("bringup(5,3,2)", "no command \"bringup\""),
            ("bringUp(5,3)", "reliabilityLevel"),
            ("failNode(x)", "\"x\""),
            ("status(1)", "takes no arguments"),
            ("put-1", "no command \"put-1\""),
            (")", "no command"),
            ("\u{fffd}\0", "no command"),
        ] {
            let mistake = parse(line).pop().expect("a command").expect_err("is a mistake");
            assert!(mistake.contains(part), "{line:?} gave {mistake}");
            assert!(!mistake.contains('\n'), "one line: {mistake:?}");
        }
    }
}
