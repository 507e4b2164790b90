//! Sockets that park instead of blocking, with std's names and std's `Read` and `Write` on them, so that whatever speaks
//! through those traits (TLS, HTTP, a database driver) works on them unmodified.
//!
//! A socket belongs to the shard that made it and is not `Send`; move the std socket and take it over there with
//! `from_std` (or spawn the handler on the other shard, as a server does). One coroutine may read while another writes;
//! two in the same direction is an error.

pub(crate) mod io;
pub(crate) mod tcp;

pub use tcp::{TcpListener, TcpStream};
