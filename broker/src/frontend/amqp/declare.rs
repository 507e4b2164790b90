//! Exchange and queue methods: asked of the topology's owner, answered when every shard knows.

use std::rc::Rc;

use leveret_amqp::error::ProtocolError;
use leveret_amqp::method::{Method, exchange, queue};
use leveret_amqp::reply::ReplyCode;
use leveret_core::Name;
use leveret_core::access::permission::Operation;
use leveret_core::error::ResourceKind;
use leveret_core::queue::settings::ACCEPTED_WITHOUT_EFFECT;
use leveret_core::topology::{BindingEnd, clean_name};
use leveret_core::value::Arguments;
use leveret_runtime as runtime;

use super::channel::{Channel, Outcome, blame};
use super::errors::explain;
use super::reply_to;
use super::values::arguments;
use crate::shard::address::{QueueAddress, Reply};
use crate::shard::metadata::{Action, Ends};
use crate::shard::queues::Command;

impl Channel {
    pub(super) fn exchange_declare(&self, it: &exchange::Declare<'_>) -> Outcome {
        let arguments = arguments(&it.arguments);
        match it.passive {
            true => self.may_ask_for(ResourceKind::Exchange, it.exchange)?,
            false => self.may_declare_exchange(it.exchange, it.kind, &arguments)?,
        }
        self.ask_owner(Action::DeclareExchange {
            name: it.exchange.into(),
            kind: it.kind.into(),
            passive: it.passive,
            durable: it.durable,
            auto_delete: it.auto_delete,
            internal: it.internal,
            arguments,
        })?;
        self.send_unless(it.nowait, &exchange::DeclareOk {});
        Ok(())
    }

    pub(super) fn exchange_delete(&self, it: &exchange::Delete<'_>) -> Outcome {
        self.may_delete_exchange(it.exchange)?;
        self.ask_owner(Action::DeleteExchange { name: it.exchange.into(), if_unused: it.if_unused })?;
        self.send_unless(it.nowait, &exchange::DeleteOk {});
        Ok(())
    }

    /// Makes the bindings that came one behind the other, with one question: asking for each would cost a client that declares
    /// ten thousand of them as many journeys between shards, and as many commits. The first that fails is answered by its
    /// error, and those behind it are as if they had not come: the channel is closed.
    pub(super) fn bind(&self, methods: &[Method<'_>]) -> Outcome {
        let mut wanted = Vec::with_capacity(methods.len());
        let mut failed = None;
        for method in methods {
            match self.wanted_binding(method) {
                Ok(binding) => wanted.push(binding),
                Err(error) => {
                    failed = Some(blame(error, method));
                    break;
                }
            }
        }
        let (bound, refused) = match wanted.is_empty() {
            true => (0, None),
            false => match self.ask_owner(Action::BindAll(wanted))? {
                Reply::Bound(bound, refused) => (bound, refused),
                other => return Err(unexpected(&other)),
            },
        };
        for method in methods.iter().take(bound) {
            match method {
                Method::QueueBind(it) => self.send_unless(it.nowait, &queue::BindOk {}),
                Method::ExchangeBind(it) => self.send_unless(it.nowait, &exchange::BindOk {}),
                _ => {}
            }
        }
        if let (Some(error), Some(method)) = (refused, methods.get(bound)) {
            return Err(blame(explain(&error), method));
        }
        failed.map_or(Ok(()), Err)
    }

    /// What a bind asks for, if the client may.
    fn wanted_binding(&self, method: &Method<'_>) -> Result<Ends, ProtocolError> {
        let (source, destination, key, arguments) = match method {
            Method::QueueBind(it) => {
                self.refuse_pseudo_queue(it.queue)?;
                let (queue, key) = self.binding_names(it.queue, it.routing_key)?;
                (it.exchange, BindingEnd::Queue(queue), key, arguments(&it.arguments))
            }
            Method::ExchangeBind(it) => {
                let destination = BindingEnd::Exchange(it.destination.into());
                (it.source, destination, it.routing_key.into(), arguments(&it.arguments))
            }
            _ => return Err(ProtocolError::new(ReplyCode::CommandInvalid, "not a bind")),
        };
        self.may_bind(source, &destination, &key)?;
        Ok(Ends { source: source.into(), destination, key, arguments })
    }

    pub(super) fn exchange_unbind(&self, it: &exchange::Unbind<'_>) -> Outcome {
        let destination = BindingEnd::Exchange(it.destination.into());
        self.may_bind(it.source, &destination, it.routing_key)?;
        self.ask_owner(Action::Unbind {
            source: it.source.into(),
            destination,
            key: it.routing_key.into(),
            arguments: arguments(&it.arguments),
        })?;
        self.send_unless(it.nowait, &exchange::UnbindOk {});
        Ok(())
    }

    pub(super) fn queue_declare(self: &Rc<Self>, it: &queue::Declare<'_>) -> Outcome {
        if let Some(name) = reply_to::pseudo_queue(it.queue) {
            return self.declare_pseudo_queue(name, it.nowait);
        }
        let arguments = arguments(&it.arguments);
        warn_of_idle(it.queue, &arguments);
        let mut random = [0; 16];
        runtime::random::fill(&mut random);
        match it.passive {
            true => self.may_ask_for(ResourceKind::Queue, it.queue)?,
            false => self.may_declare_queue(it.queue, &arguments, &random)?,
        }
        let reply = self.ask_owner(Action::DeclareQueue {
            name: it.queue.into(),
            passive: it.passive,
            durable: it.durable,
            exclusive: it.exclusive,
            auto_delete: it.auto_delete,
            arguments,
            shard: self.link.shard.id,
            random,
        })?;
        let Reply::Queue(record, is_new) = reply else { return Err(unexpected(&reply)) };
        self.link.shard.tally.queues_declared.add(1);
        self.link.shard.tally.queues_created.add(u64::from(is_new));
        *self.last_queue.borrow_mut() = Some(record.name.clone());
        if it.nowait {
            return Ok(());
        }
        let (ready, consumers) = match is_new {
            true => (0, 0),
            false => self.counts(QueueAddress::of(&record), &record.name)?,
        };
        self.send(&queue::DeclareOk {
            queue: &record.name,
            message_count: saturate(ready),
            consumer_count: saturate(consumers),
        });
        Ok(())
    }

    fn counts(&self, queue: QueueAddress, name: &Name) -> Result<(u64, u64), ProtocolError> {
        match self.ask_queue(queue, |ticket| Command::Counts { ticket })? {
            Reply::Counts { ready, consumers } => Ok((ready, consumers)),
            _ => Err(self.gone(name)),
        }
    }

    pub(super) fn queue_unbind(&self, it: &queue::Unbind<'_>) -> Outcome {
        self.refuse_pseudo_queue(it.queue)?;
        let (queue, key) = self.binding_names(it.queue, it.routing_key)?;
        let destination = BindingEnd::Queue(queue);
        self.may_bind(it.exchange, &destination, &key)?;
        self.ask_owner(Action::Unbind {
            source: it.exchange.into(),
            destination,
            key,
            arguments: arguments(&it.arguments),
        })?;
        self.send(&queue::UnbindOk {});
        Ok(())
    }

    /// "In bind/unbind an empty routing key together with an empty queue name also becomes that queue name."
    fn binding_names(&self, queue: &str, key: &str) -> Result<(Name, Name), ProtocolError> {
        let name = self.queue_name(queue)?;
        let key = if queue.is_empty() && key.is_empty() { name.clone() } else { key.into() };
        Ok((name, key))
    }

    pub(super) fn queue_purge(&self, it: &queue::Purge<'_>) -> Outcome {
        self.may_take_from(it.queue)?;
        let record = self.queue(it.queue)?;
        let reply = self.ask_queue(QueueAddress::of(&record), |ticket| Command::Purge { ticket })?;
        let Reply::Count(count) = reply else { return Err(self.gone(&record.name)) };
        self.send_unless(it.nowait, &queue::PurgeOk { message_count: saturate(count) });
        Ok(())
    }

    pub(super) fn queue_delete(&self, it: &queue::Delete<'_>) -> Outcome {
        let name = self.queue_name(it.queue)?;
        self.may(Operation::DeleteQueue { queue: &name })?;
        let count = self.delete(&name, it.if_unused, it.if_empty)?;
        self.send_unless(it.nowait, &queue::DeleteOk { message_count: saturate(count) });
        Ok(())
    }

    /// Ends the queue on its shard, where alone the conditions can be checked, and then everywhere.
    fn delete(&self, name: &str, if_unused: bool, if_empty: bool) -> Result<u64, ProtocolError> {
        let (vhost, connection) = (self.link.vhost, self.link.connection);
        let topology = self.link.shard.topology.borrow();
        let found = topology.delete_queue(vhost, name, connection).map_err(|error| explain(&error))?;
        let record = found.and_then(|_| topology.queue(vhost, &clean_name(name), connection).ok().cloned());
        drop(topology);
        let Some(record) = record else { return Ok(0) }; // "idempotent"
        let delete = |ticket| Command::Delete { if_unused, if_empty, ticket };
        let reply = self.ask_queue(QueueAddress::of(&record), delete)?;
        let count = if let Reply::Count(count) = reply { count } else { 0 };
        self.ask_owner(Action::QueueEnded { queue: record.id, reply: Reply::Done })?;
        Ok(count)
    }
}

/// Says once a declare which of its arguments do nothing here.
fn warn_of_idle(queue: &str, arguments: &Arguments) {
    for (name, _) in arguments.iter().filter(|(name, _)| ACCEPTED_WITHOUT_EFFECT.contains(name)) {
        log::warn!("queue '{queue}' is declared with '{name}', which is accepted but has no effect");
    }
}

/// Counts are 32 bits on the wire.
pub(super) fn saturate(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

pub(super) fn unexpected(reply: &Reply) -> ProtocolError {
    ProtocolError::new(ReplyCode::InternalError, format_args!("unexpected answer {reply:?}"))
}
