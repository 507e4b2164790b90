//! The engine against a model: random work on tiny files, so that every few messages a file is full, emptied, copied
//! together or removed; closed and opened again in between. What is read is what the model holds, byte by byte.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use leveret_runtime::{Runtime, fs, run};
use leveret_store::{
    Attributes, Confirm, Options, QueueKey, ReadLimits, Recovered, Reference, Seq, SeqRange, Store, Writer,
};

/// A directory of its own, removed in the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("leveret-store-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
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

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Kept {
    body: Vec<u8>,
    attributes: Attributes,
    delivery_count: u32,
}

type Messages = BTreeMap<Seq, Kept>;

/// What should be in the store.
#[derive(Default)]
struct Model {
    queues: BTreeMap<QueueKey, Messages>,
    next_queue: u64,
    next_seq: BTreeMap<(QueueKey, u8), u64>,
}

impl Model {
    fn some_queue(&mut self, random: &mut Random) -> QueueKey {
        if self.queues.len() < 3 || random.below(200) == 0 {
            self.next_queue += 1;
            self.queues.insert(QueueKey(self.next_queue), Messages::new());
        }
        let at = random.below(self.queues.len() as u64) as usize;
        *self.queues.keys().nth(at).expect("there is one")
    }

    fn step(&mut self, random: &mut Random, writer: &mut Writer) {
        let queue = self.some_queue(random);
        match random.below(20) {
            0..10 => self.publish(random, writer),
            10..16 => self.settle(random, writer, queue),
            16 => self.requeue(random, writer, queue),
            17 if random.below(6) == 0 => {
                let up_to = Seq(u64::MAX >> random.below(2));
                writer.purge(queue, up_to).expect("fits");
                self.queues.entry(queue).or_default().retain(|seq, _| *seq > up_to);
            }
            18 if random.below(10) == 0 => {
                writer.delete_queue(queue).expect("fits");
                self.queues.remove(&queue);
            }
            _ => {}
        }
    }

    fn publish(&mut self, random: &mut Random, writer: &mut Writer) {
        let sizes = [0, 10, 100, 700, 5000];
        let body = vec![random.below(256) as u8; sizes[random.below(5) as usize]];
        let attributes = Attributes::NONE.with_expiry_ms(Some(random.below(1000))).with_marks(random.below(256) as u8);
        let mut references = Vec::new();
        for _ in 0..=random.below(3) {
            let (queue, lane) = (self.some_queue(random), (random.below(3) / 2 * 5) as u8);
            let next = self.next_seq.entry((queue, lane)).or_insert(u64::from(lane) << 56);
            *next += 1 + random.below(2) * random.below(3);
            let seq = Seq(*next);
            references.push(Reference { queue, seq, attributes });
            let kept = Kept { body: body.clone(), attributes, delivery_count: 0 };
            self.queues.entry(queue).or_default().insert(seq, kept);
        }
        let (head, tail) = body.split_at(body.len() / 3);
        writer.publish(&[head, tail], &references).expect("fits");
    }

    fn settle(&mut self, random: &mut Random, writer: &mut Writer, queue: QueueKey) {
        let messages = self.queues.entry(queue).or_default();
        if messages.is_empty() {
            return;
        }
        // Mostly near the front, as a consumer would.
        let span = if random.below(4) == 0 { messages.len() as u64 } else { 4 };
        let from = random.below(span.min(messages.len() as u64)) as usize;
        let count = 1 + random.below(6) as usize;
        let gone: Vec<Seq> = messages.keys().skip(from).take(count).copied().collect();
        let (first, last) = (gone[0], gone[gone.len() - 1]);
        messages.retain(|seq, _| *seq < first || *seq > last);
        writer.settle(queue, &[SeqRange { first, last }]).expect("fits");
    }

    fn requeue(&mut self, random: &mut Random, writer: &mut Writer, queue: QueueKey) {
        let messages = self.queues.entry(queue).or_default();
        let at = random.below(messages.len().max(1) as u64) as usize;
        if let Some((seq, kept)) = messages.iter_mut().nth(at) {
            kept.delivery_count += 1;
            writer.requeue(queue, *seq, kept.delivery_count).expect("fits");
        }
    }

    fn check(&self, store: &Store, limits: ReadLimits) {
        for (queue, messages) in &self.queues {
            assert_eq!(&read_all(store, *queue, limits), messages, "queue {queue}");
        }
    }

    fn check_recovered(&self, recovered: &Recovered) {
        for (queue, messages) in &self.queues {
            let found = recovered.queues.iter().find(|state| state.queue == *queue);
            assert_eq!(found.map_or(0, |state| state.count), messages.len() as u64, "queue {queue}");
            let last = messages.keys().next_back();
            let known = found.and_then(|state| state.lanes.iter().map(|lane| lane.last).max());
            assert!(last.copied() <= known);
        }
        let unknown = recovered.queues.iter().filter(|state| !self.queues.contains_key(&state.queue));
        assert_eq!(unknown.map(|state| state.count).sum::<u64>(), 0);
    }
}

fn read_all(store: &Store, queue: QueueKey, limits: ReadLimits) -> Messages {
    let (mut all, mut from) = (Messages::new(), Seq(0));
    loop {
        let range = SeqRange { first: from, last: Seq::MAX };
        let messages = store.read(queue, range, limits).expect("readable");
        let Some(last) = messages.last() else { return all };
        from = Seq(last.seq.0 + 1);
        for message in messages {
            let leveret_store::Message { seq, attributes, delivery_count, body } = message;
            assert_eq!(all.insert(seq, Kept { body, attributes, delivery_count }), None);
        }
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
    emptied += store.stats().log_files_emptied;
    store.close().expect("closes");
    assert!(emptied > steps / 200, "{emptied} files emptied in {steps} steps");
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
            let all = read_all(&store, QueueKey(queue), ReadLimits::default());
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
