//! Checks the sources against the drawings of the floors, in `src/lib.rs` and in each `mod.rs` that has
//! one, so that picture and rule are the same text. Imports point down only, code below the line does
//! not touch the outside world, and each of the few outside crates with a place of its own stays there.
//!
//! Planted faults test the rules too: a checker that finds nothing looks like clean sources.

mod circles;
mod rules;
mod source;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use circles::circles;
use rules::{Drawings, LINES_MAX, faults};

/// Every source file: its path, from `src/` on, and its text.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<PathBuf> = vec![root.join("src")];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the sources can be listed") {
            let path = entry.expect("the sources can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("a source is text");
                let inside = path.strip_prefix(root).expect("is inside the crate");
                sources.push((inside.display().to_string(), text));
            }
        }
    }
    sources.sort();
    sources
}

fn drawings() -> Drawings {
    Drawings::read(&sources())
}

#[test]
fn the_sources_keep_to_the_drawings() {
    let (drawings, sources) = (drawings(), sources());
    assert!(sources.iter().any(|(path, _)| path == "src/names.rs"));
    let faults: Vec<String> = sources
        .iter()
        .flat_map(|(path, text)| faults(&drawings, path, text))
        .collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn no_files_name_each_other_in_a_circle() {
    assert_eq!(circles(&sources()), BTreeSet::new());
}

#[test]
fn a_circle_of_imports_is_found_and_nothing_beside_it() {
    let planted = |path: &str, text: &str| (path.to_owned(), text.to_owned());
    let sources = [
        planted(
            "src/store/mod.rs",
            "mod a; mod b; mod c; mod d; use self::a::A; pub struct S;",
        ),
        planted("src/store/a.rs", "use super::b::B; use super::S;"),
        planted("src/store/b.rs", "use crate::store::{S, c::C};"),
        planted("src/store/c.rs", "fn f() { super::a::A::new() }"),
        planted("src/store/d.rs", "use super::a::A;"),
        planted(
            "src/store/e.rs",
            "pub struct E;\n#[cfg(test)]\nmod tests { use crate::store::f; }",
        ),
        planted("src/store/f.rs", "use super::e::E;"),
    ];
    let found: Vec<String> = circles(&sources).into_iter().collect();
    assert_eq!(found, ["src/store/a.rs", "src/store/b.rs", "src/store/c.rs"]);
}

#[test]
fn the_drawings_are_read_from_the_top() {
    let drawings = drawings();
    let floors = |folder: &str| {
        let floors = drawings.of(folder).expect("has a drawing");
        let ends = [floors.first(), floors.last()].map(|floor| floor.expect("has floors").join(" "));
        ends.join(" ... ")
    };
    assert_eq!(floors(""), "cli ... planted");
    assert_eq!(floors("protocol"), "replication ... causality placement");
    let below = |module: &&str| drawings.is_below_line(module);
    assert!(["config", "wire", "protocol", "names"].iter().all(below));
    assert!(
        !["store", "net", "process", "node", "server", "nowhere"]
            .iter()
            .any(below)
    );
}

/// The faults that are found in a planted text; empty if it follows the rules.
fn planted(path: &str, text: &str) -> String {
    let text = format!("//! Planted.\n{text}");
    faults(&drawings(), path, &text).join("\n")
}

#[test]
fn upward_and_sideways_imports_are_found_however_they_are_written() {
    let upward = [
        (
            "src/names.rs",
            "use crate::protocol::placement::View;",
            "crate::protocol, on a higher",
        ),
        (
            "src/protocol/placement/view.rs",
            "fn f() { crate::net::dial() }",
            "crate::net, on a higher",
        ),
        (
            "src/protocol/placement/view.rs",
            "use crate::protocol::causality::Clock;",
            "crate::protocol::causality, a neighbour",
        ),
        (
            "src/protocol/placement/view.rs",
            "use super::super::replication::ReplicaState;",
            "crate::protocol::replication, on a higher",
        ),
        (
            "src/wire/mod.rs",
            "use crate::{\n    names::Key,\n    node::{Found, Role as R},\n};",
            "crate::node",
        ),
        (
            "src/wire/mod.rs",
            "use crate::{names::{Key, Slot}, api};",
            "crate::api",
        ),
        ("src/store/mod.rs", "use super::server::run;", "crate::server"),
        (
            "src/store/memory.rs",
            "use super::{super::net::Pipe, Batch};",
            "crate::net",
        ),
        (
            "src/store/memory.rs",
            "use self::super::super::net::Pipe;",
            "crate::net",
        ),
        (
            "src/store/memory.rs",
            "mod tests { use super::super::super::net::Pipe; }",
            "crate::net",
        ),
        (
            "src/names.rs",
            "mod tests { fn f() {} } use super::wire::peer;",
            "crate::wire",
        ),
        (
            "src/names.rs",
            "type T = Vec<::std::string::String>; impl crate::api::Edge for T {}",
            "crate::api",
        ),
        (
            "src/names.rs",
            "use crate::*;",
            "crate::*, which is not in the drawing",
        ),
        (
            "src/apps/redis_sharder/put.rs",
            "use crate::apps::master_svr::Master;",
            "crate::apps::master_svr, a neighbour",
        ),
        (
            "src/node/start.rs",
            "use crate::apps::data_servers;",
            "crate::apps, on a higher",
        ),
        (
            "src/stray.rs",
            "use crate::names::Key;",
            "crate::names, from a place",
        ),
    ];
    for (path, text, fault) in upward {
        let found = planted(path, text);
        assert!(found.contains(fault), "{text} gave {found:?}");
    }
}

#[test]
fn imports_that_point_down_and_words_that_are_no_imports_are_all_right() {
    let fine = [
        (
            "src/server/mod.rs",
            "use crate::{api::route, net, node::Node, names::Key};",
        ),
        (
            "src/protocol/placement/view.rs",
            "pub(crate) use crate::protocol::placement::next; pub(super) struct A;",
        ),
        (
            "src/protocol/placement/view.rs",
            "mod tests { use super::super::next; use super::*; fn f() { self::g() } }",
        ),
        (
            "src/names.rs",
            "// use crate::net;\n/* crate::net /* tokio::spawn */ crate::api */",
        ),
        (
            "src/names.rs",
            r##"const A: &str = "crate::net \" tokio::spawn"; const B: &str = r#"tracing::"#;"##,
        ),
        (
            "src/names.rs",
            "fn f<'a>(c: &'a char) -> bool { *c == '\"' || *c == '\\'' || *c == 'x' }",
        ),
        (
            "src/names.rs",
            "use std::net::{Ipv4Addr, SocketAddr}; use std::time::Duration;",
        ),
        (
            "src/net/mod.rs",
            "use hyper::Request; use tokio::net::TcpStream; use std::time::Instant;",
        ),
        (
            "src/wire/public.rs",
            "#[derive(Debug, Serialize)] pub struct Reply;",
        ),
        (
            "src/bin/causeway.rs",
            "mod setup; use crate::setup::read; use causeway::server;",
        ),
    ];
    for (path, text) in fine {
        assert_eq!(planted(path, text), "", "{text}");
    }
}

#[test]
fn the_outside_world_is_found_below_the_line() {
    let outside = [
        "use tokio::sync::Mutex;",
        "fn f() { tokio_util::sync::now() }",
        "use ::tracing as log;",
        "use std::{fs, fmt};",
        "fn f() { std::fs::read(x) }",
        "use std::{io::{self, Read}, time::{Duration, Instant}};",
        "use std::time::SystemTime;",
        "use std::time::{self, Duration};",
        "use std::{time};",
        "use std::net::*;",
        "use std::net::TcpListener;",
        "const QUOTES: [char; 2] = ['\\'','\"']; use tracing::info;",
        "/* */ fn f(c: char) -> bool { c == '\"' } use tracing::info; const Q: char = '\"';",
    ];
    for text in outside {
        for path in [
            "src/wire/peer.rs",
            "src/config.rs",
            "src/apps/master_svr/decisions/layout.rs",
            "src/protocol/view_change/agree.rs",
            "src/names.rs",
        ] {
            let found = planted(path, text);
            assert!(found.contains("below the line"), "{text} gave {found:?}");
        }
        assert_eq!(planted("src/process/telemetry.rs", text), "");
        assert_eq!(planted("src/apps/master_svr/svr.rs", text), "");
    }
}

#[test]
fn crates_with_a_place_of_their_own_are_found_elsewhere() {
    for text in [
        "use hyper::Request;",
        "fn f() { hyper_util::rt::TokioIo::new(x) }",
    ] {
        assert!(planted("src/api/mod.rs", text).contains("outside net and server"));
    }
    for text in [
        "#[derive(Debug, Deserialize)]",
        "#[cfg_attr(test, derive(Clone, serde::Serialize))]",
    ] {
        let found = planted("src/protocol/causality/record.rs", &format!("{text} struct A;"));
        assert!(found.contains("outside wire, cli"), "{text} gave {found:?}");
    }
}

#[test]
fn untidy_files_are_found() {
    let drawings = drawings();
    assert!(!faults(&drawings, "src/names.rs", "use std::fmt;\n").is_empty());
    assert!(planted("src/names.rs", &"\n".repeat(LINES_MAX)).contains("lines"));
    assert!(planted("src/names.rs", &format!("// {}: later", "TODO")).contains("TODO"));
    assert!(planted("src/node/util.rs", "").contains("strangers"));
    assert!(planted("src/names.rs", "mod helper { }").contains("strangers"));
}
