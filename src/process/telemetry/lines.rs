//! Writes to standard error through a bounded queue and a separate thread.
//!
//! Standard error can be a full disk, a pipe that is not read, or a pipe whose reader has gone. A write to
//! it can then fail or block for ever, and neither may stop the thread that logs. So that thread queues
//! its line here and goes on. A line is dropped if the queue is full or the write fails. The next line
//! that can be written reports how many were dropped.
//!
//! Separate from `telemetry`, because it carries bytes and knows nothing of events. The library
//! `tracing-appender` was considered: its queue is bounded in lines and not in bytes, the number of
//! dropped lines stays inside the process, and lines whose write fails are not counted.
#![expect(
    clippy::disallowed_methods,
    reason = "how long a flush may take is measured, for people who wait"
)]

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// Enough for the burst of a view change or a failing disk; little compared with a node's memory.
const QUEUE_BYTES_MAX: usize = 1024 * 1024;

/// How long a flush waits while not a single line is done.
const STANDSTILL: Duration = Duration::from_millis(300);

/// How long a flush waits at most while lines are done.
const FLUSH_MAX: Duration = Duration::from_secs(2);

/// The pause before a writer without room (a terminal or pipe in non-blocking mode) is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// Renders the line that says how many were dropped, including its line end.
type Report = fn(u64) -> String;

/// Lines queued for a writer.
#[derive(Debug, Clone)]
pub(super) struct Lines(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Something was queued, or something was written.
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    queue: VecDeque<Line>,
    queued_bytes: usize,
    /// Dropped lines that no line in the queue reports.
    dropped: u64,
    report: Report,
    is_writing: bool,
    /// How many lines the thread is done with, written or not.
    done: u64,
    /// True if a flush gave up and no line was done since: the next flush need not wait.
    is_stuck: bool,
}

#[derive(Debug)]
struct Line {
    bytes: Vec<u8>,
    /// How many lines are lost with it. For a report of dropped lines that is their number.
    stands_for: u64,
}

impl Lines {
    /// Starts the thread, which lives as long as the process.
    pub(super) fn start(to: impl Write + Send + 'static) -> io::Result<Self> {
        let lines = Self(Arc::new(Shared {
            state: Mutex::new(State {
                queue: VecDeque::new(),
                queued_bytes: 0,
                dropped: 0,
                report: |dropped| format!("{dropped} lines were dropped\n"),
                is_writing: false,
                done: 0,
                is_stuck: false,
            }),
            changed: Condvar::new(),
        }));
        let shared = Arc::clone(&lines.0);
        thread::Builder::new()
            .name("log".into())
            .spawn(move || shared.write_all_to(to))?;
        Ok(lines)
    }

    /// Sets how dropped lines are reported.
    pub(super) fn report_by(&self, report: Report) {
        self.0.state.lock().report = report;
    }

    /// Queues a line with its end; drops it if there is no room.
    pub(super) fn push(&self, bytes: Vec<u8>) {
        let mut state = self.0.state.lock();
        if state.queued_bytes + bytes.len() > QUEUE_BYTES_MAX {
            state.dropped += 1;
            return;
        }
        // The report takes the place of the missing lines: before this line.
        state.report_dropped();
        state.append(Line { bytes, stands_for: 1 });
        self.0.changed.notify_all();
    }

    /// Waits until all lines are done; gives up if that takes too long.
    pub(super) fn flush(&self) {
        let begin = Instant::now();
        let mut state = self.0.state.lock();
        state.report_dropped();
        self.0.changed.notify_all();
        let (mut done, mut since) = (state.done, begin);
        while !state.is_idle() && !state.is_stuck {
            let until = (since + STANDSTILL).min(begin + FLUSH_MAX);
            let is_over = self.0.changed.wait_until(&mut state, until).timed_out();
            if state.done != done && Instant::now() < begin + FLUSH_MAX {
                (done, since) = (state.done, Instant::now());
            } else if is_over {
                state.is_stuck = !state.is_idle();
                return;
            }
        }
    }
}

impl State {
    fn append(&mut self, line: Line) {
        self.queued_bytes += line.bytes.len();
        self.queue.push_back(line);
    }

    fn report_dropped(&mut self) {
        if self.dropped > 0 {
            let bytes = (self.report)(self.dropped).into_bytes();
            let stands_for = std::mem::take(&mut self.dropped);
            self.append(Line { bytes, stands_for });
        }
    }

    fn is_idle(&self) -> bool {
        self.queue.is_empty() && !self.is_writing
    }
}

impl Shared {
    fn write_all_to(&self, mut to: impl Write) {
        let mut is_torn = false;
        loop {
            let line = self.next();
            // The beginning of a line whose write failed must not run into the next line.
            let is_whole = (!is_torn || write(&mut to, b"\n", &mut is_torn))
                && write(&mut to, &line.bytes, &mut is_torn);
            let mut state = self.state.lock();
            if !is_whole {
                state.dropped += line.stands_for;
            }
            state.is_writing = false;
            state.is_stuck = false;
            state.done += 1;
            self.changed.notify_all();
        }
    }

    fn next(&self) -> Line {
        let mut state = self.state.lock();
        loop {
            if let Some(line) = state.queue.pop_front() {
                state.queued_bytes -= line.bytes.len();
                state.is_writing = true;
                return line;
            }
            self.changed.wait(&mut state);
        }
    }
}

/// Writes all bytes, however long that takes; only this thread waits. False if a write fails; `is_torn` is
/// set if a part was written.
fn write(to: &mut impl Write, mut bytes: &[u8], is_torn: &mut bool) -> bool {
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(0) => return false,
            Ok(written) => {
                bytes = &bytes[written..];
                *is_torn = !bytes.is_empty();
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(RETRY_PAUSE),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// A writer whose every write waits for its result from the test.
    struct Told {
        said: Receiver<Result<(), ErrorKind>>,
        written: Arc<Mutex<String>>,
    }

    impl Write for Told {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.said.recv() {
                Ok(Err(kind)) => Err(kind.into()),
                _ => {
                    self.written.lock().push_str(&String::from_utf8_lossy(bytes));
                    Ok(bytes.len())
                }
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines() -> (Lines, Sender<Result<(), ErrorKind>>, Arc<Mutex<String>>) {
        let (say, said) = channel();
        let written = Arc::<Mutex<String>>::default();
        let lines = Lines::start(Told {
            said,
            written: Arc::clone(&written),
        });
        (lines.expect("starts"), say, written)
    }

    fn push(lines: &Lines, text: &str) {
        lines.push(format!("{text}\n").into_bytes());
    }

    /// Lets all further writes succeed, and waits for them.
    fn release(lines: &Lines, say: Sender<Result<(), ErrorKind>>) {
        drop(say);
        wait_until_idle(lines);
    }

    fn wait_until_idle(lines: &Lines) {
        let mut state = lines.0.state.lock();
        while !state.is_idle() {
            lines.0.changed.wait(&mut state);
        }
    }

    #[test]
    fn a_writer_that_never_returns_delays_no_caller_and_dropped_lines_are_counted() {
        let (lines, say, written) = lines();
        let text = "x".repeat(1023);
        for _ in 0..2_000 {
            push(&lines, &text);
        }
        lines.flush();
        assert!(lines.0.state.lock().is_stuck);
        release(&lines, say);
        push(&lines, "after");
        lines.flush();
        // On a busy machine the flush gives up earlier.
        wait_until_idle(&lines);
        let written = written.lock();
        let whole = written.lines().filter(|line| *line == text).count();
        assert!((1_000..=1_025).contains(&whole), "{whole}");
        // There are several reports if the thread took its first line after others had been dropped.
        let told = written
            .lines()
            .filter_map(|line| line.strip_suffix(" lines were dropped"));
        let dropped: usize = told
            .map(|count| count.parse::<usize>().expect("is a count"))
            .sum();
        assert_eq!(whole + dropped, 2_000);
        assert!(written.ends_with(" lines were dropped\nafter\n"), "{whole}");
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted_once_however_often_that_fails() {
        let (lines, say, written) = lines();
        for (text, writes) in [("one", 1), ("two", 2), ("three", 2)] {
            push(&lines, text);
            for _ in 0..writes {
                say.send(Err(ErrorKind::StorageFull)).expect("is heard");
            }
            wait_until_idle(&lines);
        }
        drop(say);
        push(&lines, "four");
        wait_until_idle(&lines);
        assert_eq!(*written.lock(), "3 lines were dropped\nfour\n");
    }

    #[test]
    fn a_line_that_was_torn_does_not_run_into_the_next_one() {
        struct Torn(Arc<Mutex<String>>, Vec<io::Result<usize>>);
        impl Write for Torn {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let written = self.1.pop().unwrap_or(Ok(bytes.len()))?;
                self.0
                    .lock()
                    .push_str(&String::from_utf8_lossy(&bytes[..written]));
                Ok(written)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let written = Arc::<Mutex<String>>::default();
        let answers = vec![Err(ErrorKind::StorageFull.into()), Ok(2)];
        let lines = Lines::start(Torn(Arc::clone(&written), answers)).expect("starts");
        push(&lines, "first");
        wait_until_idle(&lines);
        push(&lines, "second");
        wait_until_idle(&lines);
        assert_eq!(*written.lock(), "fi\n1 lines were dropped\nsecond\n");
    }

    #[test]
    fn a_writer_without_room_for_a_moment_is_tried_again() {
        let (lines, say, written) = lines();
        push(&lines, "line");
        for kind in [ErrorKind::WouldBlock, ErrorKind::Interrupted] {
            say.send(Err(kind)).expect("is heard");
        }
        release(&lines, say);
        assert_eq!(*written.lock(), "line\n");
    }
}
