//! Damage to the files of a store that is open: messages that cannot be read back any more are dropped and counted, all others
//! go on, and the store never stops for it. What the disk does not give is no damage.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use leveret_runtime::fs::File;
use leveret_runtime::sim::{self, Fault};
use leveret_runtime::{Runtime, fs};
use leveret_store::{Attributes, Options, QueueKey, ReadLimits, Reference, Seq, SeqRange, Store, Writer};

const DATA: &str = "/data";
const ALL: SeqRange = SeqRange { first: Seq(0), last: Seq::MAX };
const QUEUES: [QueueKey; 2] = [QueueKey(1), QueueKey(2)];

/// Every third message goes to both queues.
fn queues_of(number: u64) -> &'static [QueueKey] {
    if number.is_multiple_of(3) { &QUEUES } else { &QUEUES[..1] }
}

fn body(number: u64) -> Vec<u8> {
    format!("message {number}").into_bytes()
}

fn publish(writer: &mut Writer, number: u64) {
    let seq = Seq(number + number / 10); // now and then there is a gap
    let reference = |queue: &QueueKey| Reference { queue: *queue, seq, attributes: Attributes::NONE };
    let references: Vec<Reference> = queues_of(number).iter().map(reference).collect();
    writer.publish(&[&body(number)], &references).expect("fits");
}

fn wait(writer: &mut Writer) {
    let position = writer.flush();
    writer.progress().wait(position.0).expect("written");
}

fn open() -> Store {
    let options = Options { log_file_size: 16 * 1024, log_files: 3, segment_size: 4 * 1024, ..Options::default() };
    Store::open(Path::new(DATA), options).expect("opens").0
}

fn in_simulation(seed: u64, body: impl FnOnce() + 'static) {
    Runtime::builder().simulated(seed).build().expect("a runtime").run(body).expect("no deadlock");
}

fn files(extension: &str) -> Vec<PathBuf> {
    let mut files = sim::disk().image().files();
    files.retain(|path| path.extension().is_some_and(|found| found == extension));
    files
}

/// Changes what the disk has, under the open store.
fn change(path: &Path, offset: u64, change: impl Fn(u8) -> u8) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).expect("there");
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).expect("there");
    file.write_all_at(&[change(byte[0])], offset).expect("written");
}

/// What both queues have, by the number in each body; bodies are what was written.
fn read(store: &Store) -> BTreeMap<(u64, QueueKey), Seq> {
    let mut found = BTreeMap::new();
    for queue in QUEUES {
        let mut range = ALL;
        loop {
            let messages = store.read(queue, range, ReadLimits { bytes: 300, messages: 9 }).expect("goes on");
            let Some(last) = messages.last() else { break };
            range.first = Seq(last.seq.0 + 1);
            for message in messages {
                let text = String::from_utf8(message.body).expect("what was written");
                let number = text.strip_prefix("message ").and_then(|number| number.parse().ok()).expect("a number");
                assert_eq!((found.insert((number, queue), message.seq), body(number)), (None, text.into_bytes()));
            }
        }
    }
    found
}

/// The numbers that are in `sound` and not in `found`, which has no others.
fn lost(sound: &BTreeMap<(u64, QueueKey), Seq>, found: &BTreeMap<(u64, QueueKey), Seq>) -> Vec<u64> {
    assert!(found.keys().all(|key| sound.contains_key(key)));
    let mut lost: Vec<u64> = sound.keys().filter(|key| !found.contains_key(*key)).map(|(number, _)| *number).collect();
    lost.dedup();
    lost
}

/// Messages in segments and, if the batches are many, in the log behind them.
fn fill(last: u64, per_batch: u64) -> Store {
    let store = open();
    let mut writer = store.writer();
    for number in 0..last {
        publish(&mut writer, number);
        if number % per_batch == per_batch - 1 {
            wait(&mut writer);
        }
    }
    wait(&mut writer);
    store
}

/// Each bit of a whole file, flipped while the store is open: at most one message is lost, to all the queues that it was for.
fn flip_all(extension: &'static str, last: u64, per_batch: u64, step: u64) {
    in_simulation(4, move || {
        let store = fill(last, per_batch);
        store.close().expect("closes");
        drop(store);
        let image = sim::disk().image();
        let path = files(extension).remove(0);
        let (bits, mut harmed) = (image.len(&path).expect("there").min(4096) * 8, 0);
        let sound = read(&open());
        for bit in (0..bits).step_by(step as usize) {
            sim::disk().restore(&image);
            let store = open();
            change(&path, bit / 8, |byte| byte ^ 1 << (bit % 8));
            let found = read(&store);
            let lost = lost(&sound, &found);
            assert!(lost.len() <= 1, "bit {bit}: {lost:?}");
            assert_eq!(store.stats().messages_lost, (sound.len() - found.len()) as u64, "bit {bit}");
            harmed += u64::from(!lost.is_empty());
            assert_eq!(read(&store), found);
            store.close().expect("goes on to its end");
        }
        println!("HARM: {} bits of {} flipped, {harmed} messages lost", bits / step, path.display());
        assert!(harmed * 15 > bits / step);
    });
}

#[test]
fn a_flipped_bit_of_a_segment_costs_its_message() {
    flip_all("seg", 110, 4, 11);
}

#[test]
fn a_flipped_bit_of_the_log_costs_its_message() {
    flip_all("log", 40, 40, 23);
}

/// What the log loses is found when it is emptied, too; whatever lies beside it arrives in the segments.
#[test]
fn a_log_file_with_damage_is_emptied_of_the_rest() {
    in_simulation(5, || {
        let store = fill(40, 40);
        let sound = read(&store);
        let path = files("log").into_iter().find(|path| sim::disk().image().read(path).is_some_and(|it| it[0] == b'L'));
        let (path, bytes) = path.and_then(|path| Some((path.clone(), sim::disk().image().read(path)?))).expect("used");
        for number in [3, 17] {
            let text = body(number);
            let at = bytes.windows(text.len()).position(|bytes| bytes == text).expect("in the log");
            change(&path, at as u64, |_| b'?');
        }
        let mut writer = store.writer();
        let mut number = 40;
        while store.stats().log_files_emptied < 4 {
            publish(&mut writer, number);
            wait(&mut writer);
            number += 1;
            assert!(number < 10_000, "log files are emptied");
        }
        let mut found = read(&store);
        found.retain(|(number, _), _| *number < 40);
        assert_eq!((lost(&sound, &found), store.stats().messages_lost), (vec![3, 17], 3), "3 is in both queues");
        store.close().expect("closes");
        drop((store, writer));
        assert_eq!(read(&open()).len() as u64, (0..number).map(|it| queues_of(it).len() as u64).sum::<u64>() - 3);
    });
}

/// A disk that does not give what it has is asked once more; then whoever reads hears of it, and nothing is dropped.
#[test]
fn what_the_disk_does_not_give_is_not_dropped() {
    in_simulation(6, || {
        let store = fill(110, 4);
        let sound = read(&store);
        sim::inject(Fault::at("fs.read").path("*.seg").nth(1));
        assert_eq!(read(&store), sound, "the second answer counts");
        sim::clear_faults();
        store.close().expect("closes");
        for path in ["*.seg", "*.log"] {
            let store = open();
            sim::inject(Fault::at("fs.read").path(path));
            let limits = ReadLimits { bytes: usize::MAX, messages: usize::MAX };
            let refused = store.read(QUEUES[0], ALL, limits).expect_err("the disk does not give them");
            assert!(refused.to_string().contains("os error 5"), "{refused}");
            sim::clear_faults();
            assert_eq!((read(&store), store.stats().messages_lost), (sound.clone(), 0));
            store.close().expect("closes");
        }
    });
}

/// The index of a segment, all of it: nothing can be found, and the store goes on.
#[test]
fn a_segment_without_its_index_is_given_up() {
    in_simulation(8, || {
        let store = fill(110, 4);
        store.close().expect("closes");
        drop(store);
        let (store, path) = (open(), files("seg").remove(0));
        let size = File::open(&path).and_then(|file| file.metadata()).expect("there").len();
        (size / 2..size).for_each(|at| change(&path, at, |_| 0));
        let found = read(&store);
        let total = (0..110).map(|it| queues_of(it).len()).sum::<usize>();
        assert_eq!(found.len() as u64 + store.stats().messages_lost, total as u64);
        assert!(found.keys().any(|(number, _)| *number == 109));
        (0..20).for_each(|_| store.tick());
        assert_eq!(read(&store), found);
        assert!(!fs::exists(&path).expect("looked for"), "what was sound of it lies elsewhere");
        store.close().expect("closes");
        drop(store);
        assert_eq!(read(&open()), found);
    });
}
