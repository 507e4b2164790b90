//! What the state machine tells its shell, one thing at a time.
//!
//! Events borrow from the input and never from the machine, so the shell can call the machine while it holds one.

use std::borrow::Cow;

use super::settings::Negotiated;
use crate::error::ProtocolError;
use crate::header::Stranger;
use crate::method::{Method, channel, connection};
use crate::properties::Properties;

/// The outcome of one call of [`Connection::receive`](super::Connection::receive).
#[derive(Clone, Debug, PartialEq)]
pub struct Step<'i> {
    /// Bytes of the input that are done with. Drop them when the event is.
    pub consumed: usize,
    /// What to do now.
    pub event: Event<'i>,
}

/// What the shell has to do. The replies that it owes are named in *italics*.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<'i> {
    /// Nothing: flush the output, then come back when the input that was not consumed has grown to `size` bytes.
    NeedInput {
        /// Bytes, counted from the first that was not consumed. Never above
        /// [`Connection::input_size_max`](super::Connection::input_size_max).
        size: usize,
    },
    /// Nothing: the client sent a good protocol header and connection.start is in the output.
    Greeted,
    /// The client speaks something else. The answering header is in the output: flush it and close the socket.
    Stranger(Stranger),
    /// Check who it is, then *accept_login*, *refuse_login* or *challenge*.
    Login(connection::StartOk<'i>),
    /// The answer to a challenge; as [`Event::Login`].
    LoginAgain(connection::SecureOk<'i>),
    /// Set the heartbeat timers.
    Tuned(Negotiated),
    /// Check vhost and permission, then *accept_open* or *close_connection*.
    Open(connection::Open<'i>),
    /// Check the token, then *accept_secret* or *close_connection*.
    UpdateSecret(connection::UpdateSecret<'i>),
    /// Start a channel, then *accept_channel*; or *close_connection* when a quota is used up.
    ChannelOpen {
        /// Its number.
        channel: u16,
    },
    /// The client ends a channel: clean up, then *channel_close_ok*, which has to be the last frame of the channel.
    ChannelClose {
        /// Its number.
        channel: u16,
        /// Why.
        close: channel::Close<'i>,
    },
    /// Do it and reply with [`write_method`](crate::frame::write_method), or *refuse*.
    Method {
        /// Where.
        channel: u16,
        /// A method that clients may send and that the machine does not answer itself; never basic.publish.
        method: Method<'i>,
    },
    /// Route a message.
    Publish(Publish<'i>),
    /// The client broke a rule on one channel; channel.close is in the output. Clean the channel up.
    ChannelFault {
        /// Its number.
        channel: u16,
        /// What was sent.
        error: ProtocolError,
    },
    /// The client broke a rule that closes the connection; connection.close is in the output. Clean all up and go on until
    /// [`Event::CloseOk`] or a deadline, unless [`Connection::reads_no_more`](super::Connection::reads_no_more).
    ConnectionFault {
        /// Where it happened.
        channel: u16,
        /// What was sent.
        error: ProtocolError,
    },
    /// The client ends the connection: clean up, then *close_ok*, which has to be the last frame.
    CloseRequested(connection::Close<'i>),
    /// The client agreed to our close: flush and close the socket.
    CloseOk,
    /// The client is alive. (So it is when anything else comes in.)
    Heartbeat,
}

/// A complete message from the client.
///
/// When all its frames lay in the input one after another, everything is borrowed. Otherwise body and properties were
/// gathered in buffers, which can be taken over.
#[derive(Clone, Debug, PartialEq)]
pub struct Publish<'i> {
    /// Where it was published.
    pub channel: u16,
    /// Name of the exchange, empty for the default one.
    pub exchange: Cow<'i, str>,
    /// First routing key.
    pub routing_key: Cow<'i, str>,
    /// Return it if no queue takes it.
    pub mandatory: bool,
    /// Not supported by RabbitMQ; the shell refuses it.
    pub immediate: bool,
    /// As received.
    pub properties: Properties<'i>,
    /// All of it.
    pub body: Cow<'i, [u8]>,
}
