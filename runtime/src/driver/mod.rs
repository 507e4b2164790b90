//! The driver: where the runtime meets the world. Chosen when the runtime is built, the same code above either.
//!
//! `Os` is the real machine. `Sim` is a simulated one: a virtual clock, seeded randomness, a simulated network. It is an enum
//! and not a trait object: the real path costs one predictable branch.

pub(crate) mod os;
pub(crate) mod sim;

use std::io;
use std::net::Shutdown;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use os::OsDriver;
use sim::{SimDriver, World};

use crate::readiness::{Ready, Token};

/// What a shard runs on.
#[derive(Debug)]
pub(crate) enum Driver {
    Os(OsDriver),
    Sim(SimDriver),
}

impl Driver {
    #[inline]
    pub(crate) fn now(&self) -> Instant {
        match self {
            Driver::Os(driver) => driver.now(),
            Driver::Sim(driver) => driver.now(),
        }
    }

    pub(crate) fn system_now(&self) -> SystemTime {
        match self {
            Driver::Os(driver) => driver.system_now(),
            Driver::Sim(driver) => driver.system_now(),
        }
    }

    /// Fills `bytes` with randomness: the kernel's, or the seed's.
    pub(crate) fn random(&self, bytes: &mut [u8]) {
        match self {
            Driver::Os(driver) => driver.random(bytes),
            Driver::Sim(driver) => driver.random(bytes),
        }
    }

    /// Waits for events at most `limit` (for ever if `None`), and reports them.
    pub(crate) fn poll(&self, limit: Option<Duration>, on_event: impl FnMut(Token, Ready)) -> io::Result<()> {
        match self {
            Driver::Os(driver) => driver.poll(limit, on_event),
            Driver::Sim(driver) => {
                driver.poll(on_event); // its runtime moves the clock when every shard is idle
                Ok(())
            }
        }
    }

    pub(crate) fn register(&self, fd: RawFd, token: Token) -> io::Result<()> {
        match self {
            Driver::Os(driver) => driver.register(fd, token),
            Driver::Sim(driver) => driver.register(fd, token),
        }
    }

    pub(crate) fn deregister(&self, fd: RawFd) {
        match self {
            Driver::Os(driver) => driver.deregister(fd),
            Driver::Sim(driver) => driver.deregister(fd),
        }
    }

    /// Ends the receiving direction of a registered socket.
    pub(crate) fn shutdown_read(&self, fd: RawFd) -> io::Result<()> {
        match self {
            Driver::Os(_) => crate::sys::socket::shutdown_read(fd),
            Driver::Sim(driver) => driver.world().net(|net, world| net.shutdown(world, fd, Shutdown::Read)),
        }
    }

    pub(crate) fn is_simulated(&self) -> bool {
        matches!(self, Driver::Sim(_))
    }

    /// Whether events wait to be asked for; the kernel's are known only by asking.
    pub(crate) fn has_events(&self) -> bool {
        match self {
            Driver::Os(_) => false,
            Driver::Sim(driver) => driver.has_events(),
        }
    }

    /// The simulated world, if this is one.
    pub(crate) fn world(&self) -> Option<&Rc<World>> {
        match self {
            Driver::Os(_) => None,
            Driver::Sim(driver) => Some(driver.world()),
        }
    }
}

/// The error of what the simulated machine does not have: descriptors and std's sockets of the real one, signals.
pub(crate) fn not_simulated() -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        "a simulation cannot use what belongs to the real machine (descriptors, std's sockets, signals): use the runtime's \
         own sockets, or the real driver",
    )
}
