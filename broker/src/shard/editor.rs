//! What the broker's own part needs of property bytes, which only a front-end understands.

use std::sync::Arc;

use leveret_core::Time;
use leveret_core::death::Redirect;
use leveret_core::exchange::Identity;
use leveret_core::message::Message;
use leveret_core::value::Arguments;

use super::events::Event;
use super::stored::record::Kept;

/// A front-end's ways with property bytes.
#[derive(Clone, Copy)]
pub struct Editor {
    /// Makes of a dead message the one that is published again.
    pub redirect: fn(&Arc<Message>, &Redirect) -> Arc<Message>,
    /// Makes of a delayed message the one that is published when its time has come.
    pub waited: fn(&Arc<Message>) -> Arc<Message>,
    /// Makes a message of what the store has kept; `None` if its properties cannot be read.
    pub restore: fn(&Kept<'_>) -> Option<Arc<Message>>,
    /// Makes a message of an event, for an exchange of that name.
    pub event: fn(&str, &Event, Time) -> Arc<Message>,
    /// Reads what routing may look at.
    pub details: fn(&Message) -> Details,
}

/// What routing may look at besides the routing keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// The headers table.
    pub headers: Arguments,
    /// The property correlation-id.
    pub correlation_id: Option<Box<[u8]>>,
    /// The property message-id.
    pub message_id: Option<Box<[u8]>>,
    /// The property timestamp.
    pub timestamp: Option<u64>,
}

impl Details {
    /// The properties among it.
    pub fn identity(&self) -> Identity<'_> {
        Identity {
            correlation_id: self.correlation_id.as_deref(),
            message_id: self.message_id.as_deref(),
            timestamp: self.timestamp,
        }
    }
}
