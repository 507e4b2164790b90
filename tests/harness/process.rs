//! A program under test or a foreign client: started, listened to, and ended with the test.
//!
//! States: running -> ended (seen by the end of its output, then reaped). A test that fails prints what the process printed.

use std::io::Write;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;

use crate::output::{Missing, Output};
use crate::patience;

/// A running process whose lines can be awaited. It is killed when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    output: Arc<Output>,
}

impl Process {
    /// Starts `command` with all three streams piped; `name` is what failures call it.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn start(name: &str, mut command: Command) -> Process {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name}: cannot start {command:?}: {error}"));
        let output = Arc::new(Output::default());
        output.follow(child.stdout.take().expect("stdout is piped above"));
        output.follow(child.stderr.take().expect("stderr is piped above"));
        Process { name: name.to_owned(), stdin: child.stdin.take(), child, output }
    }

    /// Waits for a line that contains `text` and returns the first.
    ///
    /// # Panics
    /// When the process ends without it or the patience runs out.
    pub fn expect(&self, text: &str) -> String {
        self.expect_count(1, text).remove(0)
    }

    /// Waits for `count` lines that contain `text` and returns all such lines, at least `count`.
    ///
    /// # Panics
    /// When the process ends without them or the patience runs out.
    pub fn expect_count(&self, count: usize, text: &str) -> Vec<String> {
        match self.output.wait_for(count, |line| line.contains(text)) {
            Ok(lines) => lines,
            Err(Missing::Ended) => self.fail(&format!("ended without printing {count} x {text:?}")),
            Err(Missing::TimedOut) => self.fail(&format!("did not print {count} x {text:?} within {:?}", patience())),
        }
    }

    /// Lines printed so far that contain `text`.
    pub fn lines_with(&self, text: &str) -> Vec<String> {
        self.output.lines().into_iter().filter(|line| line.contains(text)).collect()
    }

    /// Waits for the process to end by itself.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn finish(&mut self) -> ExitStatus {
        if !self.output.wait_for_end() {
            self.fail(&format!("did not end within {:?}", patience()));
        }
        self.child.wait().unwrap_or_else(|error| panic!("{}: cannot be waited for: {error}", self.name))
    }

    /// Waits for the process to end by itself and demands success.
    ///
    /// # Panics
    /// When it does not end in time or ends with another status than 0.
    pub fn succeed(&mut self) {
        let status = self.finish();
        if !status.success() {
            self.fail(&format!("ended with {status}"));
        }
    }

    /// Writes one line to the process, which tells a waiting program to go on.
    ///
    /// # Panics
    /// When the process no longer reads.
    pub fn say(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("stdin stays open until the process is dropped");
        if let Err(error) = writeln!(stdin, "{line}").and_then(|()| stdin.flush()) {
            self.fail(&format!("does not read its standard input: {error}"));
        }
    }

    /// Ends the process at once and for good (SIGKILL), as a crash would. No clean-up of its own runs.
    pub fn kill(&mut self) {
        // An error here means that it has ended already, which is what was asked for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks the process to end (SIGTERM).
    ///
    /// # Panics
    /// When the signal cannot be sent.
    pub fn terminate(&self) {
        let sent = Command::new("sh").args(["-c", "kill -TERM \"$0\"", &self.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "{}: SIGTERM could not be sent", self.name);
    }

    /// The operating system's id of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far.
    pub fn output(&self) -> &Output {
        &self.output
    }

    fn fail(&self, what: &str) -> ! {
        panic!("{} {what}; it printed:\n{}", self.name, indented(&self.output.lines()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!("{} had printed:\n{}", self.name, indented(&self.output.lines()));
        }
    }
}

fn indented(lines: &[String]) -> String {
    lines.iter().map(|line| format!("    {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::start("script", command)
    }

    #[test]
    fn lines_of_both_streams_are_awaited() {
        let process = shell("echo one; echo two >&2; read wait");
        assert_eq!(process.expect("tw"), "two");
        assert_eq!(process.expect("one"), "one");
    }

    #[test]
    fn goes_on_when_spoken_to() {
        let mut process = shell("read word; echo got $word");
        process.say("this");
        process.expect("got this");
        process.succeed();
    }

    #[test]
    fn a_killed_process_is_gone_and_did_not_succeed() {
        let mut process = shell("echo here; read wait");
        process.expect("here");
        process.kill();
        assert!(!process.finish().success());
    }

    #[test]
    fn a_termination_can_be_caught() {
        let mut process = shell("trap 'echo bye; exit 0' TERM; echo here; while :; do read wait || :; done");
        process.expect("here");
        process.terminate();
        process.expect("bye");
        process.succeed();
    }

    #[test]
    #[should_panic(expected = "script ended without printing 1 x \"never\"; it printed:\n    only this")]
    fn a_missing_line_shows_what_was_printed() {
        shell("echo only this").expect("never");
    }
}
