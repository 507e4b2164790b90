//! What a server offers, what a client chose, and the rules of choosing.
//!
//! "0 means no limit" on the wire. RabbitMQ refuses a client that asks for more than the server offers instead of lowering it
//! quietly. Ours differs in one point: it takes a `frame_max` of 4096, the least that AMQP allows, because old clients send it.

use crate::error::ProtocolError;
use crate::frame::FRAME_SIZE_MIN;
use crate::method::connection::{Tune, TuneOk};
use crate::reply::ReplyCode;
use crate::table::Table;
use crate::value::FieldValue;

/// The limits that a server offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a frame with its overhead; 0 for no limit.
    pub frame_max: u32,
    /// Channels that may be open at once on a connection; 0 for no limit.
    pub channel_max: u16,
    /// Proposed interval in seconds; 0 for none. The client decides.
    pub heartbeat: u16,
    /// Bytes of a frame until tuning is over: bounds what a stranger can make us hold.
    pub initial_frame_max: u32,
    /// Bytes of a message's body; more is a soft 406 on the publishing channel. At most [`BODY_SIZE_CEILING`](super::BODY_SIZE_CEILING).
    pub body_size_max: u64,
}

impl Default for Limits {
    /// RabbitMQ's defaults.
    fn default() -> Self {
        Self {
            frame_max: 131_072,
            channel_max: 2047,
            heartbeat: 60,
            initial_frame_max: 8192,
            body_size_max: 16_777_216,
        }
    }
}

/// What a server says of itself; the same for all its connections.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Product, version, capabilities.
    pub server_properties: Table,
    /// Names of the mechanisms, separated by spaces.
    pub mechanisms: String,
    /// What is offered when tuning.
    pub limits: Limits,
}

/// What both sides agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// Bytes of a frame with its overhead; 0 for no limit.
    pub frame_max: u32,
    /// Channels open at once; 0 for no limit.
    pub channel_max: u16,
    /// Interval in seconds; 0 for none.
    pub heartbeat: u16,
}

impl Negotiated {
    /// What holds before tuning.
    pub(super) fn initial(limits: &Limits) -> Self {
        Self { frame_max: limits.initial_frame_max, channel_max: limits.channel_max, heartbeat: limits.heartbeat }
    }
}

impl Limits {
    /// The proposal.
    pub(super) fn tune(&self) -> Tune {
        Tune { channel_max: self.channel_max, frame_max: self.frame_max, heartbeat: self.heartbeat }
    }

    /// Checks the client's choice. The heartbeat is taken as it is.
    pub(super) fn negotiate(&self, chosen: &TuneOk) -> Result<Negotiated, ProtocolError> {
        if chosen.frame_max != 0 && chosen.frame_max < FRAME_SIZE_MIN {
            return Err(refusal("frame_max", chosen.frame_max, "lower", "minimum", FRAME_SIZE_MIN));
        }
        if exceeds(chosen.frame_max, self.frame_max) {
            return Err(refusal("frame_max", chosen.frame_max, "higher", "maximum", self.frame_max));
        }
        if exceeds(chosen.channel_max.into(), self.channel_max.into()) {
            let unlimited = if chosen.channel_max == 0 { " (no limit)" } else { "" };
            let value = format_args!("{}{unlimited}", chosen.channel_max);
            return Err(refusal("channel_max", value, "higher", "maximum", self.channel_max.into()));
        }
        Ok(Negotiated { frame_max: chosen.frame_max, channel_max: chosen.channel_max, heartbeat: chosen.heartbeat })
    }
}

fn exceeds(chosen: u32, offered: u32) -> bool {
    offered != 0 && (chosen == 0 || chosen > offered)
}

fn refusal(field: &str, value: impl std::fmt::Display, how: &str, limit: &str, offered: u32) -> ProtocolError {
    let text = format_args!("negotiated {field} = {value} is {how} than the {limit} allowed value ({offered})");
    ProtocolError::new(ReplyCode::NotAllowed, text).blame(&Tune::default())
}

/// What a client announced in the table `capabilities` of its client-properties.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Wants a connection.close when the login is refused.
    pub authentication_failure_close: bool,
    /// Wants basic.cancel when a consumer ends without its doing.
    pub consumer_cancel_notify: bool,
    /// Wants connection.blocked and connection.unblocked.
    pub connection_blocked: bool,
    /// Understands basic.nack.
    pub basic_nack: bool,
    /// Understands publisher confirms.
    pub publisher_confirms: bool,
}

impl Capabilities {
    /// Reads the capabilities out of client-properties. What is no boolean counts as absent.
    pub fn of_client(client_properties: &Table) -> Self {
        let table = client_properties.get("capabilities").and_then(FieldValue::as_table);
        let has = |key| table.and_then(|table| table.get(key)).and_then(FieldValue::as_bool).unwrap_or(false);
        Self {
            authentication_failure_close: has("authentication_failure_close"),
            consumer_cancel_notify: has("consumer_cancel_notify"),
            connection_blocked: has("connection.blocked"),
            basic_nack: has("basic.nack"),
            publisher_confirms: has("publisher_confirms"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(frame_max: u32, channel_max: u16) -> Limits {
        Limits { frame_max, channel_max, ..Limits::default() }
    }

    #[test]
    fn negotiation_follows_rabbitmq() {
        let check = |limits: Limits, frame_max, channel_max, expected: Result<(), &str>| {
            let found = limits.negotiate(&TuneOk { channel_max, frame_max, heartbeat: 7 });
            let agreed = Negotiated { frame_max, channel_max, heartbeat: 7 };
            assert_eq!(
                found.map_err(|error| (error.code.code(), error.class_id, error.method_id, error.text)),
                expected.map(|()| agreed).map_err(|text| (530, 10, 30, format!("NOT_ALLOWED - negotiated {text}")))
            );
        };
        let ours = offered(131_072, 2047);
        check(ours, 131_072, 2047, Ok(()));
        check(ours, 4096, 1, Ok(()));
        check(ours, 8192, 2047, Ok(()));
        check(ours, 4095, 1, Err("frame_max = 4095 is lower than the minimum allowed value (4096)"));
        check(ours, 131_073, 1, Err("frame_max = 131073 is higher than the maximum allowed value (131072)"));
        check(ours, 0, 1, Err("frame_max = 0 is higher than the maximum allowed value (131072)"));
        check(ours, 4096, 2048, Err("channel_max = 2048 is higher than the maximum allowed value (2047)"));
        check(ours, 4096, 0, Err("channel_max = 0 (no limit) is higher than the maximum allowed value (2047)"));
        check(offered(0, 0), 0, 0, Ok(()));
        check(offered(0, 0), u32::MAX, u16::MAX, Ok(()));
        check(offered(0, 0), 1, 0, Err("frame_max = 1 is lower than the minimum allowed value (4096)"));
    }

    #[test]
    fn capabilities_are_booleans() {
        let inner =
            Table::new().with("connection.blocked", true).with("basic.nack", false).with("publisher_confirms", 1);
        let found = Capabilities::of_client(&Table::new().with("capabilities", inner));
        assert_eq!(found, Capabilities { connection_blocked: true, ..Capabilities::default() });
        assert_eq!(Capabilities::of_client(&Table::new().with("capabilities", "all")), Capabilities::default());
    }
}
