//! What the program was started with.
//!
//! One [`Config`] is put together before anything runs: built-in defaults, then `leveret.conf` (in the format of
//! `rabbitmq.conf`), then the environment, then the command line; whoever comes later wins. Everything else only reads it.

pub mod file;
pub mod find;
pub mod keys;
pub mod load;
pub mod value;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use leveret_core::access::password::{Algorithm, Work};
use leveret_core::access::{DEFAULT_USER, DEFAULT_VHOST, Tag};
use leveret_core::queue::Windows;
use value::{Amount, Level};

/// AMQP's port.
pub const AMQP_PORT: u16 = 5672;
/// AMQP's port over TLS.
pub const AMQPS_PORT: u16 = 5671;
/// The HTTP API's and the web UI's port.
pub const HTTP_PORT: u16 = 15672;
/// The same over TLS.
pub const HTTPS_PORT: u16 = 15671;
/// Prometheus' port.
pub const PROMETHEUS_PORT: u16 = 15692;

/// The default of [`Config::data_dir`], beside the place where the program is started.
pub const DEFAULT_DATA_DIR: &str = "./leveret-data";

/// The broker's configuration. Ports of 0 take a free one.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The files that it was read from.
    pub files: Vec<PathBuf>,
    /// Where to listen for AMQP.
    pub amqp: Vec<SocketAddr>,
    /// Where to listen for AMQP over TLS.
    pub amqps: Vec<SocketAddr>,
    /// Where to listen for the HTTP API and the web UI.
    pub http: Vec<SocketAddr>,
    /// The same over TLS.
    pub https: Vec<SocketAddr>,
    /// Where to answer Prometheus.
    pub prometheus: Vec<SocketAddr>,
    /// Whether AMQP clients come through a proxy that speaks the PROXY protocol.
    pub proxy_protocol: bool,
    /// How many shards, each a thread with a reactor of its own.
    pub shards: usize,
    /// Where the broker keeps its data.
    pub data_dir: PathBuf,
    /// The node's name, as the API and the command line show it; where data lives does not depend on it.
    pub node_name: String,
    /// The cluster's name; the node's if it has none.
    pub cluster_name: Option<String>,
    /// What a confirm means.
    pub confirm: Confirm,
    /// Sizes of the durable log's files.
    pub log_files: LogFiles,
    /// Limits on connections and on what they may do.
    pub limits: Limits,
    /// When publishers are blocked.
    pub alarms: Alarms,
    /// Who and what is there at the very first start.
    pub first_start: FirstStart,
    /// How clients may log in. EXTERNAL is offered only to who has shown a certificate that was verified.
    pub mechanisms: BTreeSet<Mechanism>,
    /// How new passwords are kept; if nothing is said, argon2id for the user of the first start, and RabbitMQ's salted SHA-256 for
    /// those that are set over HTTP, whose tools look at it.
    pub password_algorithm: Option<Algorithm>,
    /// The type of queues that are declared without one, where the virtual host does not say; `None` for classic.
    pub default_queue_type: Option<String>,
    /// The virtual host whose exchange `amq.rabbitmq.event` gets events; `None` for no events.
    pub event_vhost: Option<String>,
    /// Users who may only connect from this machine.
    pub loopback_users: BTreeSet<String>,
    /// Files or directories with definitions to import at every start, in RabbitMQ's JSON format.
    pub load_definitions: Vec<PathBuf>,
    /// Whether an import is left out when the files are what was imported last: what was changed since then stays changed.
    pub skip_unchanged_definitions: bool,
    /// Certificates and keys of the TLS listeners.
    pub tls: Tls,
    /// How the HTTP listeners behave.
    pub management: Management,
    /// How the Prometheus listener behaves.
    pub metrics: Metrics,
    /// What is logged, and how.
    pub log: Log,
    /// How much of a long queue stays in memory.
    pub windows: QueueWindows,
    /// The least work that a login with a password takes: no key sets it.
    pub login_work: Work,
}

/// See [`Config::windows`]: no key sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueWindows {
    /// Bytes at each end of a queue.
    pub max: u64,
    /// The same when memory is short and there are many queues.
    pub min: u64,
}

impl Default for QueueWindows {
    fn default() -> Self {
        Self { max: 4 * 1024 * 1024, min: 64 * 1024 }
    }
}

impl Config {
    /// What each queue keeps in memory while there is enough.
    pub fn windows(&self) -> Windows {
        let QueueWindows { max, .. } = self.windows;
        Windows { head: max, tail: max, spill: max, may_spill: false }
    }
}

/// When a persistent message is confirmed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Confirm {
    /// When it is on disk: the data was synced.
    #[default]
    Synced,
    /// When it was handed to the operating system: survives a crash of the broker, not of the machine.
    Written,
}

/// See [`Config::log_files`]. What a directory was made with stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogFiles {
    /// Bytes of a log file; more, if a message of the greatest size needs it.
    pub log_file_size: u32,
    /// How many log files are used in turn.
    pub count: u16,
    /// Bytes after which a segment ends.
    pub segment_size: u32,
    /// Bytes that a message may take in the log beside its body: its properties, and a line for each queue that takes it.
    pub record_margin: u64,
}

/// See [`Config::limits`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a frame with its overhead; 0 for no limit.
    pub frame_max: u32,
    /// Bytes of a frame before tuning is over.
    pub initial_frame_max: u32,
    /// Channels of a connection; 0 for no limit.
    pub channel_max: u16,
    /// The proposed heartbeat interval in seconds; 0 for none.
    pub heartbeat: u16,
    /// How long a client may take to open its connection.
    pub handshake_timeout: Duration,
    /// Bytes of a message's body; at most 512 MiB.
    pub max_message_size: u64,
    /// How long a delivery may stay unacknowledged before its channel is closed; `None` for ever.
    pub consumer_timeout: Option<Duration>,
    /// Consumers of a channel; `None` for no limit.
    pub consumer_max_per_channel: Option<u64>,
    /// Connections of the whole broker; `None` for no limit.
    pub connection_max: Option<u64>,
    /// Connections that have not logged in, but never more than half of the process's descriptors; `None` for no limit. Those of AMQP and
    /// those of HTTP count apart.
    pub unauthenticated_connection_max: Option<u64>,
    /// The same of one address, but never more than a quarter of the descriptors.
    pub unauthenticated_connection_max_per_address: Option<u64>,
    /// Channels of the whole broker; `None` for no limit.
    pub channel_max_per_node: Option<u64>,
    /// Virtual hosts; `None` for no limit.
    pub vhost_max: Option<u64>,
    /// Queues of the whole broker; `None` for no limit.
    pub queue_max: Option<u64>,
    /// Exchanges of the whole broker; `None` for no limit.
    pub exchange_max: Option<u64>,
}

/// See [`Config::alarms`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alarms {
    /// Memory in use above which publishers are blocked; relative to the machine's or the control group's memory.
    pub memory_high_watermark: Amount,
    /// Memory that the machine is taken to have, if not what it says.
    pub total_memory: Option<u64>,
    /// Free space of the data directory's disk below which publishers are blocked; relative to the machine's memory.
    pub disk_free_limit: Amount,
}

/// See [`Config::first_start`].
#[derive(Clone, PartialEq, Eq)]
pub struct FirstStart {
    /// The user's name.
    pub user: String,
    /// The user's password.
    pub password: String,
    /// The virtual host's name.
    pub vhost: String,
    /// The user's tags.
    pub tags: Vec<Tag>,
    /// The user's permissions in the virtual host: configure, write, read.
    pub permissions: [String; 3],
}

/// See [`Config::tls`].
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// The server's certificate chain, PEM.
    pub certificate: Option<PathBuf>,
    /// Its key, PEM.
    pub key: Option<PathBuf>,
    /// Certificates of those who sign clients' certificates, PEM.
    pub authorities: Option<PathBuf>,
    /// Whether clients are asked for a certificate, which is then checked.
    pub verify_peer: bool,
    /// Whether a client without certificate is refused.
    pub require_certificate: bool,
    /// Whether TLS 1.2 is offered beside 1.3.
    pub tls12: bool,
    /// Whether TLS 1.3 is offered.
    pub tls13: bool,
    /// Whom a client's certificate names.
    pub user_from: CertificateUser,
    /// Which of the other names that is, if it is one: the kind, and the place among those of the kind, from 0.
    pub alternative_name: (NameKind, usize),
}

/// What of a client's certificate is the user of the EXTERNAL mechanism.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CertificateUser {
    /// The subject's whole name, such as `CN=alice,O=Example`.
    #[default]
    DistinguishedName,
    /// The subject's common name, such as `alice`.
    CommonName,
    /// One of the certificate's other names: see [`Tls::alternative_name`].
    AlternativeName,
}

/// Kinds of names in a certificate besides the subject's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of X.509")]
pub enum NameKind {
    #[default]
    Dns,
    Ip,
    Email,
    Uri,
}

/// How clients may say who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mechanism {
    /// User and password.
    Plain,
    /// The same in an AMQP table.
    AmqPlain,
    /// By the certificate of the TLS session.
    External,
}

impl Mechanism {
    /// All there are, in the order in which they are offered.
    pub const ALL: [Mechanism; 3] = [Mechanism::Plain, Mechanism::AmqPlain, Mechanism::External];

    /// Its name in the protocol.
    pub fn as_str(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::AmqPlain => "AMQPLAIN",
            Mechanism::External => "EXTERNAL",
        }
    }
}

/// See [`Config::management`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Management {
    /// What all paths begin with, such as `/broker`; empty for nothing.
    pub path_prefix: String,
    /// Bytes of a request's body.
    pub max_body_size: u64,
    /// Origins that browsers may call the API from; `*` for any.
    pub cors_allow_origins: Vec<String>,
    /// How long a browser stays logged in.
    pub login_session_timeout: Duration,
    /// How often counters are sampled.
    pub sample_interval: Duration,
}

/// See [`Config::metrics`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// The path that answers.
    pub path: String,
    /// Whether it answers for each object instead of sums.
    pub per_object: bool,
    /// Whether the scraper must log in.
    pub authentication: bool,
}

/// See [`Config::log`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// A filter such as `info` or `info,leveret::frontend=debug`.
    pub filter: String,
    /// How a line looks.
    pub format: LogFormat,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Config {
    /// RabbitMQ's defaults, with one shard, and no address to listen on.
    fn default() -> Config {
        Config {
            files: Vec::new(),
            amqp: Vec::new(),
            amqps: Vec::new(),
            http: Vec::new(),
            https: Vec::new(),
            prometheus: Vec::new(),
            proxy_protocol: false,
            shards: 1,
            data_dir: PathBuf::from(DEFAULT_DATA_DIR),
            node_name: "leveret@localhost".into(),
            cluster_name: None,
            confirm: Confirm::Synced,
            log_files: LogFiles::default(),
            limits: Limits::default(),
            alarms: Alarms::default(),
            first_start: FirstStart::default(),
            mechanisms: Mechanism::ALL.into(),
            password_algorithm: None,
            default_queue_type: None,
            event_vhost: None,
            loopback_users: [DEFAULT_USER.to_owned()].into(),
            load_definitions: Vec::new(),
            skip_unchanged_definitions: false,
            tls: Tls { tls12: true, tls13: true, ..Tls::default() },
            management: Management::default(),
            metrics: Metrics { path: "/metrics".into(), per_object: false, authentication: false },
            log: Log { filter: Level::Info.as_str().into(), format: LogFormat::Text },
            windows: QueueWindows::default(),
            login_work: Work::default(),
        }
    }
}

impl Default for LogFiles {
    /// The store's.
    fn default() -> LogFiles {
        let leveret_store::Options { log_file_size, log_files, segment_size, .. } = leveret_store::Options::default();
        LogFiles { log_file_size, count: log_files, segment_size, record_margin: 1024 * 1024 }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            frame_max: 131_072,
            initial_frame_max: 8192,
            channel_max: 2047,
            heartbeat: 60,
            handshake_timeout: Duration::from_secs(10),
            max_message_size: 16_777_216,
            consumer_timeout: Some(Duration::from_secs(1800)),
            consumer_max_per_channel: None,
            connection_max: None,
            unauthenticated_connection_max: Some(20_000),
            unauthenticated_connection_max_per_address: Some(10_000),
            channel_max_per_node: None,
            vhost_max: None,
            queue_max: None,
            exchange_max: None,
        }
    }
}

impl Default for Alarms {
    fn default() -> Alarms {
        Alarms {
            memory_high_watermark: Amount::Relative(0.6),
            total_memory: None,
            disk_free_limit: Amount::Absolute(50_000_000),
        }
    }
}

impl Default for FirstStart {
    fn default() -> FirstStart {
        FirstStart {
            user: DEFAULT_USER.into(),
            password: DEFAULT_USER.into(),
            vhost: DEFAULT_VHOST.into(),
            tags: vec![Tag::Administrator],
            permissions: [".*", ".*", ".*"].map(String::from),
        }
    }
}

impl Default for Management {
    fn default() -> Management {
        Management {
            path_prefix: String::new(),
            max_body_size: 20_000_000,
            cors_allow_origins: Vec::new(),
            login_session_timeout: Duration::from_secs(8 * 3600),
            sample_interval: Duration::from_secs(5),
        }
    }
}

/// Without the password, which must not come into a log.
impl std::fmt::Debug for FirstStart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let FirstStart { user, password: _, vhost, tags, permissions } = self;
        let mut shown = f.debug_struct("FirstStart");
        shown.field("user", user).field("vhost", vhost).field("tags", tags).field("permissions", permissions);
        shown.finish_non_exhaustive()
    }
}

/// Where certificates lie, but nothing of what is in them.
impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Tls");
        shown.field("certificate", &self.certificate).field("authorities", &self.authorities);
        shown.field("verify_peer", &self.verify_peer).finish_non_exhaustive()
    }
}

/// All addresses of the machine, IPv6 and IPv4, as RabbitMQ listens.
pub fn everywhere(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)
}

/// Where AMQP is listened for if nothing is said.
pub fn default_amqp() -> SocketAddr {
    everywhere(AMQP_PORT)
}
