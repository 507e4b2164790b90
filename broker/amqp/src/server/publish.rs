//! A basic.publish that is received frame by frame, because its content does not lie in the input in one piece.

use std::borrow::Cow;

use super::event::Publish;
use crate::content::{Assembly, Progress};
use crate::error::ProtocolError;
use crate::frame::Frame;
use crate::method::{WireMethod, basic};

/// The fields of the method, kept until the content is complete.
#[derive(Debug)]
pub(super) struct Incoming {
    exchange: String,
    routing_key: String,
    mandatory: bool,
    immediate: bool,
    content: Assembly,
}

impl Incoming {
    pub(super) fn new(publish: &basic::Publish<'_>) -> Self {
        Self {
            exchange: publish.exchange.to_owned(),
            routing_key: publish.routing_key.to_owned(),
            mandatory: publish.mandatory,
            immediate: publish.immediate,
            content: Assembly::new(publish.method_id()),
        }
    }

    /// Takes the next frame of the channel.
    pub(super) fn take(&mut self, frame: &Frame<'_>, body_size_max: u64) -> Result<Progress, ProtocolError> {
        self.content.take(frame, body_size_max)
    }

    /// The complete message; its buffers are handed over.
    pub(super) fn finish<'i>(self, channel: u16) -> Publish<'i> {
        let (properties, body) = self.content.finish();
        Publish {
            channel,
            exchange: Cow::Owned(self.exchange),
            routing_key: Cow::Owned(self.routing_key),
            mandatory: self.mandatory,
            immediate: self.immediate,
            properties,
            body: Cow::Owned(body),
        }
    }
}
