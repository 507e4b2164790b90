//! A TCP server: accepts, gives each connection a coroutine, and stops in good order. (gevent's `StreamServer`.)
//!
//! ```text
//!                accept loop (one coroutine)           shard with the fewest connections
//!   listener --> room below connections_max? --> reserve a place --> coroutine "connection ADDR": handler(stream, addr)
//!                out of descriptors? pause
//!
//!   Open --stop--> Stopping: no accepting, input of every connection ends --all ended, or deadline and kill--> Ended
//! ```
//!
//! Running out of descriptors is where naive accept loops fail: an edge-triggered one hangs, one that retries starves the
//! connections that are served. This one pauses, and goes on as soon as the process closes a descriptor (see
//! [`descriptors`](crate::descriptors)) or a growing delay is over.

mod accept;
mod shared;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use self::accept::accept_loop;
use self::shared::{Core, Ending, For, Phase, Place};
use super::addrs::ToAddrs;
use super::tcp::{DetachedStream, TcpListener, TcpStream};
use crate::coroutine::Builder as CoroutineBuilder;
use crate::coroutine::join::{JoinError, JoinHandle};
use crate::coroutine::park::{Unwinding, WaitError};
use crate::remote;
use crate::time;

/// Sets up a [`StreamServer`].
///
/// ```
/// use std::io::{Read, Write};
/// use std::time::Duration;
/// use leveret_runtime::{net::{StreamServer, TcpStream}, spawn};
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// let server = StreamServer::builder().max_connections(1).bind("127.0.0.1:0").unwrap();
/// let handle = server.handle();
/// let serving = spawn(move || server.serve_local(|stream, _| _ = std::io::copy(&mut &stream, &mut &stream)));
/// let mut first = TcpStream::connect(handle.local_addr()).unwrap();
/// let mut second = TcpStream::connect(handle.local_addr()).unwrap(); // waits in the queue
/// (first.write_all(b"1").unwrap(), second.write_all(b"2").unwrap());
/// first.read_exact(&mut [0]).unwrap();
/// assert_eq!(handle.stats().active, 1);
/// drop(first);
/// second.read_exact(&mut [0]).unwrap(); // its turn
/// handle.stop(Duration::from_secs(1));
/// serving.join().unwrap().unwrap();
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `bind`"]
pub struct StreamServerBuilder {
    connections_max: usize,
    shards: usize,
    end_input: bool,
}

impl StreamServerBuilder {
    /// The most connections at a time. While there are as many, nobody is accepted: the kernel's queue holds who comes.
    /// The default is no limit but the process's descriptors.
    pub fn max_connections(mut self, connections: usize) -> StreamServerBuilder {
        self.connections_max = connections;
        self
    }

    /// Spreads the connections over the runtime's first `shards` shards: each goes to the one that has the fewest. The
    /// default, 1, keeps all of them on the shard that binds, whichever that is.
    pub fn shards(mut self, shards: usize) -> StreamServerBuilder {
        self.shards = shards;
        self
    }

    /// Whether [`ServerHandle::stop`] ends the input of every connection, so that a handler that reads to the end finishes
    /// (the default); if not, handlers look at [`ServerHandle::is_stopping`] or wait for [`ServerHandle::wait_stopping`].
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use std::time::Duration;
    /// use leveret_runtime::{net::{StreamServer, TcpStream}, spawn};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let server = StreamServer::builder().end_input_on_stop(false).bind("127.0.0.1:0").unwrap();
    /// let (handle, inside) = (server.handle(), server.handle());
    /// let serving = spawn(move || server.serve_local(move |mut stream, _| {
    ///     stream.write_all(b"hello ").unwrap();
    ///     inside.wait_stopping(); // it decides itself what to do then
    ///     stream.write_all(b"goodbye").unwrap();
    /// }));
    /// let mut client = TcpStream::connect(handle.local_addr()).unwrap();
    /// client.read_exact(&mut [0; 6]).unwrap();
    /// assert_eq!(handle.stop(Duration::from_secs(5)), 0); // nobody had to be killed
    /// let mut last = String::new();
    /// client.read_to_string(&mut last).unwrap();
    /// assert_eq!(last, "goodbye");
    /// serving.join().unwrap().unwrap();
    /// # }).unwrap();
    /// ```
    pub fn end_input_on_stop(mut self, end_input: bool) -> StreamServerBuilder {
        self.end_input = end_input;
        self
    }

    /// Listens on `addr`. Connections wait in the kernel's queue until [`StreamServer::serve`].
    ///
    /// # Errors
    /// As [`TcpListener::bind`]; `InvalidInput` for no shards, more than there are, or a limit of no connections.
    pub fn bind(self, addr: impl ToAddrs) -> io::Result<StreamServer> {
        self.listen(TcpListener::bind(addr)?)
    }

    /// Takes over a listener of this shard.
    ///
    /// ```
    /// use leveret_runtime::net::{StreamServer, TcpListener};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let listener = TcpListener::bind("127.0.0.1:0").unwrap(); // set up as one likes, or inherited by `from_std`
    /// let addr = listener.local_addr().unwrap();
    /// assert_eq!(StreamServer::builder().listen(listener).unwrap().local_addr(), addr);
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`StreamServerBuilder::bind`].
    pub fn listen(self, listener: TcpListener) -> io::Result<StreamServer> {
        let invalid = |text: String| Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        if self.connections_max == 0 {
            return invalid("a server with no room for any connection serves nobody".to_owned());
        }
        if !(1..=remote::shard_count()).contains(&self.shards) {
            let count = remote::shard_count();
            return invalid(format!("a server uses 1 to {count} shards of this runtime, not {}", self.shards));
        }
        let targets = match self.shards {
            1 => vec![remote::shard_id()],
            shards => remote::shards().take(shards).collect(),
        };
        let addr = listener.local_addr()?;
        let core = Core::open(addr, targets, self.connections_max, self.end_input);
        Ok(StreamServer { listener, core })
    }
}

/// A listening server; [`StreamServer::serve`] runs it.
///
/// ```
/// use std::io::{Read, Write};
/// use std::time::Duration;
/// use leveret_runtime::net::{StreamServer, TcpStream};
/// # leveret_runtime::run(|| {
/// let server = StreamServer::bind("127.0.0.1:0").unwrap();
/// let handle = server.handle();
/// let serving = leveret_runtime::spawn(|| {
///     server.serve(|mut stream, _peer| {
///         let mut all = Vec::new();
///         stream.read_to_end(&mut all).unwrap();
///         stream.write_all(&all).unwrap();
///     })
/// });
/// let mut client = TcpStream::connect(handle.local_addr()).unwrap();
/// client.write_all(b"hello").unwrap();
/// leveret_runtime::sleep(Duration::from_millis(5));
/// handle.stop(Duration::from_secs(1)); // the handler reads to the end and answers
/// let mut answer = String::new();
/// client.read_to_string(&mut answer).unwrap();
/// assert_eq!(answer, "hello");
/// serving.join().unwrap().unwrap();
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct StreamServer {
    listener: TcpListener,
    core: Ending,
}

impl StreamServer {
    /// A builder with the defaults: all connections on this shard, and no limit of their number.
    pub fn builder() -> StreamServerBuilder {
        StreamServerBuilder { connections_max: usize::MAX, shards: 1, end_input: true }
    }

    /// Listens on `addr` with the defaults.
    ///
    /// # Errors
    /// As [`TcpListener::bind`].
    pub fn bind(addr: impl ToAddrs) -> io::Result<StreamServer> {
        StreamServer::builder().bind(addr)
    }

    /// The address that it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.core.addr()
    }

    /// Stops the server and tells its figures, from any shard.
    pub fn handle(&self) -> ServerHandle {
        ServerHandle { core: self.core.share() }
    }

    /// Serves until [`ServerHandle::stop`]: `handler` runs for each connection in a coroutine of its own, which is named
    /// for its peer, on the connection's shard. A panic of a handler is logged and ends that connection alone.
    ///
    /// If the caller is killed or timed out, the connections are killed.
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use std::time::Duration;
    /// use leveret_runtime::{Runtime, net::{StreamServer, TcpStream}, shard_id, spawn};
    /// let runtime = Runtime::builder().shards(2).simulated(1).build().unwrap();
    /// runtime.run(|| {
    ///     let server = StreamServer::builder().shards(2).bind("127.0.0.1:0").unwrap();
    ///     let handle = server.handle();
    ///     let serve = || server.serve(|mut stream, _| {
    ///         stream.write_all(&[shard_id().index() as u8]).unwrap();
    ///         stream.read_to_end(&mut Vec::new()).unwrap(); // until its client goes
    ///     });
    ///     let serving = spawn(serve);
    ///     let clients = [(); 2].map(|()| TcpStream::connect(handle.local_addr()).unwrap());
    ///     let mut served_by = [9; 2];
    ///     for (id, mut client) in served_by.iter_mut().zip(&clients) {
    ///         client.read_exact(std::slice::from_mut(id)).unwrap();
    ///     }
    ///     served_by.sort();
    ///     assert_eq!(served_by, [0, 1]);
    ///     drop(clients);
    ///     handle.stop(Duration::from_secs(1)); // `serve` returns
    ///     serving.join().unwrap().unwrap();
    /// }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The listener failed for a reason that waiting cannot mend; the connections are killed then. Running out of
    /// descriptors or memory, and peers that go away early, are no such reasons.
    ///
    /// # Panics
    /// Outside of a coroutine, and on another shard than the one that bound it.
    pub fn serve(self, handler: impl Fn(TcpStream, SocketAddr) + Send + Sync + 'static) -> io::Result<()> {
        let handler = Arc::new(handler);
        self.run(move |place, stream, addr| {
            let handler = handler.clone();
            match place.shard() == remote::shard_id() {
                true => begin(place, stream, addr, move |stream| handler(stream, addr)),
                false => remote::post(place.shard(), move || {
                    begin(place, stream, addr, move |stream| handler(stream, addr));
                }),
            }
        })
    }

    /// As [`StreamServer::serve`], for a handler that stays on this shard, and may keep `Rc`s.
    ///
    /// ```
    /// use std::{cell::Cell, io::Read, rc::Rc, time::Duration};
    /// use leveret_runtime::{net::{StreamServer, TcpStream}, spawn};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let (server, served) = (StreamServer::bind("127.0.0.1:0").unwrap(), Rc::new(Cell::new(0)));
    /// let (handle, count) = (server.handle(), served.clone());
    /// let serving = spawn(move || server.serve_local(move |_stream, _peer| count.set(count.get() + 1)));
    /// for _ in 0..3 {
    ///     let mut client = TcpStream::connect(handle.local_addr()).unwrap();
    ///     client.read_to_end(&mut Vec::new()).unwrap(); // the handler has ended and dropped its stream
    /// }
    /// assert_eq!(served.get(), 3);
    /// handle.stop(Duration::ZERO);
    /// serving.join().unwrap().unwrap();
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`StreamServer::serve`]; `InvalidInput` for a server that was built for several shards.
    pub fn serve_local(self, handler: impl Fn(TcpStream, SocketAddr) + 'static) -> io::Result<()> {
        if self.core.shard_count() > 1 {
            let text = "a handler that stays on its shard serves one shard: use `serve`, or build without `shards`";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let handler = Rc::new(handler);
        self.run(move |place, stream, addr| {
            let handler = handler.clone();
            begin(place, stream, addr, move |stream| handler(stream, addr));
        })
    }

    fn run(self, start: impl Fn(Place, DetachedStream, SocketAddr) + 'static) -> io::Result<()> {
        let StreamServer { listener, core } = self;
        core.note_served();
        let body = {
            let core = core.share();
            move || {
                let failure = accept_loop(&listener, &core, start);
                core.begin_stop(Duration::ZERO);
                failure
            }
        };
        let name = format!("accept {}", core.addr());
        let acceptor = KillOnDrop(Some(CoroutineBuilder::new().name(name).spawn(body)?));
        core.wait(For::Phase, "the server to stop", None, |phase| *phase != Phase::Open)?;
        let failure = acceptor.end();
        core.drain()?;
        match failure {
            Some(error) => Err(io::Error::new(error.kind(), format!("accepting on {} failed: {error}", core.addr()))),
            None => Ok(()),
        }
    }
}

/// Turns an accepted connection into a coroutine; runs on the connection's shard.
fn begin(place: Place, stream: DetachedStream, addr: SocketAddr, handler: impl FnOnce(TcpStream) + 'static) {
    let core = place.core();
    let begun = stream.attach().and_then(|stream| {
        let body = move || {
            let _place = place.enter(stream.token());
            handler(stream);
        };
        CoroutineBuilder::new().name(format!("connection {addr}")).spawn(body)
    });
    if let Err(error) = begun {
        core.note_refused();
        log::warn!("{}: the connection from {addr} could not be served: {error}", core.addr());
    }
}

/// Ends the accept loop with its server, also when that unwinds.
struct KillOnDrop(Option<JoinHandle<io::Error>>);

impl KillOnDrop {
    /// Kills it and gives the error by which it had ended before.
    fn end(mut self) -> Option<io::Error> {
        let acceptor = self.0.take()?;
        acceptor.kill();
        match acceptor.join() {
            Ok(failure) => Some(failure),
            Err(JoinError::Killed | JoinError::Unwinding) => None,
            Err(panicked @ JoinError::Panicked(_)) => panicked.resume(),
        }
    }
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        if let Some(acceptor) = &self.0 {
            acceptor.kill();
        }
    }
}

/// Figures of a server at one moment.
///
/// ```
/// use std::io::Read;
/// use leveret_runtime::{net::{StreamServer, TcpStream}, spawn};
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// let server = StreamServer::bind("127.0.0.1:0").unwrap();
/// let handle = server.handle();
/// let _serving = spawn(move || server.serve_local(|_stream, _peer| ()));
/// TcpStream::connect(handle.local_addr()).unwrap().read_to_end(&mut Vec::new()).unwrap();
/// let stats = handle.stats();
/// assert_eq!((stats.accepted, stats.refused, stats.paused), (1, 0, 0));
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStats {
    /// Connections accepted since the start.
    pub accepted: u64,
    /// Connections that have not ended.
    pub active: usize,
    /// Connections lost before their handler ran: the peer went away in the queue, or there was no memory for them.
    pub refused: u64,
    /// Times that accepting paused for want of descriptors or memory.
    pub paused: u64,
}

/// Reaches a running server from anywhere in its runtime.
#[derive(Clone)]
pub struct ServerHandle {
    core: Arc<Core>,
}

impl ServerHandle {
    /// The address that the server listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.core.addr()
    }

    /// Stops accepting at once, ends the input of every connection (see [`StreamServerBuilder::end_input_on_stop`]), waits
    /// at most `limit` for the handlers to end and kills those that have not; says how many those were. Calling it again
    /// meanwhile can shorten the time but not prolong it.
    ///
    /// A server that is not served yet has nobody to wait for but may be served in that time: [`StreamServer::serve`] then
    /// returns at once, as it does afterwards.
    ///
    /// If the caller is killed or timed out, the server goes on stopping. A handler that calls this waits for its own end,
    /// until the time is over: let it spawn a coroutine that does.
    ///
    /// ```
    /// use std::{io::Read, time::Duration};
    /// use leveret_runtime::{net::{StreamServer, TcpStream}, sleep, spawn, time};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let server = StreamServer::bind("127.0.0.1:0").unwrap();
    /// let handle = server.handle();
    /// let serving = spawn(move || server.serve_local(|_stream, _peer| sleep(Duration::from_secs(3600))));
    /// let mut client = TcpStream::connect(handle.local_addr()).unwrap();
    /// sleep(Duration::from_secs(1)); // it is being served, and will be for an hour
    /// let start = time::now();
    /// assert_eq!(handle.stop(Duration::from_secs(10)), 1); // one had to be killed
    /// assert_eq!(time::now() - start, Duration::from_secs(10));
    /// assert_eq!(client.read(&mut [0]).unwrap(), 0);
    /// assert!(TcpStream::connect(handle.local_addr()).is_err()); // and nobody listens any more
    /// serving.join().unwrap().unwrap();
    /// # }).unwrap();
    /// ```
    ///
    /// # Panics
    /// Outside of a coroutine, and in a destructor while the stack unwinds.
    pub fn stop(&self, limit: Duration) -> usize {
        self.core.begin_stop(limit);
        // Who serves keeps to the limit. If nobody does, this has to: for the rest of the time somebody may begin.
        let mut deadline = Some(deadline(limit)).filter(|_| !self.core.is_served());
        loop {
            match self.core.wait(For::Phase, "the server to end", deadline, |phase| *phase == Phase::Ended) {
                Err(WaitError::TimedOut) if self.core.is_served() => deadline = None,
                Ok(()) | Err(WaitError::TimedOut) => return self.core.killed(),
                Err(WaitError::Unwinding) => panic!("ServerHandle::stop: {Unwinding}"),
            }
        }
    }

    /// Whether [`ServerHandle::stop`] was called.
    pub fn is_stopping(&self) -> bool {
        self.core.phase() != Phase::Open
    }

    /// Parks until [`ServerHandle::stop`] is called.
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::{net::{StreamServer, TcpStream}, sleep, spawn};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let server = StreamServer::builder().end_input_on_stop(false).bind("127.0.0.1:0").unwrap();
    /// let (handle, inside) = (server.handle(), server.handle());
    /// let serving = spawn(move || server.serve_local(move |_stream, _peer| while !inside.is_stopping() {
    ///     sleep(Duration::from_secs(1)); // a handler with work of its own looks now and then
    /// }));
    /// let _client = TcpStream::connect(handle.local_addr()).unwrap();
    /// sleep(Duration::from_secs(5));
    /// assert_eq!(handle.stop(Duration::from_secs(2)), 0);
    /// handle.wait_stopping(); // at once
    /// serving.join().unwrap().unwrap();
    /// # }).unwrap();
    /// ```
    ///
    /// # Panics
    /// Outside of a coroutine, and in a destructor while the stack unwinds.
    pub fn wait_stopping(&self) {
        let stopping = self.core.wait(For::Phase, "the server to stop", None, |phase| *phase != Phase::Open);
        stopping.unwrap_or_else(|_| panic!("ServerHandle::wait_stopping: {Unwinding}"));
    }

    /// The figures of this moment.
    pub fn stats(&self) -> ServerStats {
        self.core.stats()
    }
}

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHandle").field("addr", &self.local_addr()).field("stats", &self.stats()).finish()
    }
}

/// When a stop that begins now must be over.
fn deadline(limit: Duration) -> std::time::Instant {
    const YEAR: Duration = Duration::from_secs(365 * 86_400); // beyond the clock's range nothing is worth telling apart
    let now = time::now();
    now.checked_add(limit).unwrap_or_else(|| now + YEAR)
}
