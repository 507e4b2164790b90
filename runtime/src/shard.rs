//! A shard: one thread's run queue, timers, descriptors, stacks and mail, and the loop that turns them.
//!
//! ```text
//!   turn:  mail -> due timers -> ready coroutines (at most TURN_SWITCHES_MAX) -> end-of-turn hooks
//!          -> look at the kernel: without waiting if anything is ready, else until the next deadline or the bell
//! ```
//!
//! Hooks run after the coroutines and before the kernel is asked again: whoever collects output during a turn writes it
//! there once, which is worth ten times as much per message as any scheduling.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use slab::Slab;

use crate::coroutine::contain::contain;
use crate::coroutine::inspect::Inspection;
use crate::coroutine::park;
use crate::coroutine::run_queue::RunQueue;
use crate::coroutine::stack::WARM_TIME;
use crate::coroutine::stacks::Stacks;
use crate::coroutine::task::{Blanks, Name, State, Task, Wait};
use crate::coroutine::{current, yield_now};
use crate::diagnostics::CoroutineInfo;
use crate::driver::Driver;
use crate::driver::sim::World;
use crate::driver::sim::hosts::HostId;
use crate::driver::sim::random::Stream;
use crate::driver::sim::schedule;
use crate::lend::Buffers;
use crate::mailbox::{Inbox, Mail};
use crate::metrics::Counters;
use crate::readiness::{Side, Sources};
use crate::runtime::{Config, Shared};
use crate::time::wheel::{TimerKey, Wheel};
use crate::watchdog::Pulse;

/// Switches of one turn before timers, mail and the kernel are looked at again.
const TURN_SWITCHES_MAX: usize = 256;

/// Rounds of the loop without fewer coroutines than ever before, after which a shard that ends aborts the process with
/// their names.
const UNWIND_ROUNDS_MAX: usize = 10_000;

/// Which shard: a number from 0, below the runtime's count of shards.
///
/// ```
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// let here = leveret_runtime::shard_id();
/// assert_eq!((here.index(), here.to_string().as_str()), (0, "0"));
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(pub(crate) u16);

impl ShardId {
    /// The number, from 0.
    pub fn index(self) -> usize {
        self.0.into()
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

enum Timer {
    /// Ends one wait.
    Wait { task: Rc<Task>, ticket: u64 },
    /// Looks whether a wait for a descriptor has lasted too long.
    Side(Side),
    /// Has stacks that nobody wants give their pages back.
    Cool,
}

type Hook = Box<dyn FnMut()>;

pub(crate) struct Shard {
    pub(crate) id: ShardId,
    pub(crate) driver: Driver,
    pub(crate) shared: Arc<Shared>,
    pub(crate) inbox: Arc<Inbox>,
    /// The running coroutine; null while the scheduler itself runs.
    pub(crate) current: Cell<*const Task>,
    pub(crate) sources: Sources,
    pub(crate) stacks: Stacks,
    pub(crate) blanks: Blanks,
    pub(crate) buffers: Buffers,
    pub(crate) counters: Counters,
    tasks: RefCell<Slab<Rc<Task>>>,
    run_queue: RunQueue,
    timers: RefCell<Wheel<Timer>>,
    /// Those of the shard's own: they end no wait that is not also counted by `external_waits`.
    own_timers: Cell<usize>,
    /// Whether a look at the free stacks is due.
    cooling: Cell<bool>,
    hooks: RefCell<Vec<Hook>>,
    new_hooks: RefCell<Vec<Hook>>,
    mail: RefCell<Vec<Mail>>,
    budget: Budget,
    /// Of this turn.
    switches_left: Cell<usize>,
    calls_left: Cell<u32>,
    bytes_left: Cell<usize>,
    last_ticket: Cell<u64>,
    last_number: Cell<u64>,
    started: Instant,
    turn_time: Cell<Instant>,
    /// The clock as the running coroutine knows it: read at its first question since it was resumed.
    now: Cell<Option<Instant>>,
    external_waits: Cell<usize>,
    stopping: Cell<bool>,
    /// Coroutines that were there when the end began and have not unwound.
    doomed: Cell<usize>,
    /// The number of the last one of them.
    last_doomed: Cell<u64>,
}

/// What a coroutine may transfer before it lets others run, whichever comes first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    pub(crate) calls: u32,
    pub(crate) bytes: usize,
}

impl Shard {
    pub(crate) fn new(id: ShardId, driver: Driver, inbox: Arc<Inbox>, shared: Arc<Shared>, config: &Config) -> Shard {
        let now = driver.now();
        Shard {
            id,
            driver,
            shared,
            inbox,
            current: Cell::new(std::ptr::null()),
            sources: Sources::default(),
            stacks: Stacks::new(config.stack_size),
            blanks: Blanks::default(),
            buffers: Buffers::default(),
            counters: Counters::default(),
            tasks: RefCell::new(Slab::new()),
            run_queue: RunQueue::default(),
            timers: RefCell::new(Wheel::new()),
            own_timers: Cell::new(0),
            cooling: Cell::new(false),
            hooks: RefCell::new(Vec::new()),
            new_hooks: RefCell::new(Vec::new()),
            mail: RefCell::new(Vec::new()),
            budget: config.budget,
            switches_left: Cell::new(0),
            calls_left: Cell::new(config.budget.calls),
            bytes_left: Cell::new(config.budget.bytes),
            last_ticket: Cell::new(0),
            last_number: Cell::new(0),
            started: now,
            turn_time: Cell::new(now),
            now: Cell::new(None),
            external_waits: Cell::new(0),
            stopping: Cell::new(false),
            doomed: Cell::new(0),
            last_doomed: Cell::new(0),
        }
    }

    // ---- the loop

    /// One turn. Says whether coroutines are still ready.
    pub(crate) fn turn(&self) -> bool {
        self.counters.turns.add(1);
        self.pulse().begin_turn(self.counters.turns.value());
        self.turn_time.set(self.driver.now());
        self.now.set(None);
        self.take_mail();
        self.fire_timers();
        self.run_ready();
        self.run_hooks();
        self.pulse().end_turn();
        let now = self.driver.now();
        self.sources.end_turn(self, || self.nanos(now));
        let lasted = now.saturating_duration_since(self.turn_time.get());
        self.counters.longest_turn_nanos.raise(lasted.as_nanos() as u64);
        !self.run_queue.is_empty()
    }

    /// Turns until `done` or until the runtime stops, waiting in the kernel when nothing is ready.
    ///
    /// # Errors
    /// The coroutines that wait for each other, when none of them can ever run again.
    pub(crate) fn run(&self, done: impl Fn() -> bool) -> Result<(), Vec<CoroutineInfo>> {
        self.pulse().start();
        loop {
            let busy = self.turn();
            if done() || self.shared.is_stopped() {
                return Ok(());
            }
            if busy {
                self.poll(Some(Duration::ZERO));
            } else if self.is_deadlocked() {
                return Err(self.list());
            } else if self.inbox.fall_asleep() {
                self.poll(self.until_next_timer());
                self.inbox.awake();
            }
        }
    }

    #[inline]
    fn pulse(&self) -> &Pulse {
        &self.shared.pulses[self.id.index()]
    }

    fn poll(&self, limit: Option<Duration>) {
        self.counters.polls.add(1);
        let sources = self.sources.listen();
        let polled = match &self.driver {
            Driver::Os(driver) => driver.poll(limit, |token, ready| sources.on_event(self, token, ready)),
            driver => driver.poll(limit, |token, ready| sources.on_event(self, token, ready)),
        };
        polled.unwrap_or_else(|error| panic!("shard {}: waiting for events failed: {error}", self.id));
    }

    /// A turn in a simulation, which asks for events first.
    pub(crate) fn turn_simulated(&self) -> bool {
        self.poll(Some(Duration::ZERO));
        self.turn()
    }

    fn run_ready(&self) {
        if let Some(world) = self.driver.world() {
            return self.run_shuffled(world);
        }
        self.switches_left.set(TURN_SWITCHES_MAX);
        while let Some(left) = self.switches_left.get().checked_sub(1) {
            let Some(task) = self.run_queue.pop() else { return };
            self.switches_left.set(left);
            self.calls_left.set(self.budget.calls);
            self.bytes_left.set(self.budget.bytes);
            self.now.set(None);
            self.counters.switches.add(1);
            current::resume(self, task);
        }
    }

    /// As [`Shard::run_ready`], in the order that the seed draws, each coroutine on the host that it lives on.
    fn run_shuffled(&self, world: &World) {
        for _ in 0..schedule::turn_length(world, TURN_SWITCHES_MAX) {
            let Some(task) = self.run_queue.choose(|queue| schedule::pick(world, queue)) else { break };
            self.calls_left.set(schedule::budget(world, self.budget.calls));
            self.bytes_left.set(self.budget.bytes);
            self.now.set(None);
            self.counters.switches.add(1);
            let number = task.number;
            world.hosts.enter(world.hosts.of(self.id.0, number));
            world.note("run", self.id.0.into(), number);
            if current::resume(self, task) {
                world.hosts.leave(self.id.0, number);
            }
        }
        world.hosts.enter(HostId::MAIN);
    }

    fn run_hooks(&self) {
        let mut hooks = self.hooks.borrow_mut();
        hooks.append(&mut self.new_hooks.borrow_mut());
        hooks.iter_mut().for_each(|hook| hook());
    }

    fn take_mail(&self) {
        if let Some(world) = self.driver.world() {
            return self.take_arrived_mail(world);
        }
        let mut mail = self.mail.take();
        self.inbox.take(&mut mail);
        self.counters.mail_most.raise(mail.len() as u64);
        for item in mail.drain(..) {
            self.obey(item);
        }
        self.mail.replace(mail);
    }

    /// As [`Shard::take_mail`], when the seed lets each letter arrive; a shard that ends reads all of them.
    fn take_arrived_mail(&self, world: &World) {
        let all = self.stopping.get();
        let arrive = |waiting| if all { waiting } else { schedule::letters(world, waiting) };
        let mix = |lanes| world.below(Stream::Schedule, lanes as u64) as usize;
        for (origin, mail) in self.inbox.take_arrived(arrive, mix) {
            world.hosts.enter(origin.host);
            world.note("mail", self.id.0.into(), 0);
            self.obey(mail);
        }
        world.hosts.enter(HostId::MAIN);
    }

    #[inline]
    fn obey(&self, mail: Mail) {
        match mail {
            Mail::Run(f) => f(),
            Mail::Unpark { key, ticket } => {
                if let Some(task) = self.task(key) {
                    park::wake_remote(task, ticket);
                }
            }
            Mail::Ready { key, number } => {
                if let Some(task) = self.task(key).filter(|task| task.number == number) {
                    self.make_ready(task);
                }
            }
        }
    }

    /// Whether nothing of this shard can ever run again: no timer, no descriptor, signal or other thread is waited for.
    fn is_deadlocked(&self) -> bool {
        self.external_waits.get() == 0
            && self.timers.borrow().len() == self.own_timers.get()
            && !self.shared.is_reachable_from_outside()
            && !self.inbox.has_mail() // after it: a thread may post and then drop the last handle
    }

    /// Kills every coroutine and turns until all have unwound, so that no stack outlives its thread; then drops the hooks and
    /// the mail that is left. Nothing panics out of it.
    pub(crate) fn unwind_all(&self) {
        self.stopping.set(true);
        let tasks: Vec<_> = self.tasks.borrow().iter().map(|(_, task)| task.clone()).collect();
        self.doomed.set(tasks.len());
        self.last_doomed.set(self.last_number.get());
        tasks.iter().for_each(park::kill); // those that come later are killed from the start
        drop(tasks);
        loop {
            self.turn_until_unwound();
            self.drop_hooks();
            let mail = self.inbox.close();
            self.contain("a destructor", || drop(mail));
            if self.coroutines() == 0 && self.new_hooks.borrow().is_empty() {
                break; // else a destructor has begun something new
            }
        }
    }

    fn drop_hooks(&self) {
        let hooks = [self.hooks.take(), self.new_hooks.take()];
        self.contain("a destructor", || drop(hooks));
    }

    /// Hooks run as long as there are coroutines whose destructors may leave them work: a hook that spawns would never let
    /// this end.
    fn turn_until_unwound(&self) {
        let (mut fewest, mut rounds) = (usize::MAX, 0);
        while self.coroutines() > 0 {
            if self.doomed.get() == 0 {
                self.drop_hooks();
            }
            if self.coroutines() < fewest {
                (fewest, rounds) = (self.coroutines(), 0);
            }
            rounds += 1;
            if rounds == UNWIND_ROUNDS_MAX {
                self.abort_unwinding();
            }
            let busy = self.contain("a hook or a posted call", || self.turn()).unwrap_or(true);
            if !busy {
                self.poll(Some(if rounds < 100 { Duration::ZERO } else { Duration::from_millis(1) }));
            }
        }
    }

    /// Runs what may panic while the shard ends: stacks may be left that have to unwind.
    fn contain<T>(&self, what: &str, f: impl FnOnce() -> T) -> Option<T> {
        let id = self.id;
        contain(f, |text| log::error!("shard {id}: {what} panicked while the shard ended: {text}"))
    }

    fn abort_unwinding(&self) -> ! {
        eprintln!("leveret-runtime: shard {} ends, but these coroutines go on after their kill; aborting:", self.id);
        for (_, task) in self.tasks.borrow().iter() {
            eprintln!("  '{}' waits for {}", task.name, task.wait.get());
        }
        std::process::abort();
    }

    // ---- coroutines

    /// The entry of a coroutine that begins now; [`Shard::adopt`] follows.
    #[inline(always)]
    pub(crate) fn new_task(&self, name: Name, shares_stack: bool) -> Rc<Task> {
        let number = self.last_number.get() + 1;
        self.last_number.set(number);
        self.blanks.entry(self.id, number, name, self.turn_time(), shares_stack)
    }

    pub(crate) fn adopt(&self, task: &Rc<Task>) {
        let key = self.tasks.borrow_mut().insert(task.clone());
        task.key.set(key as u32);
        let mut killed = self.stopping.get();
        if let Some(world) = self.driver.world() {
            world.hosts.settle(self.id.0, task.number);
            killed |= !world.hosts.is_up(world.hosts.current());
        }
        if killed {
            task.set_killed();
        }
        self.counters.spawned.add(1);
        self.enqueue(task.clone());
    }

    pub(crate) fn forget(&self, task: &Task) {
        self.tasks.borrow_mut().remove(task.key.get() as usize);
        if task.number <= self.last_doomed.get() {
            self.doomed.set(self.doomed.get() - 1);
        }
    }

    /// The coroutines whose number is as asked, in the order of the table.
    pub(crate) fn tasks_where(&self, wanted: impl Fn(u64) -> bool) -> Vec<Rc<Task>> {
        self.tasks.borrow().iter().map(|(_, task)| task).filter(|task| wanted(task.number)).cloned().collect()
    }

    /// The coroutine at a place of the table.
    pub(crate) fn task(&self, key: u32) -> Option<Rc<Task>> {
        self.tasks.borrow().get(key as usize).cloned()
    }

    #[inline(always)]
    pub(crate) fn enqueue(&self, task: Rc<Task>) {
        self.run_queue.push(task);
    }

    /// Puts a parked coroutine into the run queue.
    #[inline]
    pub(crate) fn make_ready(&self, task: Rc<Task>) {
        if task.home != self.id {
            return self.forward(&task);
        }
        self.make_own_ready(task);
    }

    /// As [`Shard::make_ready`], for one of the shard's own.
    #[inline(always)]
    pub(crate) fn make_own_ready(&self, task: Rc<Task>) {
        debug_assert_eq!(task.home, self.id, "events come to the shard of those who wait");
        task.state.set(State::Ready);
        self.enqueue(task);
    }

    /// Simulated shards have one thread and so the same thread-locals: what waits in those may be woken by another shard.
    #[cold]
    fn forward(&self, task: &Task) {
        let mail = Mail::Ready { key: task.key.get(), number: task.number };
        self.shared.inboxes[task.home.index()].post(mail);
    }

    #[inline]
    pub(crate) fn note_parked(&self, task: &Task, wait: Wait) {
        task.state.set(State::Parked);
        task.wait.set(wait);
        task.since.set(self.turn_time.get());
        if wait.is_external() {
            self.external_waits.set(self.external_waits.get() + 1);
        }
    }

    #[inline]
    pub(crate) fn note_resumed(&self, wait: Wait) {
        if wait.is_external() {
            self.external_waits.set(self.external_waits.get() - 1);
        }
    }

    /// A number that no wait of this shard had before; never zero.
    #[inline]
    pub(crate) fn next_ticket(&self) -> u64 {
        let ticket = self.last_ticket.get() + 1;
        self.last_ticket.set(ticket);
        ticket
    }

    /// Every coroutine of the shard, oldest first.
    pub(crate) fn list(&self) -> Vec<CoroutineInfo> {
        let now = self.driver.now();
        let mut list: Vec<_> =
            self.tasks.borrow().iter().map(|(_, task)| CoroutineInfo::of(self.id, task, now)).collect();
        list.sort_by_key(|info| info.number);
        list
    }

    pub(crate) fn coroutines(&self) -> usize {
        self.tasks.borrow().len()
    }

    pub(crate) fn coroutines_in(&self, state: State) -> usize {
        self.tasks.borrow().iter().filter(|(_, task)| task.state.get() == state).count()
    }

    /// What is known of each of its coroutines, and with `backtraces` where each stands: oldest first.
    pub(crate) fn inspect(&self, backtraces: bool) -> Vec<Inspection> {
        let tasks: Vec<_> = self.tasks.borrow().iter().map(|(_, task)| task.clone()).collect();
        let now = self.driver.now();
        let mut all: Vec<_> = tasks.iter().map(|task| Inspection::of(self.id, task, now, backtraces)).collect();
        all.sort_by_key(|inspection| inspection.info.number);
        all
    }

    // ---- fairness

    /// Counts one transfer against the running coroutine's budget; at its end the others run first.
    #[inline]
    pub(crate) fn charge_call(&self) {
        match self.calls_left.get() {
            0 => self.use_up_budget(),
            left => self.calls_left.set(left - 1),
        }
    }

    /// All that are ready run first, and then the turn ends: what they have written waits for its hooks, and the kernel has
    /// not been asked for as long as it took to transfer a budget. (A peer that always has more to say would otherwise have
    /// hundreds of budgets in a turn of its own.)
    #[cold]
    fn use_up_budget(&self) {
        self.end_turn_soon();
        yield_now();
    }

    /// The turn is over when all that are ready now have run.
    pub(crate) fn end_turn_soon(&self) {
        self.switches_left.set(self.switches_left.get().min(self.run_queue.len()));
    }

    #[inline]
    pub(crate) fn charge_bytes(&self, bytes: usize) {
        match self.bytes_left.get().checked_sub(bytes) {
            Some(left) => self.bytes_left.set(left),
            None => self.calls_left.set(0),
        }
    }

    // ---- time

    /// When the turn began.
    #[inline]
    pub(crate) fn turn_time(&self) -> Instant {
        self.turn_time.get()
    }

    /// The clock, read at most once for each time a coroutine is resumed.
    #[inline]
    pub(crate) fn now(&self) -> Instant {
        self.now.get().unwrap_or_else(|| {
            let now = self.driver.now();
            self.now.set(Some(now));
            now
        })
    }

    pub(crate) fn set_timer(&self, deadline: Instant, task: Rc<Task>, ticket: u64) -> TimerKey {
        self.timers.borrow_mut().insert(self.nanos(deadline), Timer::Wait { task, ticket })
    }

    /// Nanoseconds since the shard started.
    fn nanos(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.started).as_nanos()).unwrap_or(u64::MAX)
    }

    pub(crate) fn set_side_timer(&self, at: u64, side: Side) -> TimerKey {
        self.set_own_timer(at, Timer::Side(side))
    }

    fn set_own_timer(&self, at: u64, timer: Timer) -> TimerKey {
        self.own_timers.set(self.own_timers.get() + 1);
        self.timers.borrow_mut().insert(at, timer)
    }

    pub(crate) fn cancel_side_timer(&self, key: TimerKey) {
        self.own_timers.set(self.own_timers.get() - 1);
        self.cancel_timer(key);
    }

    /// Looks at the free stacks after a while. False on a simulated shard, whose time stands still while nothing happens.
    pub(crate) fn cool_later(&self) -> bool {
        if !self.cooling.get() && !self.driver.is_simulated() {
            self.cooling.set(true);
            self.set_own_timer(self.nanos(self.driver.now() + WARM_TIME), Timer::Cool);
        }
        self.cooling.get()
    }

    fn cool(&self) {
        self.cooling.set(false);
        if self.stacks.cool() {
            self.cool_later();
        }
    }

    /// How many timers are set: deadlines that are waited for, and the shard's own.
    pub(crate) fn timers(&self) -> usize {
        self.timers.borrow().len()
    }

    pub(crate) fn cancel_timer(&self, key: TimerKey) {
        self.timers.borrow_mut().cancel(key);
    }

    fn fire_timers(&self) {
        let mut timers = self.timers.borrow_mut();
        if timers.len() > 0 {
            let elapsed = self.turn_time.get().saturating_duration_since(self.started);
            let mut own = Vec::new();
            timers.advance(elapsed.as_millis() as u64, |timer| match timer {
                Timer::Wait { task, ticket } => park::time_out(task, ticket),
                timer => own.push(timer),
            });
            drop(timers);
            self.own_timers.set(self.own_timers.get() - own.len());
            own.into_iter().for_each(|timer| self.obey_timer(timer));
        }
    }

    fn obey_timer(&self, timer: Timer) {
        match timer {
            Timer::Wait { task, ticket } => park::time_out(task, ticket),
            Timer::Side(side) => self.sources.on_timer(self, side, self.nanos(self.turn_time.get())),
            Timer::Cool => self.cool(),
        }
    }

    /// When the loop next has a timer to look at.
    pub(crate) fn next_timer(&self) -> Option<Instant> {
        self.timers.borrow().next_tick().map(|tick| self.started + Duration::from_millis(tick))
    }

    fn until_next_timer(&self) -> Option<Duration> {
        self.next_timer().map(|at| at.saturating_duration_since(self.driver.now()))
    }

    // ---- others

    /// Adds a function that runs at the end of every turn, on the scheduler's stack; it must not wait.
    pub(crate) fn add_hook(&self, hook: Hook) {
        self.new_hooks.borrow_mut().push(hook);
    }

    /// Whether mail or ready coroutines wait for the next turn.
    pub(crate) fn has_work(&self) -> bool {
        self.inbox.has_mail() || !self.run_queue.is_empty() || self.driver.has_events()
    }
}
