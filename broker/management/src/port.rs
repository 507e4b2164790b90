//! What the API asks of the broker: one trait, plain data.
//!
//! Snapshots answer what is there now; commands change it as an AMQP client would, with the same checks and the same
//! refusals. Every call may wait, since an answer may come from other shards; only [`Broker::read_topology`] does not.

use std::net::SocketAddr;
use std::sync::Arc;

use leveret_core::access::password::{Algorithm, PasswordHash};
use leveret_core::access::{Access, Command as Administration, Outcome as Administered, Refused};
use leveret_core::queue::{ConsumerState, Counters};
use leveret_core::topology::{BindingEnd, QueueRecord, Topology};
use leveret_core::value::Arguments;
use leveret_core::{ConnectionId, ConsumerId, FastMap, Name, QueueId, VhostId};

/// The broker, as the API sees it.
pub trait Broker {
    /// What does not change while it runs.
    fn facts(&self) -> &Facts;
    /// Milliseconds since 1970.
    fn now_ms(&self) -> u64;
    /// Lets others run; to be called every few hundred objects of a long job.
    fn pause(&self);
    /// Whether AMQP clients are served.
    fn service(&self) -> Service;
    /// When the certificates of the TLS listeners end; `None` without such listeners.
    fn certificates(&self) -> Option<Certificates>;
    /// What the process and the machine have.
    fn machine(&self) -> Machine;
    /// Shows the topology. `read` must not wait.
    fn read_topology(&self, read: &mut dyn FnMut(&Topology));
    /// What is in every queue.
    fn queues(&self) -> FastMap<QueueId, QueueState>;
    /// What is in one queue; `None` if it has gone.
    fn queue(&self, record: &QueueRecord) -> Option<QueueDetail>;
    /// Who is connected.
    fn connections(&self) -> Vec<ConnectionState>;
    /// All open channels with their consumers.
    fn channels(&self) -> Vec<ChannelState>;
    /// Messages through each exchange that had any.
    fn exchanges(&self) -> FastMap<(VhostId, Name), ExchangeCounts>;
    /// What the channels of each virtual host have done, those that are closed too.
    fn clients(&self) -> FastMap<VhostId, ChannelCounts>;
    /// Sums over all that ever was.
    fn totals(&self) -> Totals;
    /// Does what an AMQP client could do.
    ///
    /// # Errors
    /// The refusal that the client would read.
    fn execute(&self, actor: &Actor, command: Command) -> Result<Outcome, Refusal>;
    /// Closes a client's connection with that reason; whether it was there.
    fn close_connection(&self, connection: ConnectionId, reason: &str) -> bool;
    /// Users, virtual hosts, permissions, policies, parameters and limits, as of now.
    fn access(&self) -> Arc<Access>;
    /// Changes one of those.
    ///
    /// # Errors
    /// The refusal, whose text is for the user.
    fn administer(&self, command: Administration) -> Result<Administered, Refused>;
    /// Whether that is the user's password, and the user may log in from there. Takes the same time for users that do
    /// not exist.
    fn log_in(&self, user: &str, password: &[u8], peer: SocketAddr) -> bool;
    /// The digest of a password, computed where it holds up nobody.
    fn digest(&self, algorithm: Algorithm, password: &[u8]) -> PasswordHash;
}

/// Who commands, and where.
#[derive(Clone, Debug)]
pub struct Actor {
    /// The user.
    pub user: Name,
    /// The virtual host.
    pub vhost: VhostId,
}

/// See [`Broker::facts`].
#[derive(Clone, Debug)]
pub struct Facts {
    /// The node's name.
    pub node: String,
    /// The cluster's name.
    pub cluster_name: String,
    /// Leveret's version.
    pub version: String,
    /// The RabbitMQ version whose behaviour is ours.
    pub compatible_version: String,
    /// When it started, in milliseconds since 1970.
    pub started_ms: u64,
    /// Where it listens.
    pub listeners: Vec<Listener>,
    /// The data directory.
    pub data_dir: String,
    /// The type of queues that are declared without one, where the virtual host does not say.
    pub default_queue_type: String,
    /// How passwords that come in clear are kept, if the request does not say.
    pub password_algorithm: Algorithm,
    /// The configuration files that were read.
    pub config_files: Vec<String>,
    /// Shards.
    pub shards: usize,
    /// Connections that are let in; `None` for any number.
    pub connection_max: Option<u64>,
    /// Milliseconds between two samples of the counters.
    pub sample_interval_ms: u64,
}

/// An address that is listened on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// `amqp`, `amqp/ssl`, `http`, `http/prometheus`...
    pub protocol: &'static str,
    /// Where.
    pub addr: SocketAddr,
}

/// See [`Broker::service`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Service {
    /// They are.
    #[default]
    Running,
    /// An operator has shut the door; definitions and messages stay.
    Stopped,
    /// The same before maintenance.
    Drained,
}

/// Certificate files of the TLS listeners, and when what is in them ends, in seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificates {
    /// The server's chain.
    pub file: String,
    /// When its certificates end.
    pub ends: Vec<i64>,
    /// The signers of clients' certificates; empty if there are none.
    pub authorities_file: String,
    /// When those end.
    pub authorities_end: Vec<i64>,
}

/// See [`Broker::machine`]. Sizes are in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Machine {
    pub process_id: u32,
    pub descriptors_used: u64,
    pub descriptors_max: u64,
    pub sockets_used: u64,
    pub memory_used: u64,
    pub memory_limit: u64,
    pub memory_total: u64,
    pub memory_alarm: bool,
    pub disk_free: u64,
    pub disk_limit: u64,
    pub disk_alarm: bool,
    pub processors: u64,
    pub coroutines: u64,
    pub turns: u64,
    pub switches: u64,
    /// Messages that were dropped since the start, since the disk had harmed them.
    pub messages_lost: u64,
}

/// What is in a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueState {
    /// Messages that wait.
    pub ready: u64,
    /// Messages that are delivered and not settled.
    pub unsettled: u64,
    /// Of those that wait, messages that are on disk and not in memory.
    pub away: u64,
    /// Bytes of their bodies.
    pub away_bytes: u64,
    /// Bytes of the bodies of messages that wait.
    pub ready_bytes: u64,
    /// Bytes of the bodies of messages that are delivered and not settled.
    pub unsettled_bytes: u64,
    /// Consumers.
    pub consumers: u64,
    /// Consumers that could take a message now.
    pub ready_consumers: u64,
    /// The property `timestamp` of the first message that waits, in seconds since 1970. (How long it has waited is not known.)
    pub head_timestamp: Option<u64>,
    /// Since it exists.
    pub counters: Counters,
}

/// What is in a queue, and who takes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueDetail {
    /// See there.
    pub state: QueueState,
    /// The consumers as the queue sees them.
    pub consumers: Vec<ConsumerState>,
}

/// A client's connection.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields are those of AMQP")]
pub struct ConnectionState {
    pub id: ConnectionId,
    pub peer: SocketAddr,
    pub host: SocketAddr,
    pub is_running: bool,
    pub is_closing: bool,
    pub is_blocked: bool,
    pub user: Option<Name>,
    pub vhost: Option<Name>,
    pub channels: u64,
    pub channel_max: u16,
    pub frame_max: u32,
    pub heartbeat: u16,
    pub mechanism: Name,
    pub client_properties: Arguments,
    pub received_bytes: u64,
    pub received_count: u64,
    pub sent_bytes: u64,
    pub sent_count: u64,
    /// Bytes that the socket has not taken.
    pub pending_bytes: u64,
    /// Milliseconds since 1970.
    pub connected_at_ms: u64,
    /// What was agreed, if it is encrypted.
    pub tls: Option<Arc<Tls>>,
}

impl ConnectionState {
    /// Its name, as RabbitMQ forms it.
    pub fn name(&self) -> String {
        format!("{} -> {}", self.peer, self.host)
    }
}

/// What a TLS handshake agreed on, in the words of RabbitMQ's API.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Such as `tlsv1.3`.
    pub protocol: &'static str,
    /// Such as `ecdhe_rsa`; `any` in TLS 1.3, where the cipher does not say.
    pub key_exchange: String,
    /// Such as `aes_256_gcm`.
    pub cipher: String,
    /// `aead`: only such ciphers are offered.
    pub hash: String,
    /// The client's certificate, if it has shown one.
    pub peer: Option<PeerCertificate>,
}

/// A client's certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerCertificate {
    /// Whose it is, such as `CN=alice,O=Example`.
    pub subject: String,
    /// Who has signed it.
    pub issuer: String,
    /// From when to when, such as `2026-01-01T00:00:00Z - 2027-01-01T00:00:00Z`.
    pub validity: String,
}

/// An open channel.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields are those of AMQP")]
pub struct ChannelState {
    pub connection: ConnectionId,
    pub number: u16,
    pub user: Name,
    pub vhost: Name,
    pub is_transactional: bool,
    pub is_confirming: bool,
    pub unsettled: u64,
    pub unconfirmed: u64,
    pub uncommitted: u64,
    pub uncommitted_acks: u64,
    pub prefetch: u32,
    pub channel_prefetch: u32,
    pub consumers: Vec<ChannelConsumer>,
    pub counts: ChannelCounts,
}

/// A consumer, as its channel knows it.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields are those of AMQP")]
pub struct ChannelConsumer {
    pub id: ConsumerId,
    pub tag: Box<str>,
    pub queue: QueueId,
    pub no_ack: bool,
    pub exclusive: bool,
    pub prefetch: u32,
    pub arguments: Arguments,
}

/// What a channel has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct ChannelCounts {
    pub published: u64,
    pub confirmed: u64,
    pub returned: u64,
    pub dropped: u64,
    pub delivered: u64,
    pub delivered_no_ack: u64,
    pub got: u64,
    pub got_no_ack: u64,
    pub got_empty: u64,
    pub redelivered: u64,
    pub acked: u64,
}

/// What went through an exchange.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExchangeCounts {
    /// Messages published to it.
    pub published_in: u64,
    /// Copies that went on to queues.
    pub published_out: u64,
}

/// Sums since the start, over objects that are there and objects that are gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Totals {
    pub channels: ChannelCounts,
    /// Messages published on channels that confirm.
    pub received_confirm: u64,
    /// Messages that reached at least one queue.
    pub routed: u64,
    pub connections_opened: u64,
    pub connections_closed: u64,
    pub channels_opened: u64,
    pub channels_closed: u64,
    pub queues_declared: u64,
    pub queues_created: u64,
    pub queues_deleted: u64,
    pub dead_lettered_expired: u64,
    pub dead_lettered_rejected: u64,
    pub dead_lettered_maxlen: u64,
    pub dead_lettered_delivery_limit: u64,
    /// Messages by the size of their bodies, up to each of [`SIZE_BUCKETS`] and beyond.
    pub sizes: [u64; SIZE_BUCKETS.len() + 1],
    /// Bytes of all bodies published.
    pub published_bytes: u64,
    pub logins: u64,
    pub failed_logins: u64,
    /// Over AMQP and over HTTP.
    pub strangers: [Strangers; 2],
}

/// Connections that have not logged in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strangers {
    /// Now.
    pub count: u64,
    /// Those that were turned away or cut off since the start, because there were too many.
    pub refused: u64,
}

/// Upper bounds of the message size histogram, as RabbitMQ's dashboards know them.
pub const SIZE_BUCKETS: [u64; 8] = [100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 50_000_000, 100_000_000];

/// What an AMQP client could do.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields are those of the AMQP methods")]
pub enum Command {
    DeclareExchange {
        name: Name,
        kind: Name,
        durable: bool,
        auto_delete: bool,
        internal: bool,
        arguments: Arguments,
    },
    DeleteExchange {
        name: Name,
        if_unused: bool,
    },
    DeclareQueue {
        name: Name,
        durable: bool,
        auto_delete: bool,
        arguments: Arguments,
    },
    DeleteQueue {
        name: Name,
        if_unused: bool,
        if_empty: bool,
    },
    Purge {
        name: Name,
    },
    Bind {
        source: Name,
        destination: BindingEnd,
        key: Name,
        arguments: Arguments,
    },
    Unbind {
        source: Name,
        destination: BindingEnd,
        key: Name,
        arguments: Arguments,
    },
    Publish {
        exchange: Name,
        routing_key: Name,
        properties: Box<Properties>,
        body: Vec<u8>,
    },
    /// Takes up to `count` messages.
    Get {
        queue: Name,
        count: usize,
        then: Afterwards,
    },
    /// Gives up to `count` messages to another queue, as they are. Each leaves only when the other queue has it.
    Move {
        from: Name,
        to: Name,
        count: usize,
    },
}

/// What becomes of messages that were got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Afterwards {
    /// They are settled.
    Ack,
    /// They are rejected, and dead-lettered where that is configured.
    Reject,
    /// They go back to their places, marked redelivered.
    Requeue,
    /// They stay where they are, as if nobody had looked.
    Peek,
}

/// What a command answers.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It is done, or was so before.
    Done {
        /// It was not so before.
        is_new: bool,
    },
    /// The message went to this many queues, or one of them refused it.
    Published {
        /// To how many.
        queues: usize,
        /// No queue refused it.
        accepted: bool,
    },
    /// The messages that were got.
    Got(Vec<GotMessage>),
    /// So many messages went to the other queue; the rest stayed.
    Moved {
        /// How many.
        count: usize,
        /// The other queue refused one, so that no more were tried.
        refused: bool,
    },
}

/// A message that was got.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields are those of basic.get-ok")]
pub struct GotMessage {
    pub redelivered: bool,
    pub exchange: String,
    pub routing_key: String,
    /// Messages left in the queue after it.
    pub remaining: u64,
    pub properties: Properties,
    pub body: Vec<u8>,
}

/// A message's properties.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "the fields are those of AMQP")]
pub struct Properties {
    pub content_type: Option<String>,
    pub content_encoding: Option<String>,
    pub headers: Option<Arguments>,
    pub delivery_mode: Option<u8>,
    pub priority: Option<u8>,
    pub correlation_id: Option<String>,
    pub reply_to: Option<String>,
    pub expiration: Option<String>,
    pub message_id: Option<String>,
    pub timestamp: Option<u64>,
    pub kind: Option<String>,
    pub user_id: Option<String>,
    pub app_id: Option<String>,
    pub cluster_id: Option<String>,
}

/// A refusal as AMQP words it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reply code.
    pub code: u16,
    /// The reply text.
    pub text: String,
}
