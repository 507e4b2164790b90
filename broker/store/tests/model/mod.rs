//! A model of the store for its tests: what should be read, and random work that is done to both.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::BTreeMap;

use leveret_store::{
    Attributes, Error, QueueKey, ReadLimits, Recovered, Reference, Seq, SeqRange, Store, StretchState, Writer,
};

/// A generator that a seed decides.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// A message as it should be read.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Kept {
    pub(crate) body: Vec<u8>,
    pub(crate) attributes: Attributes,
    pub(crate) delivery_count: u32,
}

/// A queue's messages.
pub(crate) type Messages = BTreeMap<Seq, Kept>;

/// What should be in the store.
#[derive(Clone, Default)]
pub(crate) struct Model {
    pub(crate) queues: BTreeMap<QueueKey, Messages>,
    /// The last number given to a queue; a caller may begin anywhere.
    pub(crate) next_queue: u64,
    pub(crate) next_seq: BTreeMap<(QueueKey, u8), u64>,
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

    /// Does something to the writer and to itself.
    pub(crate) fn step(&mut self, random: &mut Random, writer: &mut Writer) {
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
        let attributes =
            Attributes::NONE.with_expiry_ms(Some(random.below(1000))).with_head_size(random.below(300) as usize);
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
        // A long queue is served faster.
        let count = 1 + random.below(6 + messages.len() as u64 / 8) as usize;
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

    /// Reads everything and compares.
    pub(crate) fn check(&self, store: &Store, limits: ReadLimits) {
        for (queue, messages) in &self.queues {
            assert_eq!(&read_all(store, *queue, limits).expect("readable"), messages, "queue {queue}");
        }
    }

    /// All messages.
    pub(crate) fn count(&self) -> u64 {
        self.queues.values().map(|messages| messages.len() as u64).sum()
    }

    /// Reads everything of a store whose files were harmed: what is there is what was written.
    /// Answers how many messages are not.
    pub(crate) fn check_harmed(&self, store: &Store) -> u64 {
        let mut lost = 0;
        for (queue, messages) in &self.queues {
            let found = read_all(store, *queue, ReadLimits::default()).expect("what can be read is read");
            assert!(found.iter().all(|(seq, kept)| messages.get(seq) == Some(kept)), "queue {queue}");
            lost += (messages.len() - found.len()) as u64;
        }
        lost
    }

    /// Compares the counts.
    pub(crate) fn check_recovered(&self, recovered: &Recovered) {
        for (queue, messages) in &self.queues {
            let found = recovered.queues.iter().find(|state| state.queue == *queue);
            assert_eq!(found.map_or(0, |state| state.count), messages.len() as u64, "queue {queue}");
            let last = messages.keys().next_back();
            let known = found.and_then(|state| state.lanes.iter().map(|lane| lane.last).max());
            assert!(last.copied() <= known);
            let stretches = found.iter().flat_map(|state| &state.lanes).flat_map(|lane| &lane.stretches);
            let counts: u64 = stretches.map(|stretch| check_stretch(messages, stretch)).sum();
            assert_eq!(counts, messages.len() as u64, "queue {queue}");
        }
        let unknown = recovered.queues.iter().filter(|state| !self.queues.contains_key(&state.queue));
        assert_eq!(unknown.map(|state| state.count).sum::<u64>(), 0);
    }
}

/// What is said of messages that nobody has read is exact.
fn check_stretch(messages: &Messages, stretch: &StretchState) -> u64 {
    let inside: Vec<_> = messages.range(stretch.first..=stretch.last).collect();
    let ends = inside.first().zip(inside.last()).map(|(first, last)| (*first.0, *last.0));
    assert_eq!(ends, Some((stretch.first, stretch.last)));
    let content = |kept: &Kept| kept.body.len().saturating_sub(usize::from(kept.attributes.head_size())) as u64;
    assert_eq!(stretch.count, inside.len() as u64);
    assert_eq!(stretch.content, inside.iter().map(|(_, kept)| content(kept)).sum::<u64>());
    assert_eq!(stretch.expiry_ms, inside.iter().filter_map(|(_, kept)| kept.attributes.expiry_ms()).min());
    stretch.count
}

/// All that a queue has, read in pieces.
pub(crate) fn read_all(store: &Store, queue: QueueKey, limits: ReadLimits) -> Result<Messages, Error> {
    let (mut all, mut from) = (Messages::new(), Seq(0));
    loop {
        let range = SeqRange { first: from, last: Seq::MAX };
        let messages = store.read(queue, range, limits)?;
        let Some(last) = messages.last() else { return Ok(all) };
        from = Seq(last.seq.0 + 1);
        for message in messages {
            let leveret_store::Message { seq, attributes, delivery_count, body } = message;
            assert_eq!(all.insert(seq, Kept { body, attributes, delivery_count }), None);
        }
    }
}
