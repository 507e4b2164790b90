//! What carries a client's bytes: TCP as it is, or TLS over it. One type, so that nothing above knows which.
//!
//! It is an enum and not a trait object: the plain path costs one predictable branch.

pub mod certificates;
pub mod proxy;
pub mod subject;
pub mod tls;

use std::io::{self, Read};
use std::net::Shutdown;

use leveret_runtime::net::TcpStream;
use tls::TlsStream;

/// A connected client.
#[derive(Debug)]
pub enum Transport {
    /// TCP.
    Plain(TcpStream),
    /// TLS over TCP.
    Tls(Box<TlsStream>),
}

impl Transport {
    /// Parks until something has come, and lends it to `f`; an empty slice at the end of the stream.
    ///
    /// # Errors
    /// The connection failed, or what came is not TLS.
    #[inline]
    pub fn read_with<T>(&self, f: impl FnOnce(&[u8]) -> T) -> io::Result<T> {
        match self {
            Transport::Plain(stream) => stream.read_with(f),
            Transport::Tls(stream) => stream.read_with(f),
        }
    }

    /// As [`Transport::read_with`], behind what was kept; `kept` alone at the end of the stream.
    ///
    /// # Errors
    /// As [`Transport::read_with`].
    ///
    /// # Panics
    /// If `kept` is longer than 32 KiB.
    #[inline]
    pub fn read_behind<T>(&self, kept: &[u8], f: impl FnOnce(&[u8]) -> T) -> io::Result<T> {
        match self {
            Transport::Plain(stream) => stream.read_behind(kept, f),
            Transport::Tls(stream) => stream.read_with(|bytes| f(&[kept, bytes].concat())),
        }
    }

    /// Takes of `bytes` what can be sent without waiting. TLS may keep some of it encrypted: see [`Transport::try_flush`].
    ///
    /// # Errors
    /// `WouldBlock` when the socket is full.
    #[inline]
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Transport::Plain(stream) => stream.try_write(bytes),
            Transport::Tls(stream) => stream.try_write(bytes),
        }
    }

    /// Sends what was taken and is still here.
    ///
    /// # Errors
    /// `WouldBlock` when the socket is full.
    #[inline]
    pub fn try_flush(&self) -> io::Result<()> {
        match self {
            Transport::Plain(_) => Ok(()),
            Transport::Tls(stream) => stream.try_flush(),
        }
    }

    /// Parks until the socket has room.
    ///
    /// # Errors
    /// The connection failed.
    pub fn wait_writable(&self) -> io::Result<()> {
        self.tcp().wait_writable()
    }

    /// Parks until the client is gone, without reading.
    ///
    /// # Errors
    /// See [`TcpStream::peer_closed`].
    pub fn peer_closed(&self) -> bool {
        self.tcp().peer_closed()
    }

    /// See [`TcpStream::wait_peer_closed`].
    pub fn wait_peer_closed(&self) -> io::Result<()> {
        self.tcp().wait_peer_closed()
    }

    /// Ends one or both directions at once; TLS says so first.
    ///
    /// # Errors
    /// The kernel's.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        if let Transport::Tls(stream) = self {
            stream.say_close();
        }
        self.tcp().shutdown(how)
    }

    /// Sends small segments at once.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.tcp().set_nodelay(nodelay)
    }

    /// The socket below.
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Transport::Plain(stream) => stream,
            Transport::Tls(stream) => stream.tcp(),
        }
    }

    /// The session, for what the API shows of it; `None` without TLS.
    pub fn tls(&self) -> Option<&TlsStream> {
        match self {
            Transport::Plain(_) => None,
            Transport::Tls(stream) => Some(stream),
        }
    }
}

impl Read for &Transport {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Transport::Plain(stream) => (&mut &*stream).read(buffer),
            Transport::Tls(stream) => stream.read(buffer),
        }
    }
}
