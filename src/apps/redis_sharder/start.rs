//! Brings the servers up: all or none.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::RangeInclusive;
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::time::{Instant, sleep, timeout_at};

use super::SharderError;
use super::fleet::Server;
use super::link::{Link, Unopened};
use super::process::Process;
use super::program::Programs;

/// A server answers after some 30 ms; this leaves room for a busy machine, and for many servers at once.
const START_LIMIT: Duration = Duration::from_secs(20);
const START_LIMIT_EACH: Duration = Duration::from_millis(100);
const POLL: Duration = Duration::from_millis(10);

/// The servers of a sharder that was just killed may not have ended yet.
const PORT_DEADLINE: Duration = Duration::from_secs(1);

/// Starts `count` servers on the ports from `base_port` on, and waits until all answer. If one does not,
/// none is left running.
pub(super) async fn start(base_port: u16, count: u16) -> Result<BTreeMap<u16, Server>, SharderError> {
    if base_port == 0 {
        return Err(SharderError::BadArgument(
            "the first port is 0; it must be 1 or more".into(),
        ));
    }
    let Some(last_port) = base_port.checked_add(count - 1) else {
        return Err(SharderError::BadArgument(format!(
            "{count} servers need ports {base_port} to {}, and ports end at 65535",
            u32::from(base_port) + u32::from(count) - 1
        )));
    };
    let programs = Programs::find()?;
    let deadline = Instant::now() + PORT_DEADLINE;
    for port in base_port..=last_port {
        until_free(port, deadline).await?;
    }
    let limit = START_LIMIT + START_LIMIT_EACH * u32::from(count);
    let servers = start_on(base_port..=last_port, &programs, limit).await?;
    Ok(servers
        .into_iter()
        .map(|server| (server.process.port, server))
        .collect())
}

async fn until_free(port: u16, deadline: Instant) -> Result<(), SharderError> {
    loop {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() != ErrorKind::AddrInUse => {
                let reason = error.to_string();
                return Err(SharderError::CannotStart { port, reason });
            }
            Err(_) if Instant::now() > deadline => return Err(SharderError::PortInUse(port)),
            Err(_) => sleep(POLL).await,
        }
    }
}

/// Starts a server on each port and waits until all answer, `limit` at the most.
async fn start_on(
    ports: RangeInclusive<u16>,
    programs: &Programs,
    limit: Duration,
) -> Result<Vec<Server>, SharderError> {
    let processes: Result<Vec<Process>, _> = ports.map(|port| Process::start(port, programs)).collect();
    try_join_all(
        processes?
            .into_iter()
            .map(|process| until_it_answers(process, limit)),
    )
    .await
}

async fn until_it_answers(mut process: Process, limit: Duration) -> Result<Server, SharderError> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(how) = process.how_it_ended() {
            return Err(why_it_ended(&process, &how));
        }
        let unopened = match timeout_at(deadline, Link::open(process.port, process.pid())).await {
            Ok(Ok(link)) => return Ok(Server { process, link }),
            Ok(Err(unopened)) => unopened,
            Err(_) => Unopened::Silent,
        };
        if Instant::now() > deadline {
            return Err(why_it_is_late(&process, &unopened, limit));
        }
        sleep(POLL).await;
    }
}

fn why_it_ended(process: &Process, how: &str) -> SharderError {
    let (port, words) = (process.port, process.last_words());
    // Another process may take the port after it was found free.
    if words.contains("Address already in use") {
        return SharderError::PortInUse(port);
    }
    let reason = format!("it ended with {how} and said {}", said(&words));
    SharderError::CannotStart { port, reason }
}

fn why_it_is_late(process: &Process, unopened: &Unopened, limit: Duration) -> SharderError {
    let said = said(&process.last_words());
    let reason = match unopened {
        Unopened::Silent => format!("it did not answer within {limit:?} and said {said}"),
        Unopened::Refused(words) => format!(
            "it answers {words:?} within {limit:?}, and nothing else; start it without a password and without \
             settings that take commands away"
        ),
        Unopened::Stranger(pid) => format!(
            "process {pid} answers in its place; if redis-server is a script, let it start the server with exec; \
             it said {said}"
        ),
    };
    let port = process.port;
    SharderError::CannotStart { port, reason }
}

fn said(words: &str) -> String {
    if words.is_empty() {
        "nothing".to_owned()
    } else {
        format!("{words:?}")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const PORT: u16 = 1;

    /// The error when this script is started as a server.
    async fn start_script(script: &str) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let redis = folder.path().join("redis-server");
        fs::write(&redis, script).expect("is written");
        fs::set_permissions(&redis, fs::Permissions::from_mode(0o755)).expect("is its owner");
        // Only becomes the shell that becomes the script.
        let setpriv = folder.path().join("setpriv");
        fs::write(&setpriv, "#!/bin/sh\nshift 2\nexec \"$@\"\n").expect("is written");
        fs::set_permissions(&setpriv, fs::Permissions::from_mode(0o755)).expect("is its owner");
        let programs = Programs { redis, setpriv };
        let started = start_on(PORT..=PORT, &programs, Duration::from_millis(500)).await;
        started.expect_err("is no server").to_string()
    }

    #[tokio::test]
    async fn a_server_that_ends_is_named_with_its_words_and_its_status() {
        let begin = "the redis-server for port 1 does not start: it ended with";
        for (script, told) in [
            ("#!/bin/sh\nexit 3", "exit status: 3 and said nothing"),
            (
                "#!/bin/sh\necho Bad directive >&2; printf '\\033[1mor\\rargument\\n'; exit 1",
                "exit status: 1 and said \"Bad directive / [1mor / argument\"",
            ),
            ("#!/bin/sh\nkill -9 $$", "signal: 9 (SIGKILL) and said nothing"),
            (
                "#!/bin/sh\nfor n in 1 2 3 4 5 6; do echo $n; done; exit 127",
                "exit status: 127 and said \"3 / 4 / 5 / 6\"",
            ),
        ] {
            assert_eq!(start_script(script).await, format!("{begin} {told}"));
        }
        let unstartable = start_script("#!/no/such/interpreter\n").await;
        assert!(
            unstartable.starts_with(&format!("{begin} exit status: 127 and said")),
            "{unstartable}"
        );
        let taken = start_script("#!/bin/sh\necho 'bind: Address already in use'; exit 1").await;
        assert!(taken.starts_with("port 1 is in use"), "{taken}");
    }

    #[tokio::test]
    async fn a_server_that_never_answers_is_not_waited_for_without_limit_and_ends_with_what_it_started() {
        let folder = tempfile::tempdir().expect("a folder");
        let note = folder.path().join("pid");
        let script = "#!/bin/sh\necho waiting\nsleep 1000 & echo $! > ";
        let told = start_script(&format!("{script}{}\nwait\n", note.display())).await;
        assert_eq!(
            told,
            "the redis-server for port 1 does not start: it did not answer within 500ms and said \"waiting\""
        );
        let pid = fs::read_to_string(&note)
            .expect("it noted the process")
            .trim()
            .to_owned();
        let deadline = std::time::Duration::from_secs(30);
        let gone = async {
            // The process that inherits it may take a moment to reap it.
            while fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty()) {
                sleep(POLL).await;
            }
        };
        tokio::time::timeout(deadline, gone)
            .await
            .expect("it is killed too");
    }
}
