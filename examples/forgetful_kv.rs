//! A small key-value server that forgets to sync, and the simulator that finds out.
//!
//! The server keeps its keys in memory and appends each change to a log, which it reads when it starts. It answers `OK`
//! when the change is written. Every test with a real disk passes, for years: what is written and not synced is lost only
//! when the power fails.
//!
//! In a simulation the power fails when one likes. Each seed is another life: other delays, another order of events, another
//! moment of the crash, other sectors that have reached the disk and others that have not. The program runs seed after seed
//! until a key is gone whose change was acknowledged, and says how to see just that again. Then it shows that the mended
//! server, which differs by [two lines](Store), loses nothing.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::rc::Rc;
use std::time::Duration;

use examples::{Arguments, Output};
use leveret_runtime::fs::{self, File};
use leveret_runtime::net::{TcpListener, TcpStream};
use leveret_runtime::sync::Mutex;
use leveret_runtime::{Runtime, random, sim, sleep, spawn, time};

const USAGE: &str = "forgetful_kv: a key-value server that forgets to sync, and the simulator that finds out

  --seeds N   how many lives to try of each server (200)
  --seed N    tell the story of this one life of the forgetful server";

// ---- the server

const ADDRESS: &str = "server:7000";
const LOG: &str = "/kv.log";

/// The keys, and the log that they are read from after a restart.
struct Store {
    values: BTreeMap<String, String>,
    log: File,
    /// Bytes of the log that hold records.
    end: u64,
    mended: bool,
}

impl Store {
    fn open(mended: bool) -> io::Result<Store> {
        let log = File::options().read(true).write(true).create(true).truncate(false).open(LOG)?;
        if mended {
            fs::sync_dir("/")?; // the first line that was forgotten: without it the log's name may be gone
        }
        let mut store = Store { values: BTreeMap::new(), log, end: 0, mended };
        for line in String::from_utf8_lossy(&fs::read(LOG)?).split_inclusive('\n') {
            let Some((key, value)) = parse(line) else { break }; // where a crash has cut it off
            store.values.insert(key.into(), value.into());
            store.end += line.len() as u64;
        }
        store.log.set_len(store.end)?;
        Ok(store)
    }

    fn set(&mut self, key: &str, value: &str) -> io::Result<()> {
        let record = record(key, value);
        self.log.write_all_at(record.as_bytes(), self.end)?;
        if self.mended {
            self.log.sync_data()?; // the second line that was forgotten
        }
        self.end += record.len() as u64;
        self.values.insert(key.into(), value.into());
        Ok(())
    }
}

/// A line of the log, with a sum that tells it from the remains of one.
fn record(key: &str, value: &str) -> String {
    format!("{:016x} {key} {value}\n", sum(&format!("{key} {value}")))
}

fn parse(line: &str) -> Option<(&str, &str)> {
    let (found, rest) = line.strip_suffix('\n')?.split_once(' ')?;
    let expected = u64::from_str_radix(found, 16).ok()?;
    rest.split_once(' ').filter(|_| sum(rest) == expected)
}

fn sum(text: &str) -> u64 {
    text.bytes().fold(0xCBF2_9CE4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3))
}

fn serve(mended: bool) -> io::Result<()> {
    let store = Rc::new(Mutex::new(Store::open(mended)?));
    let listener = TcpListener::bind("0.0.0.0:7000")?;
    loop {
        let (stream, store) = (listener.accept()?.0, store.clone());
        drop(spawn(move || answer(&stream, &store)));
    }
}

fn answer(stream: &TcpStream, store: &Mutex<Store>) -> io::Result<()> {
    for line in BufReader::new(stream).lines() {
        let line = line?;
        let mut store = store.lock();
        let words: Vec<&str> = line.split(' ').collect();
        let reply = match words[..] {
            ["SET", key, value] => store.set(key, value).map(|()| "OK".to_owned())?,
            ["GET", key] => store.values.get(key).cloned().unwrap_or_default(),
            _ => "what?".to_owned(),
        };
        drop(store);
        writeln!(&mut &*stream, "{reply}")?;
    }
    Ok(())
}

// ---- the test

/// One connection of a client, which asks and waits for the answer.
struct Client(BufReader<TcpStream>);

impl Client {
    fn connect() -> Client {
        loop {
            match TcpStream::connect(ADDRESS) {
                Ok(stream) => return Client(BufReader::new(stream)),
                Err(_) => sleep(Duration::from_millis(1)), // the server is still starting
            }
        }
    }

    fn ask(&mut self, line: &str) -> io::Result<String> {
        writeln!(self.0.get_mut(), "{line}")?;
        let mut reply = String::new();
        self.0.read_line(&mut reply)?;
        Ok(reply.trim_end().to_owned())
    }
}

/// What has happened in one life, line by line, and the key that was lost, if one was.
struct Life {
    story: Vec<String>,
    lost: Option<String>,
}

/// How often the power fails in one life.
const CRASHES: u64 = 3;

/// Sets some keys, has the power fail, starts the server again and asks for every key that was acknowledged, and so on.
fn live(seed: u64, mended: bool) -> Life {
    let runtime = Runtime::builder().simulated(seed).build().expect("one shard is allowed");
    runtime.run(move || crash_and_ask(mended)).expect("the client waits for the server only")
}

fn crash_and_ask(mended: bool) -> Life {
    let (server, started) = (sim::host("server"), time::now());
    let mut life = Life { story: Vec::new(), lost: None };
    let mut acknowledged: BTreeMap<String, String> = BTreeMap::new();
    for round in 1..=CRASHES + 1 {
        drop(server.spawn(move || serve(mended)));
        let mut client = Client::connect();
        let mut say =
            |what: String| life.story.push(format!("{:8.3} s  {what}", (time::now() - started).as_secs_f64()));
        for (key, value) in &acknowledged {
            let found = client.ask(&format!("GET {key}")).expect("the server is up");
            if found != *value {
                say(format!("GET {key}: '{found}', but '{value}' was acknowledged"));
                life.lost = Some(key.clone());
                return life;
            }
        }
        if round > CRASHES {
            break;
        }
        for _ in 0..1 + random::u64() % 8 {
            let (key, value) = (format!("key{}", random::u64() % 10), format!("value{round}-{}", random::u64() % 1000));
            let reply = client.ask(&format!("SET {key} {value}")).expect("the server is up");
            say(format!("SET {key} {value}: {reply}"));
            acknowledged.insert(key, value);
        }
        server.crash();
        say("the power fails".into());
        server.restart();
    }
    life
}

/// Tries seed after seed; prints what was found. The first seed with a loss, if any.
fn search(out: &Output, seeds: u64, mended: bool) -> Option<u64> {
    for seed in 0..seeds {
        if let Some(key) = live(seed, mended).lost {
            out.line(format_args!("  seed {seed}: '{key}' was acknowledged, and is gone after a crash"));
            out.line(format_args!("  see it again: cargo run -p examples --bin forgetful_kv -- --seed {seed}"));
            return Some(seed);
        }
    }
    out.line(format_args!("  {seeds} seeds, {} crashes, nothing lost", seeds * CRASHES));
    None
}

/// Whether the simulator has found the loss in the one server and none in the other.
pub(crate) fn main_with(out: &Output, seeds: u64) -> bool {
    out.line("the forgetful server:");
    let lost = search(out, seeds, false);
    out.line("the mended server:");
    let mended = search(out, seeds, true);
    lost.is_some() && mended.is_none()
}

/// Tells one life of the forgetful server.
pub(crate) fn replay(out: &Output, seed: u64) {
    let life = live(seed, false);
    life.story.iter().for_each(|line| out.line(line));
    out.line(if life.lost.is_some() { "lost" } else { "nothing lost" });
}

fn main() {
    let arguments = Arguments::of_process(USAGE, &["--seeds=", "--seed="]);
    let out = Output::stdout();
    match arguments.value("--seed", u64::MAX) {
        u64::MAX => std::process::exit(i32::from(!main_with(&out, arguments.value("--seeds", 200)))),
        seed => replay(&out, seed),
    }
}
