//! Signals of the operating system, received by a coroutine instead of interrupting somebody.
//!
//! A handler sets a flag and writes a byte into a socket pair that the receiving shard watches. Why not `signalfd`: it
//! takes only signals that are blocked in every thread of the process; a mask is inherited by threads (also those that a
//! library starts) and, through `exec`, by child processes, which then cannot be interrupted. Handlers are per process
//! and reset by `exec`. In a simulation a host's signals are those that somebody on it raises.
//!
//! Once a signal was listened for, its default action (such as to end the process) does not come back in this process,
//! even after the last receiver is gone.

use std::fmt;
use std::io;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signal_hook::SigId;
use signal_hook::low_level::{pipe, raise, unregister};

use crate::coroutine::current;
use crate::coroutine::task::Wait;
use crate::driver::sim::World;
use crate::net::io::Socket;
use crate::net::simulated::{Inner, SimSocket, world};
use crate::readiness::Direction;
use crate::time;

/// Bytes of wake-ups taken at once. How many there are says nothing: the flags tell which signals came.
const WAKE_UPS_MAX: usize = 64;

/// A signal that a program may want to hear.
///
/// ```
/// use leveret_runtime::signal::Signal;
/// assert_eq!((Signal::Terminate.number(), Signal::Terminate.name()), (15, "SIGTERM"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Signal {
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGTERM: please end.
    Terminate,
    /// SIGQUIT: Ctrl-\, by tradition a request for a dump.
    Quit,
    /// SIGHUP: the terminal is gone, or a request to read the configuration again.
    Hangup,
    /// SIGUSR1.
    User1,
    /// SIGUSR2.
    User2,
    /// SIGCHLD: a child process changed its state.
    Child,
    /// SIGALRM.
    Alarm,
    /// SIGWINCH: the terminal has another size.
    WindowChange,
}

impl Signal {
    /// The system's number.
    pub fn number(self) -> i32 {
        match self {
            Signal::Interrupt => libc::SIGINT,
            Signal::Terminate => libc::SIGTERM,
            Signal::Quit => libc::SIGQUIT,
            Signal::Hangup => libc::SIGHUP,
            Signal::User1 => libc::SIGUSR1,
            Signal::User2 => libc::SIGUSR2,
            Signal::Child => libc::SIGCHLD,
            Signal::Alarm => libc::SIGALRM,
            Signal::WindowChange => libc::SIGWINCH,
        }
    }

    /// The system's name.
    pub fn name(self) -> &'static str {
        match self {
            Signal::Interrupt => "SIGINT",
            Signal::Terminate => "SIGTERM",
            Signal::Quit => "SIGQUIT",
            Signal::Hangup => "SIGHUP",
            Signal::User1 => "SIGUSR1",
            Signal::User2 => "SIGUSR2",
            Signal::Child => "SIGCHLD",
            Signal::Alarm => "SIGALRM",
            Signal::WindowChange => "SIGWINCH",
        }
    }

    /// Sends it to the calling process; in a simulation, to whoever listens on the caller's host, and to nobody else.
    ///
    /// ```
    /// use leveret_runtime::{Runtime, signal::{Signal, Signals}};
    /// Runtime::builder().simulated(1).build().unwrap().run(|| {
    ///     let signals = Signals::new([Signal::Terminate]).unwrap();
    ///     Signal::Terminate.raise().unwrap(); // in a simulation only its own listeners hear it
    ///     assert_eq!(signals.recv().unwrap(), Signal::Terminate);
    /// }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The kernel's.
    pub fn raise(self) -> io::Result<()> {
        match current::try_with(|shard| shard.driver.world().cloned()).flatten() {
            None => raise(self.number()),
            Some(world) => {
                world.raise(self.number());
                Ok(())
            }
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Receives the signals that it was made for. Several receivers, also of the same signal and on other shards, each get it.
///
/// As with the system's own queue, a signal that comes again before it was received counts once.
///
/// ```
/// use leveret_runtime::signal::{Signal, Signals};
/// # leveret_runtime::run(|| {
/// let signals = Signals::new([Signal::User1, Signal::Hangup]).unwrap();
/// Signal::User1.raise().unwrap();
/// assert_eq!(signals.recv().unwrap(), Signal::User1);
/// # }).unwrap();
/// ```
pub struct Signals {
    socket: Socket<UnixStream>,
    sources: Vec<Source>,
    /// The other end of the socket in a simulation; on a real machine the handlers have it.
    _wake: Option<SimSocket>,
}

struct Source {
    signal: Signal,
    came: Arc<AtomicBool>,
    registered: Registered,
}

/// With whom a source is registered.
enum Registered {
    /// The handler's two actions: the flag, then the wake-up.
    Os([SigId; 2]),
    Sim(Rc<World>, u64),
}

impl Signals {
    /// Listens for `signals` from now on. If several are there at once they are received in the order given here.
    ///
    /// ```
    /// use leveret_runtime::signal::{Signal, Signals};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// assert!(Signals::new([]).is_err());
    /// let signals = Signals::new([Signal::Terminate, Signal::Interrupt]).unwrap();
    /// Signal::Interrupt.raise().unwrap();
    /// Signal::Terminate.raise().unwrap();
    /// assert_eq!(signals.try_recv(), Some(Signal::Terminate)); // in the order of the list
    /// assert_eq!(signals.try_recv(), Some(Signal::Interrupt));
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` without any signal; the kernel's.
    pub fn new(signals: impl IntoIterator<Item = Signal>) -> io::Result<Signals> {
        let signals: Vec<Signal> = signals.into_iter().collect();
        if signals.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a receiver of no signals would wait for ever"));
        }
        match world() {
            None => Signals::real(signals),
            Some(world) => Signals::simulated(&world, signals),
        }
    }

    fn real(signals: Vec<Signal>) -> io::Result<Signals> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let mut receiver = Signals { socket: Socket::new(ours)?, sources: Vec::new(), _wake: None };
        for signal in signals {
            receiver.sources.push(Source::new(signal, theirs.try_clone()?)?);
        }
        Ok(receiver)
    }

    fn simulated(world: &Rc<World>, signals: Vec<Signal>) -> io::Result<Signals> {
        let (ours, theirs) = SimSocket::pair(world)?;
        let source = |signal: Signal| {
            let came = Arc::new(AtomicBool::new(false));
            let id = world.hear(signal.number(), came.clone(), theirs.fd());
            Source { signal, came, registered: Registered::Sim(world.clone(), id) }
        };
        let sources = signals.into_iter().map(source).collect();
        Ok(Signals { socket: Socket::of(Inner::Sim(ours))?, sources, _wake: Some(theirs) })
    }

    /// Parks until one of the signals comes.
    ///
    /// ```
    /// use leveret_runtime::{signal::{Signal, Signals}, spawn, yield_now};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let signals = Signals::new([Signal::Hangup]).unwrap();
    /// let reloads = spawn(move || signals.recv().unwrap());
    /// yield_now(); // it waits
    /// Signal::Hangup.raise().unwrap();
    /// assert_eq!(reloads.join().unwrap(), Signal::Hangup);
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// Another coroutine receives from this one already (make a second receiver); a destructor calls it while its stack
    /// unwinds.
    pub fn recv(&self) -> io::Result<Signal> {
        self.receive(None)
    }

    /// As [`Signals::recv`], for at most `limit`.
    ///
    /// ```
    /// use std::{io::ErrorKind, time::Duration};
    /// use leveret_runtime::signal::{Signal, Signals};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let signals = Signals::new([Signal::User1]).unwrap();
    /// assert_eq!(signals.recv_timeout(Duration::from_secs(1)).unwrap_err().kind(), ErrorKind::TimedOut);
    /// Signal::User1.raise().unwrap();
    /// Signal::User1.raise().unwrap(); // counts once
    /// assert_eq!(signals.recv_timeout(Duration::ZERO).unwrap(), Signal::User1);
    /// assert_eq!(signals.try_recv(), None);
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `TimedOut`, and those of [`Signals::recv`].
    pub fn recv_timeout(&self, limit: Duration) -> io::Result<Signal> {
        self.receive(time::deadline_in(limit))
    }

    /// A signal that has come and was not received yet.
    ///
    /// ```
    /// use leveret_runtime::signal::{Signal, Signals};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let signals = Signals::new([Signal::Quit]).unwrap();
    /// assert_eq!(signals.try_recv(), None);
    /// Signal::Quit.raise().unwrap();
    /// assert_eq!(signals.try_recv(), Some(Signal::Quit));
    /// # }).unwrap();
    /// ```
    pub fn try_recv(&self) -> Option<Signal> {
        self.sources.iter().find(|source| source.came.swap(false, Ordering::AcqRel)).map(|source| source.signal)
    }

    fn receive(&self, deadline: Option<Instant>) -> io::Result<Signal> {
        loop {
            // The flag is set before the byte is written: a signal between the look and the wait ends the wait at once.
            if let Some(signal) = self.try_recv() {
                return Ok(signal);
            }
            self.socket.registration().wait_as(Direction::Read, Wait::Signal, deadline)?;
            while matches!(self.socket.try_read(&mut [0; WAKE_UPS_MAX]), Ok(1..)) {}
        }
    }
}

impl Source {
    fn new(signal: Signal, wake: UnixStream) -> io::Result<Source> {
        let came = Arc::new(AtomicBool::new(false));
        let flag = signal_hook::flag::register(signal.number(), came.clone())?;
        match pipe::register(signal.number(), wake) {
            Ok(wake) => Ok(Source { signal, came, registered: Registered::Os([flag, wake]) }),
            Err(error) => {
                unregister(flag);
                Err(error)
            }
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        match &self.registered {
            Registered::Os(actions) => {
                for action in actions {
                    unregister(*action);
                }
            }
            Registered::Sim(world, id) => world.hear_no_more(*id),
        }
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.sources.iter().map(|source| source.signal)).finish()
    }
}
