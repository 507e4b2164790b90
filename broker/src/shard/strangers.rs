//! Who is connected and has not logged in yet: how many there may be, in all and from one address.
//!
//! Anybody can hold a descriptor and a stack without a password. So those who have not logged in share a bounded number of
//! *places*, which they give back when they do; clients that have logged in need none, and a crowd of strangers takes nothing from
//! them.
//!
//! ```text
//!   enter --room--------------------------> place --logged in, or gone--> free
//!     |                                       ^
//!     +--full, and the oldest has had time----+  (that one is cut off)
//!     +--full of those who came just now--> turned away
//! ```
//!
//! Who is full of silent connections therefore still lets somebody in who logs in at once: it is the oldest who go, and each has had
//! [`GRACE`] by then. Each shard counts its own, with its share of the limits; connections are spread evenly.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use leveret_core::FastMap;
use leveret_runtime as runtime;
use runtime::net::TcpStream;

use crate::config::{self, Config};
use crate::transport::Transport;

/// How long a stranger may stay, however many want its place.
pub const GRACE: Duration = Duration::from_secs(1);

/// How often at most the log tells of those who are turned away.
const NOTICE_INTERVAL: Duration = Duration::from_secs(10);

/// The part of the process's descriptors that strangers may hold.
const DESCRIPTORS_SHARE: u64 = 2;

/// The part of them that strangers of one address may hold.
const DESCRIPTORS_SHARE_OF_ADDRESS: u64 = 4;

/// How many strangers there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From anywhere.
    pub all: usize,
    /// From one address; of IPv6 from one network of 64 bits, since that is what one customer of a provider has.
    pub of_address: usize,
}

impl Limits {
    /// The configured ones, but no more than a part of the descriptors, for one of so many shards.
    fn of_shard(configured: &config::Limits, descriptors: u64, shards: u64) -> Limits {
        let share = |configured: Option<u64>, part: u64| {
            let limit = configured.map_or(u64::MAX, |limit| limit.min(descriptors / part));
            usize::try_from(limit.div_ceil(shards)).unwrap_or(usize::MAX).max(1)
        };
        Limits {
            all: share(configured.unauthenticated_connection_max, DESCRIPTORS_SHARE),
            of_address: share(configured.unauthenticated_connection_max_per_address, DESCRIPTORS_SHARE_OF_ADDRESS),
        }
    }
}

/// Which of the limits is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Full {
    Here,
    ForAddress,
}

/// What a stranger's socket must be able to do.
pub trait Cut {
    /// Ends both directions at once. Must not wait.
    fn cut(&self);
}

impl Cut for TcpStream {
    fn cut(&self) {
        let _ = self.shutdown(std::net::Shutdown::Both); // it may have gone already
    }
}

impl Cut for Transport {
    fn cut(&self) {
        self.tcp().cut();
    }
}

/// See the module's description.
pub struct Strangers {
    /// For the log.
    protocol: &'static str,
    crowd: RefCell<Crowd>,
    sockets: RefCell<FastMap<u64, Weak<dyn Cut>>>,
    refused: Cell<u64>,
    /// When the log told last, and how many it has not told of since.
    noticed: Cell<(Option<Instant>, u64)>,
}

impl Strangers {
    /// For one of `shards` shards on which connections of a protocol begin.
    pub fn new(protocol: &'static str, config: &Config, shards: usize) -> Rc<Strangers> {
        let descriptors = match runtime::sim::is_simulated() {
            true => u64::MAX,
            false => runtime::raise_descriptor_limit().unwrap_or(u64::MAX),
        };
        let limits = Limits::of_shard(&config.limits, descriptors, shards.max(1) as u64);
        Strangers::limited(protocol, limits)
    }

    fn limited(protocol: &'static str, limits: Limits) -> Rc<Strangers> {
        Rc::new(Strangers {
            protocol,
            crowd: RefCell::new(Crowd::new(limits)),
            sockets: RefCell::default(),
            refused: Cell::default(),
            noticed: Cell::default(),
        })
    }

    /// A place for somebody who has just connected; `None` if there is none.
    pub fn enter(self: &Rc<Self>, peer: SocketAddr) -> Option<Place> {
        let now = runtime::time::now();
        let entered = self.crowd.borrow_mut().enter(peer, now);
        match entered {
            Entered::Free(number) => Some(Place { strangers: self.clone(), number }),
            Entered::InPlaceOf { number, full, oldest, peer, age } => {
                self.note(now, full, &format!("{peer} is cut off, since it has not logged in for {age:.0?}"));
                let socket = self.sockets.borrow_mut().remove(&oldest);
                if let Some(socket) = socket.and_then(|socket| socket.upgrade()) {
                    socket.cut();
                }
                Some(Place { strangers: self.clone(), number })
            }
            Entered::Refused(full) => {
                self.note(now, full, &format!("{peer} is turned away"));
                None
            }
        }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.crowd.borrow().all.len() as u64
    }

    /// How many were turned away or cut off since the start.
    pub fn refused(&self) -> u64 {
        self.refused.get()
    }

    /// Counts, and tells the log unless it was told just now: a flood must not fill the disk.
    fn note(&self, now: Instant, full: Full, what: &str) {
        self.refused.set(self.refused.get() + 1);
        let (last, untold) = self.noticed.get();
        if last.is_some_and(|last| now.saturating_duration_since(last) < NOTICE_INTERVAL) {
            return self.noticed.set((last, untold + 1));
        }
        let why = match full {
            Full::Here => "unauthenticated_connection_max",
            Full::ForAddress => "unauthenticated_connection_max_per_address",
        };
        let more = if untold > 0 { format!("; so were {untold} others since the last line") } else { String::new() };
        log::warn!("{} connection {what}: too many have not logged in ({why}){more}", self.protocol);
        self.noticed.set((Some(now), 0));
    }
}

/// Somebody's place among the strangers; free again when this is dropped.
pub struct Place {
    strangers: Rc<Strangers>,
    number: u64,
}

impl Place {
    /// What is to be cut off if somebody else gets the place.
    pub fn carried_by(&self, socket: Weak<dyn Cut>) {
        // One that has lost its place meanwhile is cut off now.
        if self.strangers.crowd.borrow().all.contains_key(&self.number) {
            self.strangers.sockets.borrow_mut().insert(self.number, socket);
        } else if let Some(socket) = socket.upgrade() {
            socket.cut();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.strangers.crowd.borrow_mut().leave(self.number);
        self.strangers.sockets.borrow_mut().remove(&self.number);
    }
}

/// How it went.
#[derive(Debug, PartialEq, Eq)]
enum Entered {
    /// There was room.
    Free(u64),
    /// There was none, and the oldest had to go.
    InPlaceOf { number: u64, full: Full, oldest: u64, peer: SocketAddr, age: Duration },
    /// There was none, and all others had come just before.
    Refused(Full),
}

/// Who is there; plain data.
#[derive(Debug)]
struct Crowd {
    limits: Limits,
    last: u64,
    /// By number, that is by age.
    all: BTreeMap<u64, (SocketAddr, Instant)>,
    /// The numbers of each address, by age.
    of_address: FastMap<IpAddr, BTreeMap<u64, ()>>,
}

impl Crowd {
    fn new(limits: Limits) -> Crowd {
        Crowd { limits, last: 0, all: BTreeMap::new(), of_address: FastMap::default() }
    }

    fn enter(&mut self, peer: SocketAddr, now: Instant) -> Entered {
        let origin = origin(peer.ip());
        let of_address = self.of_address.get(&origin);
        let fullness = if of_address.is_some_and(|them| them.len() >= self.limits.of_address) {
            Some((Full::ForAddress, of_address.and_then(|them| them.keys().next().copied())))
        } else if self.all.len() >= self.limits.all {
            Some((Full::Here, self.all.keys().next().copied()))
        } else {
            None
        };
        let Some((full, oldest)) = fullness else { return Entered::Free(self.add(peer, origin, now)) };
        let found = oldest.and_then(|oldest| self.all.get(&oldest).map(|(peer, since)| (oldest, *peer, *since)));
        match found.map(|(oldest, peer, since)| (oldest, peer, now.saturating_duration_since(since))) {
            Some((oldest, old_peer, age)) if age >= GRACE => {
                self.leave(oldest);
                Entered::InPlaceOf { number: self.add(peer, origin, now), full, oldest, peer: old_peer, age }
            }
            _ => Entered::Refused(full),
        }
    }

    fn add(&mut self, peer: SocketAddr, origin: IpAddr, now: Instant) -> u64 {
        self.last += 1;
        self.all.insert(self.last, (peer, now));
        self.of_address.entry(origin).or_default().insert(self.last, ());
        self.last
    }

    fn leave(&mut self, number: u64) {
        let Some((peer, _)) = self.all.remove(&number) else { return };
        let origin = origin(peer.ip());
        if let Some(them) = self.of_address.get_mut(&origin) {
            them.remove(&number);
            if them.is_empty() {
                self.of_address.remove(&origin);
            }
        }
    }
}

/// What counts as one address.
fn origin(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The clock needs one.
    fn in_a_coroutine(main: impl FnOnce() + Send + 'static) {
        let runtime = runtime::Runtime::builder().shards(1).simulated(0).build().expect("valid");
        runtime.run(main).expect("no deadlock");
    }

    /// Plays `address@ms` for who comes and `-number` for who leaves; answers what happened to each who came.
    fn play(all: usize, of_address: usize, story: &str) -> String {
        let began = runtime::time::now();
        let mut crowd = Crowd::new(Limits { all, of_address });
        let mut told = Vec::new();
        for word in story.split(' ') {
            if let Some(number) = word.strip_prefix('-') {
                crowd.leave(number.parse().expect("a number"));
            } else {
                let (address, ms) = word.split_once('@').expect("who and when");
                let peer = SocketAddr::new(address.parse().expect("an address"), 1);
                let now = began + Duration::from_millis(ms.parse().expect("a time"));
                told.push(match crowd.enter(peer, now) {
                    Entered::Free(number) => format!("{number}"),
                    Entered::InPlaceOf { number, full, oldest, .. } => format!("{number} for {oldest} {full:?}"),
                    Entered::Refused(full) => format!("{full:?}"),
                });
            }
            assert!(crowd.all.len() <= all);
            assert!(crowd.of_address.values().all(|them| !them.is_empty() && them.len() <= of_address));
            assert_eq!(crowd.of_address.values().map(BTreeMap::len).sum::<usize>(), crowd.all.len());
        }
        told.join(", ")
    }

    #[test]
    fn the_oldest_make_room_once_they_have_had_their_time() {
        let check = |story: &'static str, expected: &'static str| {
            in_a_coroutine(move || assert_eq!(play(3, 2, story), expected, "{story}"));
        };
        check("10.0.0.1@0 10.0.0.1@0 10.0.0.1@999", "1, 2, ForAddress");
        check("10.0.0.1@0 10.0.0.1@0 10.0.0.1@1000", "1, 2, 3 for 1 ForAddress");
        check("10.0.0.1@0 10.0.0.2@0 10.0.0.3@0 10.0.0.4@999", "1, 2, 3, Here");
        check("10.0.0.1@0 10.0.0.2@0 10.0.0.3@0 10.0.0.4@2000 10.0.0.1@2000", "1, 2, 3, 4 for 1 Here, 5 for 2 Here");
        check("10.0.0.1@0 10.0.0.1@0 -1 10.0.0.1@0 10.0.0.1@0", "1, 2, 3, ForAddress");
        check("10.0.0.1@0 10.0.0.1@0 -1 -2 -2 -7 10.0.0.1@0 10.0.0.2@0 10.0.0.3@0", "1, 2, 3, 4, 5");
    }

    #[test]
    fn an_address_is_what_one_customer_has() {
        let check = |a: &str, b: &str, expected: bool| {
            let origin = |text: &str| origin(text.parse().expect("an address"));
            assert_eq!(origin(a) == origin(b), expected, "{a} {b}");
        };
        check("10.0.0.1", "10.0.0.1", true);
        check("10.0.0.1", "10.0.0.2", false);
        check("10.0.0.1", "::ffff:10.0.0.1", true);
        check("::ffff:10.0.0.1", "::ffff:10.0.0.2", false);
        check("2001:db8::1", "2001:db8::ffff:1", true);
        check("2001:db8::1", "2001:db8:0:1::1", false);
    }

    #[test]
    fn limits_are_shared_by_shards_and_leave_descriptors() {
        let check = |all: Option<u64>, of_address: Option<u64>, descriptors: u64, shards: u64, expected: [usize; 2]| {
            let configured = config::Limits {
                unauthenticated_connection_max: all,
                unauthenticated_connection_max_per_address: of_address,
                ..config::Limits::default()
            };
            let Limits { all, of_address } = Limits::of_shard(&configured, descriptors, shards);
            assert_eq!([all, of_address], expected);
        };
        check(Some(100), Some(10), 1_000_000, 1, [100, 10]);
        check(Some(100), Some(10), 1_000_000, 3, [34, 4]);
        check(Some(100_000), Some(100_000), 1024, 1, [512, 256]);
        check(None, None, 1024, 2, [usize::MAX / 2 + 1, usize::MAX / 2 + 1]);
        check(Some(0), Some(0), 1024, 2, [1, 1]);
    }

    #[test]
    fn a_place_is_free_when_it_is_dropped_and_who_lost_it_is_cut_off() {
        struct Socket(Cell<bool>);
        impl Cut for Socket {
            fn cut(&self) {
                self.0.set(true);
            }
        }
        let main = || {
            let strangers = Strangers::limited("AMQP", Limits { all: 9, of_address: 1 });
            let peer = "10.0.0.1:1".parse().expect("an address");
            let socket = Rc::new(Socket(Cell::new(false)));
            let weak: Weak<dyn Cut> = Rc::<Socket>::downgrade(&socket);
            let place = strangers.enter(peer).expect("there is room");
            place.carried_by(weak.clone());
            assert!(strangers.enter(peer).is_none());
            runtime::sleep(GRACE);
            let second = strangers.enter(peer).expect("the first has had its time");
            assert!(socket.0.take());
            place.carried_by(weak);
            assert!(socket.0.take(), "it learns so when it goes on");
            drop(place);
            assert_eq!((strangers.count(), strangers.refused()), (1, 2));
            drop(second);
            assert_eq!((strangers.count(), strangers.refused()), (0, 2));
            assert!(strangers.sockets.borrow().is_empty());
        };
        in_a_coroutine(main);
    }
}
