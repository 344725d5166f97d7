//! Standard error that is full, unread or closed, and standard output likewise: every program goes on
//! serving, ends when told to, and keeps its exit codes.
#![expect(
    clippy::disallowed_types,
    reason = "the programs are given files and are called as clients call them"
)]

use std::fs::File;
use std::io::{PipeReader, Read as _, Write as _, pipe};
use std::process::{Child, Stdio};

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::process::Signal;

use crate::support::ports::free_ports;
use crate::support::request::Request;
use crate::support::running::{CAUSEWAY, CLT, MASTER, Running, SVR, command, complaint};
use crate::support::waiting::wait_for;

#[derive(Debug, Clone, Copy)]
enum Fate {
    Full,
    Unread,
    ReaderGone,
}

const FATES: [Fate; 3] = [Fate::Full, Fate::Unread, Fate::ReaderGone];

/// A program's output, and what must be held as long as it runs.
fn output(fate: Fate) -> (Stdio, Option<PipeReader>) {
    if let Fate::Full = fate {
        let full = File::options().write(true).open("/dev/full");
        return (full.expect("is there").into(), None);
    }
    let (reader, mut writer) = pipe().expect("a pipe");
    if let Fate::ReaderGone = fate {
        return (writer.into(), None);
    }
    // Filled to the last byte, and then a pipe like any other.
    fcntl_setfl(&writer, OFlags::NONBLOCK).expect("is set");
    for size in [4096, 1] {
        while writer.write_all(&[b'x'; 4096][..size]).is_ok() {}
    }
    fcntl_setfl(&writer, OFlags::empty()).expect("is set");
    (writer.into(), Some(reader))
}

fn start(program: &str, arguments: &[String], stderr: Stdio) -> Running {
    let mut command = command(program);
    Running::start(command.args(arguments).env("LOG", "trace").stderr(stderr))
}

/// True if the server answers a request, with any status.
fn answers(address: &str) -> Option<()> {
    Request::new("GET", "/livez").send(address).ok().map(drop)
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

#[test]
fn every_server_serves_on_and_ends_in_good_order() {
    for fate in FATES {
        let port = free_ports();
        let address = format!("127.0.0.1:{port}");
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path().display();
        for (program, line) in [
            (
                CAUSEWAY,
                format!("serve --store memory --k 1 --ipport {address} --view {address} --listen {address}"),
            ),
            (
                CAUSEWAY,
                format!("proxy --listen {address} --servers 127.0.0.1:{}", port + 1),
            ),
            (
                CAUSEWAY,
                format!("data-server --listen {address} --data-dir {folder}"),
            ),
            (MASTER, format!("-p {port}")),
            (SVR, format!("-p {port} -m {}", port + 1)),
        ] {
            let (stderr, _held) = output(fate);
            let mut server = start(program, &words(&line), stderr);
            wait_for("the server", || answers(&address));
            for _ in 0..100 {
                answers(&address).expect("goes on answering");
            }
            server.signal(Signal::TERM);
            assert_eq!(server.ended().code(), Some(0), "{line} with {fate:?}");
        }
    }
}

#[test]
fn every_command_keeps_its_exit_code() {
    let nowhere = format!("get x --node 127.0.0.1:{}", free_ports());
    for fate in FATES {
        for (line, code) in [("serve --k 0", 64), ("fetch", 64), (nowhere.as_str(), 1)] {
            let (stderr, _held) = output(fate);
            let mut ended = Running::start(command(CAUSEWAY).args(words(line)).stderr(stderr));
            assert_eq!(ended.ended().code(), Some(code), "{line} with {fate:?}");
        }
    }
}

#[test]
fn a_reader_of_standard_output_may_go_and_a_full_disk_is_said() {
    for (fate, code, told) in [(Fate::ReaderGone, 0, ""), (Fate::Full, 1, "No space left")] {
        for program in [CAUSEWAY, CLT, SVR] {
            let (stdout, _held) = output(fate);
            let mut command = command(program);
            let child = command
                .arg("--help")
                .stdout(stdout)
                .stderr(Stdio::piped())
                .spawn();
            let ended = child.and_then(Child::wait_with_output).expect("starts");
            let text = complaint(&ended);
            assert_eq!(ended.status.code(), Some(code), "{program}: {text}");
            assert!(text.contains(told), "{program}: {text}");
        }
    }
}

/// Low limits: each ends the program at once, with a message about what to raise.
#[test]
fn a_program_that_lacks_files_says_so_and_ends() {
    // Each CPU core takes a few.
    for files in (3..64).chain([128, 256, 512, 1024]) {
        let port = free_ports();
        let folder = tempfile::tempdir().expect("a folder");
        let line = format!(
            "ulimit -n {files}; exec {} serve --k 1 --ipport 127.0.0.1:{port} --view 127.0.0.1:{port} \
             --listen 127.0.0.1:{port} --data-dir {}",
            CAUSEWAY,
            folder.path().join("data").display()
        );
        let (mut told, stderr) = pipe().expect("a pipe");
        let mut server = start("/bin/sh", &["-c".into(), line], stderr.into());
        let address = format!("127.0.0.1:{port}");
        let ended = wait_for("a server or its end", || {
            let ended = server.0.try_wait().expect("can be asked");
            ended.map(Some).or_else(|| answers(&address).map(|()| None))
        });
        let Some(status) = ended else { return };
        drop(server);
        let mut text = String::new();
        told.read_to_string(&mut text).expect("is text");
        assert!(
            status.code().is_some_and(|code| code != 0),
            "{files}: {status}: {text}"
        );
        // With very few files, the system's own loader fails.
        assert!(
            text.contains("ulimit -n") || text.contains("shared libraries"),
            "{files}: {text}"
        );
        assert!(
            !text.contains("is damaged") && !text.contains("panicked"),
            "{files}: {text}"
        );
    }
    panic!("a thousand files are enough to start");
}
