//! The settings as people give them, slips and all: what is understood, and what each mistake says.

use super::*;

const VIEW: &str = "10.0.0.21:8080,10.0.0.22:8080,10.0.0.23:8080,10.0.0.24:8080";

/// The assignment's fourth example, slips and all.
const PASTED: &str = "10.0.0.21:8080,10.0.0.22:8080,10.0.0.23:80,10.0.0.24:8080";

fn settings(ipport: &str, view: &str, k: &str) -> Settings {
    Settings {
        ipport: Some(ipport.into()),
        view: Some(view.into()),
        k: Some(k.into()),
        ..Settings::default()
    }
}

fn nowhere(_: IpAddr) -> bool {
    false
}

/// A machine with one address of its own.
fn machine(own: &str) -> impl Fn(IpAddr) -> bool {
    let own: IpAddr = own.parse().expect("is an address");
    move |ip| ip == own || ip.is_loopback()
}

fn mistakes(settings: &Settings, is_own: &dyn Fn(IpAddr) -> bool) -> Vec<String> {
    let mistakes = understand(settings, is_own).expect_err("has mistakes");
    mistakes.iter().map(ToString::to_string).collect()
}

fn assert_mistakes(found: &[String], expected: &[&[&str]]) {
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (text, parts) in found.iter().zip(expected) {
        for part in *parts {
            assert!(text.contains(part), "{part:?} is missing from {text:?}");
        }
    }
}

#[test]
fn the_assignments_first_command_is_sound() {
    let config = understand(&settings("10.0.0.21:8080", VIEW, "2"), &machine("10.0.0.21")).expect("is sound");
    assert_eq!(config.node.as_str(), "10.0.0.21:8080");
    assert_eq!(config.listen.to_string(), LISTEN_DEFAULT);
    assert_eq!(
        (config.replicas, config.view.map(|view| view.len())),
        (Some(2), Some(4))
    );
    assert_eq!(config.limits, Limits::default());
    let data_dir = DATA_DIR_DEFAULT.into();
    assert_eq!(config.store, StoreKind::Durable { data_dir });
}

#[test]
fn both_slips_of_the_fourth_command_are_named_whichever_ipport_it_carries() {
    let here = machine("10.0.0.24");
    let swapped = settings("10.0.0.23:8080", PASTED, "2");
    assert_mistakes(
        &mistakes(&swapped, &here),
        &[
            &[
                "IPPORT",
                "10.0.0.23:8080 is not in VIEW",
                "lists 10.0.0.23:80",
                "did you mean 10.0.0.23:8080",
            ],
            &[
                "IPPORT",
                "10.0.0.23:8080 is not an address of this machine",
                "did you mean IPPORT=10.0.0.24:8080?",
            ],
        ],
    );
    let other = settings("10.0.0.21:8080", PASTED, "2");
    assert_mistakes(
        &mistakes(&other, &here),
        &[
            &[
                "VIEW",
                "10.0.0.23:80 has a different port",
                "did you mean 10.0.0.23:8080?",
            ],
            &[
                "IPPORT",
                "10.0.0.21:8080 is not an address of this machine",
                "IPPORT=10.0.0.24:8080?",
            ],
        ],
    );
}

#[test]
fn an_odd_port_alone_is_a_warning() {
    let here = machine("10.0.0.24");
    let config = understand(&settings("10.0.0.24:8080", PASTED, "2"), &here).expect("may be meant");
    let found = warnings(&config, &here);
    assert_mistakes(
        &found,
        &[&["VIEW", "10.0.0.23:80", "did you mean 10.0.0.23:8080?"]],
    );
}

#[test]
fn a_foreign_address_is_no_mistake_where_ports_are_published() {
    // No address in VIEW is this machine's own: they are those of the hosts around it.
    let behind = machine("172.17.0.2");
    let config = understand(&settings("10.0.0.24:8080", VIEW, "2"), &behind).expect("may be meant");
    assert_mistakes(&warnings(&config, &behind), &[&["IPPORT", "published ports"]]);
}

#[test]
fn several_nodes_on_one_machine_are_no_mistake() {
    let view = "127.0.0.1:8081,127.0.0.1:8082,127.0.0.1:8083";
    let mut second = settings("127.0.0.1:8082", view, "2");
    let config = understand(&second, &machine("10.0.0.1")).expect("is sound");
    assert_mistakes(
        &warnings(&config, &machine("10.0.0.1")),
        &[&["LISTEN", "0.0.0.0:8082"]],
    );
    second.listen = Some("127.0.0.1:8082".into());
    let config = understand(&second, &machine("10.0.0.1")).expect("is sound");
    assert!(warnings(&config, &machine("10.0.0.1")).is_empty());
}

#[test]
fn a_view_may_have_spaces_trailing_commas_names_and_any_order() {
    let view = " node-b:8080 , NODE-A:8080,\n10.0.0.1:8080,, ";
    let config = understand(&settings("node-a:8080", view, " 2 "), &nowhere).expect("is sound");
    let view: Vec<String> = config
        .view
        .expect("is given")
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(view, ["10.0.0.1:8080", "node-a:8080", "node-b:8080"]);
}

#[test]
fn an_address_is_one_node_however_it_is_spelt() {
    let view = "[::1]:8081,[::ffff:10.0.0.1]:8080,NODE-A.:08080";
    for ipport in [
        "[0:0:0:0:0:0:0:1]:8081",
        "10.0.0.1:08080",
        "node-a:8080",
        "[::ffff:a00:1]:8080",
    ] {
        let config = understand(&settings(ipport, view, "2"), &nowhere).expect("is listed");
        let names: Vec<&str> = config.view.iter().flatten().map(NodeId::as_str).collect();
        assert_eq!(names, ["10.0.0.1:8080", "[::1]:8081", "node-a:8080"]);
        assert!(names.contains(&config.node.as_str()));
    }
    let twice = settings("[::1]:8081", "[::1]:8081,[0:0::1]:08081", "2");
    assert_mistakes(
        &mistakes(&twice, &nowhere),
        &[&["VIEW", "[::1]:8081 and [0:0::1]:08081 are one address"]],
    );
    for view in ["127.0.0.1:1,Localhost:1", "localhost:1,[::1]:1,n:1"] {
        let named = mistakes(&settings("localhost:1", view, "1"), &nowhere);
        assert!(
            named.len() == 1 && named[0].contains("lead to one process"),
            "{named:?}"
        );
    }
    for view in [
        "localhost:1,127.0.0.1:2",
        "127.0.0.1:1,127.0.0.2:1,localhost:2",
        "localhost:1,127.0.0.2:1",
    ] {
        let ipport = view.split(',').next().expect("has one");
        assert!(
            understand(&settings(ipport, view, "1"), &nowhere).is_ok(),
            "{view}"
        );
    }
    let everywhere = settings("[::ffff:0.0.0.0]:8080", VIEW, "2");
    assert!(mistakes(&everywhere, &nowhere)[0].contains("every address"));
}

#[test]
fn without_view_a_node_waits() {
    let mut alone = settings("10.0.0.25:8080", "", "");
    let config = understand(&alone, &nowhere).expect("is sound");
    assert_eq!((config.view, config.replicas), (None, None));
    alone.k = Some("2".into());
    let config = understand(&alone, &nowhere).expect("is sound");
    assert_eq!((config.view, config.replicas), (None, Some(2)));
}

#[test]
fn every_mistake_is_reported_at_once() {
    let all = Settings {
        ipport: Some("10.0.0.21".into()),
        view: Some("10.0.0.21:8080,10.0.0.22:8080,10.0.0.22:8080,10.0.0.300:8080".into()),
        k: Some("two".into()),
        listen: Some("everywhere".into()),
        store: Some("tape".into()),
        max_value: Some("big".into()),
        causal_wait: Some("1h".into()),
        clock_limit: Some("?".into()),
        // Without a unit these are milliseconds.
        view_change_timeout: Some("60".into()),
        max_requests: Some("0".into()),
        ..Settings::default()
    };
    assert_mistakes(
        &mistakes(&all, &nowhere),
        &[
            &["K", "\"two\"", "K=2"],
            &["VIEW", "10.0.0.22:8080 is listed more than once"],
            &["VIEW", "10.0.0.300:8080"],
            &["IPPORT", "\"10.0.0.21\" has no port"],
            &["LISTEN", "\"everywhere\"", "0.0.0.0:8080"],
            &["STORE", "durable or memory"],
            &["MAX_VALUE", "\"big\"", "1MiB"],
            &["CAUSAL_WAIT", "from 0ns to 60s"],
            &["CLOCK_LIMIT", "1h"],
            &["VIEW_CHANGE_TIMEOUT", "60ms", "from 1s to 3600s"],
            &["MAX_REQUESTS", "from 1 to"],
        ],
    );
}

#[test]
fn single_mistakes_say_their_fix() {
    for (ipport, view, k, parts) in [
        ("10.0.0.21:8080", VIEW, "0", ["K: ", "from 1"]),
        ("10.0.0.21:8080", VIEW, "-1", ["K: ", "from 1"]),
        ("10.0.0.21:8080", VIEW, "", ["K: ", "VIEW is given"]),
        ("", VIEW, "2", ["IPPORT: ", "it is missing"]),
        ("10.0.0.25:8080", VIEW, "2", ["IPPORT: ", "not in VIEW"]),
        ("0.0.0.0:8080", VIEW, "2", ["IPPORT: ", "every address"]),
        ("10.0.0.21:8080", ",", "2", ["VIEW: ", "names no node"]),
        ("10.0.0.21:8080", "10.0.0.21;8080", "2", ["VIEW: ", "no port"]),
    ] {
        let found = mistakes(&settings(ipport, view, k), &nowhere);
        let about = found
            .iter()
            .filter(|text| parts.iter().all(|part| text.contains(part)));
        assert_eq!(about.count(), 1, "{parts:?} in {found:#?}");
    }
}

#[test]
fn quotes_around_one_entry_of_a_list_are_named_with_it() {
    for (view, advice) in [
        ("\"10.0.0.21:8080\",\"10.0.0.22:8080\"", "write 10.0.0.22:8080"),
        ("10.0.0.21:8080,'10.0.0.22:8080'", "write 10.0.0.22:8080"),
        ("\"10.0.0.21:8080, 10.0.0.22:8080", "write 10.0.0.21:8080"),
    ] {
        let found = mistakes(&settings("10.0.0.21:8080", view, "2"), &nowhere);
        let about = found
            .iter()
            .filter(|text| text.starts_with("VIEW: ") && text.contains(advice));
        assert_eq!(about.count(), 1, "{view}: {found:#?}");
    }
}

#[test]
fn a_missing_ipport_names_the_address_that_this_machine_has() {
    let found = mistakes(&settings("", VIEW, "2"), &machine("10.0.0.22"));
    assert_mistakes(&found, &[&["IPPORT=10.0.0.22:8080"]]);
}

#[test]
fn listen_takes_an_address_a_port_or_localhost() {
    for (text, expected) in [
        (None, "0.0.0.0:8080"),
        (Some("9000"), "0.0.0.0:9000"),
        (Some(":9000"), "0.0.0.0:9000"),
        (Some("localhost:9000"), "127.0.0.1:9000"),
        (Some("LocalHost.:09000"), "127.0.0.1:9000"),
        (Some("[::]:9000"), "[::]:9000"),
        (Some("[0:0:0:0:0:0:0:1]:9000"), "[::1]:9000"),
        (Some("[::ffff:127.0.0.1]:9000"), "127.0.0.1:9000"),
    ] {
        assert_eq!(listen(text).expect("is an address").to_string(), expected);
    }
    for text in ["0.0.0.0:0", "0.0.0.0", "0", "host:80", "1.2.3.4:99999"] {
        assert!(listen(Some(text)).is_err(), "{text}");
    }
}

#[test]
fn tombstones_outlive_three_clock_limits() {
    let mut short = settings("10.0.0.21:8080", VIEW, "2");
    short.forget_after = Some("3h".into());
    assert_mistakes(&mistakes(&short, &nowhere), &[&["FORGET_AFTER", "CLOCK_LIMIT"]]);
    short.clock_limit = Some("59min".into());
    assert!(understand(&short, &nowhere).is_ok());
}

#[test]
fn what_is_not_given_above_comes_from_below() {
    let mut above = settings("10.0.0.21:8080", " ", "3");
    above.store = Some("memory".into());
    let merged = above.over(settings("10.0.0.22:8080", VIEW, "2"));
    assert_eq!(merged.ipport.as_deref(), Some("10.0.0.21:8080"));
    assert_eq!(
        (merged.view.as_deref(), merged.k.as_deref()),
        (Some(VIEW), Some("3"))
    );
}

#[test]
fn what_shells_env_files_and_editors_leave_around_a_value_does_no_harm() {
    for around in ["{}", " {} ", "{}\r", "{}\r\n", "\u{feff}{}", "\t{}\n"] {
        let written = |text: &str| Some(around.replace("{}", text));
        let given = Settings {
            ipport: written("10.0.0.21:8080"),
            view: written("10.0.0.21:8080"),
            k: written("1"),
            listen: written("LOCALHOST:8080"),
            store: written("Durable"),
            data_dir: written("/data"),
            max_value: written("1MIB"),
            causal_wait: written("1S"),
            max_requests: written("9"),
            ..Settings::default()
        };
        let config = understand(&given, &nowhere).expect("is sound");
        let data_dir = "/data".into();
        assert_eq!(config.store, StoreKind::Durable { data_dir }, "{around:?}");
        assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
        assert_eq!((config.replicas, config.limits.requests_max), (Some(1), 9));
    }
    let blank = || Some(" \r\n".to_owned());
    let given = Settings {
        listen: blank(),
        store: blank(),
        max_value: blank(),
        ..settings("a:1", "a:1", "1")
    };
    let config = understand(&given, &nowhere).expect("blanks are not given");
    assert_eq!(
        (config.listen.to_string(), config.limits),
        (LISTEN_DEFAULT.to_owned(), Limits::default())
    );
}

#[test]
fn quotes_that_an_env_file_keeps_are_named_beside_all_other_mistakes() {
    let given = Settings {
        store: Some("tape".into()),
        ..settings("\"10.0.0.21:8080\"", "'10.0.0.21:8080'", "\"2\"")
    };
    let found = mistakes(&given, &nowhere);
    assert_mistakes(
        &found,
        &[
            &["IPPORT: ", "is quoted", "write IPPORT=10.0.0.21:8080"],
            &["VIEW: ", "is quoted", "write VIEW=10.0.0.21:8080"],
            &["K: ", "is quoted", "write K=2"],
            &["STORE: "],
        ],
    );
}
