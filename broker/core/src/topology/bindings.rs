//! The owner's checks for bindings.

use crate::error::{Error, Resource};
use crate::exchange::{Exchange, ExchangeKind, check_pattern};
use crate::ids::{ConnectionId, Name, VhostId};
use crate::queue::settings::QueueKind;
use crate::value::Arguments;

use super::exchanges::refuse_default;
use super::{Binding, BindingEnd, Topology, TopologyChange, clean_name};

/// queue.bind, queue.unbind, exchange.bind or exchange.unbind
#[derive(Clone, Debug)]
pub struct Bind<'a> {
    /// Where.
    pub vhost: VhostId,
    /// The exchange that messages come from.
    pub source: &'a str,
    /// The queue or exchange that they go to, names as sent.
    pub destination: BindingEnd,
    /// The binding key.
    pub key: &'a str,
    /// As sent.
    pub arguments: Arguments,
    /// Who binds.
    pub connection: ConnectionId,
}

impl Topology {
    /// Checks a bind; `None` if the binding is there already. Of two missing ends the source is named, as in RabbitMQ.
    pub fn bind(&self, bind: &Bind<'_>) -> Result<Option<TopologyChange>, Error> {
        let binding = self.binding(bind)?;
        let (source, queue) = self.check_ends(bind, &binding)?;
        if source.routes_as() == ExchangeKind::Headers {
            check_pattern(&binding.arguments)?;
        }
        source.check_binding(&binding.key, queue)?;
        let is_new = !self.vhost(bind.vhost)?.has_binding(&binding);
        Ok(is_new.then_some(TopologyChange::Bound { vhost: bind.vhost, binding }))
    }

    /// Checks an unbind; `None` if there is nothing to take away, whichever part is missing. Only a binding that exists can be
    /// refused for the sake of another connection's exclusive queue, as in RabbitMQ.
    pub fn unbind(&self, bind: &Bind<'_>) -> Result<Option<TopologyChange>, Error> {
        let binding = self.binding(bind)?;
        if !self.vhost(bind.vhost)?.has_binding(&binding) {
            return Ok(None);
        }
        self.check_ends(bind, &binding)?;
        Ok(Some(TopologyChange::Unbound { vhost: bind.vhost, binding }))
    }

    fn binding(&self, bind: &Bind<'_>) -> Result<Binding, Error> {
        let source = clean_name(bind.source);
        refuse_default(&source)?;
        let clean = |name: &Name| Name::from(clean_name(name));
        let destination = match &bind.destination {
            BindingEnd::Queue(name) => BindingEnd::Queue(clean(name)),
            BindingEnd::Exchange(name) => {
                refuse_default(name)?;
                BindingEnd::Exchange(clean(name))
            }
        };
        let mut arguments = bind.arguments.clone();
        arguments.sort();
        Ok(Binding { source: source.into(), destination, key: bind.key.into(), arguments })
    }

    /// Both ends must exist, and the queue be usable by this connection; returns the source and the queue's type.
    fn check_ends(&self, bind: &Bind<'_>, binding: &Binding) -> Result<(&Exchange, Option<QueueKind>), Error> {
        let vhost = self.vhost(bind.vhost)?;
        let exchange = |name: &str| {
            let node = vhost.exchange_named(name);
            node.map(|node| &node.exchange).ok_or_else(|| Error::NotFound(Resource::exchange(vhost.name(), name)))
        };
        let source = exchange(&binding.source)?;
        let queue = match &binding.destination {
            BindingEnd::Queue(name) => Some(self.queue(bind.vhost, name, bind.connection)?.kind()),
            BindingEnd::Exchange(name) => {
                exchange(name)?;
                None
            }
        };
        Ok((source, queue))
    }
}
