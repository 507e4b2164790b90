//! Direct reply-to: answers to a request go straight to the asking channel, past all queues.
//!
//! A requester consumes from the pseudo queue and publishes requests with `reply-to` set to its name; the broker puts an
//! address of the channel in its place: shard, channel, and a number that cannot be guessed.

use std::rc::Rc;

use leveret_amqp::error::ProtocolError;
use leveret_amqp::method::{basic, queue};
use leveret_amqp::properties::{BasicProperties, Properties};
use leveret_amqp::reply::ReplyCode;
use leveret_core::ShardId;

use super::channel::{Channel, Outcome};
use super::publish::precondition;
use crate::shard::address::{ChannelAddress, ChannelKey};

/// What clients consume from and put into `reply-to`.
pub(super) const PSEUDO_QUEUE: &str = "amq.rabbitmq.reply-to";

/// Stands between the pseudo queue's name and the address, and between the address's parts.
const SEPARATOR: char = '.';

/// The channel that a reply address names. Whether the address is real only that channel knows.
pub(super) fn address(name: &str) -> Option<ChannelAddress> {
    let mut parts = name.strip_prefix(PSEUDO_QUEUE)?.strip_prefix(SEPARATOR)?.split(SEPARATOR);
    let shard = u16::from_str_radix(parts.next()?, 16).ok()?;
    let key = u64::from_str_radix(parts.next()?, 16).ok()?;
    parts.next()?;
    Some(ChannelAddress { shard: ShardId(shard), key: ChannelKey(key) })
}

/// The name, if it is that of the pseudo queue or of somebody's address.
pub(super) fn pseudo_queue(name: &str) -> Option<&str> {
    name.starts_with(PSEUDO_QUEUE).then_some(name)
}

impl Channel {
    fn reply_name(&self) -> String {
        let ChannelAddress { shard, key } = self.address();
        let secret = super::consume::random_name();
        format!("{PSEUDO_QUEUE}{SEPARATOR}{:x}{SEPARATOR}{:x}{SEPARATOR}{secret}", shard.0, key.0)
    }

    pub(super) fn consume_replies(&self, it: &basic::Consume<'_>) -> Outcome {
        if self.reply_consumer.borrow().is_some() {
            return Err(precondition(format_args!("reply consumer already set")));
        }
        if !it.no_ack {
            return Err(precondition(format_args!("reply consumer cannot acknowledge")));
        }
        let tag = self.new_tag(it.consumer_tag)?;
        self.reply_address.replace(Some(self.reply_name().into()));
        self.reply_consumer.replace(Some(tag.clone()));
        self.send_unless(it.nowait, &basic::ConsumeOk { consumer_tag: &tag });
        Ok(())
    }

    /// The properties of a request, with the channel's address in place of the pseudo queue's name.
    pub(super) fn with_reply_address(&self, properties: &Properties<'_>) -> Result<Vec<u8>, ProtocolError> {
        if self.reply_consumer.borrow().is_none() {
            return Err(precondition(format_args!("fast reply consumer does not exist")));
        }
        let mut basic = BasicProperties::from(properties);
        basic.reply_to = self.reply_address.borrow().as_deref().map(|address| address.as_bytes().to_vec());
        Ok(basic.encode().into_raw())
    }

    /// Lets a responder ask whether the requester is still there: "declare-ok with 0 messages, 1 consumer if alive, else 404".
    pub(super) fn declare_pseudo_queue(self: &Rc<Self>, name: &str, nowait: bool) -> Outcome {
        let is_alive = name == PSEUDO_QUEUE || address(name).is_some_and(|address| self.is_alive(address, name));
        if !is_alive {
            return Err(self.gone(&name.into()));
        }
        let consumer_count = u32::from(name != PSEUDO_QUEUE);
        self.send_unless(nowait, &queue::DeclareOk { queue: name, message_count: 0, consumer_count });
        Ok(())
    }

    fn is_alive(&self, at: ChannelAddress, name: &str) -> bool {
        let Some(shard) = leveret_runtime::shards().nth(at.shard.0.into()) else { return false };
        let name: Box<str> = name.into();
        let asked = leveret_runtime::call(shard, move || {
            let channel = crate::shard::Shard::current().channel(at.key);
            channel.is_some_and(|channel| channel.has_reply_address(&name))
        });
        asked.unwrap_or(false)
    }

    pub(super) fn refuse_pseudo_queue(&self, name: &str) -> Outcome {
        match pseudo_queue(name) {
            None => Ok(()),
            Some(_) => Err(ProtocolError::new(
                ReplyCode::AccessRefused,
                "cannot bind or unbind to a volatile (direct reply-to) queue",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_addresses_name_a_channel() {
        let check = |name: &str, expected: Option<(u16, u64)>| {
            assert_eq!(address(name).map(|it| (it.shard.0, it.key.0)), expected, "{name}");
        };
        check("amq.rabbitmq.reply-to.1.ff.secret", Some((1, 255)));
        check("amq.rabbitmq.reply-to", None);
        check("amq.rabbitmq.reply-to.", None);
        check("amq.rabbitmq.reply-to.1", None);
        check("amq.rabbitmq.reply-to.1.ff", None);
        check("amq.rabbitmq.reply-to.x.ff.secret", None);
        check("amq.rabbitmq.reply-to.fffff.ff.secret", None);
        check("hello", None);
    }
}
