//! Listening for HTTP, and the coroutine that samples counters.

use std::cell::Cell;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use leveret_core::Name;
use leveret_management::definitions::Import;
use leveret_management::http::{self, Limits, Request, Response};
use leveret_management::port::{Facts, Listener};
use leveret_management::{Api, Settings};
use leveret_runtime as runtime;
use runtime::JoinHandle;
use runtime::net::{ServerHandle, StreamServer, TcpStream};

use super::broker::Adapter;
use crate::config::Config;
use crate::frontend::amqp::service::COMPATIBLE_VERSION;
use crate::shard::Shard;
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
    /// Listens where the configuration says and serves whoever asks. `others` is where else the broker listens. To be called on
    /// shard 0.
    ///
    /// # Errors
    /// An address that cannot be bound; the text says which.
    pub fn start(config: &Config, others: Vec<Listener>, tls: Option<&Arc<Certificates>>) -> io::Result<Http> {
        let bound = bind_all(config)?;
        let mut listeners = others;
        listeners.extend(bound.iter().map(|(_, protocol, server)| Listener { protocol, addr: server.local_addr() }));
        let shard = Shard::current();
        let facts = facts(config, &shard, listeners.clone());
        let settings = Settings {
            path_prefix: config.management.path_prefix.clone(),
            cors_allow_origins: config.management.cors_allow_origins.clone(),
            login_session_timeout_ms: millis(config.management.login_session_timeout),
        };
        let api = Rc::new(Api::new(Rc::new(Adapter::new(shard, facts)), settings));
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

    /// Imports the definitions that the configuration names, files in the order of their names. To be called on shard 0, before
    /// anybody is served.
    ///
    /// # Errors
    /// A file that cannot be read or imported; the text says which and why.
    pub fn load_definitions(config: &Config) -> io::Result<()> {
        let files = definition_files(&config.load_definitions)?;
        if files.is_empty() {
            return Ok(());
        }
        let shard = Shard::current();
        let facts = facts(config, &shard, Vec::new());
        let adapter = Adapter::new(shard, facts);
        let user = Name::from(&*config.first_start.user);
        for file in files {
            let document = runtime::fs::read(&file)?;
            let import = Import { broker: &adapter, user: &user, vhost: None };
            import.run(&document).map_err(|error| io::Error::other(format!("{}: {error}", file.display())))?;
            log::info!("definitions of {} are imported", file.display());
        }
        Ok(())
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

/// The files that are named, and those of directories that are named.
fn definition_files(paths: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !runtime::fs::metadata(path)?.is_dir() {
            files.push(path.clone());
            continue;
        }
        let mut inside: Vec<PathBuf> =
            runtime::fs::read_dir(path)?.iter().map(|entry| entry.path().to_owned()).collect();
        inside.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        inside.sort();
        files.extend(inside);
    }
    Ok(files)
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

fn facts(config: &Config, shard: &Shard, listeners: Vec<Listener>) -> Facts {
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
        let served = server.serve_local(move |stream, peer| match wrap(stream, tls.as_deref()) {
            Ok(client) => http::serve(&client, peer, limits, |request| answer(&api, request)),
            Err(error) => log::warn!("http {peer}: {error}"),
        });
        if let Err(error) = served {
            log::error!("no more HTTP connections are accepted on {addr}: {error}");
        }
    };
    let serving = runtime::Builder::new().name(format!("http {addr}")).spawn(body)?;
    Ok(Serving { handle, _serving: serving })
}

/// A client over TCP, or over TLS.
struct Wrapped {
    transport: Transport,
    write_stall_max: Cell<Duration>,
}

fn wrap(stream: TcpStream, tls: Option<&Certificates>) -> io::Result<Wrapped> {
    let transport = match tls {
        None => Transport::Plain(stream),
        Some(certificates) => Transport::Tls(Box::new(TlsStream::new(stream, certificates.current())?)),
    };
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
