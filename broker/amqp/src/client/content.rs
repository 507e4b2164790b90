//! Messages from the server: basic.deliver, basic.get-ok and basic.return with their contents.

use std::borrow::Cow;

use crate::content::{Assembly, Progress};
use crate::error::{DecodeError, ProtocolError};
use crate::frame::Frame;
use crate::method::Method;
use crate::properties::Properties;

/// A complete content and the method that brought it; borrowed when all lay in the input in one piece.
#[derive(Clone, Debug, PartialEq)]
pub struct Content<'i> {
    /// Where it came.
    pub channel: u16,
    /// Ids and fields; they were decoded before.
    method: Cow<'i, [u8]>,
    /// As the publisher sent them.
    pub properties: Properties<'i>,
    /// All of it.
    pub body: Cow<'i, [u8]>,
}

impl<'i> Content<'i> {
    pub(super) fn borrowed(method: Frame<'i>, properties: Properties<'i>, body: &'i [u8]) -> Self {
        Self { channel: method.channel, method: method.payload.into(), properties, body: body.into() }
    }

    /// The method: deliver, get-ok or return.
    ///
    /// # Errors
    /// None in practice: the bytes were decoded once before.
    pub fn method(&self) -> Result<Method<'_>, DecodeError> {
        Method::decode(&self.method)
    }
}

/// A content that is received frame by frame.
#[derive(Debug)]
pub(super) struct Incoming {
    method: Vec<u8>,
    content: Assembly,
}

impl Incoming {
    pub(super) fn new(method: &[u8], method_id: u16) -> Self {
        Self { method: method.to_vec(), content: Assembly::new(method_id) }
    }

    pub(super) fn take(&mut self, frame: &Frame<'_>, body_size_max: u64) -> Result<Progress, ProtocolError> {
        self.content.take(frame, body_size_max)
    }

    pub(super) fn finish<'i>(self, channel: u16) -> Content<'i> {
        let (properties, body) = self.content.finish();
        Content { channel, method: self.method.into(), properties, body: body.into() }
    }
}
