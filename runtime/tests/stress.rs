//! Everything at once, by seed: coroutines that are killed and timed out while they lock, send, select, sleep and join, with
//! books kept outside. On virtual time, so a failing seed fails again; and on real shards, where only the books are checked.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use leveret_runtime::sync::channel::{Receiver, Sender, bounded};
use leveret_runtime::sync::{Barrier, Condvar, Event, Mutex, RwLock, Semaphore};
use leveret_runtime::{
    Generator, JoinError, JoinHandle, Runtime, join_all, mailbox, offload, scope, select, shards, sleep, spawn,
    spawn_on, stats, timeout, yield_now,
};

const MS: Duration = Duration::from_millis(1);
const PERMITS: usize = 5;
const ACTORS: u64 = 24;
const STEPS: u64 = 60;

/// SplitMix64: every actor has its own, so that one's choices do not depend on the others' order.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % sides
    }

    fn pause(&mut self) -> Duration {
        Duration::from_micros(self.roll(4000))
    }
}

/// A value that knows where it is: made, and dropped exactly once.
struct Parcel {
    number: u64,
    books: Rc<Books>,
}

/// What is kept outside of the primitives.
#[derive(Default)]
struct Books {
    made: Cell<u64>,
    alive: RefCell<BTreeSet<u64>>,
    received: RefCell<BTreeSet<u64>>,
    /// Those whose sender was told so.
    sent: RefCell<BTreeSet<u64>>,
    permits_out: Cell<usize>,
    owners: Cell<usize>,
    readers: Cell<usize>,
    writers: Cell<usize>,
}

impl Books {
    fn parcel(self: &Rc<Self>) -> Parcel {
        let number = self.made.get();
        self.made.set(number + 1);
        self.alive.borrow_mut().insert(number);
        Parcel { number, books: self.clone() }
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        assert!(self.books.alive.borrow_mut().remove(&self.number), "dropped twice");
    }
}

/// Adds to a figure for as long as it lives.
struct Counted<'a>(&'a Cell<usize>, usize);

impl<'a> Counted<'a> {
    fn new(cell: &'a Cell<usize>, count: usize) -> Counted<'a> {
        cell.set(cell.get() + count);
        Counted(cell, count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - self.1);
    }
}

struct World {
    books: Rc<Books>,
    semaphore: Semaphore,
    mutex: Mutex<u64>,
    changed: Condvar,
    lock: RwLock<u64>,
    barrier: Barrier,
    event: Event,
    channels: Vec<(Sender<Parcel>, Receiver<Parcel>)>,
    victims: RefCell<Vec<JoinHandle<()>>>,
}

impl World {
    fn new() -> Rc<World> {
        Rc::new(World {
            books: Rc::default(),
            semaphore: Semaphore::new(PERMITS),
            mutex: Mutex::new(0),
            changed: Condvar::new(),
            lock: RwLock::new(0),
            barrier: Barrier::new(3),
            event: Event::new(),
            channels: [0, 1, 3].map(bounded).into(),
            victims: RefCell::default(),
        })
    }

    fn send(&self, send: impl FnOnce(Parcel) -> bool) {
        let parcel = self.books.parcel();
        let number = parcel.number;
        if send(parcel) {
            self.note_sent(number);
        }
    }

    fn note_sent(&self, number: u64) {
        self.books.sent.borrow_mut().insert(number);
    }

    fn receive(&self, parcel: &Parcel) {
        assert!(self.books.received.borrow_mut().insert(parcel.number), "received twice");
    }
}

/// One thing that an actor does. Every wait in here may be cut short by a kill or a timeout around it.
fn act(world: &Rc<World>, dice: &mut Dice) {
    let books = &world.books;
    let (sender, receiver) = &world.channels[dice.roll(3) as usize];
    match dice.roll(16) {
        0 => sleep(dice.pause()),
        1 => yield_now(),
        2 => {
            let count = 1 + dice.roll(PERMITS as u64) as usize;
            let _permits = world.semaphore.acquire_many(count);
            let _counted = Counted::new(&books.permits_out, count);
            assert!(books.permits_out.get() <= PERMITS);
            sleep(dice.pause());
        }
        3 => {
            if let Some(_permit) = world.semaphore.acquire_timeout(dice.pause()) {
                let _counted = Counted::new(&books.permits_out, 1);
                assert!(books.permits_out.get() <= PERMITS);
                yield_now();
            }
        }
        4 => {
            let mut value = world.mutex.lock();
            let _owner = Counted::new(&books.owners, 1);
            assert_eq!(books.owners.get(), 1);
            sleep(dice.pause());
            *value += 1;
            world.changed.notify_one();
        }
        5 => {
            let guard = world.mutex.lock();
            let (_guard, _) = world.changed.wait_timeout(guard, dice.pause());
            let _owner = Counted::new(&books.owners, 1);
            assert_eq!(books.owners.get(), 1);
            yield_now();
        }
        6 => {
            let _guard = world.lock.read();
            let _reader = Counted::new(&books.readers, 1);
            assert_eq!(books.writers.get(), 0);
            sleep(dice.pause());
        }
        7 => {
            let _guard = world.lock.write();
            let _writer = Counted::new(&books.writers, 1);
            assert_eq!((books.readers.get(), books.writers.get()), (0, 1));
            sleep(dice.pause());
        }
        8 => world.send(|parcel| sender.send(parcel).is_ok()),
        9 => world.send(|parcel| sender.send_timeout(parcel, dice.pause()).is_ok()),
        10 => {
            if let Ok(parcel) = receiver.recv_timeout(dice.pause()) {
                world.receive(&parcel);
            }
        }
        11 => {
            let (other_sender, other) = &world.channels[dice.roll(3) as usize];
            let mut parcel = Some(books.parcel());
            let number = books.made.get() - 1;
            select! {
                recv(receiver) -> parcel => if let Ok(parcel) = parcel { world.receive(&parcel) },
                recv(other) -> parcel => if let Ok(parcel) = parcel { world.receive(&parcel) },
                send(other_sender, parcel.take().unwrap()) -> sent => if sent.is_ok() { world.note_sent(number) },
                event(world.event) => yield_now(),
                after(dice.pause()) => {}
            }
        }
        12 => drop(timeout(dice.pause(), || world.barrier.wait())),
        13 => match dice.roll(2) {
            0 => {
                world.event.set();
                world.event.clear();
            }
            _ => drop(world.event.wait_timeout(dice.pause())),
        },
        14 => {
            let (first, second) = (dice.pause(), dice.pause());
            scope(|scope| {
                let child = scope.spawn(|| sleep(first));
                let _ = scope.spawn(|| world.semaphore.acquire_timeout(second).is_some());
                if first > second {
                    child.kill();
                }
            });
        }
        _ => {
            let world = world.clone();
            let pause = dice.pause();
            let values = Generator::new(move |yielder, ()| {
                yielder.suspend(1);
                sleep(pause);
                let _guard = world.mutex.lock();
                yielder.suspend(2);
            });
            values.take(dice.roll(3) as usize).for_each(drop);
        }
    }
}

fn actor(world: &Rc<World>, seed: u64) -> JoinHandle<()> {
    let world = world.clone();
    spawn(move || {
        let mut dice = Dice(seed);
        for _ in 0..STEPS {
            match dice.roll(3) {
                0 => drop(timeout(dice.pause(), || act(&world, &mut dice))),
                1 => {
                    let (theirs, mut their_dice) = (world.clone(), Dice(seed ^ dice.roll(u64::MAX)));
                    let victim = spawn(move || act(&theirs, &mut their_dice));
                    world.victims.borrow_mut().push(victim);
                }
                _ => drop(timeout(MS * 50, || act(&world, &mut dice))),
            }
            let any = world.victims.borrow_mut().pop();
            if let Some(any) = any {
                if dice.roll(2) == 0 {
                    any.kill();
                }
                match any.join_timeout(dice.pause()) {
                    Ok(ended) => check_end(ended),
                    Err(late) => world.victims.borrow_mut().push(late),
                }
            }
        }
    })
}

/// A victim may be killed; its own assertions may not fail.
fn check_end(ended: Result<(), JoinError>) {
    if let Err(error @ JoinError::Panicked(_)) = ended {
        error.resume();
    }
}

fn check_seed(seed: u64) {
    let runtime = Runtime::builder().simulated(seed).build().unwrap();
    let ended = runtime.run(move || {
        let world = World::new();
        let actors: Vec<_> = (0..ACTORS).map(|id| actor(&world, seed * 1000 + id)).collect();
        for ended in join_all(actors) {
            ended.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        }
        for victim in world.victims.take() {
            victim.kill();
            check_end(victim.join());
        }
        settle(&world, seed);
    });
    ended.unwrap_or_else(|deadlock| panic!("seed {seed}: {deadlock}"));
}

/// When only this coroutine is left, everything is back where it belongs.
fn settle(world: &Rc<World>, seed: u64) {
    let books = &world.books;
    for (_, receiver) in &world.channels {
        receiver.try_iter().for_each(|parcel| world.receive(&parcel));
    }
    assert_eq!(stats().coroutines, 1, "seed {seed}: {}", leveret_runtime::dump());
    assert_eq!(stats().stacks, 1, "seed {seed}");
    assert_eq!(books.alive.borrow().len(), 0, "seed {seed}: parcels lost");
    assert!(books.sent.borrow().is_subset(&books.received.borrow()), "seed {seed}: sent and not received");
    assert_eq!(books.permits_out.get(), 0);
    assert_eq!(world.semaphore.available_permits(), PERMITS, "seed {seed}");
    assert!(world.semaphore.try_acquire_many(PERMITS).is_some() && world.mutex.try_lock().is_some());
    assert!(world.lock.try_write().is_some());
    assert!(world.channels.iter().all(|(sender, receiver)| sender.is_empty() && receiver.is_empty()));
}

#[test]
fn nothing_is_lost_or_doubled_on_virtual_time() {
    let seeds = std::env::var("STRESS_SEEDS").ok().and_then(|count| count.parse().ok()).unwrap_or(60);
    (0..seeds).for_each(check_seed);
}

/// Two runs of a seed do the same.
#[test]
fn a_seed_repeats() {
    let trace = |seed| {
        let runtime = Runtime::builder().simulated(seed).build().unwrap();
        runtime.run(move || {
            let world = World::new();
            let actors: Vec<_> = (0..ACTORS).map(|id| actor(&world, seed * 1000 + id)).collect();
            let _ = join_all(actors);
            let received: Vec<_> = world.books.received.borrow().iter().copied().collect();
            (stats().switches, stats().spawned, world.books.made.get(), received)
        })
    };
    assert_eq!(trace(7).unwrap(), trace(7).unwrap());
    assert_ne!(trace(7).unwrap(), trace(8).unwrap());
}

/// Every number that was sent from any shard arrives once, though coroutines are killed, calls run on other shards and on
/// the pool, and the runtime ends with work under way.
#[test]
fn shards_lose_no_mail() {
    for round in 0..10u64 {
        let sum = Arc::new(AtomicU64::new(0));
        let books = sum.clone();
        let runtime = Runtime::builder().shards(3).build().unwrap();
        let received = runtime.run(move || {
            let (sender, receiver) = mailbox::channel::channel::<u64>();
            let mut calls = Vec::new();
            for (index, shard) in (0..60).map(|index| (index, shards().nth(index as usize % 3).unwrap())) {
                let (sender, books, seed) = (sender.clone(), books.clone(), round * 100 + index);
                let call = spawn_on(shard, move || talk(&sender, &books, seed));
                if index % 7 == 3 {
                    call.kill();
                }
                calls.push(call);
            }
            drop(sender);
            let abandoned: Vec<_> = shards().map(|shard| spawn_on(shard, || offload(|| sleep_hard(MS * 3)))).collect();
            let (mut batch, mut received) = (Vec::new(), 0);
            while receiver.receive_batch(&mut batch).unwrap() {
                received += batch.drain(..).sum::<u64>();
            }
            calls.into_iter().for_each(|call| drop(call.join()));
            drop(abandoned);
            received
        });
        assert_eq!(received.unwrap(), sum.load(Ordering::Relaxed), "round {round}");
    }
}

fn talk(sender: &mailbox::channel::Sender<u64>, books: &AtomicU64, seed: u64) {
    let mut dice = Dice(seed);
    for _ in 0..40 {
        let number = dice.roll(1000);
        match dice.roll(5) {
            0 => sleep(Duration::from_micros(dice.roll(300))),
            1 => drop(offload(move || number + 1)),
            2 => {
                let target = shards().nth(dice.roll(3) as usize).unwrap();
                let answer = spawn_on(target, move || number * 2).join().unwrap();
                assert_eq!(answer, number * 2);
            }
            3 => drop(timeout(Duration::from_micros(dice.roll(300)), || spawn(|| sleep(MS)).join())),
            _ => {
                books.fetch_add(number, Ordering::Relaxed);
                sender.send(number).unwrap(); // does not wait: both or neither
            }
        }
    }
}

/// Blocks the thread, as a file would.
fn sleep_hard(time: Duration) {
    let start = std::time::Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}
