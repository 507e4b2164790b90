//! One coroutine as the scheduler sees it: its machine, its state, and the ticket that a wake-up must show.
//!
//! ```text
//!            spawn             resume              park, ticket armed
//!   (new) ---------> Ready -----------> Running ------------------------> Parked
//!                      ^                  |  |                              |
//!                      |    yield_now     |  | returns, panics, unwinds     |
//!                      +------------------+  +----------> Done              |
//!                      +----------------------------------------------------+
//!                         unpark | deadline | kill: whoever shows the ticket first
//! ```
//!
//! Every park arms a fresh ticket, a number that its shard never uses again. Whoever wakes the coroutine must show that
//! number, and the first to do so disarms it, so a late waker (a stale timer, a second event) is a no-op and no list
//! of waiters has to be exact.

use std::cell::{Cell, RefCell, UnsafeCell};
use std::panic::Location;
use std::rc::Rc;
use std::time::Instant;

use corosensei::{Coroutine, Yielder};

use super::join::Ending;
use super::local::Locals;
use super::nest::Level;
use super::parcel::Parcel;
use super::stack::PooledStack;
use super::stacks::Stacks;
use crate::shard::ShardId;
use crate::time::wheel::TimerKey;

/// The stackful coroutine underneath. It carries no values: results travel through the join state.
pub(crate) type Machine = Coroutine<(), (), (), PooledStack>;

/// Where a coroutine is in its life.
///
/// ```
/// use leveret_runtime::{State, coroutines, spawn, sync::Event, yield_now};
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// let waits = spawn(|| Event::new().wait());
/// let states = || coroutines().into_iter().map(|one| one.state).collect::<Vec<_>>();
/// assert_eq!(states(), [State::Running, State::Ready]);
/// yield_now();
/// assert_eq!(states(), [State::Running, State::Parked]);
/// waits.kill();
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// In the run queue.
    Ready,
    /// On the processor.
    Running,
    /// Waiting; [`Wait`] says for what.
    Parked,
    /// Returned, panicked or unwound.
    Done,
}

/// What a parked coroutine waits for.
///
/// ```
/// use std::time::Duration;
/// use leveret_runtime::{Wait, coroutines, sleep, spawn, sync::channel, yield_now};
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// let (_sender, receiver) = channel::unbounded::<u32>();
/// let waiting = [spawn(|| sleep(Duration::from_secs(1))), spawn(move || _ = receiver.recv())];
/// yield_now();
/// let waits: Vec<_> = coroutines()[1..].iter().map(|one| one.wait).collect();
/// assert_eq!(waits, [Wait::Sleep, Wait::Receive]);
/// assert_eq!(Wait::Receive.to_string(), "a value in a channel");
/// leveret_runtime::kill_all(&waiting);
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wait {
    /// Its turn: it yielded, or was never run.
    Turn,
    /// A descriptor to become readable.
    Readable(i32),
    /// A descriptor to become writable.
    Writable(i32),
    /// The other side of a connection to be gone.
    Closed(i32),
    /// A moment in time.
    Sleep,
    /// Another coroutine's end.
    Join,
    /// The children of a scope.
    Scope,
    /// A value in a channel.
    Receive,
    /// Room in a channel.
    Send,
    /// An event, a semaphore, a lock, a condition, a group: the name of the primitive.
    Sync(&'static str),
    /// Several things at once, all of this shard's own.
    Select,
    /// Several things at once, descriptors among them.
    SelectReady,
    /// Work on the thread pool.
    Offload,
    /// An answer from another shard.
    Call(u16),
    /// A signal of the operating system.
    Signal,
    /// A child process to end: its number.
    Process(u32),
    /// Mail from any thread.
    Mail,
}

impl Wait {
    /// Whether something outside this shard's coroutines and timers ends the wait. Decides what counts as deadlock.
    pub(crate) fn is_external(self) -> bool {
        matches!(
            self,
            Wait::Readable(_)
                | Wait::Writable(_)
                | Wait::Closed(_)
                | Wait::SelectReady
                | Wait::Offload
                | Wait::Call(_)
                | Wait::Signal
                | Wait::Process(_)
                | Wait::Mail
        )
    }
}

impl std::fmt::Display for Wait {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Wait::Turn => write!(f, "its turn"),
            Wait::Readable(fd) => write!(f, "descriptor {fd} to be readable"),
            Wait::Writable(fd) => write!(f, "descriptor {fd} to be writable"),
            Wait::Closed(fd) => write!(f, "the peer of descriptor {fd} to be gone"),
            Wait::Sleep => write!(f, "time to pass"),
            Wait::Join => write!(f, "a coroutine to end"),
            Wait::Scope => write!(f, "the children of its scope to end"),
            Wait::Receive => write!(f, "a value in a channel"),
            Wait::Send => write!(f, "room in a channel"),
            Wait::Sync(what) => write!(f, "{what}"),
            Wait::Select | Wait::SelectReady => write!(f, "one of several things"),
            Wait::Offload => write!(f, "work on the thread pool"),
            Wait::Call(shard) => write!(f, "an answer from shard {shard}"),
            Wait::Signal => write!(f, "a signal"),
            Wait::Process(id) => write!(f, "process {id} to end"),
            Wait::Mail => write!(f, "mail from any shard"),
        }
    }
}

/// Why a parked coroutine was made ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Notified,
    TimedOut,
    Killed,
    /// It was not: somebody wants to see where it stands, and resumed it for that alone.
    Inspected,
}

/// What a coroutine is called in dumps and reports.
#[derive(Clone, Debug)]
pub(crate) enum Name {
    Given(Rc<str>),
    /// Unnamed: the place that spawned it.
    Place(&'static Location<'static>),
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Name::Given(name) => f.write_str(name),
            Name::Place(place) => write!(f, "{}:{}", place.file(), place.line()),
        }
    }
}

/// A `timeout` block that the coroutine is inside of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeadlineFrame {
    pub(crate) id: u64,
    pub(crate) deadline: Instant,
    /// How often its end was thrown.
    pub(crate) thrown: u8,
}

/// The place of a coroutine's machine: `None` before it has a stack and after its end.
///
/// It is reached into by the scheduler, which runs one coroutine at a time ([`resume`](super::current::resume)), and by whoever
/// inspects one that does not run; so it needs no count of borrows.
pub(super) struct MachineCell(UnsafeCell<Option<Machine>>);

impl MachineCell {
    /// # Safety
    /// - No other reference into the cell is alive: the coroutine is being made, or does not run and is resumed now, by its
    ///   shard's thread, which resumes it nowhere else meanwhile.
    #[inline(always)]
    #[allow(clippy::mut_from_ref, reason = "that is what an `UnsafeCell` is for; the contract is the caller's")]
    pub(super) unsafe fn reach(&self) -> &mut Option<Machine> {
        // SAFETY: by the caller's promise this reference is the only one.
        unsafe { &mut *self.0.get() }
    }
}

/// Runs the body in a coroutine's parcel, as that coroutine and once.
pub(super) type Begin = fn(&Task);

/// A coroutine's entry in its shard.
pub(crate) struct Task {
    /// Its place in the shard's table; with a ticket this is what other threads hold.
    pub(crate) key: Cell<u32>,
    /// The shard that runs it.
    pub(crate) home: ShardId,
    /// Its number since the shard started.
    pub(crate) number: u64,
    pub(crate) name: Name,
    pub(crate) born: Instant,
    pub(super) machine: MachineCell,
    /// Its stack has the default size, and may be another coroutine's next.
    pub(super) shares_stack: bool,
    /// Makes the outcome of the body in the parcel; `None` once it has begun.
    begin: Cell<Option<Begin>>,
    /// Its body until it begins; its outcome from its end until that is taken.
    pub(super) parcel: Parcel,
    pub(super) ending: Ending,
    /// Set by the coroutine's first instructions; valid until its end.
    pub(crate) yielder: Cell<*const Yielder<(), ()>>,
    pub(crate) state: Cell<State>,
    pub(crate) wait: Cell<Wait>,
    /// When `state` last changed, to the precision of a turn.
    pub(crate) since: Cell<Instant>,
    /// Zero when disarmed.
    pub(crate) ticket: Cell<u64>,
    pub(crate) cause: Cell<Cause>,
    /// Of the waiter that ended the last wait.
    pub(crate) tag: Cell<u32>,
    pub(crate) timer: Cell<Option<TimerKey>>,
    killed: Cell<bool>,
    /// Whether it was killed or has deadlines: what each wait asks, as one question.
    pressed: Cell<bool>,
    /// A wait that neither kill nor timeout may cut short.
    pub(crate) shielded: Cell<bool>,
    /// How often a kill was thrown again because user code had caught it.
    pub(crate) rethrown: Cell<u8>,
    deadlines: RefCell<Vec<DeadlineFrame>>,
    /// The nested stack that runs on this coroutine and has none further in.
    pub(crate) innermost: RefCell<Option<Rc<Level>>>,
    /// Its coroutine-local values, if it has asked for one.
    pub(crate) locals: Cell<Option<Box<Locals>>>,
}

impl Task {
    pub(crate) fn new(home: ShardId, number: u64, name: Name, now: Instant, shares_stack: bool) -> Task {
        Task {
            key: Cell::new(u32::MAX),
            home,
            number,
            name,
            born: now,
            machine: MachineCell(UnsafeCell::new(None)),
            shares_stack,
            begin: Cell::new(None),
            parcel: Parcel::new(),
            ending: Ending::new(),
            yielder: Cell::new(std::ptr::null()),
            state: Cell::new(State::Ready),
            wait: Cell::new(Wait::Turn),
            since: Cell::new(now),
            ticket: Cell::new(0),
            cause: Cell::new(Cause::Notified),
            tag: Cell::new(0),
            timer: Cell::new(None),
            killed: Cell::new(false),
            pressed: Cell::new(false),
            shielded: Cell::new(false),
            rethrown: Cell::new(0),
            deadlines: RefCell::new(Vec::new()),
            innermost: RefCell::new(None),
            locals: Cell::new(None),
        }
    }

    /// Makes the entry of a coroutine that has ended that of a new one: as [`Task::new`] would.
    #[inline(always)]
    fn renew(&mut self, number: u64, name: Name, now: Instant, shares_stack: bool) {
        // Every field is named, so that none is forgotten; what an end leaves as it was at the start is looked at only.
        #[rustfmt::skip]
        let Task {
            key: _, home: _, number: numbered, name: named, born, machine, shares_stack: shared, begin, parcel, ending, yielder,
            state, wait, since, ticket, cause, tag: _, timer, killed, pressed, shielded, rethrown, deadlines, innermost, locals,
        } = self;
        debug_assert!(machine.0.get_mut().is_none() && begin.get().is_none() && parcel.is_empty());
        debug_assert!(state.get() == State::Done && timer.get().is_none());
        (*numbered, *named, *born, *shared) = (number, name, now, shares_stack);
        ending.renew();
        yielder.set(std::ptr::null());
        state.set(State::Ready);
        wait.set(Wait::Turn);
        since.set(now);
        ticket.set(0);
        cause.set(Cause::Notified);
        debug_assert!(innermost.get_mut().is_none() && locals.get_mut().is_none());
        killed.set(false);
        pressed.set(false);
        shielded.set(false);
        rethrown.set(0);
        deadlines.get_mut().clear();
    }

    /// Gives it a body, the function that runs it, and a machine for that.
    ///
    /// # Errors
    /// The kernel gave no memory for a stack; the body is dropped.
    #[inline(always)]
    pub(super) fn load<F>(&self, stacks: &Stacks, size: Option<usize>, begin: Begin, body: F) -> std::io::Result<()> {
        // SAFETY: it has not begun, so nobody resumes it now, and no other reference into the cell is alive.
        stacks.equip(unsafe { self.machine.reach() }, size)?;
        self.begin.set(Some(begin));
        self.parcel.put(body);
        Ok(())
    }

    /// Runs its body to the end; called on its own stack.
    #[inline(always)]
    pub(super) fn run_body(&self) {
        let begin = self.begin.take().expect("a coroutine has a body until it begins");
        begin(self);
    }

    /// Whether it was killed.
    pub(crate) fn is_killed(&self) -> bool {
        self.killed.get()
    }

    /// Marks it as killed; says whether it was already.
    pub(crate) fn set_killed(&self) -> bool {
        self.pressed.set(true);
        self.killed.replace(true)
    }

    /// Whether it was killed, or is inside of a `timeout` block.
    #[inline(always)]
    pub(crate) fn is_pressed(&self) -> bool {
        self.pressed.get()
    }

    /// Changes the list of `timeout` blocks around it.
    pub(crate) fn change_deadlines<R>(&self, change: impl FnOnce(&mut Vec<DeadlineFrame>) -> R) -> R {
        let mut deadlines = self.deadlines.borrow_mut();
        let answer = change(&mut deadlines);
        self.pressed.set(self.killed.get() || !deadlines.is_empty());
        answer
    }

    /// The earliest deadline of the `timeout` blocks around the coroutine.
    pub(crate) fn scope_deadline(&self) -> Option<Instant> {
        self.deadlines.borrow().iter().map(|frame| frame.deadline).min()
    }

    /// The outermost `timeout` block whose time is over: its number, and how often this was asked.
    pub(crate) fn expired_scope(&self, now: Instant) -> Option<(u64, u8)> {
        let mut deadlines = self.deadlines.borrow_mut();
        let frame = deadlines.iter_mut().find(|frame| frame.deadline <= now)?;
        frame.thrown = frame.thrown.saturating_add(1);
        Some((frame.id, frame.thrown))
    }
}

/// Entries that are kept for other coroutines.
const BLANKS_MAX: usize = 1024;

/// Entries of coroutines that have ended and that nobody refers to, for those to come: cheaper than fresh memory.
#[derive(Default)]
pub(crate) struct Blanks {
    blanks: RefCell<Vec<Rc<Task>>>,
}

impl Blanks {
    /// An entry for a new coroutine of the shard `home`, whose blanks these are.
    #[inline(always)]
    pub(crate) fn entry(&self, home: ShardId, number: u64, name: Name, now: Instant, shares_stack: bool) -> Rc<Task> {
        let Some(mut task) = self.blanks.borrow_mut().pop() else {
            return Rc::new(Task::new(home, number, name, now, shares_stack));
        };
        Rc::get_mut(&mut task).expect("nobody else has a blank").renew(number, name, now, shares_stack);
        task
    }

    /// Keeps the entry of a coroutine that has ended, if only the caller refers to it.
    #[inline]
    pub(super) fn keep(&self, task: &Rc<Task>) {
        let mut blanks = self.blanks.borrow_mut();
        if Rc::strong_count(task) == 1 && blanks.len() < BLANKS_MAX {
            blanks.push(task.clone());
        }
    }
}
