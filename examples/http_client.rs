//! A real HTTP client on the runtime's sockets: `ureq`, with a connector and a resolver of ours.
//!
//! ureq is written in blocking style over a transport of one's choice, so every wait inside it parks the coroutine: that is
//! what monkey patching does for Python, without the patching. Redirects, pooled connections, limits and (with the
//! feature `https`) TLS are ureq's own.
//!
//! ureq wants its transports `Send`, and a socket of the runtime belongs to its thread. So a transport holds a number,
//! and the thread has a table of the sockets: on another thread the number finds nothing.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::rc::Rc;

use leveret_runtime::net::{TcpStream, resolve};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport};
use ureq::{Agent, Error};

/// The most addresses of a name that are tried.
const ADDRESSES_MAX: usize = 16;

thread_local! {
    static SOCKETS: RefCell<BTreeMap<u64, Rc<TcpStream>>> = const { RefCell::new(BTreeMap::new()) };
    static LAST_KEY: Cell<u64> = const { Cell::new(0) };
}

/// An HTTP client for the coroutines of this shard.
pub fn agent() -> Agent {
    let config = Config::builder().user_agent("leveret-examples").build();
    #[cfg(feature = "https")]
    return Agent::with_parts(config, Sockets.chain(ureq::unversioned::transport::RustlsConnector::default()), Names);
    #[cfg(not(feature = "https"))]
    Agent::with_parts(config, Sockets, Names)
}

/// Looks names up on the runtime's thread pool.
#[derive(Debug)]
struct Names;

impl Resolver for Names {
    fn resolve(&self, uri: &Uri, _config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let host = uri.host().ok_or_else(|| Error::BadUri(format!("{uri} names no host")))?;
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let found = limited(timeout, || resolve(host.trim_matches(['[', ']']), port))?;
        let mut addrs = self.empty();
        found.into_iter().take(ADDRESSES_MAX).for_each(|addr| addrs.push(addr));
        Ok(addrs)
    }
}

/// Connects sockets of the runtime.
#[derive(Debug)]
struct Sockets;

impl Connector for Sockets {
    type Out = Socket;

    fn connect(&self, details: &ConnectionDetails<'_>, _chained: Option<()>) -> Result<Option<Socket>, Error> {
        let stream = limited(details.timeout, || connect_any(&details.addrs))?;
        let buffers = LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Socket::new(stream, buffers)))
    }
}

fn connect_any(addrs: &[std::net::SocketAddr]) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for &addr in addrs {
        match TcpStream::connect(addr) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Does something within ureq's time for it.
fn limited<T>(timeout: NextTimeout, f: impl FnOnce() -> io::Result<T>) -> Result<T, Error> {
    let done = match timeout.not_zero() {
        None => f(),
        Some(limit) => leveret_runtime::timeout(*limit, f).map_err(|_| Error::Timeout(timeout.reason))?,
    };
    done.map_err(Error::from)
}

/// A connection: its number in the thread's table, and ureq's buffers.
#[derive(Debug)]
struct Socket {
    key: u64,
    buffers: LazyBuffers,
}

impl Socket {
    fn new(stream: TcpStream, buffers: LazyBuffers) -> Socket {
        let key = LAST_KEY.get() + 1;
        LAST_KEY.set(key);
        SOCKETS.with_borrow_mut(|sockets| sockets.insert(key, Rc::new(stream)));
        Socket { key, buffers }
    }

    fn stream(&self) -> io::Result<Rc<TcpStream>> {
        let stream = SOCKETS.with_borrow(|sockets| sockets.get(&self.key).cloned());
        stream.ok_or_else(|| io::Error::other("the connection belongs to another thread"))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let stream = SOCKETS.try_with(|sockets| sockets.borrow_mut().remove(&self.key));
        drop(stream); // outside of the table's borrow
    }
}

impl Transport for Socket {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let stream = self.stream()?;
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        limited(timeout, || (&*stream).write_all(output))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let stream = self.stream()?;
        let input = self.buffers.input_append_buf();
        let count = limited(timeout, || (&*stream).read(input))?;
        self.buffers.input_appended(count);
        Ok(count > 0)
    }

    /// A connection that waits to be used again must be quiet: bytes, the end or an error spoil it.
    fn is_open(&mut self) -> bool {
        let read = self.stream().and_then(|stream| stream.try_read(&mut [0]));
        matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}
