//! A runtime: its configuration, its shards' threads, and the main coroutine.

use std::fmt;
use std::io;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::backdoor::Backdoor;
use crate::coroutine::join::{JoinError, JoinHandle};
use crate::coroutine::task::Name;
use crate::coroutine::{current, spawn_on_shard};
use crate::diagnostics::{CoroutineInfo, Deadlock};
use crate::driver::Driver;
use crate::driver::os::OsDriver;
use crate::driver::sim::schedule::simulate;
use crate::driver::sim::{SimDriver, World};
use crate::lane::Lanes;
use crate::mailbox::Inbox;
use crate::observer::{self, Observer};
use crate::offload::Pool;
use crate::remote::{RemoteJoinHandle, post_spawn};
use crate::shard::{Budget, Shard, ShardId};
use crate::signal::Signal;
use crate::watchdog::{self, Leash, Pulse};

/// The most shards a runtime may have.
pub const SHARDS_MAX: usize = 1024;

/// Usable bytes of a coroutine's stack where the builder says nothing. Release code does a TLS handshake or prints a
/// panic with its backtrace within 64 KiB; debug code needs up to five times as much. Only touched pages cost memory.
pub const STACK_SIZE_DEFAULT: usize = if cfg!(debug_assertions) { 256 * 1024 } else { 64 * 1024 };

/// Transfers, and bytes, after which a coroutine that keeps finding data ready lets the others run.
const BUDGET_DEFAULT: Budget = Budget { calls: 16, bytes: 256 * 1024 };

#[derive(Clone, Copy, Debug)]
enum DriverKind {
    Os,
    Sim { seed: u64 },
}

#[derive(Clone, Debug)]
pub(crate) struct Config {
    shards: usize,
    driver: DriverKind,
    pub(crate) stack_size: usize,
    pub(crate) budget: Budget,
    offload_threads: usize,
    watchdog: Option<Duration>,
    dump_on: Option<Signal>,
    backdoor: Option<PathBuf>,
}

impl Config {
    /// What can be asked from outside, if anything.
    fn observer(&self) -> io::Result<Option<Observer>> {
        if self.dump_on.is_none() && self.backdoor.is_none() {
            return Ok(None);
        }
        if let DriverKind::Sim { .. } = self.driver {
            let text = "a simulated machine has no outside: neither a backdoor nor signals";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let backdoor = self.backdoor.as_deref().map(Backdoor::bind).transpose()?;
        Ok(Some(Observer { dump_on: self.dump_on, backdoor }))
    }
}

/// Sets up a [`Runtime`].
///
/// ```
/// use leveret_runtime::Runtime;
/// use std::time::Duration;
/// let runtime = Runtime::builder().shards(2).watchdog(Duration::from_millis(100)).build().unwrap();
/// assert_eq!(runtime.run(leveret_runtime::shard_count).unwrap(), 2);
/// assert!(Runtime::builder().shards(0).build().is_err());
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct Builder {
    config: Config,
}

impl Builder {
    /// How many shards, each a thread with a reactor of its own. The default is one.
    pub fn shards(mut self, shards: usize) -> Builder {
        self.config.shards = shards;
        self
    }

    /// Usable bytes of each coroutine's stack, rounded up to pages, at least 16 KiB. See [`STACK_SIZE_DEFAULT`].
    ///
    /// ```
    /// use leveret_runtime::{Runtime, stack_use};
    /// let runtime = Runtime::builder().stack_size(100_000).build().unwrap();
    /// assert_eq!(runtime.run(|| stack_use()[0].size).unwrap(), 102_400); // whole pages
    /// ```
    pub fn stack_size(mut self, bytes: usize) -> Builder {
        self.config.stack_size = bytes;
        self
    }

    /// After how many transfers, or bytes, a coroutine lets others run. The default is 16 calls or 256 KiB.
    ///
    /// ```
    /// use leveret_runtime::Runtime;
    /// let fair = Runtime::builder().budget(4, 16 * 1024).build().unwrap(); // more switches, shorter waits
    /// fair.run(|| ()).unwrap();
    /// ```
    pub fn budget(mut self, calls: u32, bytes: usize) -> Builder {
        self.config.budget = Budget { calls, bytes };
        self
    }

    /// The most threads for blocking work ([`offload`](crate::offload), files, DNS). The default is 10.
    ///
    /// ```
    /// use leveret_runtime::{Runtime, offload};
    /// let runtime = Runtime::builder().offload_threads(2).build().unwrap();
    /// assert_eq!(runtime.run(|| offload(|| 6 * 7)).unwrap(), 42);
    /// ```
    pub fn offload_threads(mut self, threads: usize) -> Builder {
        self.config.offload_threads = threads;
        self
    }

    /// Has a thread log every shard that has not looked at its sockets and timers for `limit`, with the name of the coroutine
    /// that holds it. The default is none. It asks the stalled thread by SIGURG.
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::Runtime;
    /// let runtime = Runtime::builder().watchdog(Duration::from_millis(50)).build().unwrap();
    /// runtime.run(|| {
    ///     // Blocks the shard: the log says "has not looked at its sockets and timers for", and that 'main' holds it.
    ///     std::thread::sleep(Duration::from_millis(120));
    /// }).unwrap();
    /// ```
    pub fn watchdog(mut self, limit: Duration) -> Builder {
        self.config.watchdog = Some(limit);
        self
    }

    /// Prints every coroutine with its backtrace to the standard error whenever `signal` comes, also while a shard is held.
    /// The default is none; [`Signal::Quit`] (Ctrl-\\) is the one that users of Go and Java know.
    ///
    /// ```
    /// use leveret_runtime::{Runtime, signal::Signal};
    /// let runtime = Runtime::builder().dump_on(Signal::Quit).build().unwrap();
    /// runtime.run(|| Signal::Quit.raise().unwrap()).unwrap(); // prints the coroutines; the program goes on
    /// ```
    pub fn dump_on(mut self, signal: Signal) -> Builder {
        self.config.dump_on = Some(signal);
        self
    }

    /// Answers questions about the running program at a Unix socket at `path`, which only the process's user may open: what
    /// every coroutine waits for, backtraces, counters, use of stacks. Say `help` to it (`socat - UNIX-CONNECT:path`). The
    /// default is that there is none. It answers also while a shard is held, and names who holds it.
    ///
    /// ```
    /// use std::io::{BufRead, BufReader, Write};
    /// use leveret_runtime::{Runtime, net::UnixStream};
    ///
    /// # let path = std::env::temp_dir().join(format!("leveret-doc-{}.sock", std::process::id()));
    /// let runtime = Runtime::builder().backdoor(&path).build().unwrap();
    /// runtime.run(move || {
    ///     let mut stream = UnixStream::connect(&path).unwrap();
    ///     stream.write_all(b"list\n").unwrap();
    ///     let mut lines = BufReader::new(stream).lines();
    ///     assert_eq!(lines.next().unwrap().unwrap(), "1 coroutines:");
    ///     assert!(lines.next().unwrap().unwrap().contains("'main' waits for"));
    /// }).unwrap();
    /// ```
    pub fn backdoor(mut self, path: impl Into<PathBuf>) -> Builder {
        self.config.backdoor = Some(path.into());
        self
    }

    /// Runs on a simulated machine: every shard on the calling thread, a virtual clock that jumps when nothing can run, a
    /// simulated network and simulated disks, and whatever is left open (who runs next, when mail arrives, what is random)
    /// drawn from `seed`. The same seed gives the same run. See [`sim`](crate::sim).
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::{Runtime, random, sleep};
    /// let run = |seed| Runtime::builder().simulated(seed).build().unwrap().run(|| {
    ///     sleep(Duration::from_secs(86_400)); // a virtual day
    ///     random::u64()
    /// });
    /// assert_eq!(run(7).unwrap(), run(7).unwrap());
    /// assert_ne!(run(7).unwrap(), run(8).unwrap());
    /// ```
    pub fn simulated(mut self, seed: u64) -> Builder {
        self.config.driver = DriverKind::Sim { seed };
        self
    }

    /// Makes the runtime.
    ///
    /// # Errors
    /// A number of shards, or of threads, that is zero or beyond [`SHARDS_MAX`]; a backdoor, or a signal for dumps, on the
    /// simulated machine, which has no outside; those of listening at the backdoor's path.
    pub fn build(self) -> io::Result<Runtime> {
        let invalid = |text: String| Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        if !(1..=SHARDS_MAX).contains(&self.config.shards) {
            return invalid(format!("a runtime has 1 to {SHARDS_MAX} shards, not {}", self.config.shards));
        }
        if !(1..=SHARDS_MAX).contains(&self.config.offload_threads) {
            return invalid(format!(
                "the thread pool has 1 to {SHARDS_MAX} threads, not {}",
                self.config.offload_threads
            ));
        }
        let observer = self.config.observer()?;
        Ok(Runtime { config: self.config, observer })
    }
}

/// What all shards, and handles outside of them, share.
pub(crate) struct Shared {
    pub(crate) inboxes: Vec<Arc<Inbox>>,
    pub(crate) offload: Pool,
    pub(crate) lanes: Lanes,
    /// One for each shard, for the watchdog.
    pub(crate) pulses: Vec<Pulse>,
    stopped: AtomicBool,
    /// [`Handle`]s alive: while there is one, mail may come from outside.
    handles: AtomicUsize,
}

impl Shared {
    fn new(inboxes: Vec<Arc<Inbox>>, config: &Config) -> Arc<Shared> {
        let offload = Pool::new(config.offload_threads);
        let pulses = inboxes.iter().map(|_| Pulse::default()).collect();
        let lanes = Lanes::default();
        let (stopped, handles) = (AtomicBool::new(false), AtomicUsize::new(0));
        Arc::new(Shared { inboxes, offload, lanes, pulses, stopped, handles })
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.inboxes.iter().for_each(|inbox| inbox.ring());
    }

    /// Whether mail may come from other threads.
    pub(crate) fn is_reachable_from_outside(&self) -> bool {
        self.inboxes.len() > 1 || self.handles.load(Ordering::Acquire) > 0
    }
}

/// Coroutines on one or more shards.
///
/// ```
/// use leveret_runtime::{Runtime, spawn};
///
/// let runtime = Runtime::builder().shards(2).build().unwrap();
/// let answer = runtime.run(|| spawn(|| 6 * 7).join().unwrap()).unwrap();
/// assert_eq!(answer, 42);
/// ```
#[derive(Debug)]
pub struct Runtime {
    config: Config,
    observer: Option<Observer>,
}

impl Runtime {
    /// A builder with one shard on the real machine.
    pub fn builder() -> Builder {
        let config = Config {
            shards: 1,
            driver: DriverKind::Os,
            stack_size: STACK_SIZE_DEFAULT,
            budget: BUDGET_DEFAULT,
            offload_threads: 10,
            watchdog: None,
            dump_on: None,
            backdoor: None,
        };
        Builder { config }
    }

    /// Runs `main` in a coroutine on shard 0, whose thread is the calling one, and gives its value. When it returns, every
    /// other coroutine is killed and unwinds before this does.
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::{Runtime, sleep, spawn};
    /// struct Loud;
    /// impl Drop for Loud { fn drop(&mut self) { println!("unwound") } }
    /// let runtime = Runtime::builder().build().unwrap();
    /// let value = runtime.run(|| {
    ///     let _ = spawn(|| { let _loud = Loud; sleep(Duration::from_secs(3600)) });
    ///     leveret_runtime::yield_now();
    ///     "the main coroutine's"
    /// }); // prints "unwound": whoever has not ended is killed
    /// assert_eq!(value.unwrap(), "the main coroutine's");
    /// ```
    ///
    /// # Errors
    /// [`Deadlock`] with the list of who waits for what, when no coroutine can ever run again. It is detected on one
    /// shard as long as no [`Handle`] is alive, and on any number of simulated ones, which wait for no other thread.
    ///
    /// # Panics
    /// With the panic of `main`, or of a hook or a posted call on any shard; inside of a runtime, which would stand still
    /// meanwhile (give the other one a thread of its own); and if the kernel refuses an epoll instance, a thread or a stack.
    pub fn run<T: 'static>(self, main: impl FnOnce() -> T + 'static) -> Result<T, Deadlock> {
        assert!(
            current::try_with(|_| ()).is_none(),
            "a runtime cannot run inside of another one: spawn coroutines on this one, or give the other a thread of its own"
        );
        match self.config.driver {
            DriverKind::Os => run_os(&self.config, self.observer, main),
            DriverKind::Sim { seed } => run_sim(&self.config, seed, main),
        }
    }
}

/// Runs `main` on a runtime with one shard. See [`Runtime::run`].
///
/// ```
/// assert_eq!(leveret_runtime::run(|| 6 * 7).unwrap(), 42);
/// ```
///
/// # Errors
/// [`Deadlock`].
pub fn run<T: 'static>(main: impl FnOnce() -> T + 'static) -> Result<T, Deadlock> {
    Runtime { config: Runtime::builder().config, observer: None }.run(main)
}

fn run_os<T: 'static>(
    config: &Config,
    observer: Option<Observer>,
    main: impl FnOnce() -> T + 'static,
) -> Result<T, Deadlock> {
    let (mut drivers, inboxes): (Vec<_>, Vec<_>) = (0..config.shards)
        .map(|_| {
            let (driver, waker) = OsDriver::new().unwrap_or_else(|error| panic!("no epoll instance: {error}"));
            (driver, Inbox::new(Some(waker)))
        })
        .unzip();
    let shared = Shared::new(inboxes, config);
    let others = drivers.split_off(1);
    let own = drivers.pop().expect("there is at least one shard");
    let leash = Leash::default();
    std::thread::scope(|threads| {
        let mut stop = StopOnDrop { shared: &shared, leash: &leash, observer: None };
        if let Some(observer) = observer {
            let shared = shared.clone();
            let thread = std::thread::Builder::new().name("observer".into());
            let start = |theirs| drop(thread.spawn_scoped(threads, move || observer.observe(shared, theirs)));
            let begun = observer::begin(start);
            stop.observer = Some(begun.unwrap_or_else(|error| panic!("no thread for the observer: {error}")));
        }
        if let Some(limit) = config.watchdog {
            let (shared, leash) = (&shared, &leash);
            let thread = std::thread::Builder::new().name("watchdog".into());
            let started = thread.spawn_scoped(threads, move || watchdog::watch(&shared.pulses, limit, leash));
            drop(started.unwrap_or_else(|error| panic!("no thread for the watchdog: {error}")));
        }
        for (index, driver) in (1u16..).zip(others) {
            let shared = shared.clone();
            let body = move || run_other(ShardId(index), driver, shared, config);
            let thread = std::thread::Builder::new().name(format!("shard-{index}"));
            thread.spawn_scoped(threads, body).unwrap_or_else(|error| panic!("no thread for shard {index}: {error}"));
        }
        let shard = Shard::new(ShardId(0), Driver::Os(own), shared.inboxes[0].clone(), shared.clone(), config);
        run_first(&shard, main)
    })
}

/// Stops the other threads when shard 0 ends, even by a panic of the loop itself.
struct StopOnDrop<'a> {
    shared: &'a Shared,
    leash: &'a Leash,
    /// The observer ends when this is closed.
    observer: Option<UnixStream>,
}

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.shared.stop();
        self.shared.offload.stop();
        self.shared.lanes.stop();
        self.leash.release();
        drop(self.observer.take());
    }
}

fn run_other(id: ShardId, driver: OsDriver, shared: Arc<Shared>, config: &Config) {
    let inbox = shared.inboxes[id.index()].clone();
    let shard = Shard::new(id, Driver::Os(driver), inbox, shared, config);
    current::enter(&shard, || {
        let ended = run_and_unwind(&shard, || false);
        debug_assert!(ended.is_ok(), "one of several shards is never deadlocked by itself");
    });
}

fn run_first<T: 'static>(shard: &Shard, main: impl FnOnce() -> T + 'static) -> Result<T, Deadlock> {
    current::enter(shard, || {
        let main = spawn_main(shard, main);
        match run_and_unwind(shard, || main.is_finished()) {
            Ok(()) => Ok(result(main)),
            Err(waiting) => Err(Deadlock { waiting }),
        }
    })
}

/// The loop of a shard, and its end. Suspended stacks refer to the shard, so they unwind even if the loop itself panics (by
/// a hook, or a posted call); the whole runtime ends then.
fn run_and_unwind(shard: &Shard, done: impl Fn() -> bool) -> Result<(), Vec<CoroutineInfo>> {
    let ended = catch_unwind(AssertUnwindSafe(|| shard.run(done)));
    shard.shared.stop();
    shard.unwind_all();
    ended.unwrap_or_else(|payload| resume_unwind(payload))
}

fn spawn_main<T: 'static>(shard: &Shard, main: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
    let spawned = spawn_on_shard(shard, Name::Given("main".into()), None, main);
    spawned.unwrap_or_else(|error| panic!("no stack for the main coroutine: {error}"))
}

fn result<T>(main: JoinHandle<T>) -> T {
    match main.into_outcome() {
        Ok(value) => value,
        Err(JoinError::Panicked(payload)) => resume_unwind(payload),
        Err(error) => panic!("the main coroutine: {error}"),
    }
}

fn run_sim<T: 'static>(config: &Config, seed: u64, main: impl FnOnce() -> T + 'static) -> Result<T, Deadlock> {
    let world = World::new(seed, config.shards);
    let shared = Shared::new((0..config.shards).map(|_| Inbox::new(None)).collect(), config);
    let shards: Vec<Shard> = (0u16..)
        .zip(&shared.inboxes)
        .map(|(index, inbox)| {
            let driver = Driver::Sim(SimDriver::new(world.clone(), index.into()));
            Shard::new(ShardId(index), driver, inbox.clone(), shared.clone(), config)
        })
        .collect();
    let main = current::enter(&shards[0], || spawn_main(&shards[0], main));
    let ended = catch_unwind(AssertUnwindSafe(|| simulate(&world, &shards, || main.is_finished())));
    for shard in &shards {
        current::enter(shard, || shard.unwind_all());
    }
    match ended.unwrap_or_else(|payload| resume_unwind(payload)) {
        Ok(()) => Ok(result(main)),
        Err(waiting) => Err(Deadlock { waiting }),
    }
}

/// Reaches a runtime from any thread.
///
/// ```
/// # leveret_runtime::run(|| {
/// use leveret_runtime::{Handle, mailbox, shard_id};
/// let (handle, here) = (Handle::current(), shard_id());
/// let (sender, receiver) = mailbox::bounded::bounded(1);
/// std::thread::spawn(move || {
///     let _ = handle.spawn_on(here, move || sender.send("from a plain thread").unwrap());
/// });
/// assert_eq!(receiver.recv().unwrap(), "from a plain thread");
/// # }).unwrap();
/// ```
pub struct Handle {
    shared: Arc<Shared>,
}

impl Handle {
    /// A handle to the runtime that the caller runs in.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn current() -> Handle {
        Handle::new(current::with(|shard| shard.shared.clone()))
    }

    fn new(shared: Arc<Shared>) -> Handle {
        shared.handles.fetch_add(1, Ordering::AcqRel);
        Handle { shared }
    }

    /// Spawns `f` on `shard`. The answer is joined from inside the runtime; a plain thread lets it go, and if it wants the
    /// value it gives `f` the sender of a std channel, whose `send` does not wait:
    ///
    /// ```
    /// use leveret_runtime::{Handle, RemoteJoinHandle, Runtime, shards};
    /// use std::sync::mpsc;
    /// let runtime = Runtime::builder().shards(2).build().unwrap();
    /// runtime.run(|| {
    ///     let (handle, other) = (Handle::current(), shards().nth(1).unwrap());
    ///     let thread = std::thread::spawn(move || {
    ///         let (sender, receiver) = mpsc::channel();
    ///         let spawned: RemoteJoinHandle<()> = handle.spawn_on(other, move || sender.send(6 * 7).unwrap());
    ///         (receiver.recv().unwrap(), spawned) // blocks the thread, as it should
    ///     });
    ///     let (answer, spawned) = leveret_runtime::offload(|| thread.join().unwrap());
    ///     assert_eq!(answer, 42);
    ///     spawned.join().unwrap();
    /// }).unwrap();
    /// ```
    ///
    /// # Panics
    /// For a shard of another runtime that this one has not.
    #[track_caller]
    pub fn spawn_on<T: Send + 'static>(
        &self,
        shard: ShardId,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> RemoteJoinHandle<T> {
        post_spawn(self.shared.inboxes[shard.index()].clone(), shard, Location::caller(), f)
    }
}

impl Clone for Handle {
    fn clone(&self) -> Self {
        Handle::new(self.shared.clone())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.handles.fetch_sub(1, Ordering::AcqRel);
        self.shared.inboxes.iter().for_each(|inbox| inbox.ring()); // a deadlock may be one only now
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handle")
    }
}

/// Adds a function that the current shard runs at the end of every turn, after the coroutines and before the kernel is
/// asked for events: the place to write out what was collected during the turn. It must not wait.
///
/// ```
/// # leveret_runtime::run(|| {
/// use leveret_runtime::on_turn_end;
/// use std::{cell::RefCell, rc::Rc};
/// let (collected, written) = (Rc::new(RefCell::new(Vec::new())), Rc::new(RefCell::new(Vec::new())));
/// let (from, to) = (collected.clone(), written.clone());
/// on_turn_end(move || to.borrow_mut().extend(from.borrow_mut().drain(..)));
/// collected.borrow_mut().extend([1, 2]);
/// leveret_runtime::sleep(std::time::Duration::from_millis(1)); // the turn ends
/// assert_eq!(*written.borrow(), [1, 2]);
/// # }).unwrap();
/// ```
///
/// # Panics
/// Outside of a runtime. A panic of the hook ends the runtime: every coroutine is killed, and [`Runtime::run`] panics.
pub fn on_turn_end(hook: impl FnMut() + 'static) {
    current::with(|shard| shard.add_hook(Box::new(hook)));
}
