//! What a select can wait for.

use std::os::fd::{AsFd, BorrowedFd};

use crate::coroutine::park::Waiter;
use crate::net::{Readiness, TcpListener, TcpStream, UdpSocket, UnixListener, UnixStream};
use crate::process::{Child, ChildStderr, ChildStdin, ChildStdout};
use crate::readiness::{Direction, Registration};
use crate::sys::poll::poll_now;

/// Something of this shard that a select can wait for.
pub(crate) trait Watch {
    /// Whether the call that the branch stands for would not wait.
    fn is_ready(&self) -> bool;

    /// Lets a waiter stand in line.
    fn list(&self, waiter: Waiter);

    /// Takes the waiter of this ticket out of the line, if it still stands there.
    fn unlist(&self, ticket: u64);

    /// The select was woken by this: frees what was kept for it, which it takes as anybody would.
    fn take_grant_back(&self) {}

    /// The select goes on: gives what it did not take to the next in line.
    fn settle(&self) {}
}

/// A socket, a child's pipe, a child (readable when it has ended), or a foreign descriptor registered as [`Readiness`], that
/// a select can wait for.
///
/// Sealed: it stands for registrations with this shard's reactor.
pub trait Descriptor: sealed::Registered {}

mod sealed {
    use std::os::fd::BorrowedFd;

    use crate::readiness::Registration;

    pub trait Registered {
        /// What the kernel is asked about.
        #[doc(hidden)]
        fn fd(&self) -> BorrowedFd<'_>;

        /// Where its readiness is kept.
        #[doc(hidden)]
        #[allow(private_interfaces)]
        fn registration(&self) -> &Registration;

        /// Whether only the kernel knows how it stands, because its owner reads it without telling us.
        #[doc(hidden)]
        const FOREIGN: bool = false;
    }
}

macro_rules! registered {
    ($($Socket:ty),*) => {
        $(
            impl sealed::Registered for $Socket {
                fn fd(&self) -> BorrowedFd<'_> {
                    self.as_fd()
                }

                #[allow(private_interfaces)]
                fn registration(&self) -> &Registration {
                    self.registration()
                }
            }

            impl Descriptor for $Socket {}
        )*
    };
}

registered!(TcpStream, TcpListener, UdpSocket, UnixStream, UnixListener, Child, ChildStderr, ChildStdin, ChildStdout);

impl<F: AsFd> sealed::Registered for Readiness<F> {
    fn fd(&self) -> BorrowedFd<'_> {
        self.inner().as_fd()
    }

    #[allow(private_interfaces)]
    fn registration(&self) -> &Registration {
        self.registration()
    }

    const FOREIGN: bool = true;
}

impl<F: AsFd> Descriptor for Readiness<F> {}

/// What of a descriptor is waited for.
#[derive(Clone, Copy)]
pub(super) enum Awaited {
    /// A transfer this way would not block.
    Transfer(Direction),
    /// The peer is gone.
    PeerClosed,
}

/// What a descriptor is to become, as a branch.
pub(super) struct WatchedDescriptor<'a> {
    fd: BorrowedFd<'a>,
    registration: &'a Registration,
    awaited: Awaited,
    foreign: bool,
}

impl<'a> WatchedDescriptor<'a> {
    pub(super) fn new<D: Descriptor>(descriptor: &'a D, awaited: Awaited) -> WatchedDescriptor<'a> {
        let (fd, registration) = (descriptor.fd(), descriptor.registration());
        WatchedDescriptor { fd, registration, awaited, foreign: D::FOREIGN }
    }

    /// Asks the kernel where the flag says "perhaps": a fresh socket counts as ready until somebody tries. Another
    /// waiter, and an error of the question itself, count as ready: the call to come will tell.
    pub(super) fn is_ready(&self) -> bool {
        let direction = match self.awaited {
            Awaited::Transfer(direction) => direction,
            Awaited::PeerClosed => return self.registration.is_read_closed(),
        };
        if self.registration.is_watched(direction) {
            return true;
        }
        if !self.foreign && !self.registration.is_ready(direction) {
            return false;
        }
        let flag = direction.flag();
        let ready = poll_now(self.fd, flag).map_or(true, |ready| ready.has(flag));
        match ready {
            true => self.registration.note_ready(direction),
            false => self.registration.clear(direction),
        }
        ready
    }

    pub(super) fn list(&self, waiter: Waiter) {
        // The place is taken only if the same descriptor stands in two branches: then the first one is told.
        match self.awaited {
            Awaited::Transfer(direction) => drop(self.registration.watch(direction, waiter)),
            Awaited::PeerClosed => self.registration.watch_closed(waiter),
        }
    }

    pub(super) fn unlist(&self, ticket: u64) {
        match self.awaited {
            Awaited::Transfer(direction) => self.registration.unwatch(direction, ticket),
            Awaited::PeerClosed => self.registration.unwatch_closed(ticket),
        }
    }
}
