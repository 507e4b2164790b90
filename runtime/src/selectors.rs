//! Callback style on the same reactor, after Python's `selectors`: register descriptors with a piece of data (often a
//! callback), ask which are ready, deal with them in a loop of your own.
//!
//! Level-triggered, as Python's: what is ready is told again until it was dealt with. Underneath each selector is an epoll
//! instance of its own, which the shard's reactor watches as one descriptor; so [`Selector::select`] parks only the
//! coroutine that calls it, costs one system call and time in proportion to what is ready, and the same descriptor may be
//! in several selectors.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::BitOr;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::rc::Rc;
use std::time::Duration;

use crate::coroutine::current;
use crate::net::io::refuse_simulated;
use crate::readiness::{Direction, Ready, Registration};
use crate::shard::Shard;
use crate::sys::epoll::Epoll;
use crate::time;

/// What to wait for, or what is ready: reading, writing, or both.
///
/// ```
/// use leveret_runtime::selectors::Events;
/// assert!((Events::READ | Events::WRITE).has(Events::WRITE));
/// assert!(!Events::READ.has(Events::WRITE));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Events(Ready);

impl Events {
    /// A read (or an accept) would not block.
    pub const READ: Events = Events(Ready::READABLE);
    /// A write would not block, or a connect is over.
    pub const WRITE: Events = Events(Ready::WRITABLE);

    /// Whether some of `other` is among these.
    pub fn has(self, other: Events) -> bool {
        self.0.has(other.0)
    }
}

impl BitOr for Events {
    type Output = Events;

    fn bitor(self, other: Events) -> Events {
        Events(self.0 | other.0)
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.has(Events::READ), self.has(Events::WRITE)) {
            (true, true) => "READ | WRITE",
            (true, false) => "READ",
            (false, _) => "WRITE",
        })
    }
}

/// A registration: the descriptor, what it waits for, and what its owner left with it.
///
/// ```
/// use std::os::fd::AsRawFd;
/// use leveret_runtime::selectors::{Events, Selector};
/// # leveret_runtime::run(|| {
/// let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
/// let selector = Selector::new().unwrap();
/// let key = selector.register(&ours, Events::READ, "peer").unwrap();
/// assert_eq!((key.fd, key.events, *key.data), (ours.as_raw_fd(), Events::READ, "peer"));
/// # }).unwrap();
/// ```
pub struct Key<D> {
    /// The descriptor.
    pub fd: RawFd,
    /// What it is registered for.
    pub events: Events,
    /// What was registered with it.
    pub data: Rc<D>,
}

impl<D> Clone for Key<D> {
    fn clone(&self) -> Self {
        Key { fd: self.fd, events: self.events, data: self.data.clone() }
    }
}

impl<D> fmt::Debug for Key<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("fd", &self.fd).field("events", &self.events).finish_non_exhaustive()
    }
}

/// A set of descriptors and which of them are ready.
///
/// ```
/// use std::io::{Read, Write};
/// use leveret_runtime::selectors::{Events, Selector};
/// # leveret_runtime::run(|| {
/// let (mut ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
/// let selector = Selector::new().unwrap();
/// selector.register(&ours, Events::READ, "data of any type").unwrap();
/// theirs.write_all(b"x").unwrap();
/// let ready = selector.select(None).unwrap();
/// assert_eq!(*ready[0].0.data, "data of any type");
/// ours.read_exact(&mut [0]).unwrap();
/// selector.unregister(&ours).unwrap();
/// # }).unwrap();
/// ```
pub struct Selector<D> {
    /// Dropped first: deregistration comes before close.
    registration: Registration,
    epoll: Epoll,
    keys: RefCell<BTreeMap<RawFd, Key<D>>>,
}

impl<D> Selector<D> {
    /// An empty selector.
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::selectors::Selector;
    /// # leveret_runtime::run(|| {
    /// let selector: Selector<()> = Selector::new().unwrap();
    /// assert!(selector.select(Some(Duration::from_millis(1))).unwrap().is_empty()); // nothing to wait for: the time
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The kernel's; `Unsupported` on the simulated driver.
    pub fn new() -> io::Result<Selector<D>> {
        refuse_simulated()?;
        let epoll = Epoll::new()?;
        let registration = Registration::not_ready(epoll.as_raw_fd())?;
        Ok(Selector { registration, epoll, keys: RefCell::default() })
    }

    /// Registers a descriptor, which should be non-blocking, and stay open until [`Selector::unregister`]. `data` may own it.
    ///
    /// ```
    /// use std::io::ErrorKind;
    /// use leveret_runtime::selectors::{Events, Selector};
    /// # leveret_runtime::run(|| {
    /// let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    /// let selector = Selector::new().unwrap();
    /// selector.register(&ours, Events::READ, ()).unwrap();
    /// assert_eq!(selector.register(&ours, Events::READ, ()).unwrap_err().kind(), ErrorKind::AlreadyExists);
    /// let file = std::fs::File::open("Cargo.toml").unwrap(); // always ready: nothing to wait for
    /// assert_eq!(selector.register(&file, Events::READ, ()).unwrap_err().kind(), ErrorKind::PermissionDenied);
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `AlreadyExists` if it is registered, `PermissionDenied` for regular files; the kernel's.
    pub fn register(&self, fd: &impl AsFd, events: Events, data: D) -> io::Result<Key<D>> {
        let fd = fd.as_fd().as_raw_fd();
        self.epoll.add(fd, events.0)?;
        let key = Key { fd, events, data: Rc::new(data) };
        // A descriptor that was closed without leaving may have left its key behind.
        self.keys.borrow_mut().insert(fd, key.clone());
        Ok(key)
    }

    /// Changes what a descriptor waits for, and its data.
    ///
    /// ```
    /// use leveret_runtime::selectors::{Events, Selector};
    /// # leveret_runtime::run(|| {
    /// let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    /// let selector = Selector::new().unwrap();
    /// selector.register(&ours, Events::READ, "reads").unwrap();
    /// selector.modify(&ours, Events::READ | Events::WRITE, "writes").unwrap();
    /// let ready = selector.select(None).unwrap();
    /// assert_eq!((*ready[0].0.data, ready[0].1), ("writes", Events::WRITE)); // there is room, and nothing to read
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `NotFound` if it is not registered.
    pub fn modify(&self, fd: &impl AsFd, events: Events, data: D) -> io::Result<Key<D>> {
        self.change(fd.as_fd().as_raw_fd(), events, Some(Rc::new(data)))
    }

    /// Changes what a descriptor waits for, and leaves its data.
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::selectors::{Events, Selector};
    /// # leveret_runtime::run(|| {
    /// let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    /// let selector = Selector::new().unwrap();
    /// selector.register(&ours, Events::WRITE, vec!["unsent"]).unwrap();
    /// assert_eq!(selector.select(None).unwrap().len(), 1);
    /// selector.modify_events(&ours, Events::READ).unwrap(); // everything is written: wait for an answer
    /// assert!(selector.select(Some(Duration::ZERO)).unwrap().is_empty());
    /// assert_eq!(*selector.key(&ours).unwrap().data, ["unsent"]); // its data stays
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `NotFound` if it is not registered.
    pub fn modify_events(&self, fd: &impl AsFd, events: Events) -> io::Result<Key<D>> {
        self.change(fd.as_fd().as_raw_fd(), events, None)
    }

    /// Takes a descriptor out and gives its key back.
    ///
    /// ```
    /// use leveret_runtime::selectors::{Events, Selector};
    /// # leveret_runtime::run(|| {
    /// let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    /// let selector = Selector::new().unwrap();
    /// selector.register(&ours, Events::READ, 7).unwrap();
    /// assert_eq!(*selector.unregister(&ours).unwrap().data, 7);
    /// assert!(selector.is_empty() && selector.key(&ours).is_none());
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `NotFound` if it is not registered.
    pub fn unregister(&self, fd: &impl AsFd) -> io::Result<Key<D>> {
        let fd = fd.as_fd().as_raw_fd();
        let key = self.keys.borrow_mut().remove(&fd).ok_or_else(|| not_registered(fd))?;
        self.epoll.remove(fd)?;
        Ok(key)
    }

    /// The registration of a descriptor.
    pub fn key(&self, fd: &impl AsFd) -> Option<Key<D>> {
        self.keys.borrow().get(&fd.as_fd().as_raw_fd()).cloned()
    }

    /// How many descriptors are registered.
    pub fn len(&self) -> usize {
        self.keys.borrow().len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.keys.borrow().is_empty()
    }

    /// Waits until a descriptor is ready, at most `limit` (`None`: for ever, zero: just looks), and says which are: none
    /// when the time was over. An error or a hang-up counts as ready.
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use std::time::Duration;
    /// use leveret_runtime::selectors::{Events, Selector};
    /// # leveret_runtime::run(|| {
    /// let (mut ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    /// let selector = Selector::new().unwrap();
    /// selector.register(&ours, Events::READ, ()).unwrap();
    /// theirs.write_all(b"x").unwrap();
    /// for _ in 0..2 { // told again until it was dealt with
    ///     assert!(selector.select(None).unwrap()[0].1.has(Events::READ));
    /// }
    /// ours.read_exact(&mut [0]).unwrap();
    /// assert!(selector.select(Some(Duration::from_millis(1))).unwrap().is_empty());
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// Another coroutine selects here; a destructor calls it while its stack unwinds.
    pub fn select(&self, limit: Option<Duration>) -> io::Result<Vec<(Key<D>, Events)>> {
        current::with(Shard::charge_call);
        let deadline = limit.and_then(time::deadline_in);
        loop {
            self.registration.clear(Direction::Read);
            let ready = self.look()?;
            if !ready.is_empty() || limit.is_some_and(|limit| limit.is_zero()) {
                return Ok(ready);
            }
            match self.registration.wait(Direction::Read, &|| deadline) {
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return Ok(Vec::new()),
                other => other?,
            }
        }
    }

    fn look(&self) -> io::Result<Vec<(Key<D>, Events)>> {
        let ready = self.epoll.look()?;
        let keys = self.keys.borrow();
        let told = |(fd, ready): (RawFd, Ready)| {
            let key = keys.get(&fd)?;
            let events = Events(ready.among(key.events.0));
            (events.0 != Ready::NONE).then(|| (key.clone(), events))
        };
        Ok(ready.into_iter().filter_map(told).collect())
    }

    fn change(&self, fd: RawFd, events: Events, data: Option<Rc<D>>) -> io::Result<Key<D>> {
        let mut keys = self.keys.borrow_mut();
        let key = keys.get_mut(&fd).ok_or_else(|| not_registered(fd))?;
        self.epoll.modify(fd, events.0)?;
        key.events = events;
        key.data = data.unwrap_or_else(|| key.data.clone());
        Ok(key.clone())
    }
}

fn not_registered(fd: RawFd) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("descriptor {fd} is not registered with this selector"))
}

impl<D> fmt::Debug for Selector<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.borrow().values()).finish()
    }
}
