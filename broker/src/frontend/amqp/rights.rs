//! Whether a client may do what it asks: the table of the core, asked before anything else is looked at, as RabbitMQ does.
//!
//! What a connection may do is looked up once and kept until anything about users changes (a number counts the changes), so a
//! publish usually costs two comparisons. A user whose permission is taken away keeps its connection and may do nothing on it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use leveret_amqp::error::ProtocolError;
use leveret_amqp::server::Publish;
use leveret_core::access::Tag;
use leveret_core::access::permission::{Operation, Permission, Right, Rights};
use leveret_core::error::ResourceKind;
use leveret_core::exchange::ExchangeKind;
use leveret_core::topology::{BindingEnd, RESERVED_PREFIX, clean_name, server_made_name};
use leveret_core::value::{Arguments, Value};
use leveret_core::{Name, QueueId};

use super::channel::{Channel, Link, Outcome};
use super::errors::explain;
use crate::shard::address::Subscriber;
use crate::shard::queues::Command;

/// What a connection may do, as of the last look.
#[derive(Default)]
pub(super) struct Granted {
    /// How many changes to users and the rest there had been then.
    epoch: Cell<Option<u64>>,
    rights: RefCell<Option<Rc<Rights>>>,
    /// May publish to every exchange, with every key.
    writes_everything: Cell<bool>,
    /// The exchange that was published to last, which was allowed.
    last_exchange: RefCell<Box<str>>,
}

impl Link {
    fn refresh_rights(&self) {
        let epoch = self.shard.access_epoch();
        if self.granted.epoch.get() == Some(epoch) {
            return;
        }
        let found = self.shard.access().rights(&self.user, &self.vhost_name);
        let rights = found.unwrap_or_else(|| self.no_rights());
        let everything = rights.permission.write.is_everything() && rights.topics.is_empty();
        self.granted.writes_everything.set(everything);
        self.granted.rights.replace(Some(Rc::new(rights)));
        self.granted.last_exchange.replace(Box::default());
        self.granted.epoch.set(Some(epoch));
    }

    fn no_rights(&self) -> Rights {
        let nothing = Permission::new("", "", "").expect("the empty pattern is valid");
        let (user, vhost) = (self.user.clone(), self.vhost_name.clone());
        Rights { user, vhost, permission: Arc::new(nothing), topics: Arc::default() }
    }

    fn rights(&self) -> Rc<Rights> {
        self.refresh_rights();
        self.granted.rights.borrow().clone().expect("refreshing puts them there")
    }

    /// Whether the user may publish in others' names.
    pub(super) fn is_impersonator(&self) -> bool {
        self.shard.access().user(&self.user).is_some_and(|user| user.has_tag(&Tag::Impersonator))
    }
}

impl Channel {
    /// Whether the table allows it.
    pub(super) fn may(&self, operation: Operation<'_>) -> Outcome {
        self.link.rights().check(operation).map_err(|error| explain(&error))
    }

    /// Whether the client may publish to an exchange, whether it exists or not.
    #[inline]
    pub(super) fn may_publish(&self, exchange: &str) -> Outcome {
        let granted = &self.link.granted;
        if granted.epoch.get() == Some(self.link.shard.access_epoch())
            && (granted.writes_everything.get()
                || **granted.last_exchange.borrow() == *exchange && !exchange.is_empty())
        {
            return Ok(());
        }
        self.look_whether_it_may_publish(exchange)
    }

    #[cold]
    fn look_whether_it_may_publish(&self, exchange: &str) -> Outcome {
        self.may(Operation::Publish { exchange })?;
        self.link.granted.last_exchange.replace(exchange.into());
        Ok(())
    }

    /// Whether the client may publish with these keys, where the exchange is a topic exchange with restrictions.
    #[inline]
    pub(super) fn may_use_keys<'a>(&self, publish: &'a Publish<'_>, more: impl Iterator<Item = &'a str>) -> Outcome {
        if self.link.granted.writes_everything.get() {
            return Ok(());
        }
        let rights = self.link.rights();
        if !rights.topics.contains_key(&*publish.exchange) || !self.is_topic(&publish.exchange) {
            return Ok(());
        }
        let mut keys = std::iter::once(&*publish.routing_key).chain(more);
        let checked = keys.try_for_each(|key| rights.check_topic(Right::Write, &publish.exchange, key));
        checked.map_err(|error| explain(&error))
    }

    fn is_topic(&self, exchange: &str) -> bool {
        let topology = self.link.shard.topology.borrow();
        let record = topology.vhost(self.link.vhost).ok().and_then(|host| host.exchange(exchange));
        record.is_some_and(|record| record.kind == ExchangeKind::Topic)
    }

    /// Consume, get, purge: read on the queue that `name` means on this channel.
    pub(super) fn may_take_from(&self, name: &str) -> Outcome {
        let queue = self.queue_name(name)?;
        self.may(Operation::TakeFromQueue { queue: &queue })
    }

    /// A passive declare: "any one of the three" rights.
    pub(super) fn may_ask_for(&self, kind: ResourceKind, name: &str) -> Outcome {
        let name = clean_name(name);
        if name.is_empty() {
            return Ok(()); // refused for another reason
        }
        self.link.rights().check_passive(kind, &name).map_err(|error| explain(&error))
    }

    /// exchange.declare. What makes no sense at all is refused for that, by the owner of the topology.
    pub(super) fn may_declare_exchange(&self, name: &str, kind: &str, arguments: &Arguments) -> Outcome {
        let name = clean_name(name);
        if name.is_empty() || ExchangeKind::parse(kind).is_none() {
            return Ok(());
        }
        let alternate = arguments.get("alternate-exchange").and_then(Value::as_str);
        let alternate = alternate.filter(|_| !self.exists(|host| host.exchange(&name).is_some()));
        self.may(Operation::DeclareExchange { exchange: &name, alternate })
    }

    /// queue.declare. Names that are reserved are refused for that.
    pub(super) fn may_declare_queue(&self, name: &str, arguments: &Arguments, random: &[u8; 16]) -> Outcome {
        let name = clean_name(name);
        if name.starts_with(RESERVED_PREFIX) {
            return Ok(());
        }
        let prefix = arguments.get("x-name-prefix").and_then(Value::as_str);
        let queue = match name.is_empty() {
            false => name.into(),
            true => match server_made_name(prefix, random) {
                Ok(name) => name,
                Err(_) => return Ok(()), // too long, as the owner will say
            },
        };
        let target = arguments.get("x-dead-letter-exchange").and_then(Value::as_str);
        let target = target.filter(|_| !self.exists(|host| host.queue(&queue).is_some()));
        self.may(Operation::DeclareQueue { queue: &queue, dead_letter_exchange: target })
    }

    /// exchange.delete. Names that are reserved are refused for that.
    pub(super) fn may_delete_exchange(&self, name: &str) -> Outcome {
        let name = clean_name(name);
        if name.is_empty() || name.starts_with(RESERVED_PREFIX) {
            return Ok(());
        }
        self.may(Operation::DeleteExchange { exchange: &name })
    }

    /// Bind and unbind: write on the destination, read on the source, and on the key where that is restricted.
    pub(super) fn may_bind(&self, source: &str, destination: &BindingEnd, key: &str) -> Outcome {
        let source = clean_name(source);
        let (BindingEnd::Queue(name) | BindingEnd::Exchange(name)) = destination;
        let name = clean_name(name);
        if source.is_empty() {
            return Ok(()); // "operation not permitted on the default exchange"
        }
        self.may(match destination {
            BindingEnd::Queue(_) => Operation::BindQueue { queue: &name, exchange: &source },
            BindingEnd::Exchange(_) => Operation::BindExchange { source: &source, destination: &name },
        })?;
        let rights = self.link.rights();
        if !rights.topics.contains_key(&*source) || !self.is_topic(&source) {
            return Ok(());
        }
        rights.check_topic(Right::Read, &source, key).map_err(|error| -> ProtocolError { explain(&error) })
    }

    /// Ends the consumers of queues that the client may not read any more, with a word to the client. May wait.
    pub(super) fn end_unreadable_consumers(self: &Rc<Self>) {
        let rights = self.link.rights();
        let mut consumers: Vec<_> = self.consumers.borrow().values().cloned().collect();
        consumers.sort_unstable_by_key(|consumer| consumer.id);
        for consumer in consumers {
            let name = self.queue_name_of(consumer.queue.queue);
            if name.is_none_or(|name| rights.permission.allows(Right::Read, ResourceKind::Queue, &name)) {
                continue;
            }
            let cancel = |ticket| Command::Cancel { consumer: consumer.id, ticket };
            if self.ask_queue(consumer.queue, cancel).is_ok() {
                self.clone().cancelled(consumer.id);
            }
        }
    }

    fn queue_name_of(&self, id: QueueId) -> Option<Name> {
        let topology = self.link.shard.topology.borrow();
        topology.vhost(self.link.vhost).ok()?.queue_by_id(id).map(|record| record.name.clone())
    }

    fn exists(&self, there: impl FnOnce(&leveret_core::topology::Vhost) -> bool) -> bool {
        self.link.shard.topology.borrow().vhost(self.link.vhost).is_ok_and(there)
    }
}
