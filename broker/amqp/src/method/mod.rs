//! Every method of AMQP 0-9-1 and of RabbitMQ's additions, generated from one table ([`table.rs`](self)).
//!
//! A method struct borrows its strings from the frame that it was decoded from, so decoding allocates nothing. The modules
//! are named after the classes: [`basic::Publish`], [`queue::DeclareOk`]. [`Method`] is any of them. Reserved fields
//! (tickets and the like) exist on the wire only.

#[macro_use]
mod define;
mod field;
mod table;

use crate::error::DecodeError;
use crate::wire::Reader;

pub use table::{Method, access, basic, channel, confirm, connection, exchange, queue, tx};

/// What all methods have in common.
pub trait WireMethod {
    /// Id of the class.
    fn class_id(&self) -> u16;
    /// Id of the method within its class.
    fn method_id(&self) -> u16;
    /// The name in the protocol's spelling, such as `queue.declare-ok`.
    fn name(&self) -> &'static str;
    /// Whether a content header and body frames follow.
    fn carries_content(&self) -> bool;
    /// Appends the fields.
    fn encode_fields(&self, out: &mut Vec<u8>);

    /// Appends the payload of a method frame: both ids and the fields.
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        let [class_high, class_low] = self.class_id().to_be_bytes();
        let [method_high, method_low] = self.method_id().to_be_bytes();
        out.extend_from_slice(&[class_high, class_low, method_high, method_low]);
        self.encode_fields(out);
    }
}

/// The reading half; crate-private because only the whole of [`Method`] makes sense outside.
pub(crate) trait DecodeFields<'a>: Sized {
    fn decode_fields(bytes: &'a [u8]) -> Result<Self, DecodeError>;
}

/// Splits the payload of a method frame into class id, method id and fields.
pub fn split_ids(payload: &[u8]) -> Result<(u16, u16, &[u8]), DecodeError> {
    let mut reader = Reader::new(payload);
    Ok((reader.u16()?, reader.u16()?, reader.rest()))
}

impl<'a> Method<'a> {
    /// Decodes the payload of a method frame.
    ///
    /// # Errors
    /// Fields that do not decode, bytes left over, or a method that nobody knows.
    pub fn decode(payload: &'a [u8]) -> Result<Self, DecodeError> {
        let (class_id, method_id, fields) = split_ids(payload)?;
        Self::decode_fields(class_id, method_id, fields)
    }
}

impl WireMethod for Method<'_> {
    fn class_id(&self) -> u16 {
        self.inner().class_id()
    }

    fn method_id(&self) -> u16 {
        self.inner().method_id()
    }

    fn name(&self) -> &'static str {
        self.inner().name()
    }

    fn carries_content(&self) -> bool {
        self.inner().carries_content()
    }

    fn encode_fields(&self, out: &mut Vec<u8>) {
        self.inner().encode_fields(out);
    }
}

#[cfg(test)]
mod tests;
