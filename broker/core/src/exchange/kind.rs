//! Exchange types: their names, and what their arguments mean.
//!
//! Besides AMQP's four there are those that RabbitMQ's users know from its plugins. A [`Rule`] is a declaration
//! understood: how targets are found, and what happens around that. The topology's owner refuses a declare or a bind by
//! it, the exchange's table is made from it, so there is no second place that could read an argument differently.

use std::hash::{Hash, Hasher};

use crate::error::{Error, TypeRefusal};
use crate::hash::stable_hasher;
use crate::ids::Name;
use crate::queue::settings::QueueKind;
use crate::value::{Arguments, Value};

/// Messages that an `x-recent-history` exchange keeps unless told otherwise, as RabbitMQ's.
pub const HISTORY_LENGTH: usize = 20;
/// The longest delay of a message, in milliseconds: that of Erlang's timers. Longer ones do not delay, as in RabbitMQ.
pub const DELAY_MAX_MS: i64 = 4_294_967_295;

/// The exchange types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExchangeKind {
    /// Binding key equals routing key.
    Direct,
    /// Every binding.
    Fanout,
    /// Words with wildcards.
    Topic,
    /// Patterns on the headers table.
    Headers,
    /// One binding, chosen by a hash so that few choices change when bindings do. The binding key is a weight.
    ConsistentHash,
    /// One target, chosen by the routing key's hash modulo their number.
    ModulusHash,
    /// One target at random.
    Random,
    /// One classic queue of this node at random.
    LocalRandom,
    /// Every binding; a new one gets the last messages.
    RecentHistory,
    /// Messages wait first, for as long as their header says; then routes as another type.
    Delayed,
}

impl ExchangeKind {
    /// All of them, for lists of capabilities.
    pub const ALL: [Self; 10] = [
        Self::Direct,
        Self::Fanout,
        Self::Topic,
        Self::Headers,
        Self::ConsistentHash,
        Self::ModulusHash,
        Self::Random,
        Self::LocalRandom,
        Self::RecentHistory,
        Self::Delayed,
    ];

    /// The type of that name; `None` if there is none.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Fanout => "fanout",
            Self::Topic => "topic",
            Self::Headers => "headers",
            Self::ConsistentHash => "x-consistent-hash",
            Self::ModulusHash => "x-modulus-hash",
            Self::Random => "x-random",
            Self::LocalRandom => "x-local-random",
            Self::RecentHistory => "x-recent-history",
            Self::Delayed => "x-delayed-message",
        }
    }
}

/// A property that takes part in routing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashProperty {
    /// `correlation_id`
    CorrelationId,
    /// `message_id`
    MessageId,
    /// `timestamp`
    Timestamp,
}

/// The properties that may take part in routing, of one message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Identity<'a> {
    /// The property correlation-id.
    pub correlation_id: Option<&'a [u8]>,
    /// The property message-id.
    pub message_id: Option<&'a [u8]>,
    /// The property timestamp, in seconds.
    pub timestamp: Option<u64>,
}

/// What an `x-consistent-hash` exchange hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum HashOn {
    #[default]
    RoutingKey,
    Header(Name),
    Property(HashProperty),
}

/// See the module's description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// How targets are found; never [`ExchangeKind::Delayed`].
    pub(super) routes_as: ExchangeKind,
    /// Messages may have to wait first.
    pub(super) delays: bool,
    /// How many messages are kept for new bindings.
    pub(super) history: Option<usize>,
    pub(super) hash_on: HashOn,
}

impl Rule {
    /// Every binding and nothing else.
    pub(super) fn fanout() -> Self {
        Self { routes_as: ExchangeKind::Fanout, delays: false, history: None, hash_on: HashOn::RoutingKey }
    }

    /// Checks a declaration.
    pub(crate) fn parse(kind: ExchangeKind, arguments: &Arguments) -> Result<Self, Error> {
        let routes_as = if kind == ExchangeKind::Delayed { delayed_kind(arguments)? } else { kind };
        let history = (routes_as == ExchangeKind::RecentHistory).then(|| history_length(arguments)).transpose()?;
        let hash_on = match routes_as {
            ExchangeKind::ConsistentHash => hash_on(arguments)?,
            _ => HashOn::RoutingKey,
        };
        Ok(Self { routes_as, delays: kind == ExchangeKind::Delayed, history, hash_on })
    }

    /// Checks a binding's key and destination; `queue` is the destination's type, `None` for an exchange.
    pub(crate) fn check_binding(&self, key: &str, queue: Option<QueueKind>) -> Result<(), Error> {
        match self.routes_as {
            ExchangeKind::ConsistentHash => weight(key).map(|_| ()),
            ExchangeKind::LocalRandom if !key.is_empty() => Err(TypeRefusal::NonEmptyKey(key.into()).into()),
            ExchangeKind::LocalRandom => match queue {
                Some(QueueKind::Classic) => Ok(()),
                Some(other) => Err(TypeRefusal::QueueType(other).into()),
                None => Err(TypeRefusal::DestinationNotFound.into()),
            },
            _ => Ok(()),
        }
    }

    /// Whether more of a message than its routing keys is looked at.
    pub(super) fn reads_headers(&self) -> bool {
        let by_type = [ExchangeKind::Headers, ExchangeKind::RecentHistory].contains(&self.routes_as);
        by_type || self.delays || self.hash_on != HashOn::RoutingKey
    }
}

/// A binding key of an `x-consistent-hash` exchange; capped, since nobody has four billion times the queues.
pub(super) fn weight(key: &str) -> Result<u32, Error> {
    match key.parse::<i64>() {
        Ok(weight) if weight >= 1 => Ok(u32::try_from(weight).unwrap_or(u32::MAX)),
        Ok(_) => Err(TypeRefusal::WeightTooSmall.into()),
        Err(_) => Err(TypeRefusal::WeightNotInteger(key.into()).into()),
    }
}

/// How long a message has to wait at an `x-delayed-message` exchange, in milliseconds, as its header `x-delay` says: an
/// integer or its digits. Zero, negative and absurd delays are none.
pub fn delay_ms(headers: &Arguments) -> Option<u64> {
    let value = headers.get("x-delay")?;
    let delay = value.as_int().or_else(|| value.as_str()?.parse().ok())?;
    (1..=DELAY_MAX_MS).contains(&delay).then(|| delay.unsigned_abs())
}

/// Whether an `x-recent-history` exchange must not keep this message: the header `x-recent-history-no-store`.
pub(super) fn is_not_kept(headers: Option<&Arguments>) -> bool {
    headers.and_then(|headers| headers.get("x-recent-history-no-store")) == Some(&Value::Bool(true))
}

/// The type behind an `x-delayed-message` exchange.
fn delayed_kind(arguments: &Arguments) -> Result<ExchangeKind, Error> {
    let refused = || Error::from(TypeRefusal::NoDelayedType);
    let name = arguments.get("x-delayed-type").and_then(Value::as_str).ok_or_else(refused)?;
    match ExchangeKind::parse(name) {
        Some(ExchangeKind::Delayed) => Err(refused()),
        Some(kind) => Ok(kind),
        None => Err(Error::UnknownExchangeType(name.into())),
    }
}

fn history_length(arguments: &Arguments) -> Result<usize, Error> {
    match arguments.get("x-recent-history-length") {
        None => Ok(HISTORY_LENGTH),
        Some(value) => match value.as_int() {
            Some(length) if length > 0 => Ok(usize::try_from(length).unwrap_or(usize::MAX)),
            _ => Err(TypeRefusal::HistoryLength(value.to_string().into()).into()),
        },
    }
}

fn hash_on(arguments: &Arguments) -> Result<HashOn, Error> {
    let text = |name| arguments.get(name).map(|value: &Value| Name::from(value.to_string()));
    match (text("hash-header"), text("hash-property")) {
        (None, None) => Ok(HashOn::RoutingKey),
        (Some(header), None) => Ok(HashOn::Header(header)),
        (Some(_), Some(_)) => Err(TypeRefusal::HashedTwice.into()),
        (None, Some(property)) => Ok(HashOn::Property(match &*property {
            "correlation_id" => HashProperty::CorrelationId,
            "message_id" => HashProperty::MessageId,
            "timestamp" => HashProperty::Timestamp,
            _ => return Err(TypeRefusal::HashProperty(property.as_ref().into()).into()),
        })),
    }
}

impl HashOn {
    /// The hash of what it names, the same in every process; what is absent has one too, so all such messages go one
    /// way.
    pub(super) fn hash(&self, key: &str, headers: Option<&Arguments>, identity: Identity<'_>) -> u64 {
        let mut hasher = stable_hasher();
        match self {
            Self::RoutingKey => key.hash(&mut hasher),
            Self::Header(name) => headers.and_then(|headers| headers.get(name)).hash(&mut hasher),
            Self::Property(HashProperty::CorrelationId) => identity.correlation_id.hash(&mut hasher),
            Self::Property(HashProperty::MessageId) => identity.message_id.hash(&mut hasher),
            Self::Property(HashProperty::Timestamp) => identity.timestamp.hash(&mut hasher),
        }
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(fields: &[(&str, Value)]) -> Arguments {
        fields.iter().map(|(name, value)| (*name, value.clone())).collect()
    }

    #[test]
    fn declarations_are_checked() {
        let check = |kind: &str, fields: &[(&str, Value)], expected: Result<(), Error>| {
            let kind = ExchangeKind::parse(kind).expect("a known type");
            assert_eq!(Rule::parse(kind, &arguments(fields)).map(|_| ()), expected, "{kind:?} {fields:?}");
        };
        let (str, long) = (Value::str, Value::long);
        let refused = |refusal: TypeRefusal| Err(refusal.into());
        check("direct", &[("hash-property", str("x"))], Ok(()));
        check("x-consistent-hash", &[], Ok(()));
        check("x-consistent-hash", &[("hash-header", str("h"))], Ok(()));
        check("x-consistent-hash", &[("hash-property", str("message_id"))], Ok(()));
        check("x-consistent-hash", &[("hash-property", str("x"))], refused(TypeRefusal::HashProperty("x".into())));
        let both = [("hash-header", str("h")), ("hash-property", str("timestamp"))];
        check("x-consistent-hash", &both, refused(TypeRefusal::HashedTwice));
        check("x-recent-history", &[("x-recent-history-length", long(3))], Ok(()));
        for bad in [long(0), long(-1), str("a")] {
            let text = bad.to_string().into();
            let refused = refused(TypeRefusal::HistoryLength(text));
            check("x-recent-history", &[("x-recent-history-length", bad)], refused);
        }
        check("x-delayed-message", &[("x-delayed-type", str("topic"))], Ok(()));
        check("x-delayed-message", &[], refused(TypeRefusal::NoDelayedType));
        check("x-delayed-message", &[("x-delayed-type", long(1))], refused(TypeRefusal::NoDelayedType));
        let itself = [("x-delayed-type", str("x-delayed-message"))];
        check("x-delayed-message", &itself, refused(TypeRefusal::NoDelayedType));
        let unknown = Err(Error::UnknownExchangeType("odd".into()));
        check("x-delayed-message", &[("x-delayed-type", str("odd"))], unknown);
    }

    #[test]
    fn binding_keys_are_checked() {
        let check = |kind: ExchangeKind, key: &str, queue: Option<QueueKind>, expected: Result<(), TypeRefusal>| {
            let rule = Rule::parse(kind, &Arguments::new()).expect("needs no arguments");
            assert_eq!(rule.check_binding(key, queue), expected.map_err(Error::from), "{kind:?} {key:?}");
        };
        let classic = Some(QueueKind::Classic);
        check(ExchangeKind::ConsistentHash, "1", classic, Ok(()));
        check(ExchangeKind::ConsistentHash, "99999999999", None, Ok(()));
        check(ExchangeKind::ConsistentHash, "0", classic, Err(TypeRefusal::WeightTooSmall));
        check(ExchangeKind::ConsistentHash, "-1", classic, Err(TypeRefusal::WeightTooSmall));
        check(ExchangeKind::ConsistentHash, "a", classic, Err(TypeRefusal::WeightNotInteger("a".into())));
        check(ExchangeKind::ConsistentHash, "", classic, Err(TypeRefusal::WeightNotInteger("".into())));
        check(ExchangeKind::LocalRandom, "", classic, Ok(()));
        check(ExchangeKind::LocalRandom, "k", classic, Err(TypeRefusal::NonEmptyKey("k".into())));
        check(ExchangeKind::LocalRandom, "", Some(QueueKind::Quorum), Err(TypeRefusal::QueueType(QueueKind::Quorum)));
        check(ExchangeKind::LocalRandom, "", None, Err(TypeRefusal::DestinationNotFound));
        check(ExchangeKind::Random, "whatever", None, Ok(()));
    }

    #[test]
    fn delays_are_positive_integers_up_to_erlangs_limit() {
        let check = |value: Value, expected| assert_eq!(delay_ms(&arguments(&[("x-delay", value)])), expected);
        check(Value::long(1), Some(1));
        check(Value::str("1500"), Some(1500));
        check(Value::long(DELAY_MAX_MS), Some(4_294_967_295));
        check(Value::long(DELAY_MAX_MS + 1), None);
        check(Value::long(0), None);
        check(Value::long(-5), None);
        check(Value::str("soon"), None);
        check(Value::Double(5.0), None);
        assert_eq!(delay_ms(&Arguments::new()), None);
    }
}
