//! A broker to test: ours as a process of its own, or a foreign one that runs already.
//!
//! ```text
//!   start ──ready line──▶ running ──kill (SIGKILL) or terminate (SIGTERM)──▶ ended
//! ```
//!
//! Ours listens on a port that the system chose and names it in its ready line. With `LEVERET_AMQP` every broker asked for is
//! that one: this is how the expectations are checked against a real RabbitMQ.
//!
//! A test process that is itself killed cannot clean up, so each broker has a *lifeline*: a shell that waits on a pipe from
//! the test process and, when that breaks, kills the broker and removes its data.

use std::env;
use std::fs;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::thread;

use crate::output::Missing;
use crate::{Process, leveret, target_dir, unique};

/// Shard counts with which every behaviour is tested: one thread, an even spread, more shards than most machines have cores.
pub const SHARD_COUNTS: [usize; 3] = [1, 2, 5];

const LOG_TAIL_LINES: usize = 40;

/// A running broker. Ours ends, and its data goes, when this is dropped.
#[derive(Debug)]
pub struct Broker {
    address: SocketAddr,
    own: Option<Own>,
}

/// What exists only for a broker that this process started. The order of the fields is the order of their end.
#[derive(Debug)]
struct Own {
    process: Process,
    http: SocketAddr,
    prometheus: SocketAddr,
    _lifeline: Lifeline,
    data_dir: DataDir,
    settings: Vec<String>,
}

impl Broker {
    /// Starts a broker of our own with this many shards and an empty data directory, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not build, ends, or does not become ready in time.
    pub fn start(shards: usize) -> Broker {
        match foreign_address() {
            Some(address) => Broker { address, own: None },
            None => Broker::start_ours(shards),
        }
    }

    /// Another one that runs already.
    pub fn foreign(address: SocketAddr) -> Broker {
        Broker { address, own: None }
    }

    /// The broker with this many shards that all tests of this process share; tests must use names of their own ([`unique`]).
    ///
    /// # Panics
    /// When `shards` is not one of [`SHARD_COUNTS`], or as [`Broker::start`].
    pub fn shared(shards: usize) -> &'static Broker {
        static SHARED: [OnceLock<Broker>; SHARD_COUNTS.len()] = [const { OnceLock::new() }; SHARD_COUNTS.len()];
        let index = SHARD_COUNTS.iter().position(|&count| count == shards);
        let index = index.unwrap_or_else(|| panic!("{shards} shards: shared brokers have {SHARD_COUNTS:?}"));
        SHARED[index].get_or_init(|| Broker::start(shards))
    }

    /// The same whatever `LEVERET_AMQP` says: for tests of our program itself, which has to be started and stopped.
    ///
    /// # Panics
    /// As [`Broker::start`].
    pub fn start_ours(shards: usize) -> Broker {
        Broker::start_ours_with(shards, &[])
    }

    /// The same with these lines of configuration.
    ///
    /// # Panics
    /// As [`Broker::start`].
    pub fn start_ours_with(shards: usize, settings: &[&str]) -> Broker {
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        Broker::start_in(DataDir::create(), shards, settings)
    }

    /// The same with no more than so many descriptors for all its files and sockets.
    ///
    /// # Panics
    /// As [`Broker::start`].
    pub fn start_ours_with_descriptors(shards: usize, descriptors: u32) -> Broker {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -n \"$0\" && exec \"$@\"", &descriptors.to_string()]).arg(leveret());
        Broker::start_as(command, DataDir::create(), shards, Vec::new())
    }

    /// Starts again, after [`Broker::kill`] or once it has ended, on the same data and with the same configuration, but maybe with
    /// another number of shards.
    ///
    /// # Panics
    /// When the broker is foreign, and as [`Broker::start`].
    pub fn restarted(mut self, shards: usize) -> Broker {
        self.own("restart");
        let own = self.own.take().expect("checked in the line above");
        let Own { process, _lifeline: lifeline, data_dir, settings, .. } = own;
        lifeline.untie();
        drop(process);
        Broker::start_in(data_dir, shards, settings)
    }

    /// Starts a broker of our own on data in `path`, which stays there afterwards. `wrapper` is a program with arguments that
    /// becomes the broker, such as `strace -D`; empty for none.
    ///
    /// # Errors
    /// The lines that it printed until it ended.
    ///
    /// # Panics
    /// When it does not build or neither ends nor becomes ready in time.
    pub fn start_ours_at(path: &Path, shards: usize, wrapper: &[&str]) -> Result<Broker, Vec<String>> {
        let command = match wrapper {
            [] => Command::new(leveret()),
            [program, arguments @ ..] => {
                let mut command = Command::new(program);
                command.args(arguments).arg(leveret());
                command
            }
        };
        Broker::launch(command, DataDir::kept(path), shards, Vec::new())
    }

    fn start_in(data_dir: DataDir, shards: usize, settings: Vec<String>) -> Broker {
        Broker::start_as(Command::new(leveret()), data_dir, shards, settings)
    }

    fn start_as(command: Command, data_dir: DataDir, shards: usize, settings: Vec<String>) -> Broker {
        Broker::launch(command, data_dir, shards, settings)
            .unwrap_or_else(|lines| panic!("leveret ended without being ready: {lines:#?}"))
    }

    fn launch(
        mut command: Command,
        data_dir: DataDir,
        shards: usize,
        settings: Vec<String>,
    ) -> Result<Broker, Vec<String>> {
        command.args([
            "serve",
            "--amqp",
            "127.0.0.1:0",
            "--http",
            "127.0.0.1:0",
            "--prometheus",
            "127.0.0.1:0",
            "--shards",
            &shards.to_string(),
            "--log",
            "warn",
            "--data-dir",
        ]);
        command.arg(&data_dir.path);
        settings.iter().for_each(|setting| _ = command.arg("--set").arg(setting));
        let process = Process::start(&format!("leveret with {shards} shards"), command);
        let lifeline = Lifeline::tie(&process, &data_dir);
        let ready = match process.output().wait_for(1, |line| line.contains(" ready: ")) {
            Err(Missing::Ended) => return Err(process.output().lines()),
            _ => process.expect(" ready: "),
        };
        let named = |name: &str| {
            address_of(&ready, name).unwrap_or_else(|| panic!("no `{name} ADDRESS` in the ready line {ready:?}"))
        };
        let (address, http, prometheus) = (named("amqp"), named("http"), named("prometheus"));
        Ok(Broker { address, own: Some(Own { process, http, prometheus, _lifeline: lifeline, data_dir, settings }) })
    }

    /// Where it serves AMQP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it serves the HTTP API.
    ///
    /// # Panics
    /// When the broker is foreign.
    pub fn http(&self) -> SocketAddr {
        self.own("HTTP API").http
    }

    /// Where it answers Prometheus.
    ///
    /// # Panics
    /// When the broker is foreign.
    pub fn prometheus(&self) -> SocketAddr {
        self.own("metrics").prometheus
    }

    /// Whether it was running before the tests, so that they can neither stop it nor read its log.
    pub fn is_foreign(&self) -> bool {
        self.own.is_none()
    }

    /// Its data directory.
    ///
    /// # Panics
    /// When the broker is foreign.
    pub fn data_dir(&self) -> &Path {
        &self.own("data directory").data_dir.path
    }

    /// Ends it at once (SIGKILL), as a crash would.
    ///
    /// # Panics
    /// When the broker is foreign.
    pub fn kill(&mut self) {
        self.own("kill");
        self.own.iter_mut().for_each(|own| own.process.kill());
    }

    /// Asks it to stop (SIGTERM).
    ///
    /// # Panics
    /// When the broker is foreign.
    pub fn terminate(&self) {
        self.own("terminate").process.terminate();
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When the broker is foreign or does not end in time.
    pub fn await_end(&mut self) -> ExitStatus {
        self.own("await the end");
        self.own.as_mut().expect("checked in the line above").process.finish()
    }

    /// The last lines that it logged, for the report of a failed test.
    pub fn log_tail(&self) -> String {
        let Some(own) = &self.own else { return "    (a foreign broker: its log is elsewhere)\n".into() };
        let lines = own.process.output().lines();
        let tail = &lines[lines.len().saturating_sub(LOG_TAIL_LINES)..];
        tail.iter().map(|line| format!("    {line}\n")).collect()
    }

    /// All lines that it has logged so far.
    ///
    /// # Panics
    /// When the broker is foreign.
    pub fn log_lines(&self) -> Vec<String> {
        self.own("log").process.output().lines()
    }

    /// A value that, when the running test fails, prints the broker's last lines.
    pub fn log_on_failure(&self) -> LogOnFailure<'_> {
        LogOnFailure(self)
    }

    /// Waits for a line of its log that contains `text`.
    ///
    /// # Errors
    /// [`Missing`] when it ended, or the patience did.
    ///
    /// # Panics
    /// When the broker is foreign.
    pub fn logged(&self, text: &str) -> Result<String, Missing> {
        let lines = self.own("log").process.output().wait_for(1, |line| line.contains(text))?;
        lines.into_iter().next().ok_or(Missing::Ended)
    }

    fn own(&self, what: &str) -> &Own {
        self.own.as_ref().unwrap_or_else(|| panic!("{what}: the broker of LEVERET_AMQP is not ours to command"))
    }
}

/// See [`Broker::log_on_failure`].
#[derive(Debug)]
pub struct LogOnFailure<'a>(&'a Broker);

impl Drop for LogOnFailure<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the broker at {} had printed:\n{}", self.0.address, self.0.log_tail());
        }
    }
}

fn foreign_address() -> Option<SocketAddr> {
    let text = env::var("LEVERET_AMQP").ok()?;
    let address = text.to_socket_addrs().ok().and_then(|mut addresses| addresses.next());
    Some(address.unwrap_or_else(|| panic!("LEVERET_AMQP={text}: not a host:port that can be found")))
}

/// The first address of a protocol in a ready line such as `leveret 0.1.0 ready: amqp 127.0.0.1:41234, http 127.0.0.1:41235`.
fn address_of(ready: &str, name: &str) -> Option<SocketAddr> {
    let mut words = ready.split_whitespace().skip_while(|&word| word != name).skip(1);
    words.next()?.trim_end_matches([',', ';']).parse().ok()
}

/// Kills the broker and removes its data when this process is gone, however it went.
#[derive(Debug)]
struct Lifeline(Child);

impl Lifeline {
    fn tie(process: &Process, data_dir: &DataDir) -> Lifeline {
        let mut command = Command::new("sh");
        let tidy_up = if data_dir.is_kept { "" } else { "rm -rf \"$1\"" };
        let script = format!("read _; kill -9 \"$0\"; {tidy_up}");
        command.args(["-c", &script, &process.id().to_string()]).arg(&data_dir.path);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Lifeline(command.spawn().unwrap_or_else(|error| panic!("cannot run sh: {error}")))
    }
}

impl Lifeline {
    /// Lets go without killing or removing anything.
    fn untie(mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Lifeline {
    fn drop(&mut self) {
        // Only now: the broker has been reaped, so its id may belong to somebody else from here on.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A directory that is removed at the end, unless the test has brought it.
#[derive(Debug)]
struct DataDir {
    path: PathBuf,
    is_kept: bool,
}

impl DataDir {
    fn create() -> DataDir {
        let path = target_dir().join("tmp").join(unique("broker"));
        fs::create_dir_all(&path).unwrap_or_else(|error| panic!("cannot create {}: {error}", path.display()));
        DataDir { path, is_kept: false }
    }

    fn kept(path: &Path) -> DataDir {
        DataDir { path: path.to_owned(), is_kept: true }
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        if !self.is_kept {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_the_ready_line() {
        let check = |line: &str, expected: Option<&str>| {
            assert_eq!(address_of(line, "amqp").map(|address| address.to_string()).as_deref(), expected, "{line}");
        };
        check("leveret 0.1.0 ready: amqp 127.0.0.1:41234", Some("127.0.0.1:41234"));
        check("leveret 0.1.0 ready: amqp 127.0.0.1:41234, http 127.0.0.1:9", Some("127.0.0.1:41234"));
        check("leveret 0.1.0 ready: http 127.0.0.1:9 amqp [::1]:5672 shards 2", Some("[::1]:5672"));
        check("leveret 0.1.0 ready: http 127.0.0.1:9", None);
        check("leveret 0.1.0 ready: amqp", None);
    }

    #[test]
    fn a_broken_lifeline_kills_and_tidies_up() {
        let data_dir = DataDir::create();
        let mut command = Command::new("sh");
        command.args(["-c", "echo up; read wait"]);
        let mut process = Process::start("a broker", command);
        process.expect("up");
        let mut lifeline = Lifeline::tie(&process, &data_dir);
        // What happens to the pipe when the test process dies.
        drop(lifeline.0.stdin.take());
        assert!(!process.finish().success());
        assert!(lifeline.0.wait().is_ok_and(|status| status.success()));
        assert!(!data_dir.path.exists());
    }
}
