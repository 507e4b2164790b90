//! The lines that a process has printed, which a test can wait for.
//!
//! Standard output and standard error end up in one list, in the order in which they were read; a thread per stream reads
//! them, so that a process never blocks on a full pipe. The list is closed when both streams have ended, which is when
//! the process (and whatever it had started on the same streams) is gone.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use crate::patience;

/// Lines of one process, complete so far, and whether more can come.
#[derive(Debug, Default)]
pub struct Output {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<String>,
    streams_open: usize,
}

/// Why an awaited line did not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The process has ended without printing it.
    Ended,
    /// It was not printed within [`patience`].
    TimedOut,
}

impl Output {
    /// Starts to read `stream` until its end.
    pub fn follow(self: &Arc<Self>, stream: impl Read + Send + 'static) {
        self.lock().streams_open += 1;
        let output = Arc::clone(self);
        thread::spawn(move || output.read(BufReader::new(stream)));
    }

    /// Waits until at least `count` lines satisfy `wanted` and returns all that do.
    ///
    /// # Errors
    /// [`Missing`] when the process ended or the patience did.
    pub fn wait_for(&self, count: usize, wanted: impl Fn(&str) -> bool) -> Result<Vec<String>, Missing> {
        let found = |state: &State| state.lines.iter().filter(|line| wanted(line)).count() >= count;
        let state = self.wait_until(|state| found(state) || state.streams_open == 0);
        match (found(&state), state.streams_open) {
            (true, _) => Ok(state.lines.iter().filter(|line| wanted(line)).cloned().collect()),
            (false, 0) => Err(Missing::Ended),
            (false, _) => Err(Missing::TimedOut),
        }
    }

    /// Waits for the end of all streams; false when they outlast the patience.
    pub fn wait_for_end(&self) -> bool {
        self.wait_until(|state| state.streams_open == 0).streams_open == 0
    }

    /// Everything printed so far.
    pub fn lines(&self) -> Vec<String> {
        self.lock().lines.clone()
    }

    fn wait_until(&self, done: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let deadline = Instant::now() + patience();
        let mut state = self.lock();
        while !done(&state) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state
    }

    fn read(&self, stream: impl BufRead) {
        for line in stream.split(b'\n').map_while(Result::ok) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            self.change(|state| state.lines.push(text));
        }
        self.change(|state| state.streams_open -= 1);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(text: &'static str) -> Arc<Output> {
        let output = Arc::new(Output::default());
        output.follow(text.as_bytes());
        output
    }

    #[test]
    fn waits_for_enough_lines_and_returns_all_that_match() {
        let output = printed("a 1\nb\na 2\n");
        assert!(output.wait_for_end());
        assert_eq!(output.wait_for(1, |line| line.starts_with('a')), Ok(vec!["a 1".into(), "a 2".into()]));
        assert_eq!(output.lines(), ["a 1", "b", "a 2"]);
    }

    #[test]
    fn says_that_the_process_ended_without_the_line() {
        assert_eq!(printed("a\n").wait_for(2, |line| line == "a"), Err(Missing::Ended));
    }

    #[test]
    fn keeps_an_unfinished_last_line_and_foreign_bytes() {
        let output = printed("x\r\ny");
        assert!(output.wait_for_end());
        assert_eq!(output.lines(), ["x", "y"]);
    }
}
