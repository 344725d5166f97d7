//! Tests the program as people start it: its output and its exit codes.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Output;

use crate::support::running::{CAUSEWAY, alone, assert_ends, command, complaint, printed, run};

/// The assignment's fourth example, including its mistakes.
const PASTED: &str = "10.0.0.21:8080,10.0.0.22:8080,10.0.0.23:80,10.0.0.24:8080";

fn causeway(variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    run(command(CAUSEWAY).envs(variables.iter().copied()).args(arguments))
}

#[test]
fn the_assignments_fourth_command_is_refused_with_its_slips_named() {
    let variables = [("K", "2"), ("VIEW", PASTED), ("IPPORT", "10.0.0.23:8080")];
    let slips = [
        "10.0.0.23:8080 is not in VIEW",
        "10.0.0.23:80",
        "did you mean 10.0.0.23:8080",
    ];
    assert_ends(&causeway(&variables, &[]), 64, &slips);
}

#[test]
fn every_mistake_is_named_at_once() {
    let variables = [
        ("K", "0"),
        ("VIEW", "10.0.0.21,10.0.0.22:8080,10.0.0.22:8080"),
        ("LISTEN", "8o8o"),
    ];
    let output = causeway(&variables, &["serve", "--store", "tape", "--max-value", "huge"]);
    let mistakes = [
        "7 mistakes",
        "K: ",
        "VIEW: ",
        "more than once",
        "IPPORT: ",
        "LISTEN: ",
        "STORE: ",
        "MAX_VALUE: ",
    ];
    assert_ends(&output, 64, &mistakes);
}

#[test]
fn flags_go_over_variables_and_these_over_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("node.toml");
    std::fs::write(&file, "k = \"file\"\nlisten = \"file\"\nstore = \"file\"\n").expect("is written");
    let file = file.to_str().expect("is text");
    let variables = [("K", "variable"), ("LISTEN", "variable"), ("IPPORT", "a:1")];
    let output = causeway(&variables, &["serve", "--config", file, "--k", "flag"]);
    assert_ends(
        &output,
        64,
        &["K: \"flag\"", "LISTEN: \"variable\"", "STORE: \"file\""],
    );
}

#[test]
fn mistakes_in_the_file_do_not_hide_the_others() {
    let output = causeway(&[("K", "0"), ("IPPORT", "a:1")], &["--config", "/no/such/file"]);
    assert_ends(&output, 64, &["--config: ", "K: "]);
}

#[test]
fn help_shows_every_setting_as_flag_and_variable() {
    for arguments in [&["--help"][..], &["serve", "--help"]] {
        let output = causeway(&[], arguments);
        assert_eq!(output.status.code(), Some(0));
        let text = printed(&output);
        for setting in [
            "IPPORT",
            "VIEW",
            "K",
            "LISTEN",
            "STORE",
            "DATA_DIR",
            "MAX_VALUE",
            "CAUSAL_WAIT",
            "CLOCK_LIMIT",
            "FORGET_AFTER",
            "VIEW_CHANGE_TIMEOUT",
            "MAX_REQUESTS",
        ] {
            let flag = format!("--{}", setting.to_lowercase().replace('_', "-"));
            assert!(
                text.contains(&format!("[env: {setting}=")),
                "{setting} in:\n{text}"
            );
            assert!(text.contains(&flag), "{flag} in:\n{text}");
        }
    }
}

#[test]
fn mistakes_in_arguments_end_with_64_too() {
    assert_ends(&causeway(&[], &["fetch", "x"]), 64, &["fetch"]);
    assert_ends(&causeway(&[], &["get", ""]), 64, &["the key is empty"]);
    assert_ends(
        &causeway(&[], &["get", "x", "--node", "nowhere"]),
        64,
        &["has no port"],
    );
    assert_ends(
        &causeway(&[], &["view", "add", "10.0.0.300:8080"]),
        64,
        &["no host that could be"],
    );
    assert_ends(
        &causeway(&[], &["view", "add", "a:1", "--force"]),
        64,
        &["view add takes no --force", "only a removal"],
    );
    assert_ends(
        &causeway(&[], &["get", "x", "--payload", "<>"]),
        64,
        &["not a causal payload"],
    );
}

#[test]
fn nodes_that_do_not_answer_are_all_named_and_the_code_is_1() {
    // Ports below 10 are assigned to obsolete services.
    let nodes = "127.0.0.1:2,127.0.0.1:3";
    for command in [
        &["get", "x"][..],
        &["put", "x", "-1"],
        &["delete", "x"],
        &["status"],
        &["view"],
        &["view", "add", "127.0.0.1:4"],
        &["view", "remove", "127.0.0.1:4", "--dry-run"],
    ] {
        let arguments = [command, &["--node", nodes]].concat();
        assert_ends(
            &causeway(&[], &arguments),
            1,
            &["127.0.0.1:2 cannot be reached", "127.0.0.1:3"],
        );
    }
    let _alone = alone();
    assert_ends(
        &causeway(&[("LISTEN", "0.0.0.0:2")], &["health"]),
        1,
        &["127.0.0.1:2"],
    );
}

#[test]
fn a_nodes_variables_do_not_disturb_the_client_commands() {
    // As in `docker exec`: the node's settings are in the command's environment.
    let variables = [
        ("K", "2"),
        ("VIEW", PASTED),
        ("IPPORT", "10.0.0.23:8080"),
        ("CAUSEWAY_NODE", "127.0.0.1:2"),
    ];
    assert_ends(
        &causeway(&variables, &["get", "x"]),
        1,
        &["127.0.0.1:2 cannot be reached"],
    );
}

#[test]
fn settings_are_read_alike_wherever_they_come_from() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("node.toml");
    std::fs::write(
        &file,
        "\u{feff}k = 0\r\nlog = \"warning\"\r\nlog_format = \"xml\"\r\n",
    )
    .expect("is written");
    let file = file.to_str().expect("is text");
    // A value that a script left empty counts as absent; marks that an editor adds do no harm.
    let variables = [
        ("K", " \r\n"),
        ("IPPORT", "a:1\r"),
        ("VIEW", "\u{feff}a:1 "),
        ("LISTEN", ""),
    ];
    let output = causeway(&variables, &["serve", "--config", file, "--store", ""]);
    let mistakes = [
        "3 mistakes",
        "K: \"0\"",
        "LOG: \"warning\" is no level; did you mean warn?",
        "LOG_FORMAT: \"xml\"",
    ];
    assert_ends(&output, 64, &mistakes);
    let quoted = [
        ("K", "\"2\""),
        ("IPPORT", "'a:1'"),
        ("VIEW", "a:1"),
        ("LOG", "\"info\""),
    ];
    let mistakes = ["3 mistakes", "write K=2", "write IPPORT=a:1", "write LOG=info"];
    assert_ends(&causeway(&quoted, &[]), 64, &mistakes);
    for words in [
        &["proxy", "--servers", "127.0.0.1:2"][..],
        &["data-server", "--data-dir", file],
    ] {
        assert_ends(
            &causeway(&[("LOG", "WARNING")], words),
            64,
            &["did you mean warn?"],
        );
    }
}

#[test]
fn where_nothing_listens_the_message_says_how_to_name_a_node() {
    let names = ["--node", "CAUSEWAY_NODE"];
    // On some machines another program uses the default port; then there is nothing to test.
    if TcpStream::connect("127.0.0.1:8080").is_err() {
        assert_ends(&causeway(&[], &["get", "x"]), 1, &names);
        assert_ends(&causeway(&[("CAUSEWAY_NODE", " ")], &["status"]), 1, &names);
    }
    let output = causeway(&[], &["get", "x", "--node", "127.0.0.1:2"]);
    assert!(!complaint(&output).contains("CAUSEWAY_NODE"));
}

#[test]
fn a_bench_of_nothing_ends_at_once() {
    let began = tokio::time::Instant::now();
    let bench = [
        "bench",
        "--node",
        "127.0.0.1:2,127.0.0.1:3",
        "--seconds",
        "300",
        "--fill",
    ];
    assert_ends(
        &causeway(&[], &bench),
        1,
        &["127.0.0.1:2 cannot be reached", "127.0.0.1:3"],
    );
    assert!(
        began.elapsed().as_secs() < 100,
        "it went on for {:?}",
        began.elapsed()
    );
}

/// Runs a command against a node that answers one request with this reply, after `meanwhile`.
fn answered_once(
    status: &str,
    body: &str,
    meanwhile: impl FnOnce() + Send,
    command: impl FnOnce(&str) -> Output,
) -> Output {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let node = listener.local_addr().expect("has an address").to_string();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut client, _) = listener.accept().expect("a client comes");
            let head = BufReader::new(&client).lines().map(|line| line.expect("is text"));
            head.take_while(|line| !line.is_empty()).for_each(drop);
            meanwhile();
            answer(&mut client, status, body);
        });
        let output = command(&node);
        // A command that gave up early must not leave the node waiting for it.
        drop(TcpStream::connect(&node));
        output
    })
}

#[test]
fn a_bench_of_nodes_that_do_not_serve_says_why() {
    let waiting = r#"{"result":"error","code":"not_ready","error":"view: this node is in no view"}"#;
    let output = answered_once(
        "503 Service Unavailable",
        waiting,
        || (),
        |node| causeway(&[], &["bench", "--node", node, "--seconds", "300"]),
    );
    assert_ends(&output, 1, &["this node is in no view (503 from 127.0.0.1:"]);
}

#[test]
fn what_was_done_and_what_went_wrong_with_the_session_file_are_two_statements() {
    let folder = tempfile::tempdir().expect("a folder");
    let session = folder.path().join("s");
    let done = r#"{"result":"success","partition_id":1,"causal_payload":"P","replicas":2}"#;
    let put = |session: &std::path::Path, meanwhile: &(dyn Fn() + Sync)| {
        let session = session.to_str().expect("is text");
        answered_once("201 Created", done, meanwhile, |node| {
            causeway(&[], &["put", "x", "1", "--node", node, "--session", session])
        })
    };
    let spoil = || std::fs::create_dir(&session).expect("nothing is there yet");
    let output = put(&session, &spoil);
    let said = ["the value was stored, but session file", "--payload P"];
    assert_ends(&output, 1, &said);
    let told = "created in partition 1, on 2 replicas\n";
    assert_eq!(printed(&output), told);
    // A device stays a device, whatever is written to it.
    let null = std::path::Path::new("/dev/null");
    assert_ends(&put(null, &|| ()), 0, &[]);
    assert!(std::fs::metadata(null).is_ok_and(|known| !known.is_file()));
    // A mistake that can be found without a node is reported before any node is asked.
    let arguments = [
        "put",
        "x",
        "1",
        "--node",
        "127.0.0.1:2",
        "--session",
        "/no/such/folder/s",
    ];
    let nowhere = causeway(&[], &arguments);
    assert_ends(&nowhere, 1, &["session file /no/such/folder/s cannot be written"]);
}

#[test]
fn health_reads_the_settings_of_the_node() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("node.toml");
    std::fs::write(&file, "port = 2\npeers = [\"localhost:3\"]\n").expect("is written");
    let file = file.to_str().expect("is text");
    for (variables, arguments) in [
        (&[][..], &["health", "--config", file][..]),
        (&[("CAUSEWAY_CONFIG", file)], &["health"]),
        (&[("LISTEN", "2\r\n")], &["health"]),
        (&[("LISTEN", "9")], &["health", "--listen", "127.0.0.1:2"]),
    ] {
        assert_ends(
            &causeway(variables, arguments),
            1,
            &["127.0.0.1:2 cannot be reached"],
        );
    }
}

/// A node that gets a request for a view change, and answers it after a few polls of its phase. Returns
/// the first line of each request, in order.
fn change_slowly(listener: &TcpListener, outcome: &str) -> Vec<String> {
    let mut phases = ["copy", "copy", "hand_over"].into_iter();
    let (mut asked, mut waiting) = (Vec::new(), None);
    loop {
        let (mut client, _) = listener.accept().expect("a client comes");
        let head = BufReader::new(&client).lines().map(|line| line.expect("is text"));
        let head: Vec<String> = head.take_while(|line| !line.is_empty()).collect();
        let is_change = head[0].starts_with("PUT ");
        asked.push(head[0].clone());
        if is_change {
            waiting = Some(client);
            continue;
        }
        let change = match waiting.as_ref().map(|_| phases.next()) {
            None => "null".to_owned(),
            Some(Some(phase)) => format!(
                r#"{{"epoch":2,"phase":"{phase}","waits_for":["c:1"],"keys_moved":3,"keys_to_go":4,"for_ms":500}}"#
            ),
            // A client that asks again has read the phase before.
            Some(None) => break,
        };
        let status = format!(
            r#"{{"result":"success","node":"a:1","incarnation":"1-2","role":"proxy","partition_id":-1,"epoch":1,
                "partitions":[["b:1"],["c:1"]],"proxies":["a:1"],"ready":true,"away":[],"keys":0,"slots_lost":0,
                "change":{change}}}"#
        );
        answer(&mut client, "200 OK", &status);
    }
    let status = if outcome.contains("error") {
        "409 Conflict"
    } else {
        "200 OK"
    };
    answer(&mut waiting.expect("is asked for the change"), status, outcome);
    asked
}

fn answer(client: &mut TcpStream, status: &str, body: &str) {
    let length = body.len();
    let reply = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
    client.write_all(reply.as_bytes()).expect("the client listens");
}

/// Runs `causeway view` with these arguments against a node that changes its view slowly.
fn view_command(arguments: &[&str], outcome: &str) -> (Output, Vec<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let node = listener.local_addr().expect("has an address").to_string();
    std::thread::scope(|scope| {
        let serving = scope.spawn(|| change_slowly(&listener, outcome));
        let output = causeway(&[("CAUSEWAY_NODE", &node)], &[&["view"], arguments].concat());
        // A command that gave up early must not leave the node waiting for it.
        drop(TcpStream::connect(&node));
        (output, serving.join().expect("does not panic"))
    })
}

#[test]
fn a_view_change_is_watched_and_what_came_of_it_is_printed() {
    let outcome =
        r#"{"epoch":2,"number_of_partitions":1,"result":"success","warning":"3 slots were given up"}"#;
    let (output, asked) = view_command(&["remove", "c:1", "--force"], outcome);
    let progress = "3 keys moved, 4 to go, 0.5 s; waits for c:1\n";
    let phases = ["copy", "hand over"].map(|phase| format!("epoch 2: {phase}, {progress}"));
    let said = format!("{}causeway: 3 slots were given up\n", phases.concat());
    assert_eq!(complaint(&output), said);
    assert_eq!(printed(&output), "c:1 is removed; 1 partition, epoch 2\n");
    assert_eq!(output.status.code(), Some(0));
    let change = "PUT /kv-store/update_view?type=remove&ip_port=c%3A1&force=true HTTP/1.1";
    assert_eq!(
        (asked[0].as_str(), asked[1].as_str()),
        ("GET /status HTTP/1.1", change)
    );
}

#[test]
fn a_refused_view_change_ends_with_1_and_its_json_is_printed() {
    let outcome = r#"{"code":"already_member","error":"c:1 is a member already","view":["c:1"]}"#;
    let (output, _) = view_command(&["add", "c:1", "--json"], outcome);
    assert_ends(
        &output,
        1,
        &["causeway: c:1 is a member already (409 from 127.0.0.1:"],
    );
    assert_eq!(printed(&output), format!("{outcome}\n"));
}
