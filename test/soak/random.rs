//! A soak of random runs: simulates and judges every seed, reports failures with a plan as short as it
//! can find, and ends with the table.

use std::path::Path;
use std::process::ExitCode;

use crate::arguments::Asked;
use crate::crew::{Go, work};
use crate::interruption::{INTERRUPTED, Interruption};
use crate::progress::Progress;
use crate::simulated::fault::Event;
use crate::simulated::outcomes::Attempt;
use crate::simulated::panics;
use crate::simulated::plain::{self, PlainSetting};
use crate::simulated::run::{Setting, attempt};
use crate::support::shrink::shrink;
use crate::tally::Tally;

/// How often a failing seed is run again to find a shorter plan.
const SHRINK_RUNS: usize = 150;

/// The result of one seed.
struct Ran {
    setting: Setting,
    ran: Attempt,
    /// True if clients without payloads saw what they must, in a run of their own.
    plain_is_clean: bool,
    /// The report, if it failed.
    told: Option<String>,
}

/// Success if nothing went wrong and it was not interrupted.
pub(crate) fn soak(asked: &Asked) -> ExitCode {
    let interruption = Interruption::listen();
    let mut tally = Tally::default();
    let mut progress = Progress::begin();
    let simulated = asked.hours.unwrap_or(f64::INFINITY);
    let mut complaint = None;
    work(asked.seeds(), run_seed, |ran| {
        if let Some(ran) = ran {
            tally.add(ran.setting.seed, &ran.ran, ran.plain_is_clean);
            if let Some(told) = &ran.told {
                progress.clear();
                println!("{told}");
            }
            complaint = complaint.take().or_else(|| write_history(asked, &ran).err());
        }
        progress.tell(|| tally.line());
        let is_done = tally.hours() >= simulated || complaint.is_some() || interruption.is_heard();
        if is_done { Go::Home } else { Go::On }
    });
    progress.clear();
    println!("{}", tally.table(progress.elapsed()));
    complaint
        .iter()
        .for_each(|complaint| eprintln!("scripts/soak: {complaint}"));
    match tally.is_clean() && complaint.is_none() {
        false => ExitCode::FAILURE,
        true if interruption.is_heard() => INTERRUPTED.into(),
        true => ExitCode::SUCCESS,
    }
}

fn run_seed(seed: u64) -> Ran {
    let setting = Setting::of_seed(seed);
    let plan = setting.plan();
    let ran = attempt(&setting, &plan);
    let told = (!ran.is_clean()).then(|| tell(&setting, &plan, &ran));
    let told_plainly = run_plain(seed);
    Ran {
        setting,
        ran,
        plain_is_clean: told_plainly.is_none(),
        told: told
            .into_iter()
            .chain(told_plainly)
            .reduce(|one, other| one + &other),
    }
}

/// The report about the run of clients without payloads, if it failed.
fn run_plain(seed: u64) -> Option<String> {
    let setting = PlainSetting::of_seed(seed);
    let plan = setting.plan();
    let outcomes = plain::run_under(&setting, &plan);
    (!outcomes.is_clean()).then(|| format!("FAILED: plain run\n{}", outcomes.tell(&setting, &plan)))
}

/// Reports everything about a failed run, and the shortest plan found that fails in the same way.
fn tell(setting: &Setting, plan: &[Event], ran: &Attempt) -> String {
    let wrongs = ran.wrongs();
    panics::count();
    panics::silence(true);
    let shorter = shrink(plan, SHRINK_RUNS, |plan| {
        !wrongs.is_disjoint(&attempt(setting, plan).wrongs())
    });
    panics::silence(false);
    let words: Vec<&str> = wrongs.iter().map(String::as_str).collect();
    let mut text = format!("FAILED: {}\n", words.join(", "));
    text += &ran.tell(setting, plan);
    text += &format!(
        "of its {} faults and mendings, {} are enough for it to go wrong:\n",
        plan.len(),
        shorter.len()
    );
    for event in &shorter {
        text += &format!("{:>6} ms  {:?}\n", event.at_ms, event.fault);
    }
    text
}

fn write_history(asked: &Asked, Ran { setting, ran, .. }: &Ran) -> Result<(), String> {
    let (Some(folder), Some(outcomes)) = (&asked.history, &ran.0) else {
        return Ok(());
    };
    if ran.is_clean() && !asked.keep_histories {
        return Ok(());
    }
    let Setting {
        seed,
        nodes,
        spares,
        replicas,
        ..
    } = setting;
    let head = format!("# seed {seed}: {nodes} nodes, {spares} spares, K={replicas}\n");
    let path = folder.join(format!("seed-{seed}.history"));
    write(folder, &path, &format!("{head}{}", outcomes.history))
}

fn write(folder: &Path, path: &Path, text: &str) -> Result<(), String> {
    let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(path, text));
    written.map_err(|error| {
        format!(
            "{} cannot be written: {error}; give --history a folder that can",
            path.display()
        )
    })
}
