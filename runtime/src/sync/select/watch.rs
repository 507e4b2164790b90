//! What a select can wait for.

use std::io;
use std::os::fd::AsFd;

use crate::coroutine::park::Waiter;
use crate::net::{Readiness, TcpListener, TcpStream, UdpSocket, UnixListener, UnixStream};
use crate::process::{Child, ChildStderr, ChildStdin, ChildStdout};
use crate::readiness::{Direction, Ready, Registration};
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
///
/// ```
/// use leveret_runtime::{net::{TcpListener, TcpStream, UdpSocket}, sync::Select};
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// let (listener, datagrams) = (TcpListener::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
/// let mut select = Select::new();
/// let (connection, _) = (select.readable(&listener), select.readable(&datagrams));
/// let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
/// assert_eq!(select.wait(), connection); // now `accept` does not wait
/// # }).unwrap();
/// ```
pub trait Descriptor: sealed::Registered {}

mod sealed {
    use std::io;

    use crate::readiness::{Ready, Registration};

    pub trait Registered {
        /// What of `wanted` a call would find now.
        #[doc(hidden)]
        #[allow(private_interfaces)]
        fn look(&self, wanted: Ready) -> io::Result<Ready>;

        /// Where its readiness is kept.
        #[doc(hidden)]
        #[allow(private_interfaces)]
        fn registration(&self) -> &Registration;

        /// Whether only the kernel knows how it stands, because its owner reads it without telling us.
        #[doc(hidden)]
        fn is_foreign(&self) -> bool {
            false
        }
    }
}

macro_rules! registered {
    ($($Socket:ty),*: |$socket:ident, $wanted:ident| $look:expr) => {
        $(
            impl sealed::Registered for $Socket {
                #[allow(private_interfaces)]
                fn look(&self, $wanted: Ready) -> io::Result<Ready> {
                    let $socket = self;
                    $look
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

registered!(TcpStream, TcpListener, UdpSocket, UnixStream, UnixListener: |socket, wanted| socket.look_now(wanted));
registered!(Child, ChildStderr, ChildStdin, ChildStdout: |pipe, wanted| poll_now(pipe.as_fd(), wanted));

impl<F: AsFd> sealed::Registered for Readiness<F> {
    #[allow(private_interfaces)]
    fn look(&self, wanted: Ready) -> io::Result<Ready> {
        poll_now(self.inner().as_fd(), wanted)
    }

    #[allow(private_interfaces)]
    fn registration(&self) -> &Registration {
        self.registration()
    }

    fn is_foreign(&self) -> bool {
        true
    }
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
    descriptor: &'a dyn sealed::Registered,
    registration: &'a Registration,
    awaited: Awaited,
}

impl<'a> WatchedDescriptor<'a> {
    pub(super) fn new<D: Descriptor>(descriptor: &'a D, awaited: Awaited) -> WatchedDescriptor<'a> {
        WatchedDescriptor { descriptor, registration: descriptor.registration(), awaited }
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
        if !self.descriptor.is_foreign() && !self.registration.is_ready(direction) {
            return false;
        }
        let flag = direction.flag();
        let ready = self.descriptor.look(flag).map_or(true, |ready| ready.has(flag));
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
