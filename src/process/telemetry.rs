//! Writes to standard error: a line for each event that an operator should know of, and the messages of a
//! command to its user. A failing standard error never stops the program.

mod filter;
mod lines;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write};
use std::sync::OnceLock;

use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};

use self::lines::Lines;
use crate::process::system;

pub use filter::{LogFormat, check};

/// Why logging cannot start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("LOG: {0}")]
    BadFilter(String),
    #[error("LOG_FORMAT: {0}")]
    BadFormat(String),
    #[error("logging was started before")]
    Twice,
    #[error("the thread that writes the log cannot start: {0}")]
    Thread(String),
}

/// Starts logging for the whole process. `filter` as in `LOG`: levels by module; empty means info.
pub fn start(filter: &str, format: LogFormat) -> Result<(), TelemetryError> {
    let filter = filter::parse(filter)?;
    let lines = lines().map_err(|error| TelemetryError::Thread(system::explain(error)))?;
    lines.report_by(match format {
        LogFormat::Human | LogFormat::Plain => |dropped| {
            format!(
                "{}  WARN causeway::process::telemetry: {}\n",
                now(),
                dropped_text(dropped)
            )
        },
        LogFormat::Json => json_report,
    });
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // Otherwise the library reports on standard error that a line could not be written there.
        .log_internal_errors(false)
        .with_writer(|| Event(lines));
    let started = match format {
        LogFormat::Human => builder.with_ansi(io::stderr().is_terminal()).try_init(),
        LogFormat::Plain => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|_| TelemetryError::Twice)
}

/// Writes a line to standard error. Returns when it is written, or soon if standard error does not take it.
pub fn say(text: &str) {
    show(&format!("{text}\n"));
}

/// The same for text that is not exactly one line.
pub fn show(text: &str) {
    match lines() {
        Ok(lines) => {
            lines.push(text.as_bytes().to_vec());
            lines.flush();
        }
        // Without the log's thread the text is written directly.
        Err(_) => drop(io::stderr().write_all(text.as_bytes())),
    }
}

/// Waits until everything is written, or gives up soon if standard error is stuck. Call it last.
pub fn flush() {
    if let Some(Ok(lines)) = LINES.get() {
        lines.flush();
    }
}

/// Reports panics the same way: the standard library would wait for ever for a pipe that is not read.
pub fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let mut text = format!("thread {:?} {panic}", thread.name().unwrap_or("unnamed"));
        let trace = Backtrace::capture();
        if trace.status() == BacktraceStatus::Captured {
            let _ = write!(text, "\n{trace}");
        }
        say(&text);
    }));
}

/// The only way to standard error, or the reason why there is none.
static LINES: OnceLock<io::Result<Lines>> = OnceLock::new();

fn lines() -> Result<&'static Lines, &'static io::Error> {
    LINES.get_or_init(|| Lines::start(io::stderr())).as_ref()
}

/// Takes the line of one event, which arrives in one piece.
struct Event(&'static Lines);

impl Write for Event {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn dropped_text(dropped: u64) -> String {
    match dropped {
        1 => "1 line of this log was dropped: standard error did not take it".into(),
        many => format!("{many} lines of this log were dropped: standard error did not take them"),
    }
}

fn json_report(dropped: u64) -> String {
    let (now, text) = (now(), dropped_text(dropped));
    format!(
        "{{\"timestamp\":\"{now}\",\"level\":\"WARN\",\"message\":\"{text}\",\"dropped\":{dropped},\
         \"target\":\"causeway::process::telemetry\"}}\n"
    )
}

fn now() -> String {
    let mut text = String::new();
    // Without a clock the line still says what matters.
    let _ = SystemTime.format_time(&mut Writer::new(&mut text));
    text
}
