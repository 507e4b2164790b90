//! Everything the model can refuse, one variant for each sentence that RabbitMQ's users know.
//!
//! A variant carries the data that its text needs and nothing else; reply codes and the texts themselves live in the
//! shell, in one table. Each variant quotes the text it is for, with its fields in angle brackets. All of these are the
//! client's fault.

use crate::access::permission::Right;
use crate::ids::Name;
use crate::queue::settings::QueueKind;
use crate::value::Value;

/// A queue or an exchange, named in full: `queue '<name>' in vhost '<vhost>'`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Which of the two.
    pub kind: ResourceKind,
    /// The virtual host's name.
    pub vhost: Name,
    /// Its own name; empty for the default exchange (which texts about permissions call `amq.default`).
    pub name: Name,
}

/// What a [`Resource`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResourceKind {
    /// An exchange.
    Exchange,
    /// A queue.
    Queue,
}

impl ResourceKind {
    /// The word in texts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exchange => "exchange",
            Self::Queue => "queue",
        }
    }
}

impl Resource {
    pub(crate) fn queue(vhost: &Name, name: &str) -> Self {
        Self { kind: ResourceKind::Queue, vhost: vhost.clone(), name: name.into() }
    }

    pub(crate) fn exchange(vhost: &Name, name: &str) -> Self {
        Self { kind: ResourceKind::Exchange, vhost: vhost.clone(), name: name.into() }
    }
}

/// The two sides of an `inequivalent arg` text; `None` is an argument that is absent.
///
/// Present on both sides, both print as `'<value>'`. Present on one, it prints as `the value '<value>' of type
/// '<type_name>'` and the other side as `none`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inequivalent {
    /// `durable`, `type`, `x-message-ttl`...
    pub argument: Name,
    /// What was declared a second time.
    pub subject: Resource,
    /// What the client sent.
    pub received: Option<Value>,
    /// What is in force.
    pub current: Option<Value>,
}

/// Why an argument's value is refused: the `<reason>` of `invalid arg '<arg>' for queue ...: <reason>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// `"expected integer, got <type>"` (the quotation marks are printed)
    ExpectedInteger(&'static str),
    /// `{value_negative,<n>}`
    ValueNegative(i64),
    /// `{value_zero,0}`
    ValueZero,
    /// `{value_too_large,<n>}`
    ValueTooLarge(i64),
    /// `{max_value_exceeded,<n>}`
    MaxValueExceeded(i64),
    /// `{unacceptable_type,<type>}`
    UnacceptableType(&'static str),
    /// `routing_key_but_no_dlx_defined`
    RoutingKeyButNoDlx,
    /// `invalid_max_age`
    InvalidMaxAge,
    /// `invalid_overflow`
    InvalidOverflow,
    /// `invalid_dlx_strategy`
    InvalidDlxStrategy,
    /// `invalid_queue_locator_arg`
    InvalidQueueLocator,
    /// `"unsupported queue type '<t>'"` (the quotation marks are printed)
    UnsupportedQueueType(Box<str>),
}

/// Why an exchange type that is not one of AMQP's four refuses a declaration or a binding, in the words of RabbitMQ's
/// plugins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypeRefusal {
    /// `Unsupported property: <p>`
    HashProperty(Box<str>),
    /// `hash-header and hash-property are mutually exclusive`
    HashedTwice,
    /// `Invalid argument, 'x-delayed-type' must be an existing exchange type`
    NoDelayedType,
    /// `Invalid argument <value>, 'x-recent-history-length' must be a positive integer`
    HistoryLength(Box<str>),
    /// `The binding key must be an integer: <<"<key>">>`
    WeightNotInteger(Box<str>),
    /// `The binding key must be greater than 0`
    WeightTooSmall,
    /// `Non empty binding '<key>' key not permitted`
    NonEmptyKey(Box<str>),
    /// `Queue type <type> not valid for this exchange type`
    QueueType(QueueKind),
    /// `Destination not found`: an exchange, where only queues will do.
    DestinationNotFound,
}

impl From<TypeRefusal> for Error {
    fn from(refusal: TypeRefusal) -> Self {
        Self::OfType(refusal)
    }
}

/// See the module's description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    // Names.
    /// `no exchange '<name>' in vhost '<vhost>'` / `no queue '<name>' in vhost '<vhost>'`
    NotFound(Resource),
    /// The virtual host was deleted while the connection used it; `vhost '<vhost>' not found`.
    NoVhost,
    /// `exchange name '<x>' contains reserved prefix 'amq.*'` / `queue name '<q>' contains reserved prefix 'amq.*'`
    ReservedName(Resource),
    /// `Queue name prefix '<prefix>' exceeds the 64-byte limit`
    NamePrefixTooLong(Box<str>),
    /// `Cannot declare a server-named queue for type <type>`
    ServerNamedUnsupported(QueueKind),

    // Exchanges.
    /// `unknown exchange type '<type>'`
    UnknownExchangeType(Box<str>),
    /// An exchange type's own rules; texts with [`TypeRefusal`].
    OfType(TypeRefusal),
    /// `operation not permitted on the default exchange`
    DefaultExchange,
    /// `invalid type '<type_name>' for arg 'alternate-exchange' in exchange '<x>' in vhost '<v>'`
    InvalidAlternateExchange {
        /// The exchange being declared.
        exchange: Resource,
        /// The wire type that came instead of a string.
        type_name: &'static str,
    },
    /// `deletion of system exchange '<x>' in vhost '<v>' not allowed`
    SystemExchange(Resource),
    /// `cannot publish to internal exchange '<x>' in vhost '<v>'`
    InternalExchange(Resource),
    /// `cannot declare exchange '<x>' in vhost '<v>': exchange limit of <limit> is reached`
    ExchangeLimit {
        /// The exchange being declared.
        exchange: Resource,
        /// The limit.
        limit: u64,
    },

    // Queues.
    /// `cannot obtain exclusive access to locked queue '<q>' in vhost '<v>'. It could be originally declared on another
    /// connection or the exclusive property value does not match that of the original declaration.`
    ResourceLocked(Resource),
    /// `invalid arg '<argument>' for queue '<q>' in vhost '<v>': <reason>`
    InvalidArgument {
        /// The argument's name.
        argument: Name,
        /// The queue being declared.
        queue: Resource,
        /// What is wrong with its value.
        reason: Reason,
    },
    /// `invalid arg '<argument>' for queue '<q>' in vhost '<v>' of queue type <kind>` (kind as
    /// [`QueueKind::module_name`])
    ArgumentOfOtherType {
        /// The argument's name.
        argument: Name,
        /// The queue being declared.
        queue: Resource,
        /// Its type.
        kind: QueueKind,
    },
    /// `invalid property '<property>' for queue '<q>' in vhost '<v>'`: quorum queues refuse `non-durable`,
    /// `exclusive-owner` and `auto-delete`.
    InvalidProperty {
        /// The property's name.
        property: &'static str,
        /// The queue being declared.
        queue: Resource,
    },
    /// `cannot declare queue '<q>': queue limit in vhost '<v>' (<limit>) is reached`
    QueueLimit {
        /// The queue being declared.
        queue: Resource,
        /// The limit.
        limit: u64,
    },
    /// `cannot declare queue '<q>': queue limit in cluster (<limit>) is reached`
    ClusterQueueLimit {
        /// The queue being declared.
        queue: Resource,
        /// The limit.
        limit: u64,
    },
    /// `queue '<q>' in vhost '<v>' not empty`
    NotEmpty(Resource),
    /// `cannot delete queue '<q>' in vhost '<v>'. queue.delete operations with <flag> flag set are not supported by
    /// quorum queues` (hard)
    DeleteFlagUnsupported {
        /// The queue.
        queue: Resource,
        /// `if-unused` or `if-empty`.
        flag: &'static str,
    },
    /// `queue '<q>' in vhost '<v>' in exclusive use`
    ExclusiveUse(Resource),
    /// `cannot obtain access to locked queue '<q>' in vhost '<v>'. basic.get operations are not supported by quorum
    /// queues with single active consumer`
    GetUnsupported(Resource),

    // Streams.
    /// `consumer prefetch count is not set for stream queue '<q>' in vhost '<v>'`
    StreamPrefetch(Resource),
    /// `automatic acknowledgement not supported by stream queue '<q>' in vhost '<v>'` (hard)
    StreamNoAck(Resource),
    /// `basic.get not supported by stream queues queue '<q>' in vhost '<v>'` (hard)
    StreamGet(Resource),
    /// `queue.purge not supported by stream queues queue '<q>' in vhost '<v>'` (hard)
    StreamPurge(Resource),
    /// `Exceeded max value for x-stream-max-segment-size-bytes`
    StreamSegmentSize,
    /// `Invalid value for  x-stream-filter-size-bytes`
    StreamFilterSize,

    // Both.
    /// `inequivalent arg '<argument>' for <subject>: received <received> but current is <current>`; boxed because it is
    /// large
    Inequivalent(Box<Inequivalent>),
    /// `exchange '<x>' in vhost '<v>' in use` / `queue '<q>' in vhost '<v>' in use`
    InUse(Resource),

    // Bindings.
    /// `Invalid x-match field value <<"<value>">>; expected all, any, all-with-x, or any-with-x`
    InvalidMatchValue(Box<str>),
    /// `Invalid x-match field type <type_name> (value <value>); expected longstr`
    InvalidMatchType {
        /// The wire type that came instead of a string.
        type_name: &'static str,
        /// The value, printed.
        value: Box<str>,
    },

    // Settling and transactions.
    /// `transaction is larger than <n> bytes`
    TransactionTooLarge,
    /// `unknown delivery tag <n>`
    UnknownDeliveryTag(u64),

    // Permissions.
    /// `<right> access to <resource> refused for user '<u>'` (the default exchange is named `amq.default` here)
    AccessRefused {
        /// Which right is missing.
        right: Right,
        /// On what.
        resource: Resource,
        /// The user's name.
        user: Name,
    },
    /// `<right> access to topic '<key>' in exchange '<x>' in vhost '<v>' refused for user '<u>'`
    TopicAccessRefused {
        /// Which right is missing.
        right: Right,
        /// The routing or binding key.
        key: Box<str>,
        /// The topic exchange.
        exchange: Resource,
        /// The user's name.
        user: Name,
    },
}

impl std::fmt::Display for Error {
    /// For logs; what clients read is the shell's business.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.resource() {
            Some(it) => {
                write!(f, "{}: {} '{}' in vhost '{}'", self.summary(), it.kind.as_str(), it.name, it.vhost)
            }
            None => f.write_str(self.summary()),
        }
    }
}

impl std::error::Error for Error {}

impl Error {
    /// The queue or exchange that the error is about, where there is one.
    pub fn resource(&self) -> Option<&Resource> {
        match self {
            Self::NotFound(it) | Self::ReservedName(it) | Self::SystemExchange(it) | Self::InternalExchange(it) => {
                Some(it)
            }
            Self::ResourceLocked(it) | Self::NotEmpty(it) | Self::ExclusiveUse(it) | Self::GetUnsupported(it) => {
                Some(it)
            }
            Self::InUse(it) => Some(it),
            Self::StreamPrefetch(it) | Self::StreamNoAck(it) | Self::StreamGet(it) | Self::StreamPurge(it) => Some(it),
            Self::InvalidAlternateExchange { exchange, .. } | Self::ExchangeLimit { exchange, .. } => Some(exchange),
            Self::InvalidArgument { queue, .. } | Self::ArgumentOfOtherType { queue, .. } => Some(queue),
            Self::InvalidProperty { queue, .. }
            | Self::QueueLimit { queue, .. }
            | Self::ClusterQueueLimit { queue, .. } => Some(queue),
            Self::DeleteFlagUnsupported { queue, .. } => Some(queue),
            Self::Inequivalent(it) => Some(&it.subject),
            Self::AccessRefused { resource, .. } => Some(resource),
            Self::TopicAccessRefused { exchange, .. } => Some(exchange),
            Self::NoVhost | Self::NamePrefixTooLong(_) | Self::ServerNamedUnsupported(_) => None,
            Self::UnknownExchangeType(_) | Self::DefaultExchange | Self::UnknownDeliveryTag(_) => None,
            Self::InvalidMatchValue(_) | Self::InvalidMatchType { .. } | Self::OfType(_) => None,
            Self::TransactionTooLarge | Self::StreamSegmentSize | Self::StreamFilterSize => None,
        }
    }

    fn summary(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "not found",
            Self::NoVhost => "virtual host is gone",
            Self::ReservedName(_) => "reserved name",
            Self::NamePrefixTooLong(_) => "queue name prefix too long",
            Self::ServerNamedUnsupported(_) => "queue type cannot be server-named",
            Self::UnknownExchangeType(_) => "unknown exchange type",
            Self::OfType(_) => "against the rules of the exchange type",
            Self::DefaultExchange => "operation not permitted on the default exchange",
            Self::InvalidAlternateExchange { .. } => "alternate exchange is not a string",
            Self::SystemExchange(_) => "system exchange cannot be deleted",
            Self::InternalExchange(_) => "internal exchange takes no publishes",
            Self::ExchangeLimit { .. } => "exchange limit reached",
            Self::ResourceLocked(_) => "locked by another connection",
            Self::InvalidArgument { .. } => "invalid argument",
            Self::ArgumentOfOtherType { .. } => "argument of another queue type",
            Self::InvalidProperty { .. } => "property not supported by the queue type",
            Self::QueueLimit { .. } | Self::ClusterQueueLimit { .. } => "queue limit reached",
            Self::NotEmpty(_) => "not empty",
            Self::DeleteFlagUnsupported { .. } => "conditional delete not supported by the queue type",
            Self::ExclusiveUse(_) => "in exclusive use",
            Self::GetUnsupported(_) => "get not supported with single active consumer",
            Self::StreamPrefetch(_) => "streams need a prefetch",
            Self::StreamNoAck(_) => "streams need acknowledgements",
            Self::StreamGet(_) => "get not supported by streams",
            Self::StreamPurge(_) => "purge not supported by streams",
            Self::StreamSegmentSize => "segment size of a stream too large",
            Self::StreamFilterSize => "filter size of a stream out of range",
            Self::Inequivalent(_) => "declared before with other properties",
            Self::InUse(_) => "in use",
            Self::InvalidMatchValue(_) => "invalid x-match value",
            Self::InvalidMatchType { .. } => "invalid x-match type",
            Self::TransactionTooLarge => "transaction too large",
            Self::UnknownDeliveryTag(_) => "unknown delivery tag",
            Self::AccessRefused { .. } => "access refused",
            Self::TopicAccessRefused { .. } => "access to topic refused",
        }
    }
}
