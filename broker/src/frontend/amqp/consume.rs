//! basic.qos, consume, cancel and get.

use std::rc::Rc;
use std::time::Duration;

use leveret_amqp::error::ProtocolError;
use leveret_amqp::frame::write_content;
use leveret_amqp::method::basic;
use leveret_amqp::properties::Properties;
use leveret_amqp::reply::ReplyCode;
use leveret_core::error::{Reason, Resource, ResourceKind};
use leveret_core::ledger::Unsettled;
use leveret_core::queue::settings::QueueKind;
use leveret_core::queue::{ConsumerSpec, Got};
use leveret_core::stream::start::StreamSpec;
use leveret_core::topology::QueueRecord;
use leveret_core::value::Arguments;
use leveret_core::{Error, Name, Time};
use leveret_runtime as runtime;

use super::channel::{Asked, Channel, Consumer, Outcome, not_implemented};
use super::declare::{saturate, unexpected};
use super::errors::explain;
use super::overdue;
use super::reply_to;
use super::values::arguments;
use crate::shard::address::{QueueAddress, Reply};
use crate::shard::queues::Command;

impl Channel {
    /// "global=false: limit for each consumer started later on this channel. global=true: one limit for the whole channel."
    pub(super) fn qos(&self, it: &basic::Qos) -> Outcome {
        if it.prefetch_size != 0 {
            return Err(not_implemented(&format!("prefetch_size!=0 ({})", it.prefetch_size)));
        }
        if it.global {
            self.ledger.borrow_mut().set_channel_prefetch(it.prefetch_count.into());
            self.resume_paused();
        } else {
            self.prefetch.set(it.prefetch_count.into());
        }
        self.send(&basic::QosOk {});
        Ok(())
    }

    pub(super) fn consume(self: &Rc<Self>, it: &basic::Consume<'_>) -> Outcome {
        if it.queue == reply_to::PSEUDO_QUEUE {
            return self.consume_replies(it);
        }
        self.has_room_for(it.consumer_tag)?;
        self.may_take_from(it.queue)?;
        let record = self.queue(it.queue)?;
        let tag = self.new_tag(it.consumer_tag)?;
        let arguments = arguments(&it.arguments);
        let priority = self.priority(&arguments, &record)?;
        let stream = stream_spec(&record, &arguments, self.link.shard.now(), &self.link.vhost_name)?;
        let id = self.link.shard.next_consumer();
        let timeout = overdue::timeout(&arguments, &record.arguments, self.link.shard.config.limits.consumer_timeout);
        self.look_at_least_every(timeout);
        let consumer = Consumer::new(id, &tag, QueueAddress::of(&record), it.no_ack, timeout, &self.link);
        let (exclusive, prefetch) = (it.exclusive, self.prefetch.get());
        *consumer.asked.borrow_mut() = Asked { exclusive, prefetch, arguments };
        let spec = ConsumerSpec {
            id,
            no_ack: it.no_ack,
            exclusive: it.exclusive,
            prefetch: self.prefetch.get(),
            priority,
            window_bytes: consumer.window,
            stream,
        };
        self.tags.borrow_mut().insert(tag.clone(), consumer.clone());
        self.consumers.borrow_mut().insert(id, consumer.clone());
        self.consume_ok.replace((!it.nowait).then(|| tag.clone()));
        let reply = self.ask_queue(consumer.queue, |ticket| Command::Consume { spec, ticket });
        self.consume_ok.replace(None);
        match reply {
            Ok(Reply::Done) => {
                self.tell("consumer.created", |event| {
                    event
                        .text("consumer_tag", &tag)
                        .text("queue", &record.name)
                        .flag("ack_required", !it.no_ack)
                        .flag("exclusive", it.exclusive)
                        .number("prefetch_count", prefetch.into())
                });
                Ok(())
            }
            refused => {
                self.tags.borrow_mut().remove(&tag);
                self.remove_consumer(id);
                Err(refused.err().unwrap_or_else(|| self.gone(&record.name)))
            }
        }
    }

    /// "Reached maximum of consumers per channel": asked before anything else, but not of a tag that is refused for being used.
    fn has_room_for(&self, tag: &str) -> Outcome {
        let tags = self.tags.borrow();
        match self.link.shard.config.limits.consumer_max_per_channel {
            Some(limit) if tags.len() as u64 >= limit && !tags.contains_key(tag) => {
                let text = format_args!("reached maximum ({limit}) of consumers per channel");
                Err(ProtocolError::new(ReplyCode::NotAllowed, text))
            }
            _ => Ok(()),
        }
    }

    /// A consumer with that timeout has come.
    fn look_at_least_every(&self, timeout: Option<Duration>) {
        let wanted = timeout.map(overdue::interval);
        let looks = &self.link.overdue_look;
        looks.set(looks.get().into_iter().chain(wanted).min());
    }

    /// "Empty consumer tag: `amq.ctag-` + random."
    pub(super) fn new_tag(&self, tag: &str) -> Result<Box<str>, ProtocolError> {
        if tag.is_empty() {
            return Ok(format!("amq.ctag-{}", random_name()).into());
        }
        let taken = self.tags.borrow().contains_key(tag) || self.reply_consumer.borrow().as_deref() == Some(tag);
        match taken {
            true => {
                Err(ProtocolError::new(ReplyCode::NotAllowed, format_args!("attempt to reuse consumer tag '{tag}'")))
            }
            false => Ok(tag.into()),
        }
    }

    fn priority(&self, arguments: &Arguments, record: &QueueRecord) -> Result<i64, ProtocolError> {
        let Some(value) = arguments.get("x-priority") else { return Ok(0) };
        value.as_int().ok_or_else(|| {
            let (vhost, name) = (self.link.vhost_name.clone(), record.name.clone());
            let queue = Resource { kind: ResourceKind::Queue, vhost, name };
            let reason = Reason::ExpectedInteger(value.type_name());
            explain(&Error::InvalidArgument { argument: "x-priority".into(), queue, reason })
        })
    }

    pub(super) fn cancel(&self, it: &basic::Cancel<'_>) -> Outcome {
        let consumer = self.tags.borrow().get(it.consumer_tag).cloned();
        if let Some(consumer) = consumer {
            // Deliveries that are on their way still count; the answer comes after the last of them.
            self.ask_queue(consumer.queue, |ticket| Command::Cancel { consumer: consumer.id, ticket })?;
            self.tags.borrow_mut().remove(it.consumer_tag);
            self.remove_consumer(consumer.id);
            self.forget_paused(consumer.id);
            self.tell_consumer_gone(&consumer);
        } else if self.reply_consumer.borrow().as_deref() == Some(it.consumer_tag) {
            self.reply_consumer.replace(None);
        }
        self.send_unless(it.nowait, &basic::CancelOk { consumer_tag: it.consumer_tag });
        Ok(())
    }

    pub(super) fn get(&self, it: &basic::Get<'_>) -> Outcome {
        if it.queue.starts_with(reply_to::PSEUDO_QUEUE) {
            return Err(not_implemented("basic.get on a reply-to pseudo queue"));
        }
        self.may_take_from(it.queue)?;
        let record = self.queue(it.queue)?;
        let queue = QueueAddress::of(&record);
        match self.ask_queue(queue, |ticket| Command::Get { no_ack: it.no_ack, ticket })? {
            Reply::Got(Some(got)) => {
                self.send_got(queue, &got, it.no_ack);
                Ok(())
            }
            Reply::Got(None) => {
                self.tally.got_empty.add(1);
                self.send(&basic::GetEmpty {});
                Ok(())
            }
            Reply::Gone => Err(self.gone(&record.name)),
            other => Err(unexpected(&other)),
        }
    }

    fn send_got(&self, queue: QueueAddress, got: &Got, no_ack: bool) {
        let QueueAddress { shard, queue } = queue;
        let delivery = &got.delivery;
        let mut ledger = self.ledger.borrow_mut();
        let delivery_tag = match no_ack {
            true => ledger.deliver_settled(),
            false => ledger.deliver(Unsettled { queue, shard, seq: delivery.seq, consumer: None }),
        };
        drop(ledger);
        match no_ack {
            true => self.tally.got_no_ack.add(1),
            false => self.tally.got.add(1),
        }
        self.tally.redelivered.add(u64::from(delivery.redelivered));
        let message = &delivery.message;
        if self.is_traced() {
            self.origin().trace_delivery(queue, message, delivery.redelivered);
        }
        let method = basic::GetOk {
            delivery_tag,
            redelivered: delivery.redelivered,
            exchange: message.exchange_name(),
            routing_key: message.routing_key_text(),
            message_count: saturate(got.remaining),
        };
        let (number, frame_max) = (self.number, self.link.frame_max);
        // The bytes were checked when the message came in.
        let Ok(properties) = Properties::parse(message.properties()) else { return };
        self.link.output.write(|out| {
            write_content(out, number, frame_max, &method, &properties, message.body());
        });
    }
}

/// Where a consumer of a stream begins, and what it leaves out.
fn stream_spec(
    record: &QueueRecord,
    arguments: &Arguments,
    now: Time,
    vhost: &Name,
) -> Result<Option<Box<StreamSpec>>, ProtocolError> {
    if record.kind() != QueueKind::Stream {
        return Ok(None);
    }
    let queue = || Resource { kind: ResourceKind::Queue, vhost: vhost.clone(), name: record.name.clone() };
    let refuse =
        |reason| explain(&Error::InvalidArgument { argument: "x-stream-offset".into(), queue: queue(), reason });
    StreamSpec::parse(arguments, now).map(|spec| Some(Box::new(spec))).map_err(refuse)
}

/// 22 characters of url-safe base64: 128 random bits.
pub(super) fn random_name() -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bytes = [0; 16];
    runtime::random::fill(&mut bytes);
    let number = u128::from_be_bytes(bytes);
    (0..22).map(|at| char::from(ALPHABET[(number >> (6 * at)) as usize & 63])).collect()
}
