//! A process that was started: waiting for its end, killing it, reaping it.

use std::fmt;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use super::pipe::{ChildStderr, ChildStdin, ChildStdout};
use super::{ExitStatus, Output};
use crate::coroutine::current;
use crate::coroutine::task::Wait;
use crate::readiness::{Direction, Registration};
use crate::signal::Signal;
use crate::sys::pidfd;
use crate::{Builder, scope, time};

/// A child process. It belongs to the shard that started it.
///
/// ```
/// use std::io::{Read, Write};
/// use leveret_runtime::process::{Command, Stdio};
/// # leveret_runtime::run(|| {
/// let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
/// child.stdin.take().unwrap().write_all(b"meow").unwrap(); // dropped here: cat sees the end
/// let mut said = String::new();
/// child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
/// assert_eq!(said, "meow");
/// assert!(child.wait().unwrap().success());
/// # }).unwrap();
/// ```
pub struct Child {
    /// The pipe to its standard input, if that is piped.
    pub stdin: Option<ChildStdin>,
    /// The pipe from its standard output, if that is piped.
    pub stdout: Option<ChildStdout>,
    /// The pipe from its standard error, if that is piped.
    pub stderr: Option<ChildStderr>,
    /// `None` only while it is dropped.
    process: Option<Process>,
    kill_on_drop: bool,
}

/// The process without its pipes.
struct Process {
    /// Dropped first: deregistration comes before close.
    registration: Registration,
    pidfd: OwnedFd,
    inner: std::process::Child,
    status: Option<ExitStatus>,
}

impl Child {
    /// Takes over a child that was started just now. If that fails, it is killed.
    pub(super) fn new(mut inner: std::process::Child, kill_on_drop: bool) -> io::Result<Child> {
        let (stdin, stdout, stderr) = (inner.stdin.take(), inner.stdout.take(), inner.stderr.take());
        let process = Process::new(inner)?;
        let mut child = Child { stdin: None, stdout: None, stderr: None, process: Some(process), kill_on_drop: true };
        child.stdin = stdin.map(ChildStdin::new).transpose()?;
        child.stdout = stdout.map(ChildStdout::new).transpose()?;
        child.stderr = stderr.map(ChildStderr::new).transpose()?;
        child.kill_on_drop = kill_on_drop;
        Ok(child)
    }

    /// The system's number of the process. After its end was waited for, another process may get it.
    pub fn id(&self) -> u32 {
        self.process().inner.id()
    }

    /// Closes the pipe to its standard input, if there is one, and parks until the process has ended.
    ///
    /// A kill or an expired `timeout` of the caller strikes here, as at any wait; the process goes on, and may be waited for
    /// again. A process that writes to a pipe which nobody reads may never end; see [`Child::wait_with_output`].
    ///
    /// ```
    /// use leveret_runtime::process::Command;
    /// # leveret_runtime::run(|| {
    /// let mut child = Command::new("false").spawn().unwrap();
    /// let status = child.wait().unwrap();
    /// assert_eq!(status.code(), Some(1));
    /// assert_eq!(child.wait().unwrap(), status); // it is known from now on
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// Those of `waitpid(2)`; a destructor calls it while its stack unwinds.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        self.process_mut().wait_until(None)
    }

    /// As [`Child::wait`], for at most `limit`; `None` if the process has not ended by then.
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::process::Command;
    /// # leveret_runtime::run(|| {
    /// let mut child = Command::new("sleep").arg("60").spawn().unwrap();
    /// assert!(child.wait_timeout(Duration::from_millis(5)).unwrap().is_none()); // it goes on
    /// child.kill().unwrap();
    /// assert!(!child.wait().unwrap().success());
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`Child::wait`].
    pub fn wait_timeout(&mut self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        drop(self.stdin.take());
        match self.process_mut().wait_until(time::deadline_in(limit)) {
            Ok(status) => Ok(Some(status)),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// How the process ended, if it has, without waiting.
    ///
    /// ```
    /// use leveret_runtime::process::{Command, Stdio};
    /// # leveret_runtime::run(|| {
    /// let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    /// assert!(child.try_wait().unwrap().is_none()); // it reads
    /// drop(child.stdin.take());
    /// child.wait().unwrap();
    /// assert!(child.try_wait().unwrap().unwrap().success());
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// Those of `waitpid(2)`.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.process_mut().try_wait()
    }

    /// Waits for the end of the process and for all that it writes to those of its streams that are piped here.
    ///
    /// ```
    /// use leveret_runtime::process::{Command, Stdio};
    /// # leveret_runtime::run(|| {
    /// let mut command = Command::new("sh");
    /// command.args(["-c", "echo out; echo err >&2"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    /// let output = command.spawn().unwrap().wait_with_output().unwrap();
    /// assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"out\n"[..], &b"err\n"[..]));
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`Child::wait`]; those of reading. The child is dropped then.
    pub fn wait_with_output(mut self) -> io::Result<Output> {
        drop(self.stdin.take());
        let (out, err) = (self.stdout.take(), self.stderr.take());
        let (stdout, stderr) = scope(|scope| {
            let errors = scope.spawn(move || read_all(err));
            let stdout = read_all(out);
            let stderr = errors.join().unwrap_or_else(|error| Err(io::Error::other(error.to_string())));
            (stdout, stderr)
        });
        Ok(Output { stdout: stdout?, stderr: stderr?, status: self.wait()? })
    }

    /// Kills the process (SIGKILL). Its end is still to be waited for. Nothing if it has ended.
    ///
    /// ```
    /// use std::os::unix::process::ExitStatusExt;
    /// use leveret_runtime::process::Command;
    /// # leveret_runtime::run(|| {
    /// let mut child = Command::new("sleep").arg("60").spawn().unwrap();
    /// child.kill().unwrap();
    /// assert_eq!(child.wait().unwrap().signal(), Some(9));
    /// child.kill().unwrap(); // it has ended: nothing happens
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The kernel's: the process has changed its user.
    pub fn kill(&mut self) -> io::Result<()> {
        self.process_mut().inner.kill()
    }

    /// Sends a signal to the process.
    ///
    /// ```
    /// use std::os::unix::process::ExitStatusExt;
    /// use leveret_runtime::{process::Command, signal::Signal};
    /// # leveret_runtime::run(|| {
    /// let mut child = Command::new("sleep").arg("60").spawn().unwrap();
    /// child.signal(Signal::Terminate).unwrap(); // it may clean up, unlike with `kill`
    /// assert_eq!(child.wait().unwrap().signal(), Some(15));
    /// assert_eq!(child.signal(Signal::Terminate).unwrap_err().kind(), std::io::ErrorKind::NotFound);
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `NotFound` if it has ended and was waited for; the kernel's.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        match self.process().status {
            Some(_) => Err(io::Error::new(io::ErrorKind::NotFound, "the process has ended")),
            None => pidfd::send_signal(self.process().pidfd.as_fd(), signal.number()),
        }
    }

    /// Where its end arrives; for waiting on several things at once.
    pub(crate) fn registration(&self) -> &Registration {
        &self.process().registration
    }

    fn process(&self) -> &Process {
        self.process.as_ref().expect("present until dropped")
    }

    fn process_mut(&mut self) -> &mut Process {
        self.process.as_mut().expect("present until dropped")
    }
}

/// The pidfd: readable when the process has ended.
impl AsFd for Child {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.process().pidfd.as_fd()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        if self.kill_on_drop && process.status.is_none() {
            let _ = process.inner.kill(); // it may have ended by itself
        }
        process.reap_later();
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child").field("id", &self.id()).field("status", &self.process().status).finish_non_exhaustive()
    }
}

impl Process {
    fn new(mut inner: std::process::Child) -> io::Result<Process> {
        let watched = pidfd::open(inner.id()).and_then(|pidfd| {
            let registration = Registration::not_ready(pidfd.as_raw_fd())?;
            Ok((pidfd, registration))
        });
        match watched {
            Ok((pidfd, registration)) => Ok(Process { registration, pidfd, inner, status: None }),
            Err(error) => {
                let _ = inner.kill();
                let _ = inner.wait(); // soon over: it was killed
                Err(error)
            }
        }
    }

    fn wait_until(&mut self, deadline: Option<Instant>) -> io::Result<ExitStatus> {
        loop {
            self.registration.clear(Direction::Read); // the end is an edge that comes after this look, or is seen by it
            if let Some(status) = self.try_wait()? {
                return Ok(status);
            }
            self.registration.wait_as(Direction::Read, Wait::Process(self.inner.id()), deadline)?;
        }
    }

    fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = self.inner.try_wait()?;
        }
        Ok(self.status)
    }

    /// Has a coroutine wait for the end, so that the process does not stay as a zombie. Where there is none to be had (the
    /// runtime ends), it is the system's business when this process ends.
    fn reap_later(mut self) {
        if matches!(self.try_wait(), Ok(None)) && current::try_with(|_| ()).is_some() {
            let name = format!("reaper of process {}", self.inner.id());
            let spawned = Builder::new().name(name).spawn(move || drop(self.wait_until(None)));
            drop(spawned);
        }
    }
}

fn read_all(pipe: Option<impl Read>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        pipe.read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}
