//! Writes to standard output whose reader may have gone: `causeway status | head -1` is no error.

use std::io::{ErrorKind, IsTerminal, Write, stdout};

use comfy_table::{Table, presets};
use serde_json::Value;

use super::Failure;
use crate::process::system;

pub fn print(bytes: &[u8]) -> Result<(), Failure> {
    print_if_read(bytes).map(drop)
}

/// The same for callers that go on while their output is read: false if the reader has gone.
pub fn print_if_read(bytes: &[u8]) -> Result<bool, Failure> {
    let mut out = stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::Failed(format!(
            "cannot write to standard output: {}",
            system::explain(&error)
        ))),
    }
}

pub fn print_line(text: &str) -> Result<(), Failure> {
    print(format!("{text}\n").as_bytes())
}

pub fn print_json(body: &Value) -> Result<(), Failure> {
    print_line(&body.to_string())
}

/// True if standard output is a terminal.
pub fn is_terminal() -> bool {
    stdout().is_terminal()
}

/// A table in the style of all of them: no frame, so that it can be cut and pasted.
pub fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.to_vec());
    table
}

/// A table as lines without the blanks that its columns leave at their ends.
pub fn lines(table: &Table) -> String {
    let text = table.to_string();
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n")
}
