//! Every method and property of AMQP 0-9-1 as RabbitMQ speaks it, as a table of names and types.
//!
//! Taken from the published grammar; `exchange.unbind-ok` really is 40.51, `queue.unbind` really has no `nowait`.

/// A method: name, class id, method id, and its fields in order as `name:type`.
pub(crate) struct Method {
    pub(crate) name: &'static str,
    pub(crate) class: u16,
    pub(crate) id: u16,
    fields: &'static str,
}

const fn method(name: &'static str, class: u16, id: u16, fields: &'static str) -> Method {
    Method { name, class, id, fields }
}

#[rustfmt::skip]
const METHODS: [Method; 66] = [
    method("connection.start", 10, 10, "version-major:octet version-minor:octet server-properties:table mechanisms:longstr locales:longstr"),
    method("connection.start-ok", 10, 11, "client-properties:table mechanism:shortstr response:longstr locale:shortstr"),
    method("connection.secure", 10, 20, "challenge:longstr"),
    method("connection.secure-ok", 10, 21, "response:longstr"),
    method("connection.tune", 10, 30, "channel-max:short frame-max:long heartbeat:short"),
    method("connection.tune-ok", 10, 31, "channel-max:short frame-max:long heartbeat:short"),
    method("connection.open", 10, 40, "virtual-host:shortstr capabilities:shortstr insist:bit"),
    method("connection.open-ok", 10, 41, "known-hosts:shortstr"),
    method("connection.close", 10, 50, "reply-code:short reply-text:shortstr class-id:short method-id:short"),
    method("connection.close-ok", 10, 51, ""),
    method("connection.blocked", 10, 60, "reason:shortstr"),
    method("connection.unblocked", 10, 61, ""),
    method("connection.update-secret", 10, 70, "new-secret:longstr reason:shortstr"),
    method("connection.update-secret-ok", 10, 71, ""),
    method("channel.open", 20, 10, "out-of-band:shortstr"),
    method("channel.open-ok", 20, 11, "channel-id:longstr"),
    method("channel.flow", 20, 20, "active:bit"),
    method("channel.flow-ok", 20, 21, "active:bit"),
    method("channel.close", 20, 40, "reply-code:short reply-text:shortstr class-id:short method-id:short"),
    method("channel.close-ok", 20, 41, ""),
    method("access.request", 30, 10, "realm:shortstr exclusive:bit passive:bit active:bit write:bit read:bit"),
    method("access.request-ok", 30, 11, "ticket:short"),
    method("exchange.declare", 40, 10, "ticket:short exchange:shortstr type:shortstr passive:bit durable:bit auto-delete:bit internal:bit nowait:bit arguments:table"),
    method("exchange.declare-ok", 40, 11, ""),
    method("exchange.delete", 40, 20, "ticket:short exchange:shortstr if-unused:bit nowait:bit"),
    method("exchange.delete-ok", 40, 21, ""),
    method("exchange.bind", 40, 30, "ticket:short destination:shortstr source:shortstr routing-key:shortstr nowait:bit arguments:table"),
    method("exchange.bind-ok", 40, 31, ""),
    method("exchange.unbind", 40, 40, "ticket:short destination:shortstr source:shortstr routing-key:shortstr nowait:bit arguments:table"),
    method("exchange.unbind-ok", 40, 51, ""),
    method("queue.declare", 50, 10, "ticket:short queue:shortstr passive:bit durable:bit exclusive:bit auto-delete:bit nowait:bit arguments:table"),
    method("queue.declare-ok", 50, 11, "queue:shortstr message-count:long consumer-count:long"),
    method("queue.bind", 50, 20, "ticket:short queue:shortstr exchange:shortstr routing-key:shortstr nowait:bit arguments:table"),
    method("queue.bind-ok", 50, 21, ""),
    method("queue.purge", 50, 30, "ticket:short queue:shortstr nowait:bit"),
    method("queue.purge-ok", 50, 31, "message-count:long"),
    method("queue.delete", 50, 40, "ticket:short queue:shortstr if-unused:bit if-empty:bit nowait:bit"),
    method("queue.delete-ok", 50, 41, "message-count:long"),
    method("queue.unbind", 50, 50, "ticket:short queue:shortstr exchange:shortstr routing-key:shortstr arguments:table"),
    method("queue.unbind-ok", 50, 51, ""),
    method("basic.qos", 60, 10, "prefetch-size:long prefetch-count:short global:bit"),
    method("basic.qos-ok", 60, 11, ""),
    method("basic.consume", 60, 20, "ticket:short queue:shortstr consumer-tag:shortstr no-local:bit no-ack:bit exclusive:bit nowait:bit arguments:table"),
    method("basic.consume-ok", 60, 21, "consumer-tag:shortstr"),
    method("basic.cancel", 60, 30, "consumer-tag:shortstr nowait:bit"),
    method("basic.cancel-ok", 60, 31, "consumer-tag:shortstr"),
    method("basic.publish", 60, 40, "ticket:short exchange:shortstr routing-key:shortstr mandatory:bit immediate:bit"),
    method("basic.return", 60, 50, "reply-code:short reply-text:shortstr exchange:shortstr routing-key:shortstr"),
    method("basic.deliver", 60, 60, "consumer-tag:shortstr delivery-tag:longlong redelivered:bit exchange:shortstr routing-key:shortstr"),
    method("basic.get", 60, 70, "ticket:short queue:shortstr no-ack:bit"),
    method("basic.get-ok", 60, 71, "delivery-tag:longlong redelivered:bit exchange:shortstr routing-key:shortstr message-count:long"),
    method("basic.get-empty", 60, 72, "cluster-id:shortstr"),
    method("basic.ack", 60, 80, "delivery-tag:longlong multiple:bit"),
    method("basic.reject", 60, 90, "delivery-tag:longlong requeue:bit"),
    method("basic.recover-async", 60, 100, "requeue:bit"),
    method("basic.recover", 60, 110, "requeue:bit"),
    method("basic.recover-ok", 60, 111, ""),
    method("basic.nack", 60, 120, "delivery-tag:longlong multiple:bit requeue:bit"),
    method("confirm.select", 85, 10, "nowait:bit"),
    method("confirm.select-ok", 85, 11, ""),
    method("tx.select", 90, 10, ""),
    method("tx.select-ok", 90, 11, ""),
    method("tx.commit", 90, 20, ""),
    method("tx.commit-ok", 90, 21, ""),
    method("tx.rollback", 90, 30, ""),
    method("tx.rollback-ok", 90, 31, ""),
];

/// The properties of class basic with their types, from bit 15 of the flags downwards.
pub(crate) const PROPERTIES: [(&str, &str); 14] = [
    ("content-type", "shortstr"),
    ("content-encoding", "shortstr"),
    ("headers", "table"),
    ("delivery-mode", "octet"),
    ("priority", "octet"),
    ("correlation-id", "shortstr"),
    ("reply-to", "shortstr"),
    ("expiration", "shortstr"),
    ("message-id", "shortstr"),
    ("timestamp", "longlong"),
    ("type", "shortstr"),
    ("user-id", "shortstr"),
    ("app-id", "shortstr"),
    ("cluster-id", "shortstr"),
];

impl Method {
    /// The method of this name.
    pub(crate) fn named(name: &str) -> Option<&'static Method> {
        METHODS.iter().find(|method| method.name == name)
    }

    /// The method with these ids.
    pub(crate) fn with_ids(class: u16, id: u16) -> Option<&'static Method> {
        METHODS.iter().find(|method| (method.class, method.id) == (class, id))
    }

    /// Names and types of the fields, in order.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.fields.split_whitespace().filter_map(|field| field.split_once(':'))
    }

    /// Whether a content header and body follow.
    pub(crate) fn carries_content(&self) -> bool {
        matches!(self.name, "basic.publish" | "basic.return" | "basic.deliver" | "basic.get-ok")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ids_are_unique_and_types_are_known() {
        let types = ["bit", "octet", "short", "long", "longlong", "shortstr", "longstr", "table"];
        for method in &METHODS {
            assert_eq!(METHODS.iter().filter(|other| other.name == method.name).count(), 1, "{}", method.name);
            assert_eq!(
                METHODS.iter().filter(|other| (other.class, other.id) == (method.class, method.id)).count(),
                1,
                "{}",
                method.name
            );
            assert!(method.fields().all(|(_, kind)| types.contains(&kind)), "{}", method.name);
        }
        assert_eq!(Method::with_ids(40, 51).map(|method| method.name), Some("exchange.unbind-ok"));
        assert_eq!(Method::named("basic.nack").map(|method| (method.class, method.id)), Some((60, 120)));
    }
}
