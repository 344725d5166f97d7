//! Follows the documents as users do: runs each block of commands, in order, against the real program,
//! and compares its output with the document. Links must lead somewhere.
//!
//! A document is one session: one folder, one lab on free ports, payloads that pass from one command to
//! the next. Only what differs from run to run is masked (`readme/compare.rs`, with reasons).

mod compare;
mod document;
mod session;

use document::{Block, blocks, dead_links, documents, read};
use session::Session;

/// A block that is not run: its beginning, and the reason.
type NotRun<'a> = (&'a str, &'a str);

const LAB: &str = "cargo run --release -- lab";

/// The ports of the README's lab, which the test replaces by its own.
const LAB_PORTS: [u16; 6] = [8081, 8082, 8083, 8084, 8085, 8086];

/// Runs `before` and then every block of a document that is not listed. Fails for a block that is
/// neither run nor listed, and for an entry of the list without a block.
#[track_caller]
fn follow(path: &str, before: &[&str], shown_ports: &[u16], not_run: &[NotRun<'_>]) {
    let blocks = blocks(&read(path));
    let is_listed = |block: &Block| not_run.iter().any(|(start, _)| block.begins_with(start));
    for (start, reason) in not_run {
        let count = blocks.iter().filter(|block| block.begins_with(start)).count();
        assert_eq!(
            count, 1,
            "{path} has not one block that begins with {start:?} and is not run: {reason}"
        );
    }
    let mut session = Session::new(shown_ports);
    for command in before {
        session.start(command);
    }
    for block in blocks.iter().filter(|block| !is_listed(block)) {
        let commands = block.commands().unwrap_or_else(|problem| {
            panic!(
                "{path}:{}: {problem}; run it or list it with a reason",
                block.line
            )
        });
        for command in &commands {
            println!("{path}:{}: $ {}", command.line, command.text);
            if let Err(problem) = session.run(command) {
                panic!(
                    "{path}:{}: $ {}\n{problem}{}",
                    command.line,
                    command.text,
                    session.background()
                );
            }
        }
    }
    session.stop();
}

#[test]
fn the_readme_prints_what_it_shows() {
    follow(
        "README.md",
        &[],
        &LAB_PORTS,
        &[
            ("  Ann: PUT photo", "a picture"),
            (
                "docker network create ",
                "needs Docker, which only test/containers may; its tests start nodes with these variables",
            ),
            (" write at any owner", "a picture"),
        ],
    );
}

#[test]
fn the_pair_prints_what_its_document_shows() {
    follow("src/api/PLAIN.md", &[], &[4455, 4466], &[]);
}

#[test]
fn the_api_prints_what_its_document_shows() {
    follow("src/api/README.md", &[LAB], &LAB_PORTS, &[]);
}

#[test]
fn the_bench_prints_what_its_document_shows() {
    let reason = "a line of a file, not what a command prints; the test program `lab` reads whole histories";
    follow(
        "src/cli/bench/README.md",
        &[LAB],
        &LAB_PORTS,
        &[("op=4\tsession=", reason)],
    );
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let documents = documents();
    for path in ["README.md", ".github/CONTRIBUTING.md", "src/node/README.md"] {
        assert!(documents.iter().any(|document| document == path), "{documents:?}");
    }
    let dead: Vec<String> = documents
        .iter()
        .flat_map(|path| dead_links(path, &read(path)))
        .collect();
    assert!(dead.is_empty(), "\n{}", dead.join("\n"));
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let text = "# A\n## B `c`, d\n[1](#b-c-d) [2](src) [3](https://x/y)\n```\n[4](no)\n```\n";
    assert_eq!(dead_links("README.md", text), Vec::<String>::new());
    for link in ["#e", "nowhere.md", "src/api/README.md#nothing"] {
        let dead = dead_links("README.md", &format!("{text}[5]({link})"));
        assert!(matches!(&dead[..], [one] if one.contains(link)), "{dead:?}");
    }
}
