//! Reply codes and texts, in one table: what the core refuses, in the words of RabbitMQ.
//!
//! Clients match on the code and on the first words of the text, so the texts are RabbitMQ's to the letter
//! (amqp 0-9-1 error catalogue); where versions differ it is 4.x's.

use std::fmt;

use leveret_amqp::error::ProtocolError;
use leveret_amqp::reply::ReplyCode;
use leveret_core::access::limit::LimitReached;
use leveret_core::error::{Error, Inequivalent, Reason, Resource, ResourceKind, TypeRefusal};
use leveret_core::transaction::TRANSACTION_BYTES_MAX;
use leveret_core::value::Value;

use super::printed::Printed;

/// What the client reads when the core refuses something.
pub(super) fn explain(error: &Error) -> ProtocolError {
    use ReplyCode as Code;
    let say = |code, text: fmt::Arguments<'_>| ProtocolError::new(code, text);
    match error {
        Error::NotFound(it) => say(Code::NotFound, format_args!("no {}", Named(it))),
        Error::NoVhost => say(Code::NotFound, format_args!("the virtual host was deleted")),
        Error::ReservedName(it) => {
            let (kind, name) = (it.kind.as_str(), &it.name);
            say(Code::AccessRefused, format_args!("{kind} name '{name}' contains reserved prefix 'amq.*'"))
        }
        Error::NamePrefixTooLong(prefix) => {
            say(Code::PreconditionFailed, format_args!("Queue name prefix '{prefix}' exceeds the 64-byte limit"))
        }
        Error::ServerNamedUnsupported(kind) => say(
            Code::PreconditionFailed,
            format_args!("Cannot declare a server-named queue for type {}", kind.module_name()),
        ),
        Error::UnknownExchangeType(kind) => {
            say(Code::PreconditionFailed, format_args!("unknown exchange type '{kind}'"))
        }
        Error::OfType(refusal) => say(Code::PreconditionFailed, format_args!("{}", OfType(refusal))),
        Error::DefaultExchange => {
            say(Code::AccessRefused, format_args!("operation not permitted on the default exchange"))
        }
        Error::InvalidAlternateExchange { exchange, type_name } => say(
            Code::PreconditionFailed,
            format_args!("invalid type '{type_name}' for arg 'alternate-exchange' in {}", Named(exchange)),
        ),
        Error::SystemExchange(it) => {
            say(Code::AccessRefused, format_args!("deletion of system {} not allowed", Named(it)))
        }
        Error::InternalExchange(it) => {
            say(Code::AccessRefused, format_args!("cannot publish to internal {}", Named(it)))
        }
        Error::ExchangeLimit { exchange, limit } => say(
            Code::PreconditionFailed,
            format_args!("cannot declare {}: exchange limit of {limit} is reached", Named(exchange)),
        ),
        Error::ResourceLocked(it) => say(
            Code::ResourceLocked,
            format_args!(
                "cannot obtain exclusive access to locked {}. It could be originally declared on another connection or \
                 the exclusive property value does not match that of the original declaration.",
                Named(it)
            ),
        ),
        // RabbitMQ checks this one as it checks an exchange's alternate exchange, in the same words.
        Error::InvalidArgument { argument, queue, reason: Reason::UnacceptableType(type_name) }
            if &**argument == "x-dead-letter-exchange" =>
        {
            let text = format_args!("invalid type '{type_name}' for arg '{argument}' in {}", Named(queue));
            say(Code::PreconditionFailed, text)
        }
        Error::InvalidArgument { argument, queue, reason } => {
            let text = format_args!("invalid arg '{argument}' for {}: {}", Named(queue), Why(reason));
            say(Code::PreconditionFailed, text)
        }
        Error::ArgumentOfOtherType { argument, queue, kind } => {
            let kind = kind.module_name();
            say(
                Code::PreconditionFailed,
                format_args!("invalid arg '{argument}' for {} of queue type {kind}", Named(queue)),
            )
        }
        Error::InvalidProperty { property, queue } => {
            say(Code::PreconditionFailed, format_args!("invalid property '{property}' for {}", Named(queue)))
        }
        Error::QueueLimit { queue, limit } => say(
            Code::PreconditionFailed,
            format_args!(
                "cannot declare queue '{}': queue limit in vhost '{}' ({limit}) is reached",
                queue.name, queue.vhost
            ),
        ),
        Error::ClusterQueueLimit { queue, limit } => say(
            Code::PreconditionFailed,
            format_args!("cannot declare queue '{}': queue limit in cluster ({limit}) is reached", queue.name),
        ),
        Error::NotEmpty(it) => say(Code::PreconditionFailed, format_args!("{} not empty", Named(it))),
        Error::DeleteFlagUnsupported { queue, flag } => say(
            Code::NotImplemented,
            format_args!(
                "cannot delete {}. queue.delete operations with {flag} flag set are not supported by quorum queues",
                Named(queue)
            ),
        ),
        Error::ExclusiveUse(it) => say(Code::AccessRefused, format_args!("{} in exclusive use", Named(it))),
        Error::GetUnsupported(it) => say(
            Code::ResourceLocked,
            format_args!(
                "cannot obtain access to locked {}. basic.get operations are not supported by quorum queues with single \
                 active consumer",
                Named(it)
            ),
        ),
        Error::StreamPrefetch(it) => {
            say(Code::PreconditionFailed, format_args!("consumer prefetch count is not set for stream {}", Named(it)))
        }
        Error::StreamNoAck(it) => {
            say(Code::NotImplemented, format_args!("automatic acknowledgement not supported by stream {}", Named(it)))
        }
        Error::StreamGet(it) => {
            say(Code::NotImplemented, format_args!("basic.get not supported by stream queues {}", Named(it)))
        }
        Error::StreamPurge(it) => {
            say(Code::NotImplemented, format_args!("queue.purge not supported by stream queues {}", Named(it)))
        }
        Error::StreamSegmentSize => {
            let text = "Exceeded max value for x-stream-max-segment-size-bytes";
            say(Code::PreconditionFailed, format_args!("{text}"))
        }
        Error::StreamFilterSize => {
            let text = "Invalid value for  x-stream-filter-size-bytes"; // two blanks, as from RabbitMQ
            say(Code::PreconditionFailed, format_args!("{text}"))
        }
        Error::Inequivalent(it) => say(Code::PreconditionFailed, format_args!("{}", Differs(it))),
        Error::InUse(it) => say(Code::PreconditionFailed, format_args!("{} in use", Named(it))),
        Error::InvalidMatchValue(value) => say(
            Code::PreconditionFailed,
            format_args!("Invalid x-match field value <<\"{value}\">>; expected all, any, all-with-x, or any-with-x"),
        ),
        Error::InvalidMatchType { type_name, value } => say(
            Code::PreconditionFailed,
            format_args!("Invalid x-match field type {type_name} (value {value}); expected longstr"),
        ),
        Error::TransactionTooLarge => {
            say(Code::PreconditionFailed, format_args!("transaction is larger than {TRANSACTION_BYTES_MAX} bytes"))
        }
        Error::UnknownDeliveryTag(tag) => say(Code::PreconditionFailed, format_args!("unknown delivery tag {tag}")),
        Error::AccessRefused { right, resource, user } => say(
            Code::AccessRefused,
            format_args!("{} access to {} refused for user '{user}'", right.as_str(), Guarded(resource)),
        ),
        Error::TopicAccessRefused { right, key, exchange, user } => say(
            Code::AccessRefused,
            format_args!(
                "{} access to topic '{key}' in {} refused for user '{user}'",
                right.as_str(),
                Guarded(exchange)
            ),
        ),
    }
}

/// What a client reads when it may not have another connection or channel.
pub(super) fn explain_limit(reached: &LimitReached) -> ProtocolError {
    let say = |text: fmt::Arguments<'_>| ProtocolError::new(ReplyCode::NotAllowed, text);
    match reached {
        LimitReached::NodeConnections { limit } => {
            say(format_args!("connection refused: node connection limit ({limit}) is reached"))
        }
        LimitReached::NodeChannels { node, limit } => say(format_args!(
            "number of channels opened on node '{node}' has reached the maximum allowed limit of ({limit})"
        )),
        LimitReached::VhostConnections { vhost, user, limit } => say(format_args!(
            "access to vhost '{vhost}' refused for user '{user}': connection limit ({limit}) is reached"
        )),
        LimitReached::UserConnections { user, limit } => {
            say(format_args!("connection refused for user '{user}': user connection limit ({limit}) is reached"))
        }
        LimitReached::UserChannels { user, limit } => say(format_args!(
            "number of channels opened for user '{user}' has reached the maximum allowed user limit of ({limit})"
        )),
    }
}

/// `queue 'q' in vhost '/'`
struct Named<'a>(&'a Resource);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} '{}' in vhost '{}'", self.0.kind.as_str(), self.0.name, self.0.vhost)
    }
}

/// As [`Named`]; permissions call the default exchange `amq.default`.
struct Guarded<'a>(&'a Resource);

impl fmt::Display for Guarded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.kind {
            ResourceKind::Exchange if self.0.name.is_empty() => {
                write!(f, "exchange 'amq.default' in vhost '{}'", self.0.vhost)
            }
            _ => Named(self.0).fmt(f),
        }
    }
}

/// What exchange types of plugins say.
struct OfType<'a>(&'a TypeRefusal);

impl fmt::Display for OfType<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            TypeRefusal::HashProperty(property) => write!(f, "Unsupported property: {property}"),
            TypeRefusal::HashedTwice => f.write_str("hash-header and hash-property are mutually exclusive"),
            TypeRefusal::NoDelayedType => {
                f.write_str("Invalid argument, 'x-delayed-type' must be an existing exchange type")
            }
            TypeRefusal::HistoryLength(value) => {
                write!(f, "Invalid argument {value}, 'x-recent-history-length' must be a positive integer")
            }
            TypeRefusal::WeightNotInteger(key) => write!(f, "The binding key must be an integer: <<\"{key}\">>"),
            TypeRefusal::WeightTooSmall => f.write_str("The binding key must be greater than 0"),
            TypeRefusal::NonEmptyKey(key) => write!(f, "Non empty binding '{key}' key not permitted"),
            TypeRefusal::QueueType(kind) => {
                write!(f, "Queue type {} not valid for this exchange type", kind.module_name())
            }
            TypeRefusal::DestinationNotFound => f.write_str("Destination not found"),
        }
    }
}

/// Why an argument is wrong, as Erlang prints it.
struct Why<'a>(&'a Reason);

impl fmt::Display for Why<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Reason::ExpectedInteger(type_name) => write!(f, "\"expected integer, got {type_name}\""),
            Reason::ValueNegative(value) => write!(f, "{{value_negative,{value}}}"),
            Reason::ValueZero => f.write_str("{value_zero,0}"),
            Reason::ValueTooLarge(value) => write!(f, "{{value_too_large,{value}}}"),
            Reason::MaxValueExceeded(value) => write!(f, "{{max_value_exceeded,{value}}}"),
            Reason::UnacceptableType(type_name) => write!(f, "{{unacceptable_type,{type_name}}}"),
            Reason::RoutingKeyButNoDlx => f.write_str("routing_key_but_no_dlx_defined"),
            Reason::InvalidMaxAge => f.write_str("invalid_max_age"),
            Reason::InvalidOverflow => f.write_str("invalid_overflow"),
            Reason::InvalidDlxStrategy => f.write_str("invalid_dlx_strategy"),
            Reason::InvalidQueueLocator => f.write_str("invalid_queue_locator_arg"),
            Reason::UnsupportedQueueType(kind) => write!(f, "\"unsupported queue type '{kind}'\""),
        }
    }
}

/// "Present on both sides, both print as `'<value>'`; present on one, it prints with its type and the other as none."
struct Differs<'a>(&'a Inequivalent);

impl fmt::Display for Differs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inequivalent { argument, subject, received, current } = self.0;
        write!(f, "inequivalent arg '{argument}' for {}: received ", Named(subject))?;
        let both = received.is_some() && current.is_some();
        side(f, received.as_ref(), both)?;
        f.write_str(" but current is ")?;
        side(f, current.as_ref(), both)
    }
}

fn side(f: &mut fmt::Formatter<'_>, value: Option<&Value>, both: bool) -> fmt::Result {
    match value {
        None => f.write_str("none"),
        Some(value) if both => write!(f, "'{}'", Printed(value)),
        Some(value) => write!(f, "the value '{}' of type '{}'", Printed(value), value.type_name()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leveret_core::Name;

    fn queue(name: &str) -> Resource {
        Resource { kind: ResourceKind::Queue, vhost: "/".into(), name: name.into() }
    }

    fn check(error: Error, code: u16, text: &str) {
        let explained = explain(&error);
        assert_eq!((explained.code.code(), explained.text.as_str()), (code, text));
    }

    #[test]
    fn texts_are_rabbitmqs() {
        check(Error::NotFound(queue("q")), 404, "NOT_FOUND - no queue 'q' in vhost '/'");
        check(
            Error::ReservedName(queue("amq.x")),
            403,
            "ACCESS_REFUSED - queue name 'amq.x' contains reserved prefix 'amq.*'",
        );
        check(Error::UnknownDeliveryTag(1), 406, "PRECONDITION_FAILED - unknown delivery tag 1");
        check(Error::ExclusiveUse(queue("q")), 403, "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use");
        check(Error::InUse(queue("q")), 406, "PRECONDITION_FAILED - queue 'q' in vhost '/' in use");
        check(
            Error::InvalidMatchValue("some".into()),
            406,
            "PRECONDITION_FAILED - Invalid x-match field value <<\"some\">>; expected all, any, all-with-x, or any-with-x",
        );
        check(
            Error::InvalidArgument {
                argument: "x-expires".into(),
                queue: queue("q"),
                reason: Reason::ValueNegative(-1),
            },
            406,
            "PRECONDITION_FAILED - invalid arg 'x-expires' for queue 'q' in vhost '/': {value_negative,-1}",
        );
    }

    #[test]
    fn a_different_argument_prints_both_sides() {
        let check = |argument: &str, received, current, text: &str| {
            let argument = Name::from(argument);
            let it = Inequivalent { argument, subject: queue("hello"), received, current };
            check(Error::Inequivalent(Box::new(it)), 406, &format!("PRECONDITION_FAILED - inequivalent arg {text}"));
        };
        check(
            "durable",
            Some(Value::Bool(true)),
            Some(Value::Bool(false)),
            "'durable' for queue 'hello' in vhost '/': received 'true' but current is 'false'",
        );
        check(
            "x-dead-letter-routing-key",
            Some(Value::str("foo")),
            None,
            "'x-dead-letter-routing-key' for queue 'hello' in vhost '/': received the value 'foo' of type 'longstr' but \
             current is none",
        );
    }
}
