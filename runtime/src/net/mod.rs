//! Sockets that park instead of blocking, with std's names and std's `Read` and `Write` on them, so that whatever speaks
//! through those traits (TLS, HTTP, a database driver) works on them unmodified.
//!
//! A socket belongs to the shard that made it and is not `Send`; move the std socket and take it over there with
//! `from_std`, or detach it here and attach it there (as a [`StreamServer`] does). One coroutine may read while another
//! writes; two in the same direction is an error.
//!
//! `&TcpStream` reads and writes as `TcpStream` does, so the two directions need no splitting:
//!
//! ```
//! use std::io::{BufRead, BufReader, Write};
//! use std::net::Shutdown;
//! use leveret_runtime::{net::UnixStream, scope};
//! # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
//! let (ours, theirs) = UnixStream::pair().unwrap();
//! scope(|scope| {
//!     scope.spawn(|| std::io::copy(&mut &theirs, &mut &theirs).and_then(|_| theirs.shutdown(Shutdown::Write)));
//!     scope.spawn(|| {
//!         (1..=1000).for_each(|n| writeln!(&ours, "line {n}").unwrap()); // parks when the other side is slow
//!         ours.shutdown(Shutdown::Write).unwrap();
//!     });
//!     assert_eq!(BufReader::new(&ours).lines().count(), 1000); // meanwhile
//! });
//! # }).unwrap();
//! ```
//!
//! Dropping a socket closes it; whoever waits on a shared one wakes with an error. A kill or an expired
//! [`timeout`](crate::timeout) strikes at the wait and leaves the socket as it is.
//!
//! On the simulated driver the same types are sockets of a simulated network; see [`sim`](crate::sim).

pub(crate) mod addrs;
pub(crate) mod foreign;
pub(crate) mod io;
pub(crate) mod server;
pub(crate) mod simulated;
pub(crate) mod stream;
pub(crate) mod tcp;
pub(crate) mod udp;
pub(crate) mod unix;

pub use addrs::{ToAddrs, resolve};
pub use foreign::{Readiness, wait_readable, wait_writable};
pub use server::{ServerHandle, ServerStats, StreamServer, StreamServerBuilder};
pub use tcp::{DetachedStream, TcpListener, TcpStream};
pub use udp::UdpSocket;
pub use unix::{UnixListener, UnixStream};
