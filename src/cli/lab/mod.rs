//! `causeway lab`: a small cluster of real processes on this machine, for experiments.
//!
//! Each node is this program, started with `serve` on an address of its own; spares are started without a
//! view and wait to be added. The lab waits until all other nodes serve keys, shows what runs where, and
//! reports what happens to the nodes. They end with the lab: told to stop, it stops them in good order;
//! if it is killed, their standard input ends (see `parent`). It restarts no node by itself, because a
//! lab is for watching what the others do without it.

mod folder;
mod layout;
mod picture;
mod process;
mod watch;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::arguments::Lab as Arguments;
use crate::client::{Client, ClientError};
use crate::names::NodeId;
use crate::process::telemetry;
use crate::terminal::stop::Stop;
use crate::terminal::{Failure, Verdict, output};
use crate::wire::public::Status;
use folder::Folder;
use process::Process;
use watch::Condition;

/// A cluster serves a second after a quorum has met; this leaves room for a busy machine.
const READY_DEADLINE: Duration = Duration::from_secs(30);
const READY_POLL: Duration = Duration::from_millis(20);
const WATCH_PERIOD: Duration = Duration::from_millis(500);
/// A node drains and flushes within this, or is killed.
const STOP_DEADLINE: Duration = Duration::from_secs(8);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// A lab whose nodes run.
struct Lab {
    folder: Folder,
    /// The nodes of the first view, then the spares.
    processes: Vec<Process>,
    program: PathBuf,
    client: Client,
}

/// Runs a lab until it is told to stop.
pub async fn lab(arguments: Arguments) -> Result<Verdict, Failure> {
    // Before the first node starts, so that none can be left behind.
    let mut stop = Stop::within(STOP_DEADLINE + Duration::from_secs(1))?;
    let mut lab = Lab::start(Folder::open(&arguments)?)?;
    let outcome = tokio::select! {
        () = stop.asked() => Ok(()),
        outcome = lab.run(arguments.json) => outcome,
    };
    tokio::select! {
        () = lab.stop() => {}
        () = stop.asked() => lab.kill().await,
    }
    outcome.map(|()| Verdict::Done)
}

impl Lab {
    fn start(folder: Folder) -> Result<Self, Failure> {
        let program = std::env::current_exe();
        let program =
            program.map_err(|error| Failure::Failed(format!("cannot find this program: {error}")))?;
        telemetry::say(&picture::opening(&folder.shown, &folder.layout, folder.goes_on));
        let processes = processes(&program, &folder)?;
        let client = Client::new(folder.layout.nodes()).with_timeout(ANSWER_TIMEOUT);
        Ok(Self {
            folder,
            processes,
            program,
            client,
        })
    }

    async fn run(&mut self, json: bool) -> Result<(), Failure> {
        self.wait_until_all_serve().await?;
        let status = self.newest_status().await?;
        if json {
            output::print_json(&picture::json(&self.folder, &self.processes, &status))?;
        } else {
            let program = shown(&self.program);
            output::print_line(&picture::text(&self.folder, &self.processes, &status, &program))?;
        }
        self.watch().await
    }

    /// The newest view that any node knows. A node that an earlier session of this lab has removed knows
    /// an old one, or none.
    async fn newest_status(&self) -> Result<Status, ClientError> {
        let mut newest = self.client.status().await?;
        for process in &self.processes {
            let reply = self.client.ask_node(&process.node, "/status").await;
            let status = reply.ok().and_then(|reply| reply.read::<Status>().ok());
            newest = status.into_iter().fold(newest, |newest, status| {
                if status.epoch > newest.epoch {
                    status
                } else {
                    newest
                }
            });
        }
        Ok(newest)
    }

    async fn wait_until_all_serve(&mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + READY_DEADLINE;
        let mut serving = vec![false; self.processes.len()];
        loop {
            for (process, serving) in self.processes.iter_mut().zip(&mut serving) {
                if let Some(how) = process.ended() {
                    return Err(failed_start(process, &format!("ended ({how})")));
                }
                *serving = *serving || settled(&self.client, &process.node).await;
            }
            let Some(late) = serving.iter().position(|serving| !serving) else {
                return Ok(());
            };
            if Instant::now() > deadline {
                let what = format!("does not serve keys after {READY_DEADLINE:?}");
                return Err(failed_start(&self.processes[late], &what));
            }
            sleep(READY_POLL).await;
        }
    }

    /// Reports what happens to the nodes, for ever.
    async fn watch(&mut self) -> Result<(), Failure> {
        let mut conditions = vec![Condition::Answers; self.processes.len()];
        loop {
            for (process, before) in self.processes.iter_mut().zip(&mut conditions) {
                let now = condition(&self.client, process).await;
                let node = process.node.as_str();
                if let Some(text) = watch::news(node, before, &now, &process.command_line()) {
                    telemetry::say(&text);
                }
                *before = now;
            }
            sleep(WATCH_PERIOD).await;
        }
    }

    /// Stops the nodes in good order, and kills those that take too long.
    async fn stop(&mut self) {
        telemetry::say("stopping the nodes");
        self.processes.iter_mut().for_each(Process::terminate);
        let all_gone = async {
            for process in &mut self.processes {
                process.gone().await;
            }
        };
        if timeout(STOP_DEADLINE, all_gone).await.is_err() {
            self.kill().await;
        }
    }

    async fn kill(&mut self) {
        for process in &mut self.processes {
            process.kill().await;
        }
    }
}

/// Starts all nodes. If one cannot be started, the earlier ones are killed as they are dropped.
fn processes(program: &Path, folder: &Folder) -> Result<Vec<Process>, Failure> {
    let view = folder.layout.nodes();
    let listed = view.iter().map(|node| (node, Some(&view[..])));
    let spares = folder.layout.spares();
    let all = listed.chain(spares.iter().map(|node| (node, None)));
    let numbered = (1..).zip(all);
    numbered
        .map(|(number, (node, view))| Process::start(program, folder, number, node.clone(), view))
        .collect()
}

/// The program as a user types it in this folder.
fn shown(program: &Path) -> String {
    let here = std::env::current_dir().ok();
    let inside = here.and_then(|here| program.strip_prefix(here).ok().map(Path::to_owned));
    match inside {
        Some(path) => process::quoted(&Path::new(".").join(path).display().to_string()),
        None => process::quoted(&program.display().to_string()),
    }
}

/// True if the node serves keys, or is in no view: it waits to be added, or an earlier session of this
/// lab has removed it.
async fn settled(client: &Client, node: &NodeId) -> bool {
    if client.ready(node).await.unwrap_or(false) {
        return true;
    }
    client.outside(node).await.unwrap_or(false)
}

async fn condition(client: &Client, process: &mut Process) -> Condition {
    // First: a user may have started it again by hand.
    if client.alive(&process.node).await.unwrap_or(false) {
        return Condition::Answers;
    }
    match process.ended() {
        Some(how) => Condition::Ended(how.to_string()),
        None => Condition::Silent,
    }
}

fn failed_start(process: &Process, what: &str) -> Failure {
    let (node, log) = (&process.node, process.log.display());
    Failure::Failed(format!("{node} {what}; the end of {log}:{}", process.tail()))
}
