//! Listening for HTTP, and the coroutine that samples counters.

use std::cell::Cell;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use leveret_core::access::password::Algorithm;
use leveret_management::http::{self, Limits, Request, Response};
use leveret_management::port::{Facts, Listener};
use leveret_management::{Api, MetricsSettings, Settings};
use leveret_runtime as runtime;
use runtime::JoinHandle;
use runtime::net::{ServerHandle, StreamServer, TcpStream};

use super::broker::Adapter;
use crate::config::Config;
use crate::frontend::amqp::service::COMPATIBLE_VERSION;
use crate::gate::Gate;
use crate::shard::Shard;
use crate::shard::strangers::Place;
use crate::transport::Transport;
use crate::transport::certificates::Certificates;
use crate::transport::tls::TlsStream;

/// Connections that all listeners together serve at a time, each.
const CONNECTIONS_MAX: usize = 4096;

/// How long requests under way may take when the broker stops.
const STOP_LIMIT: Duration = Duration::from_secs(1);

/// The listeners of the API, the pages and the metrics.
pub struct Http {
    servers: Vec<Serving>,
    listeners: Vec<Listener>,
    api: Rc<Api>,
}

struct Serving {
    handle: ServerHandle,
    _serving: JoinHandle<()>,
}

/// What a listener answers with.
type Answer = fn(&Api, &Request) -> Response;

impl Http {
    /// Listens where the configuration says and serves whoever asks. To be called on
    /// shard 0.
    ///
    /// # Errors
    /// An address that cannot be bound; the text says which.
    pub fn start(config: &Config, gate: &Gate) -> io::Result<Http> {
        let tls = gate.certificates();
        let bound = bind_all(config)?;
        let mut listeners = gate.addresses();
        listeners.extend(bound.iter().map(|(_, protocol, server)| Listener { protocol, addr: server.local_addr() }));
        let shard = Shard::current();
        let facts = facts(config, &shard, listeners.clone());
        let settings = Settings {
            path_prefix: config.management.path_prefix.clone(),
            cors_allow_origins: config.management.cors_allow_origins.clone(),
            login_session_timeout_ms: millis(config.management.login_session_timeout),
            metrics: MetricsSettings {
                path: config.metrics.path.clone(),
                per_object: config.metrics.per_object,
                authentication: config.metrics.authentication,
            },
        };
        let api = Rc::new(Api::new(Rc::new(Adapter::new(shard, facts, gate.service(), tls.cloned())), settings));
        let body_max = usize::try_from(config.management.max_body_size).unwrap_or(usize::MAX);
        let servers = bound
            .into_iter()
            .map(|(answer, protocol, server)| {
                let tls = tls.filter(|_| protocol == "https").cloned();
                serve(server, &api, answer, Limits { body_max }, tls)
            })
            .collect::<io::Result<_>>()?;
        let (sampled, interval) = (api.clone(), config.management.sample_interval);
        let sampler = runtime::Builder::new().name("samples").spawn(move || sample_for_ever(&sampled, interval))?;
        drop(sampler); // goes on until the program ends
        Ok(Http { servers, listeners, api })
    }

    /// What answers.
    pub fn api(&self) -> Rc<Api> {
        self.api.clone()
    }

    /// Where it listens, and the others too.
    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// Accepts no more, and ends the connections.
    pub fn stop(&self) {
        for server in &self.servers {
            let _ = server.handle.stop(STOP_LIMIT);
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

type Bound = (Answer, &'static str, StreamServer);

fn bind_all(config: &Config) -> io::Result<Vec<Bound>> {
    let bind = |addr: &SocketAddr, protocol: &'static str, answer: Answer, option: &str| {
        let server = StreamServer::builder().max_connections(CONNECTIONS_MAX).bind(*addr).map_err(|error| {
            let hint = format!("stop whatever uses it, or choose another address with {option}");
            io::Error::new(error.kind(), format!("{protocol}: {error}; {hint}"))
        });
        server.map(|server| (answer, protocol, server))
    };
    let api = config.http.iter().map(|addr| bind(addr, "http", Api::respond, "--http"));
    let metrics =
        config.prometheus.iter().map(|addr| bind(addr, "http/prometheus", Api::respond_metrics, "prometheus.tcp.port"));
    let secure = config.https.iter().map(|addr| bind(addr, "https", Api::respond, "management.ssl.port"));
    api.chain(secure).chain(metrics).collect()
}

pub(super) fn facts(config: &Config, shard: &Shard, listeners: Vec<Listener>) -> Facts {
    shard.read_clock();
    Facts {
        node: config.node_name.clone(),
        cluster_name: config.cluster_name.clone().unwrap_or_else(|| config.node_name.clone()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        compatible_version: COMPATIBLE_VERSION.to_owned(),
        started_ms: shard.now().0,
        listeners,
        data_dir: config.data_dir.display().to_string(),
        shards: config.shards,
        password_algorithm: config.password_algorithm.unwrap_or(Algorithm::Sha256),
        default_queue_type: config.default_queue_type.clone().unwrap_or_else(|| "classic".into()),
        config_files: config.files.iter().map(|path| path.display().to_string()).collect(),
        connection_max: config.limits.connection_max,
        sample_interval_ms: millis(config.management.sample_interval),
    }
}

fn serve(
    server: StreamServer,
    api: &Rc<Api>,
    answer: Answer,
    limits: Limits,
    tls: Option<Arc<Certificates>>,
) -> io::Result<Serving> {
    let (handle, api) = (server.handle(), api.clone());
    let addr = server.local_addr();
    let body = move || {
        let served = server.serve_local(move |stream, peer| {
            // Who is turned away is in the log already.
            let Some(place) = Shard::current().http_strangers.enter(peer) else { return };
            match wrap(stream, tls.as_deref(), &place) {
                Ok(client) => serve_client(&client, peer, limits, place, |request| answer(&api, request)),
                Err(error) => log::warn!("http {peer}: {error}"),
            }
        });
        if let Err(error) = served {
            log::error!("no more HTTP connections are accepted on {addr}: {error}");
        }
    };
    let serving = runtime::Builder::new().name(format!("http {addr}")).spawn(body)?;
    Ok(Serving { handle, _serving: serving })
}

/// Serves one client, which gives its place back with the first request that comes with a good login.
fn serve_client(
    client: &Wrapped,
    peer: SocketAddr,
    limits: Limits,
    place: Place,
    answer: impl Fn(&Request) -> Response,
) {
    let place = Cell::new(Some(place));
    http::serve(client, peer, limits, |request| {
        let response = answer(request);
        if request.is_by_user.get() {
            place.take();
        }
        response
    });
}

/// A client over TCP, or over TLS.
struct Wrapped {
    transport: Rc<Transport>,
    write_stall_max: Cell<Duration>,
}

fn wrap(stream: TcpStream, tls: Option<&Certificates>, place: &Place) -> io::Result<Wrapped> {
    let transport = Rc::new(match tls {
        None => Transport::Plain(stream),
        Some(certificates) => Transport::Tls(Box::new(TlsStream::new(stream, certificates.current())?)),
    });
    place.carried_by(Rc::<Transport>::downgrade(&transport));
    Ok(Wrapped { transport, write_stall_max: Cell::new(Duration::MAX) })
}

impl http::Stream for Wrapped {
    fn read_with<T>(&self, f: impl FnOnce(&[u8]) -> T) -> io::Result<T> {
        self.transport.read_with(f)
    }

    fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        loop {
            let taken = match bytes.is_empty() {
                true => self.transport.try_flush().map(|()| 0),
                false => self.transport.try_write(bytes),
            };
            match taken {
                Ok(_) if bytes.is_empty() => return Ok(()),
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    runtime::timeout(self.write_stall_max.get(), || self.transport.wait_writable())??;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn end_output(&self) -> io::Result<()> {
        self.transport.shutdown(Shutdown::Write)
    }

    fn prepare(&self, write_stall_max: Duration) -> io::Result<()> {
        self.write_stall_max.set(write_stall_max);
        self.transport.set_nodelay(true)
    }
}

fn sample_for_ever(api: &Api, interval: Duration) {
    loop {
        api.sample();
        runtime::sleep(interval);
    }
}
