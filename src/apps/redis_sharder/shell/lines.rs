//! The lines of a script or of standard input, one by one as they come.
//!
//! A thread reads them, because nothing else can wait for standard input and for a signal at once. It is
//! never joined: a process that ends does not wait until a person presses Enter.

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, BufReader, Read as _, stdin};
use std::path::Path;
use std::thread;

use tokio::sync::mpsc;

use crate::process::system;
use crate::terminal::Failure;
use crate::text;

/// Commands are short; this keeps out input that is not text.
const LINE_BYTES_MAX: u64 = 64 * 1024;
pub(super) const TOO_LONG: &str = "the line has more than 64 KiB";

/// Lines that are read ahead of the commands.
const READ_AHEAD: usize = 16;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Text(String),
    TooLong,
}

#[derive(Debug)]
pub(super) struct Lines(mpsc::Receiver<io::Result<Line>>);

impl Lines {
    /// Opens a script, or standard input.
    pub(super) fn open(script: Option<&Path>) -> Result<Self, Failure> {
        let (sender, receiver) = mpsc::channel(READ_AHEAD);
        let reader = thread::Builder::new().name("lines".into());
        let started = match script {
            Some(path) => {
                let cannot_read =
                    |why: String| Failure::Usage(format!("cannot read {}: {why}", path.display()));
                let script = OpenOptions::new().read(true).open(path);
                let script = script.map_err(|error| cannot_read(system::explain(&error)))?;
                // Commands from a pipe are carried out as they come.
                if script.metadata().is_ok_and(|script| script.is_file()) {
                    let bytes = fs::read(path).map_err(|error| cannot_read(system::explain(&error)))?;
                    let script = text::decode(&bytes).map_err(|error| cannot_read(error.to_string()))?;
                    let lines: Vec<Line> = text::lines(&script).map(line).collect();
                    reader.spawn(move || {
                        let mut lines = lines.into_iter();
                        while lines
                            .next()
                            .is_some_and(|line| sender.blocking_send(Ok(line)).is_ok())
                        {
                        }
                    })
                } else {
                    reader.spawn(move || send_all(BufReader::new(script), &sender))
                }
            }
            None => reader.spawn(move || send_all(stdin().lock(), &sender)),
        };
        started.map_err(|error| cannot(&error))?;
        Ok(Self(receiver))
    }

    /// The next line; none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Line>, Failure> {
        let line = self.0.recv().await.transpose();
        line.map_err(|error| cannot(&error))
    }
}

fn cannot(error: &io::Error) -> Failure {
    Failure::Failed(format!("cannot read commands: {}", system::explain(error)))
}

fn send_all(mut input: impl BufRead, lines: &mpsc::Sender<io::Result<Line>>) {
    if let Err(error) = skip_mark(&mut input) {
        let _ = lines.blocking_send(Err(error));
        return;
    }
    while let Some(line) = next_line(&mut input).transpose() {
        let is_last = line.is_err();
        if lines.blocking_send(line).is_err() || is_last {
            return;
        }
    }
}

/// Skips a byte order mark, with which editors may begin a file. A UTF-16 mark is an error: its lines
/// cannot be split as bytes.
fn skip_mark(input: &mut impl BufRead) -> io::Result<()> {
    let begin = input.fill_buf()?;
    if begin.starts_with(b"\xFF\xFE") || begin.starts_with(b"\xFE\xFF") {
        return Err(io::Error::other("they are UTF-16; save them as UTF-8"));
    }
    let mark = begin.len() - text::without_mark(begin).len();
    input.consume(mark);
    Ok(())
}

fn line(text: &str) -> Line {
    if text.len() as u64 >= LINE_BYTES_MAX {
        return Line::TooLong;
    }
    Line::Text(text.to_owned())
}

fn next_line(input: &mut impl BufRead) -> io::Result<Option<Line>> {
    let mut bytes = Vec::new();
    input
        .by_ref()
        .take(LINE_BYTES_MAX)
        .read_until(b'\n', &mut bytes)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    if bytes.len() as u64 == LINE_BYTES_MAX && bytes.last() != Some(&b'\n') {
        input.skip_until(b'\n')?;
        return Ok(Some(Line::TooLong));
    }
    // Input that is not text is no command either; the answer says so.
    Ok(Some(Line::Text(String::from_utf8_lossy(&bytes).into_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_is_left_out_or_named() {
        let mut input = io::Cursor::new("\u{feff}get(1)\r\n".as_bytes());
        skip_mark(&mut input).expect("is UTF-8");
        let line = next_line(&mut input).expect("reads");
        assert_eq!(line, Some(Line::Text("get(1)\r\n".to_owned())));
        let wide: Vec<u8> = "\u{feff}get(1)"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        let error = skip_mark(&mut io::Cursor::new(wide)).expect_err("is named");
        assert!(error.to_string().contains("UTF-16"));
        skip_mark(&mut io::Cursor::new(b"")).expect("is empty");
    }

    #[tokio::test]
    async fn a_script_of_any_editor_is_read() {
        let wide = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
        for bytes in [
            b"get(1)\rget(2)".to_vec(),
            b"get(1)\r\nget(2)".to_vec(),
            wide("\u{feff}get(1)\r\nget(2)"),
        ] {
            let file = tempfile::NamedTempFile::new().expect("is made");
            fs::write(file.path(), bytes).expect("is written");
            let mut lines = Lines::open(Some(file.path())).expect("opens");
            for expected in ["get(1)", "get(2)"] {
                let line = lines.next().await.expect("is read");
                assert_eq!(line, Some(Line::Text(expected.to_owned())));
            }
            assert_eq!(lines.next().await.expect("is read"), None);
        }
        let file = tempfile::NamedTempFile::new().expect("is made");
        fs::write(file.path(), [0xFF, 0, 0xFF]).expect("is written");
        assert!(matches!(Lines::open(Some(file.path())), Err(Failure::Usage(_))));
    }

    #[test]
    fn lines_end_at_a_line_feed_or_at_the_end_and_are_never_too_long() {
        let long = "x".repeat(2 * usize::try_from(LINE_BYTES_MAX).expect("is small"));
        let mut input = io::Cursor::new(format!("get(1)\r\n\n{long}\nput(1,2)").into_bytes());
        let mut next = || next_line(&mut input).expect("reads");
        let text = |text: &str| Some(Line::Text(text.to_owned()));
        assert_eq!(next(), text("get(1)\r\n"));
        assert_eq!(next(), text("\n"));
        assert_eq!(next(), Some(Line::TooLong));
        assert_eq!(next(), text("put(1,2)"));
        assert_eq!(next(), None);
    }
}
