//! `causeway ls` and `causeway batch`: many keys at once.

use std::path::Path;

use super::arguments::{Batch, Ls};
use super::client;
use super::keys::{SessionUse, failure, sentence, standard_input};
use super::user_file;
use crate::client::{Client, OperationDone, PageAsked, Session};
use crate::names::Key;
use crate::process::system;
use crate::terminal::{Failure, Verdict, both, output};
use crate::text;
use crate::wire::public::{OperationAsked, OperationsAsked};

/// Keys in one request.
const PAGE_KEYS: u32 = 1000;

/// Operations in one request; larger files go in several requests, one after the other.
const OPERATIONS_AT_ONCE: usize = 1000;

/// More than a person writes; it stands in memory as a whole.
const FILE_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// Lists keys until there are no more, or as many as were asked for.
pub async fn ls(arguments: Ls) -> Result<Verdict, Failure> {
    let mut session_use = SessionUse::open(&arguments.causal)?;
    let client = client(&arguments.asking.node);
    let mut asked = PageAsked {
        prefix: arguments.prefix.clone(),
        keys_only: !arguments.long,
        ..PageAsked::default()
    };
    let mut left = arguments.limit.unwrap_or(u64::MAX);
    loop {
        asked.limit = u32::try_from(left).unwrap_or(PAGE_KEYS).min(PAGE_KEYS);
        let page = client.list(&asked, &mut session_use.session).await;
        let page = page.map_err(|error| failure(error, &arguments.causal))?;
        if arguments.asking.json {
            output::print_json(&page.reply.body)?;
        } else {
            let lines = page.items.iter().map(|(key, value)| line(key, value.as_deref()));
            output::print(lines.collect::<String>().as_bytes())?;
        }
        left = left.saturating_sub(page.items.len() as u64);
        asked.after = page.next;
        if asked.after.is_none() || left == 0 {
            session_use.close(&Ok(()), "the keys were listed")?;
            return Ok(Verdict::Done);
        }
    }
}

/// One line for a key, whatever the key and its value contain.
fn line(key: &str, value: Option<&[u8]>) -> String {
    let key = printable(key);
    match value.map(String::from_utf8_lossy) {
        Some(value) => format!("{key}\t{}\n", printable(&value)),
        None => format!("{key}\n"),
    }
}

fn printable(text: &str) -> String {
    let escape = |c: char| {
        if c.is_control() || c == '\\' {
            c.escape_default().to_string()
        } else {
            c.to_string()
        }
    };
    text.chars().map(escape).collect()
}

/// Carries out the operations of a file.
pub async fn batch(arguments: Batch) -> Result<Verdict, Failure> {
    let bytes = match arguments.file.as_str() {
        "-" => standard_input()?,
        path => user_file::read(Path::new(path), FILE_BYTES_MAX).map_err(|error| {
            let why = system::explain(&error);
            Failure::Failed(format!("cannot read {path}: {why}"))
        })?,
    };
    let text = text::decode(&bytes).map_err(|error| {
        let advice = "write values of other bytes as val_base64 in JSON";
        Failure::Usage(format!("the operations cannot be read: {error}, and {advice}"))
    })?;
    let OperationsAsked {
        operations,
        causal_payload,
    } = read(&text).map_err(Failure::Usage)?;
    let mut session_use = SessionUse::open(&arguments.causal)?;
    let given = Session::from_payload(&causal_payload);
    let given = given.map_err(|error| Failure::Usage(format!("causal_payload: {error}")))?;
    session_use.session.join(&given);
    let client = client(&arguments.asking.node);
    let undone = carry_out(&client, &operations, &mut session_use, arguments.asking.json).await;
    // Operations that were done before a failure count as seen, too.
    let kept = session_use.close(&Ok(()), "the operations were sent");
    let done = undone.and_then(|undone| match undone {
        0 => Ok(()),
        undone => Err(Failure::Failed(format!(
            "{undone} of {} operations were not done",
            operations.len()
        ))),
    });
    both(done, kept).map(|()| Verdict::Done)
}

/// Sends the operations. Returns how many were not done.
async fn carry_out(
    client: &Client,
    operations: &[OperationAsked],
    session_use: &mut SessionUse<'_>,
    json: bool,
) -> Result<usize, Failure> {
    let (mut undone, mut sent) = (0, 0);
    let all = operations.len();
    for operations in operations.chunks(OPERATIONS_AT_ONCE) {
        let asked = client.batch(operations, &mut session_use.session).await;
        let (outcomes, reply) =
            asked.map_err(|error| so_far(sent, all, failure(error, session_use.causal)))?;
        sent += operations.len();
        undone += outcomes
            .iter()
            .filter(|outcome| matches!(outcome, OperationDone::Refused(_)))
            .count();
        let printed = if json {
            output::print_json(&reply.body)
        } else {
            let lines = operations.iter().zip(&outcomes);
            let lines = lines.map(|(asked, outcome)| {
                format!("{}: {}\n", printable(&asked.key), outcome_text(asked, outcome))
            });
            output::print(lines.collect::<String>().as_bytes())
        };
        printed.map_err(|failure| so_far(sent, all, failure))?;
    }
    Ok(undone)
}

/// Says how far the operations came before something failed.
fn so_far(sent: usize, all: usize, failure: Failure) -> Failure {
    match sent {
        0 => failure,
        sent => failure.after(&format!("the first {sent} of {all} operations were sent")),
    }
}

fn outcome_text(asked: &OperationAsked, outcome: &OperationDone) -> String {
    match outcome {
        OperationDone::Found(found) => printable(&String::from_utf8_lossy(&found.value)),
        OperationDone::NoSuchKey => "no such key".into(),
        OperationDone::Refused(reply) => format!("not done: {}", reply.refusal()),
        OperationDone::Written(written) => {
            let verb = match asked.op.as_str() {
                "delete" => "deleted",
                _ if written.created => "created",
                _ => "replaced",
            };
            sentence(verb, written)
        }
    }
}

/// The operations that a text asks for.
fn read(text: &str) -> Result<OperationsAsked, String> {
    if text.trim_start().starts_with(['[', '{']) {
        let asked = OperationsAsked::from_json(text.as_bytes());
        let mut asked = asked.map_err(|error| format!("this is not a JSON array of operations: {error}"))?;
        for (asked, number) in asked.operations.iter_mut().zip(0..) {
            asked.op.make_ascii_lowercase();
            check_op(&asked.op).map_err(|reason| format!("operation {number}: {reason}"))?;
            check(&asked.key).map_err(|reason| format!("operation {number}: {reason}"))?;
        }
        return Ok(asked);
    }
    let lines = text::lines(text).zip(1..);
    let lines = lines.filter(|(line, _)| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
    let operations =
        lines.map(|(line, number)| operation(line).map_err(|reason| format!("line {number}: {reason}")));
    Ok(OperationsAsked {
        operations: operations.collect::<Result<_, _>>()?,
        causal_payload: String::new(),
    })
}

/// The separators between the words of a line.
const BLANKS: [char; 2] = [' ', '\t'];

fn operation(line: &str) -> Result<OperationAsked, String> {
    let (op, rest) = line.trim_start().split_once(BLANKS).unwrap_or((line.trim(), ""));
    let op = op.to_ascii_lowercase();
    let rest = rest.trim_start();
    check_op(&op)?;
    let (key, val) = if op == "put" {
        let parts = rest.split_once(BLANKS);
        let (key, val) = parts.ok_or("put takes a key and a value, such as: put greeting hello")?;
        (key, Some(val.to_owned()))
    } else {
        (rest.trim_end(), None)
    };
    refuse_quotes(key, val.as_deref().unwrap_or_default())?;
    if key.is_empty() || key.contains(BLANKS) {
        return Err(format!(
            "{op} takes one key without blanks; for other keys, write a JSON array"
        ));
    }
    check(key)?;
    Ok(OperationAsked {
        op,
        key: key.to_owned(),
        val,
        val_base64: None,
    })
}

/// Other programs read quotes as signs around words, and would store something else.
fn refuse_quotes(key: &str, val: &str) -> Result<(), String> {
    let val = val.trim();
    let is_quoted = val.len() > 1 && val.starts_with(text::is_quote) && val.ends_with(text::is_quote);
    let quoted = if key.starts_with(text::is_quote) {
        Some(key)
    } else {
        is_quoted.then_some(val)
    };
    quoted.map_or(Ok(()), |quoted| {
        Err(format!(
            "the quotes in {quoted} would be stored with it; leave them out: a value is the rest of its line, with \
             its blanks (a key with blanks, and quotes that are meant, need a JSON array)"
        ))
    })
}

fn check_op(op: &str) -> Result<(), String> {
    match op {
        "put" | "get" | "delete" => Ok(()),
        other => Err(format!("{other:?} is not an operation; write put, get or delete")),
    }
}

/// A long file goes in several requests: a key that the node would refuse must be found before the first.
fn check(key: &str) -> Result<(), String> {
    Key::new(key).map(drop).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(op: &str, key: &str, val: Option<&str>) -> OperationAsked {
        OperationAsked {
            op: op.into(),
            key: key.into(),
            val: val.map(str::to_owned),
            val_base64: None,
        }
    }

    #[test]
    fn lines_and_json_say_the_same() {
        let expected = vec![
            asked("put", "a", Some("1 and  2 ")),
            asked("get", "a", None),
            asked("delete", "b", None),
            asked("put", "c", Some("")),
        ];
        let lines = "# two words\nput a 1 and  2 \n\n  get a\ndelete b \nput c \n";
        let read = |text: &str| read(text).map(|asked| asked.operations);
        assert_eq!(read(lines), Ok(expected.clone()));
        for ends in ["\r\n", "\r"] {
            let lines = lines.replace('\n', ends);
            assert_eq!(read(&lines), Ok(expected.clone()), "{lines:?}");
            assert_eq!(
                read(lines.trim_end_matches(['\r', '\n'])),
                Ok(expected.clone()),
                "{lines:?}"
            );
        }
        assert_eq!(
            read("PUT\ta\t1 and  2 \nGet\ta\nDELETE b\nput c "),
            Ok(expected.clone())
        );
        let json = r#" [{"op":"PUT","key":"a","val":"1 and  2 "},{"op":"get","key":"a"},
            {"op":"delete","key":"b"},{"op":"put","key":"c","val":""}]"#;
        assert_eq!(read(json), Ok(expected.clone()));
        assert_eq!(read(&format!("{{\"operations\":{json}}}")), Ok(expected));
        assert_eq!(read(""), Ok(vec![]));
    }

    #[test]
    fn json_means_what_it_means_to_a_node() {
        let asked =
            read(r#"{"operations":[{"op":"put","key":"a","val":7,"val_base64":null}],"causal_payload":"p"}"#);
        let asked = asked.expect("is understood");
        assert_eq!(
            asked.operations,
            [OperationAsked {
                op: "put".into(),
                key: "a".into(),
                val: Some("7".into()),
                val_base64: None
            }]
        );
        assert_eq!(asked.causal_payload, "p");
        for (json, reason) in [
            (r#"[{"op":"put","key":"a","val":1.5}]"#, "must be a JSON string"),
            (
                r#"[{"op":"put","key":"a","val":"1","val":"1"}]"#,
                "duplicate field",
            ),
            (r#"[{"op":"get","key":"a"},]"#, "trailing comma"),
        ] {
            let error = read(json).expect_err(json);
            assert!(error.contains(reason), "{json}: {error}");
        }
    }

    #[test]
    fn a_mistake_is_named_with_its_line() {
        for (text, reason) in [
            ("get a\nincr b", "line 2: \"incr\" is not an operation"),
            ("put a", "line 1: put takes a key and a value"),
            ("get", "line 1: get takes one key"),
            ("get a b", "line 1: get takes one key"),
            ("put \"a b\" 1", "line 1: the quotes in \"a would"),
            ("get 'a b'", "line 1: the quotes in 'a b' would"),
            ("delete \"a\"", "line 1: the quotes in \"a\" would"),
            (
                "put a \"hello there\" ",
                "line 1: the quotes in \"hello there\" would",
            ),
            ("[{\"op\":\"get\"}]", "key"),
            (
                &format!("get a\nget {}", "k".repeat(201)),
                "line 2: the key is longer",
            ),
            (
                r#"[{"op":"get","key":"a"},{"op":"get","key":""}]"#,
                "operation 1: the key is empty",
            ),
            (
                r#"[{"op":"get","key":"a"},{"op":"cas","key":"a"}]"#,
                "operation 1: \"cas\" is not an operation",
            ),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn a_line_is_one_line() {
        assert_eq!(line("a\nb", Some(b"1\t2\\")), "a\\nb\t1\\t2\\\\\n");
        assert_eq!(line("k\u{e9}", None), "k\u{e9}\n");
    }
}
