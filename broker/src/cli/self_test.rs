//! `leveret self-test`: does this program work on this machine? It runs a broker of its own in a scratch directory, kills it under
//! confirmed messages, and looks whether all are there again; and it says what of the machine will be in the way.
//!
//! Nothing of a broker that runs already is touched: addresses are free ports of the loopback, the directory is new.

use std::env;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use clap::Args;
use leveret_client::{BasicProperties, Connection, Error as ClientError, Options, PERSISTENT, QueueOptions};
use leveret_runtime as runtime;
use runtime::process::{Child, Command};
use runtime::time;

use crate::ctl::SOCKET_NAME;
use crate::ctl::api::{Api, Request};
use crate::ctl::http::Client;

/// Messages that are published, confirmed, and looked for after the kill.
const MESSAGES: u32 = 1000;

/// Fewer descriptors than this are few for a broker: one a connection.
const DESCRIPTORS_FEW: u64 = 4096;

/// Less room than this is soon used up.
const ROOM_LITTLE: u64 = 1024 * 1024 * 1024;

/// A sync that takes longer bounds what a single publisher gets confirmed.
const SYNC_SLOW: Duration = Duration::from_millis(20);

/// How often a sync is tried, to know the usual one.
const SYNCS: usize = 8;

/// A clock before this day is wrong: seconds since 1970 at the beginning of 2025.
const CLOCK_MIN: u64 = 1_735_689_600;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Options of `self-test`.
#[derive(Args, Clone, Debug)]
pub struct SelfTest {
    /// Where the scratch directory is made: name the disk that the broker will use [default: the temporary directory]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Runs the sub-command.
pub fn main(options: &SelfTest) -> ExitCode {
    let parent = options.dir.clone().unwrap_or_else(env::temp_dir);
    let tested = runtime::run(move || runtime::timeout(PATIENCE, || test(&parent)));
    let failure = match tested {
        Ok(Ok(Ok(()))) => return ExitCode::SUCCESS,
        Ok(Ok(Err(failure))) => failure,
        Ok(Err(_)) => format!("not done after {} seconds", PATIENCE.as_secs()),
        Err(deadlock) => deadlock.to_string(),
    };
    println!("\nFAILED: {failure}");
    ExitCode::FAILURE
}

fn good(what: &str) {
    println!("ok    {what}");
}

fn note(is_well: bool, well: &str, otherwise: &str) {
    if is_well { good(well) } else { println!("note  {otherwise}") }
}

/// What was being done, and why it failed.
fn during<E: std::fmt::Display>(doing: &'static str) -> impl FnOnce(E) -> String {
    move |error| format!("{doing}: {error}")
}

fn test(parent: &Path) -> Result<(), String> {
    let scratch = Scratch::make(parent).map_err(during("making the scratch directory"))?;
    machine(&scratch.0)?;
    let mut broker = Broker::start(&scratch.0)?;
    good(&format!("a broker starts: {}", broker.ready));
    http(&scratch.0)?;
    publish(broker.amqp).map_err(during("publishing"))?;
    good(&format!("{MESSAGES} persistent messages are confirmed"));
    broker.child.kill().and_then(|()| broker.child.wait()).map_err(during("killing the broker"))?;
    broker = Broker::start(&scratch.0)?;
    consume(broker.amqp)?;
    good("after a kill without warning all of them are there, in order, and can be consumed");
    broker.stop()?;
    good("it stops when it is asked to");
    println!("\nOK");
    Ok(())
}

// ---- the machine

fn machine(dir: &Path) -> Result<(), String> {
    let limit = runtime::raise_descriptor_limit().map_err(during("asking for the limit of descriptors"))?;
    note(
        limit >= DESCRIPTORS_FEW,
        &format!("{limit} file descriptors may be open"),
        &format!("only {limit} file descriptors may be open, one a connection: raise it (LimitNOFILE=, ulimit -n)"),
    );
    let room = runtime::fs::space(dir).map_err(during("asking for free room"))?.free;
    note(
        room >= ROOM_LITTLE,
        &format!("{} MiB are free on the disk", room >> 20),
        &format!("only {} MiB are free on the disk: publishers are held up below disk_free_limit", room >> 20),
    );
    let clock = time::system_now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    note(clock >= CLOCK_MIN, "the clock has been set", "the clock is wrong: times in messages and lists will be too");
    let sync = sync_time(dir).map_err(during("writing to the disk"))?;
    let micros = sync.as_micros();
    note(
        sync <= SYNC_SLOW,
        &format!("a sync of the disk takes {micros} µs"),
        &format!("a sync of the disk takes {micros} µs: a publisher that waits for each confirm gets no more of them"),
    );
    Ok(())
}

/// The median of a few.
fn sync_time(dir: &Path) -> io::Result<Duration> {
    let file = runtime::fs::File::create(dir.join("sync"))?;
    let mut times = Vec::new();
    for at in 0..SYNCS as u64 {
        file.write_all_at(&[1; 4096], at * 4096)?;
        let start = time::now();
        file.sync_data()?;
        times.push(time::now() - start);
    }
    times.sort_unstable();
    Ok(times.get(SYNCS / 2).copied().unwrap_or_default())
}

/// A directory that goes when this is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn make(parent: &Path) -> io::Result<Scratch> {
        let path = parent.join(format!("leveret-self-test-{:016x}", runtime::random::u64()));
        runtime::fs::create_dir_all_mode(&path, 0o700)?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = runtime::fs::remove_dir_all(&self.0);
    }
}

// ---- the broker

struct Broker {
    child: Child,
    ready: String,
    amqp: SocketAddr,
}

impl Broker {
    fn start(scratch: &Path) -> Result<Broker, String> {
        let program = env::current_exe().map_err(during("where is this program"))?;
        let mut command = Command::new(program);
        command.args(["serve", "--amqp", "127.0.0.1:0", "--http", "off", "--prometheus", "off", "--shards", "2"]);
        command.args(["--log", "warn", "--data-dir"]).arg(scratch.join("data"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(during("starting a broker"))?;
        let stdout = child.stdout.take().ok_or("the broker has no standard output")?;
        let mut ready = String::new();
        BufReader::new(stdout).read_line(&mut ready).map_err(during("starting a broker"))?;
        let ready = ready.trim().to_owned();
        let amqp = address(&ready).ok_or_else(|| format!("the broker did not start; it said {ready:?}"))?;
        Ok(Broker { child, ready, amqp })
    }

    fn stop(mut self) -> Result<(), String> {
        self.child.signal(runtime::signal::Signal::Terminate).map_err(during("stopping the broker"))?;
        let status = self.child.wait().map_err(during("stopping the broker"))?;
        if status.success() { Ok(()) } else { Err(format!("stopping the broker: it ended with {status}")) }
    }
}

/// Where it listens, by its ready line.
fn address(ready: &str) -> Option<SocketAddr> {
    let rest = ready.split_once("amqp ")?.1;
    rest.split([' ', ',']).next()?.parse().ok()
}

/// The operator's socket answers.
fn http(scratch: &Path) -> Result<(), String> {
    let socket = scratch.join("data").join(SOCKET_NAME);
    let mut client = Client::local(&socket, Some(PATIENCE)).map_err(during("opening the operator's socket"))?;
    let request = Request { method: "GET", path: "/api/overview".into(), body: None, reason: None };
    let answer = client.call(&request).map_err(during("asking over the operator's socket"))?;
    if answer.status != 200 {
        return Err(format!("the operator's socket answers {}", answer.status));
    }
    good("leveret ctl reaches it");
    Ok(())
}

// ---- messages

const QUEUE: &str = "self-test";

fn options(amqp: SocketAddr) -> Options {
    Options { host: amqp.ip().to_string(), port: amqp.port(), ..Options::default() }
}

fn publish(amqp: SocketAddr) -> Result<(), ClientError> {
    let connection = Connection::open(&options(amqp))?;
    let channel = connection.open_channel()?;
    channel.queue_declare(QUEUE, &QueueOptions { durable: true, ..QueueOptions::default() })?;
    channel.confirm_select()?;
    let properties = BasicProperties { delivery_mode: Some(PERSISTENT), ..BasicProperties::default() }.encode();
    for number in 0..MESSAGES {
        channel.publish("", QUEUE, &properties, &number.to_be_bytes())?;
    }
    channel.wait_for_confirms()?;
    Ok(())
}

fn consume(amqp: SocketAddr) -> Result<(), String> {
    let doing = "consuming after the kill";
    let connection = Connection::open(&options(amqp)).map_err(during(doing))?;
    let channel = connection.open_channel().map_err(during(doing))?;
    for number in 0..MESSAGES {
        let got = channel.get(QUEUE, true).map_err(during(doing))?;
        let got = got.ok_or_else(|| format!("message {number} of {MESSAGES} is lost"))?;
        if got.message.body() != number.to_be_bytes() {
            return Err(format!("message {number} is not in its place"));
        }
    }
    connection.close().map_err(during(doing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_ready_lines() {
        let check = |line: &str, expected: Option<&str>| {
            assert_eq!(address(line), expected.map(|text| text.parse().unwrap()), "{line}");
        };
        check("leveret 0.1.0 ready: amqp 127.0.0.1:4321 (2 shards, data directory /d)", Some("127.0.0.1:4321"));
        check("leveret 0.1.0 ready: amqp [::1]:4321, http 127.0.0.1:1 (1 shard)", Some("[::1]:4321"));
        check("", None);
        check("leveret: the port is taken", None);
    }
}
