//! Accepting AMQP connections, over TLS or not, and handing each to the shard that has the fewest.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use leveret_amqp::server::{Limits, Settings};
use leveret_runtime as runtime;
use runtime::JoinHandle;
use runtime::net::{ServerHandle, StreamServer, TcpStream};

use super::connection;
use super::login;
use super::server_properties::server_properties;
use crate::config::Config;
use crate::shard::Shard;
use crate::shard::strangers::Place;
use crate::transport::Transport;
use crate::transport::certificates::Certificates;
use crate::transport::proxy;
use crate::transport::tls::TlsStream;

/// How long a proxy may take to say whose connection it passes on.
const PROXY_TIMEOUT: Duration = Duration::from_secs(10);

/// What the broker tells every client in the handshake.
pub fn greetings(config: &Config) -> Greetings {
    let limits = &config.limits;
    let limits = Limits {
        frame_max: limits.frame_max,
        channel_max: limits.channel_max,
        heartbeat: limits.heartbeat,
        initial_frame_max: limits.initial_frame_max,
        body_size_max: limits.max_message_size,
    };
    let greeting = |has_certificate| {
        let mechanisms = login::offered(&config.mechanisms, has_certificate);
        Arc::new(Settings { server_properties: server_properties(), mechanisms, limits })
    };
    Greetings { plain: greeting(false), certified: greeting(true) }
}

/// What clients are told in the handshake.
#[derive(Clone, Debug)]
pub struct Greetings {
    plain: Arc<Settings>,
    /// For who has shown a certificate that was verified.
    certified: Arc<Settings>,
}

impl Greetings {
    fn of(&self, client: &Transport) -> Arc<Settings> {
        let certificate = client.tls().and_then(TlsStream::peer_certificate);
        if certificate.is_some() { self.certified.clone() } else { self.plain.clone() }
    }
}

/// What stands between the listener's socket and AMQP.
#[derive(Clone, Debug, Default)]
pub struct Wrapping {
    /// Clients come through a proxy that speaks the PROXY protocol.
    pub proxy: bool,
    /// Clients speak TLS.
    pub tls: Option<Arc<Certificates>>,
    /// How long a client may take for TLS.
    pub handshake_timeout: Duration,
}

impl Wrapping {
    /// The client behind the socket, and where it is.
    fn unwrap(&self, mut stream: TcpStream, mut peer: SocketAddr) -> io::Result<Guest> {
        let strangers = &Shard::current().strangers;
        let full = || io::Error::new(ErrorKind::ConnectionRefused, "too many have not logged in");
        let mut place = strangers.enter(peer).ok_or_else(full)?;
        if self.proxy {
            (stream, peer) = behind_proxy(stream, peer, &place)?;
            drop(place);
            place = strangers.enter(peer).ok_or_else(full)?;
        }
        let transport = Rc::new(match &self.tls {
            None => Transport::Plain(stream),
            Some(certificates) => Transport::Tls(Box::new(TlsStream::new(stream, certificates.current())?)),
        });
        place.carried_by(Rc::<Transport>::downgrade(&transport));
        if let Some(stream) = transport.tls() {
            let late = |_| io::Error::new(ErrorKind::TimedOut, "the TLS handshake took too long");
            runtime::timeout(self.handshake_timeout, || stream.shake_hands()).map_err(late)??;
        }
        Ok(Guest { transport, peer, place })
    }
}

/// The client that the proxy passes on.
fn behind_proxy(stream: TcpStream, peer: SocketAddr, place: &Place) -> io::Result<(TcpStream, SocketAddr)> {
    let stream = Rc::new(stream);
    place.carried_by(Rc::<TcpStream>::downgrade(&stream));
    let late = |_| io::Error::new(ErrorKind::TimedOut, "the PROXY protocol's header did not come in time");
    let header = runtime::timeout(PROXY_TIMEOUT, || proxy::read_header(&mut &*stream)).map_err(late)??;
    let stream = Rc::into_inner(stream).expect("its place knows it weakly");
    Ok((stream, header.unwrap_or(peer)))
}

/// Somebody who may say who it is.
pub(super) struct Guest {
    pub(super) transport: Rc<Transport>,
    pub(super) peer: SocketAddr,
    /// Given back when it has logged in.
    pub(super) place: Place,
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
    pub fn bind(addr: SocketAddr, greetings: Greetings, wrapping: Wrapping) -> io::Result<Listener> {
        let bound = StreamServer::builder().shards(runtime::shard_count()).end_input_on_stop(false).bind(addr);
        let server = bound.map_err(|error| {
            let hint = "stop whatever uses it, or choose another address with --amqp";
            io::Error::new(error.kind(), format!("AMQP: {error}; {hint}"))
        })?;
        let handle = server.handle();
        let serve = move || {
            let served = server.serve(move |stream, peer| match wrapping.unwrap(stream, peer) {
                Ok(guest) => {
                    let settings = greetings.of(&guest.transport);
                    connection::serve(guest, settings);
                }
                // A health check, a port scan; who is turned away is in the log already.
                Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionRefused) => {
                    log::debug!("connection {peer}: {error}");
                }
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
