//! Accepting AMQP connections, over TLS or not, and handing each to the shard that has the fewest.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use leveret_amqp::server::{Limits, Settings};
use leveret_runtime as runtime;
use runtime::JoinHandle;
use runtime::net::{ServerHandle, StreamServer, TcpStream};

use super::connection;
use super::login::MECHANISMS;
use super::server_properties::server_properties;
use crate::config;
use crate::transport::Transport;
use crate::transport::certificates::Certificates;
use crate::transport::proxy;
use crate::transport::tls::TlsStream;

/// How long a proxy may take to say whose connection it passes on.
const PROXY_TIMEOUT: Duration = Duration::from_secs(10);

/// What the broker tells every client in the handshake.
pub fn settings(limits: &config::Limits) -> Arc<Settings> {
    let limits = Limits {
        frame_max: limits.frame_max,
        channel_max: limits.channel_max,
        heartbeat: limits.heartbeat,
        initial_frame_max: limits.initial_frame_max,
        body_size_max: limits.max_message_size,
    };
    Arc::new(Settings { server_properties: server_properties(), mechanisms: MECHANISMS.into(), limits })
}

/// What stands between the listener's socket and AMQP.
#[derive(Clone, Debug, Default)]
pub struct Wrapping {
    /// Clients come through a proxy that speaks the PROXY protocol.
    pub proxy: bool,
    /// Clients speak TLS.
    pub tls: Option<Arc<Certificates>>,
}

impl Wrapping {
    /// The client behind the socket, and where it is.
    fn unwrap(&self, mut stream: TcpStream, mut peer: SocketAddr) -> io::Result<(Transport, SocketAddr)> {
        if self.proxy {
            let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the PROXY protocol's header did not come in time");
            let header = runtime::timeout(PROXY_TIMEOUT, || proxy::read_header(&mut stream)).map_err(late)??;
            peer = header.unwrap_or(peer);
        }
        let transport = match &self.tls {
            None => Transport::Plain(stream),
            Some(certificates) => Transport::Tls(Box::new(TlsStream::new(stream, certificates.current())?)),
        };
        Ok((transport, peer))
    }
}

/// One address that the broker listens on.
pub struct Listener {
    handle: ServerHandle,
    _serving: JoinHandle<()>,
}

impl Listener {
    /// Listens on `addr` and serves whoever connects, on all shards.
    ///
    /// # Errors
    /// The address cannot be bound; the text says which.
    pub fn bind(addr: SocketAddr, settings: Arc<Settings>, wrapping: Wrapping) -> io::Result<Listener> {
        let bound = StreamServer::builder().shards(runtime::shard_count()).end_input_on_stop(false).bind(addr);
        let server = bound.map_err(|error| {
            let hint = "stop whatever uses it, or choose another address with --amqp";
            io::Error::new(error.kind(), format!("AMQP: {error}; {hint}"))
        })?;
        let handle = server.handle();
        let serve = move || {
            let served = server.serve(move |stream, peer| match wrapping.unwrap(stream, peer) {
                Ok((stream, peer)) => connection::serve(stream, peer, settings.clone()),
                Err(error) => log::warn!("connection {peer}: {error}"),
            });
            if let Err(error) = served {
                log::error!("no more connections are accepted on {addr}: {error}");
            }
        };
        let serving = runtime::Builder::new().name(format!("amqp {addr}")).spawn(serve)?;
        Ok(Listener { handle, _serving: serving })
    }

    /// The address, with the port that was taken.
    pub fn local_addr(&self) -> SocketAddr {
        self.handle.local_addr()
    }

    /// Accepts no more, and waits until all connections have ended, at most `limit`; answers how many had to be killed.
    pub fn stop(&self, limit: Duration) -> usize {
        self.handle.stop(limit)
    }
}
