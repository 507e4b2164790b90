//! Damage: every file cut, with bits flipped, pages zeroed, exchanged, removed. A store that was closed in order opens with
//! exactly what was in it; or without messages that the damage has hit, which are counted; or is refused with the file and
//! what to do. Never is anything read that was not written.

mod model;

use std::path::{Path, PathBuf};

use leveret_runtime::sim::{self, Image};
use leveret_runtime::{Runtime, fs};
use leveret_store::{Error, Options, Store, tools};
use model::{Model, Random, read_all};

fn tiny() -> Options {
    Options {
        log_file_size: 24 * 1024,
        log_files: 3,
        segment_size: 6 * 1024,
        group_size: 8 * 1024,
        ..Options::default()
    }
}

const DATA: &str = "/data";

/// A store with segments, holes, several log files; closed in order.
fn prepare() -> (Model, Image) {
    let (mut random, mut model) = (Random(5), Model::default());
    let (store, _) = Store::open(Path::new(DATA), tiny()).expect("opens");
    let mut writer = store.writer();
    let mut steps = 0;
    while steps < 600 || store.stats().segments < 3 {
        steps += 1;
        assert!(steps < 10_000, "there are never three segments");
        model.step(&mut random, &mut writer);
        let position = writer.flush();
        if random.below(4) == 0 {
            writer.progress().wait(position.0).expect("durable");
        }
    }
    store.close().expect("closes");
    drop(store);
    (model, sim::disk().image())
}

/// What came of opening a damaged directory.
#[derive(Debug, PartialEq)]
enum Outcome {
    /// Everything is there.
    Whole,
    /// So many messages were dropped.
    Lost(u64),
    /// It was refused.
    Refused(String),
}

fn open_damaged(image: &Image, model: &Model) -> Outcome {
    sim::disk().restore(image);
    let refused = |error: Error| {
        let text = error.to_string();
        assert!(text.contains(DATA), "the file is named: {text}");
        Outcome::Refused(text)
    };
    let store = match Store::open(Path::new(DATA), tiny()) {
        Ok((store, _)) => store,
        Err(error) => return refused(error),
    };
    let lost = model.check_harmed(&store);
    assert_eq!(store.stats().messages_lost, lost, "what is dropped is counted");
    store.close().expect("damage to messages does not stop it");
    drop(store);
    if lost == 0 {
        return Outcome::Whole;
    }
    let (again, recovered) = Store::open(Path::new(DATA), tiny()).expect("what was read opens again");
    assert_eq!(recovered.queues.iter().map(|queue| queue.count).sum::<u64>() + lost, model.count());
    assert_eq!(model.check_harmed(&again) - again.stats().messages_lost, lost, "they do not come back");
    again.close().expect("closes");
    Outcome::Lost(lost)
}

fn in_simulation(body: impl FnOnce(Model, Image) + 'static) {
    let simulation = Runtime::builder().simulated(3).build().expect("a runtime");
    let run = simulation.run(|| {
        let (model, image) = prepare();
        assert_eq!(open_damaged(&image, &model), Outcome::Whole);
        body(model, image);
    });
    run.expect("no deadlock");
}

fn files(image: &Image) -> Vec<PathBuf> {
    let is_empty = |path: &PathBuf| ["LOCK", "RESERVE", "RESERVE.manifest"].iter().any(|name| path.ends_with(name));
    let files: Vec<PathBuf> = image.files().into_iter().filter(|path| !is_empty(path)).collect();
    let segments = files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "seg"));
    assert!(segments.count() >= 2 && files.len() >= 6, "{files:?}");
    files
}

/// What came of a list of damages.
#[derive(Debug, Default)]
struct Tried {
    all: usize,
    refused: usize,
    harmed: usize,
    lost_most: u64,
}

fn try_all(model: &Model, image: &Image, damages: impl Iterator<Item = (String, Image)>) -> Tried {
    let mut tried = Tried::default();
    for (_, damaged) in damages {
        tried.all += 1;
        match open_damaged(&damaged, model) {
            Outcome::Whole => {}
            Outcome::Lost(count) => {
                tried.harmed += 1;
                tried.lost_most = tried.lost_most.max(count);
            }
            Outcome::Refused(text) => {
                tried.refused += 1;
                assert!(!text.contains("missing") || text.contains("salvage"), "{text}");
            }
        }
    }
    assert_eq!(open_damaged(image, model), Outcome::Whole);
    println!("DAMAGE: {tried:?}");
    tried
}

fn damaged(image: &Image, what: String, damage: impl FnOnce(&mut Image)) -> (String, Image) {
    let mut copy = image.clone();
    damage(&mut copy);
    (what, copy)
}

#[test]
fn a_cut_file_is_noticed() {
    in_simulation(|model, image| {
        let cuts = files(&image).into_iter().flat_map(|path| {
            let size = image.len(&path).expect("there");
            // Every byte of the last records; of a log file, which ends in zeros, some of all.
            let last = (size.saturating_sub(150)..size).chain((0..size).step_by(509));
            let image = image.clone();
            last.map(move |end| damaged(&image, format!("{path:?} cut at {end}"), |image| image.truncate(&path, end)))
                .collect::<Vec<_>>()
        });
        let tried = try_all(&model, &image, cuts);
        assert!(tried.refused * 3 > tried.all && tried.harmed == 0, "a segment that is cut has no end");
    });
}

#[test]
fn a_flipped_bit_is_noticed_or_harmless() {
    in_simulation(|model, image| {
        let flips = files(&image).into_iter().flat_map(|path| {
            let bits = image.len(&path).expect("there") * 8;
            let image = image.clone();
            // Every bit of the first group, header or manifest, and some of all.
            let all = (0..bits.min(1100)).step_by(3).chain((0..bits).step_by(1501));
            all.map(move |bit| damaged(&image, format!("bit {bit} of {path:?}"), |image| image.flip_bit(&path, bit)))
                .collect::<Vec<_>>()
        });
        let tried = try_all(&model, &image, flips);
        assert!((tried.refused + tried.harmed) * 5 > tried.all && tried.harmed > 0);
        assert!(tried.lost_most <= 3, "no more than the queues that share a body: {tried:?}");
    });
}

#[test]
fn a_zeroed_page_is_noticed_or_harmless() {
    in_simulation(|model, image| {
        let pages = files(&image).into_iter().flat_map(|path| {
            let size = image.len(&path).expect("there");
            let image = image.clone();
            (0..size)
                .step_by(512)
                .map(move |at| {
                    let end = (at + 4096).min(size);
                    damaged(&image, format!("{path:?} zeroed at {at}"), |image| image.zero(&path, at..end))
                })
                .collect::<Vec<_>>()
        });
        let tried = try_all(&model, &image, pages);
        assert!((tried.refused + tried.harmed) * 3 > tried.all && tried.harmed > 0);
    });
}

#[test]
fn missing_and_exchanged_files_are_noticed() {
    in_simulation(|model, image| {
        for path in files(&image) {
            let mut without = image.clone();
            assert!(without.remove(&path));
            match open_damaged(&without, &model) {
                Outcome::Whole | Outcome::Lost(_) => panic!("{path:?} is not needed?"),
                Outcome::Refused(text) => assert!(text.contains("leveret store"), "{text}"),
            }
        }
        let all = files(&image);
        for (at, one) in all.iter().enumerate() {
            for other in &all[at + 1..] {
                let mut exchanged = image.clone();
                exchanged.swap(one, other);
                let outcome = open_damaged(&exchanged, &model);
                // Which log file holds what is said by what is in it.
                let logs = [one, other].iter().all(|path| path.extension().is_some_and(|end| end == "log"));
                assert_eq!(outcome == Outcome::Whole, logs, "{one:?} and {other:?}: {outcome:?}");
            }
        }
    });
}

/// The tools see what is wrong, and rescue what is not.
#[test]
fn the_tools_look_behind_the_damage() {
    in_simulation(|model, image| {
        let total: u64 = model.queues.values().map(|queue| queue.len() as u64).sum();
        let path = Path::new(DATA);
        sim::disk().restore(&image);
        let report = tools::check(path, &mut |_, _| ()).expect("looked at");
        assert_eq!((report.messages, report.damages.len()), (Some(total), 0));
        for file in files(&image) {
            let mut harmed = image.clone();
            harmed.flip_bit(&file, 70 * 8);
            sim::disk().restore(&harmed);
            let report = tools::check(path, &mut |_, _| ()).expect("looked at");
            let mut lines = 0;
            let mut count = |line: &str| {
                assert!(line.starts_with('{') && line.ends_with('}'));
                lines += 1;
                Ok(())
            };
            tools::dump(path, &mut count, &mut |_, _| ()).expect("dumped");
            assert!(lines > 20);
            let rescued = Path::new("/rescued");
            let salvaged = tools::salvage(path, rescued, &mut |_, _| ()).expect("rescued");
            assert!(
                report.damages.is_empty() || !salvaged.damages.is_empty() || salvaged.messages >= total,
                "{file:?}"
            );
            check_rescued(rescued, &model, total, &file);
        }
    });
}

/// Messages whose settling was in the damaged piece may have come back; what should be there is there, but for one piece.
fn check_rescued(path: &Path, model: &Model, total: u64, file: &Path) {
    let (store, recovered) = Store::open(path, tiny()).expect("what is rescued is sound");
    let mut right = 0;
    for queue in &recovered.queues {
        let found = read_all(&store, queue.queue, leveret_store::ReadLimits::default()).expect("readable");
        let expected = model.queues.get(&queue.queue);
        let same = found.iter().filter(|(seq, kept)| {
            expected.and_then(|messages| messages.get(*seq)).is_some_and(|expected| expected.body == kept.body)
        });
        right += same.count() as u64;
    }
    assert!(right + 40 >= total, "{right} of {total} rescued, {file:?} was harmed");
    store.close().expect("closes");
    drop(store);
    fs::remove_dir_all(path).expect("removed");
}
