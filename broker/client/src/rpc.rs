//! Remote procedure calls: a request names where its answer shall go, and a correlation id tells answers apart.
//!
//! ```text
//!   RpcClient ── request: reply-to, correlation-id ──► queue ──► serve
//!       ▲                                                          │
//!       └──── amq.rabbitmq.reply-to ◄── answer: correlation-id ────┘
//! ```
//!
//! Answers come by RabbitMQ's direct reply-to, which needs no queue. They are delivered at most once: a caller that gets none within
//! its limit asks again, so procedures should be idempotent.

use std::fmt;
use std::time::Duration;

use leveret_amqp::properties::BasicProperties;
use leveret_runtime as runtime;
use runtime::sync::Select;

use crate::channel::Channel;
use crate::connection::Connection;
use crate::consume::{ConsumeOptions, Consumer};
use crate::error::Error;
use crate::message::Message;

/// The pseudo-queue of direct replies.
const REPLY_TO: &str = "amq.rabbitmq.reply-to";

/// Makes calls, one at a time, on a channel of its own.
pub struct RpcClient {
    channel: Channel,
    answers: Consumer,
    last_id: u64,
}

impl RpcClient {
    /// Opens a channel for calls.
    ///
    /// # Errors
    /// As [`Connection::open_channel`].
    pub fn open(connection: &Connection) -> Result<RpcClient, Error> {
        let channel = connection.open_channel()?;
        let options = ConsumeOptions { no_ack: true, ..ConsumeOptions::default() };
        let answers = channel.consume(REPLY_TO, &options)?;
        Ok(RpcClient { channel, answers, last_id: 0 })
    }

    /// Sends a request to a queue and waits for the answer, at most `limit`.
    ///
    /// # Errors
    /// [`Error::Unroutable`] when there is no such queue, [`Error::TimedOut`], or why the channel is over.
    pub fn call(&mut self, queue: &str, body: &[u8], limit: Duration) -> Result<Message, Error> {
        self.last_id += 1;
        let id = self.last_id.to_string().into_bytes();
        let properties = BasicProperties {
            correlation_id: Some(id.clone()),
            reply_to: Some(REPLY_TO.into()),
            ..BasicProperties::default()
        };
        while self.channel.take_returned().is_some() {} // of a call that was given up
        self.channel.publish_mandatory("", queue, &properties.encode(), body)?;
        runtime::timeout(limit, || self.await_answer(&id)).unwrap_or(Err(Error::TimedOut { what: "answer", limit }))
    }

    fn await_answer(&mut self, id: &[u8]) -> Result<Message, Error> {
        loop {
            while let Some(delivery) = self.answers.try_next()? {
                if delivery.properties().correlation_id() == Some(id) {
                    return Ok(delivery.message().clone()); // others answer calls that were given up
                }
            }
            let port = &self.channel.line.port;
            port.check()?;
            if let Some(returned) = self.channel.take_returned() {
                return Err(Error::Unroutable(Box::new(returned)));
            }
            port.changed.clear();
            let mut either = Select::new();
            either.recv(self.answers.receiver());
            either.event(&port.changed);
            either.wait();
        }
    }
}

impl fmt::Debug for RpcClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RpcClient")
            .field("channel", &self.channel)
            .field("calls", &self.last_id)
            .finish_non_exhaustive()
    }
}

/// Answers the requests of a queue with what `procedure` makes of them, one after the other, until the consumer ends. Each is
/// acknowledged after its answer was sent; requests without reply-to are done and not answered.
///
/// # Errors
/// As [`Channel::consume`], and why the consumer ended.
pub fn serve(channel: &Channel, queue: &str, mut procedure: impl FnMut(&Message) -> Vec<u8>) -> Result<(), Error> {
    for request in channel.consume(queue, &ConsumeOptions::default())? {
        let request = request?;
        let answer = procedure(&request);
        let asked = request.properties();
        if let Some(reply_to) = asked.reply_to().and_then(|name| std::str::from_utf8(name).ok()) {
            let correlation_id = asked.correlation_id().map(<[u8]>::to_vec);
            let properties = BasicProperties { correlation_id, ..BasicProperties::default() };
            channel.publish("", reply_to, &properties.encode(), &answer)?;
        }
        request.ack()?;
    }
    Ok(())
}
