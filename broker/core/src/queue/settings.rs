//! What a queue's declare arguments mean, checked once.
//!
//! The same parse serves two purposes: the topology's owner refuses a declare by it, and the queue works from its
//! result. So there is no second place that could read an argument differently.

use crate::error::{Error, Reason, Resource};
use crate::ids::Name;
use crate::stream::log::Retention;
use crate::stream::start::parse_age_ms;
use crate::value::{Arguments, Value};

/// RabbitMQ's limit for times, in milliseconds: ten years of 365 days.
pub const TIME_LIMIT_MS: i64 = 315_360_000_000;
/// The highest value that x-max-priority may have.
pub const MAX_PRIORITY_LIMIT: i64 = 255;
/// How often a quorum queue's message may be requeued where neither argument nor policy says otherwise (RabbitMQ 4.0
/// and later).
pub const QUORUM_DELIVERY_LIMIT: u32 = 20;

/// The largest x-stream-max-segment-size-bytes that RabbitMQ accepts.
pub const SEGMENT_BYTES_LIMIT: u64 = 3_000_000_000;
/// What x-stream-filter-size-bytes may be; here filters are exact and take no room.
pub const FILTER_BYTES: std::ops::RangeInclusive<u64> = 16..=255;

/// Arguments that are checked, stored and compared but change nothing yet; the shell warns of their use.
pub const ACCEPTED_WITHOUT_EFFECT: &[&str] = &[
    "x-consumer-disconnected-timeout",
    "x-dead-letter-strategy",
    "x-delayed-retry-max",
    "x-delayed-retry-min",
    "x-delayed-retry-type",
    "x-max-in-memory-bytes",
    "x-max-in-memory-length",
    "x-member-placement-tag",
    "x-queue-leader-locator",
    "x-queue-master-locator",
    "x-queue-mode",
    "x-queue-version",
    "x-quorum-initial-group-size",
];

/// The queue types.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum QueueKind {
    /// One queue on one node.
    #[default]
    Classic,
    /// Here: a durable queue with a delivery limit. It is not replicated.
    Quorum,
    /// Messages stay when they are delivered. It is not replicated.
    Stream,
}

impl QueueKind {
    /// Whether an argument belongs to other types of queues only.
    pub(crate) fn is_foreign(self, argument: &str) -> bool {
        let is_of = |names: &[&str], kind| names.contains(&argument) && self != kind;
        is_of(STREAM_ONLY, QueueKind::Stream)
            || is_of(QUORUM_ONLY, QueueKind::Quorum)
            || (self == QueueKind::Stream && NOT_FOR_STREAMS.contains(&argument))
    }

    /// The value of x-queue-type.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Quorum => "quorum",
            Self::Stream => "stream",
        }
    }

    /// The name that RabbitMQ prints in errors about arguments of other types.
    pub fn module_name(self) -> &'static str {
        match self {
            Self::Classic => "rabbit_classic_queue",
            Self::Quorum => "rabbit_quorum_queue",
            Self::Stream => "rabbit_stream_queue",
        }
    }
}

/// What happens to a message that would exceed a length limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// The oldest ready messages go instead.
    #[default]
    DropHead,
    /// It is refused.
    RejectPublish,
    /// It is refused and dead-lettered.
    RejectPublishDlx,
}

/// Where dead messages go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterTarget {
    /// The exchange to publish to; may be the default one, and may not exist.
    pub exchange: Name,
    /// `None` keeps the message's own keys.
    pub routing_key: Option<Name>,
}

/// A queue's arguments, understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueSettings {
    /// x-queue-type
    pub kind: QueueKind,
    /// x-message-ttl
    pub message_ttl_ms: Option<u64>,
    /// x-expires: the queue goes when it was unused for this long.
    pub expires_ms: Option<u64>,
    /// x-max-length: ready messages.
    pub max_length: Option<u64>,
    /// x-max-length-bytes: bytes of ready messages' bodies.
    pub max_length_bytes: Option<u64>,
    /// x-overflow
    pub overflow: Overflow,
    /// x-dead-letter-exchange, x-dead-letter-routing-key
    pub dead_letter: Option<DeadLetterTarget>,
    /// x-max-priority: messages of this and higher priority come first. 0 is a queue without priorities.
    pub max_priority: u8,
    /// x-single-active-consumer
    pub single_active_consumer: bool,
    /// x-delivery-limit: how often a message may be requeued.
    pub delivery_limit: Option<u32>,
    /// What a stream keeps.
    pub retention: Retention,
}

impl QueueSettings {
    /// Reads and checks all arguments. `queue` is only for the error.
    pub fn parse(queue: &Resource, arguments: &Arguments) -> Result<Self, Error> {
        let parse = Parse { queue, arguments, kind: kind(queue, arguments)? };
        parse.refuse_other_types()?;
        parse.check_without_effect()?;
        Ok(Self {
            kind: parse.kind,
            message_ttl_ms: parse.unsigned("x-message-ttl", 0, TIME_LIMIT_MS, Reason::ValueTooLarge)?,
            expires_ms: parse.unsigned("x-expires", 1, TIME_LIMIT_MS, Reason::ValueTooLarge)?,
            max_length: parse.unsigned("x-max-length", 0, i64::MAX, Reason::ValueTooLarge)?,
            max_length_bytes: parse.unsigned("x-max-length-bytes", 0, i64::MAX, Reason::ValueTooLarge)?,
            overflow: parse.overflow()?,
            dead_letter: parse.dead_letter()?,
            max_priority: parse.max_priority()?,
            single_active_consumer: parse.boolean("x-single-active-consumer")?,
            delivery_limit: parse.delivery_limit()?,
            retention: parse.retention()?,
        })
    }
}

/// The type that arguments ask for. `queue` is only for the error.
pub(crate) fn kind(queue: &Resource, arguments: &Arguments) -> Result<QueueKind, Error> {
    let refuse = |reason| invalid("x-queue-type", queue, reason);
    match arguments.get("x-queue-type") {
        None => Ok(QueueKind::Classic),
        Some(value @ Value::Str(bytes)) => match &bytes[..] {
            b"classic" => Ok(QueueKind::Classic),
            b"quorum" => Ok(QueueKind::Quorum),
            b"stream" => Ok(QueueKind::Stream),
            _ => Err(refuse(Reason::UnsupportedQueueType(value.to_string().into()))),
        },
        Some(other) => Err(refuse(Reason::UnacceptableType(other.type_name()))),
    }
}

fn invalid(argument: &str, queue: &Resource, reason: Reason) -> Error {
    Error::InvalidArgument { argument: argument.into(), queue: queue.clone(), reason }
}

/// Arguments that belong to one type only, with the type. Those of streams are in [`STREAM_ONLY`].
///
/// Wider than RabbitMQ on purpose: x-max-priority, x-delivery-limit and x-consumer-timeout are accepted on every type.
const QUORUM_ONLY: &[&str] = &[
    "x-consumer-disconnected-timeout",
    "x-dead-letter-strategy",
    "x-delayed-retry-max",
    "x-delayed-retry-min",
    "x-delayed-retry-type",
    "x-max-in-memory-bytes",
    "x-max-in-memory-length",
    "x-member-placement-tag",
    "x-quorum-initial-group-size",
];
const STREAM_ONLY: &[&str] =
    &["x-initial-cluster-size", "x-max-age", "x-stream-filter-size-bytes", "x-stream-max-segment-size-bytes"];
const NOT_FOR_STREAMS: &[&str] = &[
    "x-message-ttl",
    "x-expires",
    "x-max-length",
    "x-overflow",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-max-priority",
    "x-single-active-consumer",
];
const UNSIGNED_WITHOUT_EFFECT: &[&str] = &[
    "x-consumer-disconnected-timeout",
    "x-consumer-timeout",
    "x-delayed-retry-max",
    "x-delayed-retry-min",
    "x-max-in-memory-bytes",
    "x-max-in-memory-length",
    "x-quorum-initial-group-size",
];

struct Parse<'a> {
    queue: &'a Resource,
    arguments: &'a Arguments,
    kind: QueueKind,
}

impl Parse<'_> {
    fn refuse_other_types(&self) -> Result<(), Error> {
        match self.arguments.iter().find(|(name, _)| self.kind.is_foreign(name)) {
            None => Ok(()),
            Some((name, _)) => {
                let argument = name.into();
                Err(Error::ArgumentOfOtherType { argument, queue: self.queue.clone(), kind: self.kind })
            }
        }
    }

    fn check_without_effect(&self) -> Result<(), Error> {
        for name in UNSIGNED_WITHOUT_EFFECT {
            self.unsigned(name, 0, i64::MAX, Reason::ValueTooLarge)?;
        }
        self.one_of("x-queue-leader-locator", &["client-local", "balanced"], Reason::InvalidQueueLocator)?;
        self.one_of("x-dead-letter-strategy", &["at-most-once", "at-least-once"], Reason::InvalidDlxStrategy)?;
        Ok(())
    }

    fn integer(&self, name: &str) -> Result<Option<i64>, Error> {
        match self.arguments.get(name) {
            None => Ok(None),
            Some(Value::Int { value, .. }) => Ok(Some(*value)),
            Some(other) => Err(invalid(name, self.queue, Reason::ExpectedInteger(other.type_name()))),
        }
    }

    fn unsigned(&self, name: &str, min: i64, max: i64, over: fn(i64) -> Reason) -> Result<Option<u64>, Error> {
        let Some(value) = self.integer(name)? else { return Ok(None) };
        let reason = match value {
            _ if value < 0 => Reason::ValueNegative(value),
            _ if value < min => Reason::ValueZero,
            _ if value > max => over(value),
            _ => return Ok(Some(value.unsigned_abs())),
        };
        Err(invalid(name, self.queue, reason))
    }

    fn string(&self, name: &str) -> Result<Option<&[u8]>, Error> {
        match self.arguments.get(name) {
            None => Ok(None),
            Some(Value::Str(bytes)) => Ok(Some(bytes)),
            Some(other) => Err(invalid(name, self.queue, Reason::UnacceptableType(other.type_name()))),
        }
    }

    fn one_of(&self, name: &str, words: &[&str], otherwise: Reason) -> Result<Option<usize>, Error> {
        let Some(word) = self.string(name)? else { return Ok(None) };
        match words.iter().position(|known| known.as_bytes() == word) {
            Some(index) => Ok(Some(index)),
            None => Err(invalid(name, self.queue, otherwise)),
        }
    }

    fn boolean(&self, name: &str) -> Result<bool, Error> {
        match self.arguments.get(name) {
            None => Ok(false),
            Some(Value::Bool(value)) => Ok(*value),
            Some(other) => Err(invalid(name, self.queue, Reason::UnacceptableType(other.type_name()))),
        }
    }

    fn overflow(&self) -> Result<Overflow, Error> {
        let modes = [Overflow::DropHead, Overflow::RejectPublish, Overflow::RejectPublishDlx];
        let words: &[&str] = match self.kind {
            QueueKind::Classic => &["drop-head", "reject-publish", "reject-publish-dlx"],
            QueueKind::Quorum | QueueKind::Stream => &["drop-head", "reject-publish"],
        };
        let chosen = self.one_of("x-overflow", words, Reason::InvalidOverflow)?;
        Ok(chosen.and_then(|index| modes.get(index).copied()).unwrap_or_default())
    }

    fn dead_letter(&self) -> Result<Option<DeadLetterTarget>, Error> {
        let exchange = self.string("x-dead-letter-exchange")?;
        let key = self.string("x-dead-letter-routing-key")?;
        let name = |bytes: &[u8]| Name::from(String::from_utf8_lossy(bytes));
        match (exchange, key) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(invalid("x-dead-letter-routing-key", self.queue, Reason::RoutingKeyButNoDlx)),
            (Some(exchange), key) => {
                Ok(Some(DeadLetterTarget { exchange: name(exchange), routing_key: key.map(name) }))
            }
        }
    }

    /// What a stream keeps; nothing is said of it for other types.
    fn retention(&self) -> Result<Retention, Error> {
        if self.kind != QueueKind::Stream {
            return Ok(Retention::default());
        }
        let text = self.string("x-max-age")?.and_then(|bytes| str::from_utf8(bytes).ok());
        let refuse_age = || invalid("x-max-age", self.queue, Reason::InvalidMaxAge);
        let age_ms = text.map(|text| parse_age_ms(text).ok_or_else(refuse_age)).transpose()?;
        let segment_bytes = self.unsigned("x-stream-max-segment-size-bytes", 0, i64::MAX, Reason::ValueTooLarge)?;
        if segment_bytes.is_some_and(|bytes| bytes > SEGMENT_BYTES_LIMIT) {
            return Err(Error::StreamSegmentSize);
        }
        let filter_bytes = self.unsigned("x-stream-filter-size-bytes", 0, i64::MAX, Reason::ValueTooLarge)?;
        if filter_bytes.is_some_and(|bytes| !FILTER_BYTES.contains(&bytes)) {
            return Err(Error::StreamFilterSize);
        }
        let bytes = self.unsigned("x-max-length-bytes", 0, i64::MAX, Reason::ValueTooLarge)?;
        Ok(Retention { bytes, age_ms, segment_bytes })
    }

    /// "0 acts as 1" (RabbitMQ): a queue with the argument always has at least two levels.
    fn max_priority(&self) -> Result<u8, Error> {
        let value = self.unsigned("x-max-priority", 0, MAX_PRIORITY_LIMIT, Reason::MaxValueExceeded)?;
        Ok(value.map_or(0, |value| u8::try_from(value).unwrap_or(u8::MAX).max(1)))
    }

    /// -1 is no limit, which on a quorum queue differs from saying nothing. The limit that nobody asked for applies
    /// only with a dead-letter exchange: without one it would silently lose messages.
    fn delivery_limit(&self) -> Result<Option<u32>, Error> {
        let has_default = self.kind == QueueKind::Quorum && self.arguments.get("x-dead-letter-exchange").is_some();
        match self.integer("x-delivery-limit")? {
            None => Ok(has_default.then_some(QUORUM_DELIVERY_LIMIT)),
            Some(-1) => Ok(None),
            Some(value) if value < 0 => Err(invalid("x-delivery-limit", self.queue, Reason::ValueNegative(value))),
            Some(value) => Ok(Some(u32::try_from(value).unwrap_or(u32::MAX))),
        }
    }
}
