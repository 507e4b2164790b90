//! A broker's data directory, every file of it, cut, with bits flipped, pages zeroed, removed, exchanged with another broker's: the
//! broker starts, and has what it had but for messages that were hit, which it counts; or it refuses with the file and what
//! to do. Never does it panic, and never is anything delivered that nobody published.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use leveret_client::{BasicProperties, Error, PERSISTENT, QueueOptions};
use leveret_runtime as runtime;
use runtime::signal::Signal;
use runtime::sim::{self, Host, Image};
use runtime::{JoinHandle, Runtime};

use super::{clients, prepare, start};

/// Queues, and messages of each: some segments and log files full, as the simulation's are small.
const QUEUES: [&str; 3] = ["one", "two", "three"];
const MESSAGES: u32 = 90;
const BODY_SIZE: usize = 512;

/// How long a broker may take to start and to be drained.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was there: the numbers in each queue.
type Contents = BTreeMap<&'static str, Vec<u32>>;

/// What came of a start.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// Everything is there.
    Whole,
    /// So many messages are not.
    Lost(usize),
    Refused(String),
}

#[derive(Debug, Default)]
struct Tried {
    all: usize,
    whole: usize,
    lost: usize,
    refused: usize,
}

#[test]
fn every_file_may_be_harmed() {
    let machine = Runtime::builder().shards(1).simulated(7).build().expect("a simulated machine");
    let tried = machine.run(|| {
        let (server, client) = (sim::host("server"), sim::host("clients"));
        let other = fill(server, client, 1_000);
        server.disk().restore(&Image::empty());
        let image = fill(server, client, 0);
        let open = |image: &Image| open(server, client, image);
        let mut tried = Tried::default();
        for (what, harmed) in damages(&image, &other) {
            tried.note(&what, open(&harmed));
        }
        assert_eq!(open(&image), Outcome::Whole);
        tried
    });
    let tried = tried.expect("somebody can always run");
    println!("DAMAGE: {tried:?}");
    assert!(tried.whole > 20 && tried.lost > 3 && tried.refused > 30, "{tried:?}");
}

impl Tried {
    fn note(&mut self, what: &str, outcome: Outcome) {
        self.all += 1;
        match outcome {
            Outcome::Whole => self.whole += 1,
            Outcome::Lost(count) => {
                assert!(what.contains("segments/") && count <= 20, "{count} messages are lost by: {what}");
                self.lost += 1;
            }
            Outcome::Refused(text) => {
                assert!(text.contains("/data/"), "{what}: no file is named: {text}");
                assert!(text.contains("leveret store") || text.contains("--data-dir"), "{what}: what to do? {text}");
                self.refused += 1;
            }
        }
    }
}

/// A broker's disk after a clean stop.
fn fill(server: Host, client: Host, first: u32) -> Image {
    prepare(server);
    let program = start(server, 1, Vec::new());
    let filled = client.run(move || publish(first));
    filled.expect("the client is well").expect("the broker is well");
    stop(server, program);
    let image = server.disk().image();
    server.crash();
    server.restart();
    image
}

fn stop(server: Host, program: JoinHandle<Result<(), String>>) {
    drop(server.run(|| Signal::Terminate.raise()));
    program.join_timeout(PATIENCE).unwrap_or_else(|_| panic!("it does not stop")).expect("no panic").expect("in order");
}

fn publish(first: u32) -> Result<(), Error> {
    let channel = clients::connect().open_channel()?;
    channel.confirm_select()?;
    for queue in QUEUES {
        channel.queue_declare(queue, &QueueOptions { durable: true, ..QueueOptions::default() })?;
    }
    let properties = BasicProperties { delivery_mode: Some(PERSISTENT), ..BasicProperties::default() }.encode();
    for number in first..first + MESSAGES {
        for queue in QUEUES {
            channel.publish("", queue, &properties, &body(number))?;
        }
        channel.wait_for_confirms()?;
    }
    Ok(())
}

/// Every file with every kind of harm.
fn damages(image: &Image, other: &Image) -> Vec<(String, Image)> {
    let mut all = Vec::new();
    let files: Vec<PathBuf> = image.files().into_iter().filter(|path| path.starts_with("/data")).collect();
    for path in one_of_each(&files) {
        let size = image.len(path).expect("there");
        let mut add = |what: &str, harm: &dyn Fn(&mut Image)| {
            let mut harmed = image.clone();
            harm(&mut harmed);
            all.push((format!("{} {what}", path.display()), harmed));
        };
        add("removed", &|image| assert!(image.remove(path)));
        add("emptied", &|image| image.truncate(path, 0));
        for part in [1, 3, 7] {
            let at = size * part / 8;
            add(&format!("cut at {at}"), &|image| image.truncate(path, at));
            add(&format!("zeroed at {at}"), &|image| image.zero(path, at..(at + 4096).min(size)));
            if size > 0 {
                add(&format!("flipped at {at}"), &|image| image.flip_bit(path, at * 8 + part));
            }
        }
        if let Some(bytes) = other.read(path) {
            add("taken from another broker", &|image| image.write(path, &bytes));
        }
    }
    let mut without = image.clone();
    files.iter().filter(|path| path.starts_with("/data/messages")).for_each(|path| _ = without.remove(path));
    all.push(("/data/messages removed".into(), without));
    all
}

/// All files but most of the segments and log files.
fn one_of_each(files: &[PathBuf]) -> impl Iterator<Item = &PathBuf> {
    let number = |path: &PathBuf| path.file_stem().and_then(|name| u64::from_str_radix(name.to_str()?, 16).ok());
    files.iter().filter(move |path| number(path).is_none_or(|number| number % 5 == 1))
}

/// Starts a broker on what is there, and takes everything out.
fn open(server: Host, client: Host, image: &Image) -> Outcome {
    server.crash();
    server.restart();
    server.disk().restore(image);
    let program = start(server, 1, Vec::new());
    let drained = client.spawn(|| runtime::timeout(PATIENCE, drain));
    let outcome = match watch(program, drained) {
        Ok(found) => compare(&found),
        Err(reason) => Outcome::Refused(reason),
    };
    client.crash();
    client.restart();
    outcome
}

/// The clients' answer, or why the broker does not start.
fn watch(
    program: JoinHandle<Result<(), String>>,
    drained: JoinHandle<Result<Result<Contents, Error>, runtime::Elapsed>>,
) -> Result<Contents, String> {
    let mut program = program;
    let mut drained = drained;
    loop {
        match drained.join_timeout(Duration::from_millis(20)) {
            Ok(found) => {
                let found =
                    found.expect("the client is well").unwrap_or_else(|_| panic!("it hangs:\n{}", runtime::dump()));
                drop(program);
                return Ok(found.expect("the broker is well"));
            }
            Err(waiting) => drained = waiting,
        }
        match program.join_timeout(Duration::from_millis(20)) {
            Ok(ended) => return Err(ended.expect("it never panics").expect_err("nobody asked it to stop")),
            Err(running) => program = running,
        }
    }
}

fn drain() -> Result<Contents, Error> {
    let channel = clients::connect().open_channel()?;
    let mut found = Contents::new();
    for queue in QUEUES {
        let numbers = found.entry(queue).or_default();
        while let Some(got) = channel.get(queue, true)? {
            let number = got.message.body().first_chunk().map(|bytes| u32::from_le_bytes(*bytes)).expect("a number");
            assert!(got.message.body() == body(number), "no byte is wrong");
            numbers.push(number);
        }
    }
    Ok(found)
}

/// Nothing is there that was not, and everything is in order.
fn compare(found: &Contents) -> Outcome {
    let mut lost = 0;
    for queue in QUEUES {
        let numbers = &found[queue];
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{queue}: {numbers:?}");
        assert!(numbers.iter().all(|number| *number < MESSAGES), "{queue}: {numbers:?}");
        lost += MESSAGES as usize - numbers.len();
    }
    if lost == 0 { Outcome::Whole } else { Outcome::Lost(lost) }
}

fn body(number: u32) -> Vec<u8> {
    number.to_le_bytes().repeat(BODY_SIZE / 4)
}
