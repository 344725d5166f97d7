//! Tests that histories survive being written as text and parsed.

use super::script::history;
use crate::support::history::text::ParseError;
use crate::support::history::{History, Stamp};

const RUN: &str = "alice: put x 1 @5
    bob <- alice: get x = 1 @5
    bob: delete x @6.25 *1
    carol <- alice, bob: get x = none
    carol: delete y unknown
    dave at 3: put x 2 refused
    end dave at 2: get x = none";

#[test]
fn a_history_survives_its_text() {
    let mut history = history(RUN);
    history.events[0].operation.key = "tab\there, line\nthere, back\\slash, a=b, \u{e9}, #, \r".into();
    history.events[1].payload_out = "\\t".into();
    let text = history.to_string();
    assert_eq!(text.lines().count(), history.events.len());
    assert_eq!(text.parse(), Ok(history));
}

#[test]
fn a_line_reads_like_the_operation() {
    let text = history(RUN).to_string();
    let line = text.lines().nth(3).expect("seven lines");
    let told =
        "op=4 session=2 node=0 start=40 end=45 kind=get key=x after=1,3 in=p1,p3 outcome=missing out=p4";
    assert_eq!(line, told.replace(' ', "\t"));
}

#[test]
fn comments_and_blank_lines_say_nothing() {
    let history = history(RUN);
    let text = format!("# seed 7\n\n{history}\n");
    assert_eq!(text.parse(), Ok(history));
}

#[test]
fn a_slip_is_named_with_its_line() {
    let line = history("alice: put x 1 @5").to_string();
    let slip = |from: &str, to: &str| -> ParseError {
        let text = format!("# one\n{}", line.replace(from, to));
        text.parse::<History>().expect_err(to)
    };
    assert_eq!(
        slip("node=0", "node=n").to_string(),
        "line 2: \"node\" is no number: \"n\""
    );
    assert_eq!(slip("kind=put", "kind=pat").what, "no kind is called \"pat\"");
    assert_eq!(slip("key=x", "value=x").what, "\"key\" is missing");
    assert_eq!(
        slip("key=x", "key=x\tcolour=red").what,
        "\"colour\" is no field of this operation"
    );
    assert_eq!(slip("key=x", "key=x\tkey=y").what, "\"key\" comes twice");
    assert!(slip("key=x", "key=\\x").what.contains("no escape"));
}

#[test]
fn timestamps_sort_as_their_texts_do() {
    let texts = [
        "0.00000001",
        "1700000000.12300000",
        "1700000000.12300001",
        "1700000000.124",
        "1700000001",
    ];
    let stamps: Vec<_> = texts
        .iter()
        .map(|text| Stamp::parse(text).expect("is one"))
        .collect();
    assert!(stamps.is_sorted_by(|a, b| a < b), "{stamps:?}");
    assert_eq!(stamps[1].to_string(), "1700000000.123000000");
    for text in ["", "x", "1.x", "1.2.3", "-1"] {
        assert_eq!(Stamp::parse(text), None, "{text}");
    }
}
