//! The disk of a simulated host: what was written, what of it is durable, and what a crash leaves.
//!
//! ```text
//!   state    paths, open files, room: what Linux would answer      content  sparse bytes, shared between copies
//!   file     one file's synced and unsynced changes                tree     the same for names in directories
//!   image    what is there while the machine is off                dice     what decides a crash
//! ```
//!
//! All of it is plain data behind one lock (files go to other threads on the real driver, so they are `Send` here too); the
//! shards of a simulation share one thread, so nobody ever waits for that lock. Time, latency and faults are added where
//! the file calls are made, in [`fs`](crate::fs).

pub(crate) mod content;
pub(crate) mod dice;
pub(crate) mod file;
pub(crate) mod image;
pub(crate) mod state;
pub(crate) mod tree;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dice::Dice;
pub use image::Image;
use state::State;

use super::World;
use super::hosts::HostId;
use super::random::Stream;
use crate::coroutine::current;
use crate::lane::Progress;

/// How long the calls of a simulated disk take, in virtual time: from nothing to these, and now and then much longer.
///
/// ```
/// use std::time::Duration;
/// use leveret_runtime::{fs, sim::{self, Latency}, time};
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// sim::disk().set_latency(Latency::ZERO);
/// let start = time::now();
/// fs::write("/quick", "x").unwrap();
/// assert_eq!(time::now(), start);
/// sim::disk().set_latency(Latency { slow_chance: 1.0, slow_factor: 1000, ..Latency::default() });
/// fs::File::open("/quick").unwrap().sync_all().unwrap();
/// assert!(time::now() > start);
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Latency {
    /// The longest read, unless it is one of the slow ones.
    pub read: Duration,
    /// The longest write, which goes to memory; and of calls that change names or lengths.
    pub write: Duration,
    /// The longest sync.
    pub sync: Duration,
    /// The share of calls that are slow, from 0 to 1.
    pub slow_chance: f64,
    /// How many times longer those take.
    pub slow_factor: u32,
}

impl Default for Latency {
    /// A decent solid-state disk: syncs of up to 2 ms, one call of a hundred slow by a factor of 20.
    fn default() -> Self {
        Latency {
            read: Duration::from_micros(200),
            write: Duration::from_micros(20),
            sync: Duration::from_millis(2),
            slow_chance: 0.01,
            slow_factor: 20,
        }
    }
}

impl Latency {
    /// A disk that takes no time at all.
    pub const ZERO: Latency =
        Latency { read: Duration::ZERO, write: Duration::ZERO, sync: Duration::ZERO, slow_chance: 0.0, slow_factor: 1 };
}

struct Inner {
    state: State,
    latency: Latency,
    /// Crashes that have begun.
    cuts: u64,
    /// Those after which everything has ended that ran before.
    crashes: Progress,
}

/// The disk of a simulated host. Clones are the same disk.
///
/// What is written to a file is durable when the file was synced, and a name in a directory when the directory was
/// ([`sync_dir`](crate::fs::sync_dir)): neither does for the other. At a crash every sector of 512 bytes that is not durable
/// is kept, lost or torn, and the changes of names are kept up to some point or each for itself, as the seed decides. A
/// failed sync leaves in doubt what it should have made durable, and no later sync helps.
///
/// ```
/// use leveret_runtime::{Runtime, fs, sim};
///
/// let runtime = Runtime::builder().simulated(7).build().unwrap();
/// let image = runtime.run(|| {
///     let file = fs::File::create("/safe").unwrap();
///     file.write_all_at(b"synced", 0).unwrap();
///     file.sync_all().unwrap();
///     fs::sync_dir("/").unwrap();
///     fs::write("/unsafe", "not synced").unwrap();
///     sim::disk().crash()
/// }).unwrap();
/// assert_eq!(image.read("/safe").unwrap(), b"synced");
/// ```
#[derive(Clone)]
pub struct Disk(Arc<Mutex<Inner>>);

impl Disk {
    pub(crate) fn new() -> Disk {
        let inner = Inner { state: State::new(), latency: Latency::default(), cuts: 0, crashes: Progress::new(0) };
        Disk(Arc::new(Mutex::new(inner)))
    }

    /// Cuts the power: what survives, by the seed, is what the disk holds from now on, and what this answers. Files that
    /// were open are stale: whoever uses one never hears of it again, as on a machine that is off, until it is killed.
    ///
    /// It kills nobody itself: [`Host::crash`](crate::sim::Host::crash) does, which crashes the disk too.
    ///
    /// # Panics
    /// Outside of a simulation.
    pub fn crash(&self) -> Image {
        let world = current::with(|shard| shard.driver.world().cloned());
        let image = self.crash_in(&world.expect("only a simulated disk can crash, inside of its simulation"));
        self.count_crash();
        image
    }

    pub(crate) fn crash_in(&self, world: &World) -> Image {
        let image = self.survivor(world.draw(Stream::Disk));
        self.restore(&image);
        self.lock().cuts += 1;
        world.note("disk crash", image.files().len() as u64, 0);
        image
    }

    pub(crate) fn count_crash(&self) {
        let crashes = self.crashes();
        crashes.advance(crashes.value() + 1);
    }

    /// Waits until nothing is left of what ran before the last crash.
    pub(crate) fn wait_settled(&self) {
        let cuts = self.lock().cuts;
        let settled = self.crashes().wait(cuts);
        debug_assert!(settled.is_ok(), "it never ends, and whoever unwinds does not start hosts");
    }

    /// How often it has crashed, counted when everything that ran on its host has ended: for whoever waits for a crash that
    /// a [`Fault`](crate::sim::Fault) brings.
    ///
    /// ```
    /// use leveret_runtime::{fs, sim::{self, Effect, Fault}};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let server = sim::host("server");
    /// let _ = server.spawn(|| {
    ///     sim::inject(Fault::at("fs.rename").then(Effect::Crash)); // on the host that the caller runs on
    ///     fs::write("/new", "x").unwrap();
    ///     fs::rename("/new", "/file") // the power fails here
    /// });
    /// server.disk().crashes().wait(1).unwrap(); // everything that ran there has ended
    /// server.restart();
    /// assert!(!server.run(|| fs::exists("/file").unwrap()).unwrap());
    /// # }).unwrap();
    /// ```
    pub fn crashes(&self) -> Progress {
        self.lock().crashes.clone()
    }

    /// What a crash now might leave, by a seed of its own; nothing happens to the disk.
    ///
    /// ```
    /// use leveret_runtime::{fs, sim};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// fs::write("/file", [7; 512]).unwrap();
    /// let disk = sim::disk();
    /// let left: std::collections::BTreeSet<_> = (0..50).map(|seed| disk.survivor(seed).read("/file")).collect();
    /// assert!(left.len() > 1); // there, not there, with its bytes or without: nothing was synced
    /// # }).unwrap();
    /// ```
    pub fn survivor(&self, seed: u64) -> Image {
        self.state(|state| state.survivor(&mut Dice::new(seed)))
    }

    /// What a crash now would leave at least: what is durable.
    ///
    /// ```
    /// use leveret_runtime::{fs, sim};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let file = fs::File::create("/file").unwrap();
    /// file.sync_all().unwrap();
    /// assert_eq!(sim::disk().durable().files().len(), 0); // the bytes are durable, the name is not
    /// fs::sync_dir("/").unwrap();
    /// assert_eq!(sim::disk().durable().files().len(), 1);
    /// # }).unwrap();
    /// ```
    pub fn durable(&self) -> Image {
        self.state(|state| state.durable())
    }

    /// What programs see: what is there if the machine is shut down in order.
    pub fn image(&self) -> Image {
        self.state(|state| state.current())
    }

    /// Boots the machine with this on its disk. Files that were open are stale.
    ///
    /// ```
    /// use leveret_runtime::{fs, sim};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// fs::write("/file", "before").unwrap();
    /// let image = sim::disk().image();
    /// fs::write("/file", "after").unwrap();
    /// sim::disk().restore(&image);
    /// assert_eq!(fs::read("/file").unwrap(), b"before");
    /// # }).unwrap();
    /// ```
    pub fn restore(&self, image: &Image) {
        self.state(|state| state.boot(image));
    }

    /// Makes the disk this large, in bytes; the default is 64 GiB. What is full fails with `StorageFull`.
    ///
    /// ```
    /// use leveret_runtime::{fs, sim};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// sim::disk().set_capacity(4096);
    /// let error = fs::write("/large", vec![0; 10_000]).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    /// # }).unwrap();
    /// ```
    pub fn set_capacity(&self, bytes: u64) {
        self.state(|state| state.set_capacity(bytes));
    }

    /// Lets programs have so many files open; the default is no limit. Beyond it they fail for want of descriptors (EMFILE).
    ///
    /// ```
    /// use leveret_runtime::{fs::File, sim};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// sim::disk().set_open_files_max(1);
    /// let first = File::create("/a").unwrap();
    /// assert!(File::create("/b").is_err());
    /// drop(first);
    /// assert!(File::create("/b").is_ok());
    /// # }).unwrap();
    /// ```
    pub fn set_open_files_max(&self, count: usize) {
        self.state(|state| state.open_files_max = count);
    }

    /// Says how long calls take.
    pub fn set_latency(&self, latency: Latency) {
        self.lock().latency = latency;
    }

    /// Files that are open: what a program has forgotten to close.
    ///
    /// ```
    /// use leveret_runtime::{fs::File, sim};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let file = File::create("/a").unwrap();
    /// assert_eq!(sim::disk().open_files(), 1);
    /// drop(file);
    /// assert_eq!(sim::disk().open_files(), 0);
    /// # }).unwrap();
    /// ```
    pub fn open_files(&self) -> usize {
        self.state(|state| state.open_files())
    }

    pub(crate) fn latency(&self) -> Latency {
        self.lock().latency
    }

    pub(crate) fn state<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.lock().state)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("space", &self.state(|state| state.space())).finish_non_exhaustive()
    }
}

/// The disks of a simulation's hosts, each made at its first use.
#[derive(Debug, Default)]
pub(crate) struct Disks(RefCell<BTreeMap<HostId, Disk>>);

impl World {
    /// The disk of the host whose code runs.
    pub(crate) fn disk(&self) -> Disk {
        self.disk_of(self.hosts.current())
    }

    pub(crate) fn disk_of(&self, host: HostId) -> Disk {
        self.disks.0.borrow_mut().entry(host).or_insert_with(Disk::new).clone()
    }
}
