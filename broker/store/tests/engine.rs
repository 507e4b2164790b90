//! The engine against a model: random work on tiny files, so that every few messages a file is full, emptied, copied
//! together or removed; closed and opened again in between. What is read is what the model holds, byte by byte.

mod model;

use std::path::{Path, PathBuf};
use std::time::Duration;

use leveret_runtime::{Runtime, fs, run, sleep};
use leveret_store::{Attributes, Confirm, Options, QueueKey, ReadLimits, Reference, Seq, SeqRange, Store, Writer};
use model::{Model, Random, read_all};

/// A directory of its own, removed in the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("leveret-store-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn tiny() -> Options {
    Options {
        log_file_size: 32 * 1024,
        log_files: 3,
        segment_size: 8 * 1024,
        group_size: 8 * 1024,
        ..Options::default()
    }
}

/// Runs work from a seed; closes and opens now and then.
fn work(path: &Path, seed: u64, steps: u64, options: &Options) {
    let (mut random, mut model) = (Random(seed), Model::default());
    let (mut store, _) = Store::open(path, options.clone()).expect("opens");
    let mut writer = store.writer();
    let mut emptied = 0;
    for _ in 0..steps {
        model.step(&mut random, &mut writer);
        if random.below(3) == 0 || writer.pending_bytes() > 10_000 {
            let position = writer.flush();
            if random.below(3) == 0 {
                writer.progress().wait(position.0).expect("durable");
            }
        }
        if random.below(150) == 0 {
            store.tick();
            let position = writer.flush();
            writer.progress().wait(position.0).expect("durable");
            let limits = ReadLimits { bytes: random.below(20_000) as usize, messages: 1 + random.below(30) as usize };
            model.check(&store, limits);
        }
        if random.below(400) == 0 {
            writer.flush();
            emptied += store.stats().log_files_emptied;
            store.close().expect("closes");
            let (again, recovered) = Store::open(path, options.clone()).expect("opens again");
            model.check_recovered(&recovered);
            (store, writer) = (again.clone(), again.writer());
            model.check(&store, ReadLimits::default());
        }
    }
    let position = writer.flush();
    writer.progress().wait(position.0).expect("durable");
    model.check(&store, ReadLimits::default());
    check_room_is_given_back(&store, &mut writer, &model);
    emptied += store.stats().log_files_emptied;
    store.close().expect("closes");
    assert!(emptied > steps / 200, "{emptied} files emptied in {steps} steps");
}

/// When everything is settled, no segment is left.
fn check_room_is_given_back(store: &Store, writer: &mut Writer, model: &Model) {
    model.queues.keys().for_each(|queue| writer.purge(*queue, Seq::MAX).expect("fits"));
    let position = writer.flush();
    writer.progress().wait(position.0).expect("durable");
    let range = SeqRange { first: Seq(0), last: Seq::MAX };
    for _ in 0..100 {
        // The keeper does one thing after the other: when it answers it has tidied up, unless a group was not synced yet.
        store.tick();
        assert_eq!(store.read(QueueKey(1), range, ReadLimits::default()).expect("readable"), []);
        if store.stats().segments == 0 {
            return;
        }
        sleep(Duration::from_millis(10));
    }
    panic!("{} segments are left though nothing is live", store.stats().segments);
}

#[test]
fn random_work_is_what_the_model_says() {
    run(|| {
        for seed in 1..=4 {
            let scratch = Scratch::new(&format!("model-{seed}"));
            let confirm = if seed % 2 == 0 { Confirm::Written } else { Confirm::Synced };
            work(&scratch.0, seed, 1500, &Options { confirm, ..tiny() });
        }
    })
    .expect("no deadlock");
}

#[test]
fn so_it_is_on_the_simulated_driver() {
    for seed in 1..=4 {
        let scratch = Scratch::new(&format!("simulated-{seed}"));
        let path = scratch.0.clone();
        let runtime = Runtime::builder().simulated(seed).build().expect("a runtime");
        runtime.run(move || work(&path, seed, 800, &tiny())).expect("no deadlock");
    }
}

/// A process that ends without a word leaves the lock and the files as they are.
#[test]
fn without_a_close_everything_durable_is_there() {
    let scratch = Scratch::new("dropped");
    let path = scratch.0.clone();
    run(move || {
        let (store, _) = Store::open(&path, tiny()).expect("opens");
        let mut writer = store.writer();
        for n in 1..=300 {
            let reference = Reference { queue: QueueKey(n % 7), seq: Seq(n), attributes: Attributes::NONE };
            writer.publish(&[&n.to_le_bytes(), &[7; 300]], &[reference]).expect("fits");
            writer.flush();
        }
        writer.progress().wait(writer.position().0).expect("durable");
        let copy = path.with_extension("copy");
        copy_directory(&path, &copy);
        store.close().expect("closes");
        let (store, recovered) = Store::open(&copy, tiny()).expect("opens");
        assert_eq!(recovered.queues.iter().map(|queue| queue.count).sum::<u64>(), 300);
        for queue in 0..7 {
            let all = read_all(&store, QueueKey(queue), ReadLimits::default()).expect("readable");
            assert!(all.iter().all(|(seq, kept)| kept.body[..8] == seq.0.to_le_bytes() && seq.0 % 7 == queue));
        }
        store.close().expect("closes");
        fs::remove_dir_all(&copy).expect("removed");
    })
    .expect("no deadlock");
}

fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("listed") {
        let target = to.join(entry.file_name());
        match entry.file_type().is_dir() {
            true => copy_directory(entry.path(), &target),
            false => _ = fs::copy(entry.path(), target).expect("copied"),
        }
    }
}

#[test]
fn a_second_process_is_refused() {
    let scratch = Scratch::new("locked");
    let path = scratch.0.clone();
    run(move || {
        let (store, _) = Store::open(&path, tiny()).expect("opens");
        let refused = Store::open(&path, tiny()).expect_err("locked").to_string();
        assert!(refused.contains("is locked by process"), "{refused}");
        store.close().expect("closes");
        Store::open(&path, tiny()).expect("opens").0.close().expect("closes");
    })
    .expect("no deadlock");
}

#[test]
fn what_does_not_fit_is_refused_and_nothing_is_added() {
    let scratch = Scratch::new("large");
    let path = scratch.0.clone();
    run(move || {
        let (store, _) = Store::open(&path, tiny()).expect("opens");
        let mut writer = store.writer();
        let reference = Reference { queue: QueueKey(1), seq: Seq(1), attributes: Attributes::NONE };
        let largest = writer.batch_size_max() - 36;
        assert!(writer.publish(&[&vec![1; largest + 1]], &[reference]).is_err());
        assert_eq!(writer.pending_bytes(), 0);
        writer.publish(&[&vec![2; largest]], &[reference]).expect("fits exactly");
        assert!(writer.settle(QueueKey(1), &[SeqRange::one(Seq(1))]).is_err());
        let position = writer.flush();
        writer.progress().wait(position.0).expect("durable");
        let messages = store.read(QueueKey(1), SeqRange::one(Seq(1)), ReadLimits::default()).expect("readable");
        assert_eq!(messages[0].body, vec![2; largest]);
        store.close().expect("closes");
        writer.settle(QueueKey(1), &[SeqRange::one(Seq(1))]).expect("fits");
        let position = writer.flush();
        writer.progress().wait(position.0).expect_err("the store is closed");
    })
    .expect("no deadlock");
}

/// Who raises the greatest size of a message finds room for it in the directory that he has; who lowers it again loses
/// nothing.
#[test]
fn a_log_grows_with_what_is_asked_of_it() {
    let scratch = Scratch::new("grown");
    let path = scratch.0.clone();
    let sized = |log_file_size| Options { log_file_size, ..tiny() };
    run(move || {
        let mut kept = Vec::new();
        for (n, size, body) in [(1, 32, 20), (2, 256, 20), (3, 256, 250), (4, 32, 20), (5, 32, 250), (6, 1024, 1000)] {
            let (store, _) = Store::open(&path, sized(size * 1024)).expect("opens");
            let mut writer = store.writer();
            for again in 0..3 {
                kept.push((Seq(10 * n + again), vec![n as u8; body * 1024]));
                let (seq, body) = &kept[kept.len() - 1];
                let reference = Reference { queue: QueueKey(1), seq: *seq, attributes: Attributes::NONE };
                writer.publish(&[body], &[reference]).expect("fits");
                let position = writer.flush();
                writer.progress().wait(position.0).expect("durable");
            }
            let all = read_all(&store, QueueKey(1), ReadLimits::default()).expect("readable");
            assert!(all.iter().map(|(seq, found)| (*seq, &found.body)).eq(kept.iter().map(|(seq, body)| (*seq, body))));
            store.close().expect("closes");
        }
    })
    .expect("no deadlock");
}
