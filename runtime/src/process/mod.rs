//! Child processes, with std's names: starting one, waiting for it and its pipes park the coroutine instead of blocking.
//!
//! A child is started on the thread pool (`fork` and `exec` take a while), its end is told by a *pidfd* in the shard's epoll
//! (no SIGCHLD, which all of a process's libraries share), and its pipes are non-blocking on our side only.
//!
//! A child that is dropped runs on, as std's does, unless [`Command::kill_on_drop`] says otherwise; a coroutine of its own
//! then waits for its end, so that no zombie is left while the runtime runs.
//!
//! There are no processes on the simulated driver: everything here answers `Unsupported`.

mod child;
mod notify;
mod pipe;

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::Path;

pub use std::process::{ExitStatus, Output, Stdio};

pub use child::Child;
pub use notify::notify;
pub use pipe::{ChildStderr, ChildStdin, ChildStdout};

use crate::net::io::refuse_simulated;
use crate::offload::offload;

/// A program to start: [`std::process::Command`], whose methods these are.
///
/// ```
/// use leveret_runtime::process::Command;
/// # leveret_runtime::run(|| {
/// let output = Command::new("echo").arg("hello").output().unwrap();
/// assert!(output.status.success());
/// assert_eq!(output.stdout, b"hello\n");
/// # }).unwrap();
/// ```
pub struct Command {
    /// Out of its place only while a thread of the pool starts it.
    inner: std::process::Command,
    kill_on_drop: bool,
}

impl Command {
    /// A command that starts `program`, found by `PATH`, with this process's environment, directory and standard streams.
    pub fn new(program: impl AsRef<OsStr>) -> Command {
        Command::from(std::process::Command::new(program))
    }

    /// Adds an argument.
    pub fn arg(&mut self, argument: impl AsRef<OsStr>) -> &mut Command {
        self.inner.arg(argument);
        self
    }

    /// Adds arguments.
    pub fn args(&mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> &mut Command {
        self.inner.args(arguments);
        self
    }

    /// Sets a variable of the child's environment.
    pub fn env(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Command {
        self.inner.env(name, value);
        self
    }

    /// Removes a variable from the child's environment.
    pub fn env_remove(&mut self, name: impl AsRef<OsStr>) -> &mut Command {
        self.inner.env_remove(name);
        self
    }

    /// Begins with an empty environment.
    ///
    /// ```
    /// use leveret_runtime::process::Command;
    /// # leveret_runtime::run(|| {
    /// let output = Command::new("env").env_clear().env("QUEUE", "orders").output().unwrap();
    /// assert_eq!(output.stdout, b"QUEUE=orders\n");
    /// # }).unwrap();
    /// ```
    pub fn env_clear(&mut self) -> &mut Command {
        self.inner.env_clear();
        self
    }

    /// The child's working directory.
    ///
    /// ```
    /// use leveret_runtime::process::Command;
    /// # leveret_runtime::run(|| {
    /// let output = Command::new("pwd").current_dir("/").output().unwrap();
    /// assert_eq!(output.stdout, b"/\n");
    /// # }).unwrap();
    /// ```
    pub fn current_dir(&mut self, directory: impl AsRef<Path>) -> &mut Command {
        self.inner.current_dir(directory);
        self
    }

    /// Where the child's standard input comes from: `Stdio::piped()` makes it [`Child::stdin`].
    pub fn stdin(&mut self, from: impl Into<Stdio>) -> &mut Command {
        self.inner.stdin(from);
        self
    }

    /// Where the child's standard output goes: `Stdio::piped()` makes it [`Child::stdout`].
    pub fn stdout(&mut self, to: impl Into<Stdio>) -> &mut Command {
        self.inner.stdout(to);
        self
    }

    /// Where the child's standard error goes: `Stdio::piped()` makes it [`Child::stderr`].
    pub fn stderr(&mut self, to: impl Into<Stdio>) -> &mut Command {
        self.inner.stderr(to);
        self
    }

    /// Whether a [`Child`] that is dropped before its end is killed (SIGKILL). The default is that it runs on.
    ///
    /// ```
    /// use leveret_runtime::{process::{Command, Stdio}, timeout};
    /// use std::{io::Read, time::Duration};
    /// # leveret_runtime::run(|| {
    /// let mut child = Command::new("sleep").arg("60").stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    /// let mut output = child.stdout.take().unwrap();
    /// let late = timeout(Duration::from_millis(5), move || child.wait()); // the child unwinds with the block
    /// assert!(late.is_err());
    /// assert_eq!(output.read(&mut [0]).unwrap(), 0); // so its output ends
    /// # }).unwrap();
    /// ```
    pub fn kill_on_drop(&mut self, kill: bool) -> &mut Command {
        self.kill_on_drop = kill;
        self
    }

    /// Starts the program; waits until it has begun. If the caller is killed or timed out meanwhile, a child that was
    /// started all the same is killed.
    ///
    /// ```
    /// use leveret_runtime::process::Command;
    /// # leveret_runtime::run(|| {
    /// assert!(Command::new("true").spawn().unwrap().wait().unwrap().success());
    /// let missing = Command::new("no-such-program").spawn();
    /// assert_eq!(missing.unwrap_err().kind(), std::io::ErrorKind::NotFound);
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// There is no such program, or it cannot be executed; the kernel's, at its limits of processes and descriptors;
    /// `Unsupported` on the simulated driver.
    ///
    /// # Panics
    /// Outside of a coroutine, and while the stack unwinds.
    pub fn spawn(&mut self) -> io::Result<Child> {
        refuse_simulated()?;
        let mut command = std::mem::replace(&mut self.inner, std::process::Command::new(""));
        let (command, started) = offload(move || {
            let started = command.spawn().map(Started::new);
            (command, started)
        });
        self.inner = command;
        Child::new(started?.into_inner(), self.kill_on_drop)
    }

    /// Starts the program and waits for its end.
    ///
    /// ```
    /// use leveret_runtime::process::Command;
    /// # leveret_runtime::run(|| {
    /// assert!(Command::new("test").args(["-d", "/"]).status().unwrap().success());
    /// assert_eq!(Command::new("sh").args(["-c", "exit 7"]).status().unwrap().code(), Some(7));
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`Command::spawn`].
    ///
    /// # Panics
    /// As [`Command::spawn`].
    pub fn status(&mut self) -> io::Result<ExitStatus> {
        self.spawn()?.wait()
    }

    /// Starts the program, with nothing to read, and waits for its end and for all that it writes to its standard output
    /// and standard error. These three streams are set by this call, for later calls too.
    ///
    /// ```
    /// use leveret_runtime::process::Command;
    /// # leveret_runtime::run(|| {
    /// let output = Command::new("sh").args(["-c", "cat; echo done"]).output().unwrap(); // it has nothing to read
    /// assert_eq!(output.stdout, b"done\n");
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`Command::spawn`]; those of reading.
    ///
    /// # Panics
    /// As [`Command::spawn`].
    pub fn output(&mut self) -> io::Result<Output> {
        self.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.spawn()?.wait_with_output()
    }
}

/// For what this type has no method for: a user, a process group, what is to be done between `fork` and `exec`.
impl From<std::process::Command> for Command {
    fn from(command: std::process::Command) -> Command {
        Command { inner: command, kill_on_drop: false }
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// A child on its way from the pool's thread. If whoever started it is gone by then, it is killed and waited for there.
struct Started(Option<std::process::Child>);

impl Started {
    fn new(child: std::process::Child) -> Started {
        Started(Some(child))
    }

    fn into_inner(mut self) -> std::process::Child {
        self.0.take().expect("present until here")
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill(); // it may have ended by itself
            let _ = child.wait();
        }
    }
}
