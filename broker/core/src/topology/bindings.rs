//! The owner's checks for bindings.

use crate::error::{Error, Resource};
use crate::exchange::{ExchangeKind, check_pattern};
use crate::ids::{ConnectionId, Name, VhostId};
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
    /// Checks a bind; `None` if the binding is there already.
    pub fn bind(&self, bind: &Bind<'_>) -> Result<Option<TopologyChange>, Error> {
        let binding = self.binding(bind)?;
        self.check_destination(bind, &binding.destination)?;
        let vhost = self.vhost(bind.vhost)?;
        let source = vhost.exchange(&binding.source);
        let source = source.ok_or_else(|| Error::NotFound(Resource::exchange(vhost.name(), &binding.source)))?;
        if source.kind == ExchangeKind::Headers {
            check_pattern(&binding.arguments)?;
        }
        let is_new = !vhost.has_binding(&binding);
        Ok(is_new.then_some(TopologyChange::Bound { vhost: bind.vhost, binding }))
    }

    /// Checks an unbind; `None` if there is nothing to take away, whichever part is missing.
    pub fn unbind(&self, bind: &Bind<'_>) -> Result<Option<TopologyChange>, Error> {
        let binding = self.binding(bind)?;
        match self.check_destination(bind, &binding.destination) {
            Ok(()) => {}
            Err(Error::NotFound(_)) => return Ok(None),
            Err(error) => return Err(error),
        }
        let is_there = self.vhost(bind.vhost)?.has_binding(&binding);
        Ok(is_there.then_some(TopologyChange::Unbound { vhost: bind.vhost, binding }))
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

    fn check_destination(&self, bind: &Bind<'_>, destination: &BindingEnd) -> Result<(), Error> {
        match destination {
            BindingEnd::Queue(name) => self.queue(bind.vhost, name, bind.connection).map(|_| ()),
            BindingEnd::Exchange(name) => {
                let vhost = self.vhost(bind.vhost)?;
                let found = vhost.exchange(name);
                found.map(|_| ()).ok_or_else(|| Error::NotFound(Resource::exchange(vhost.name(), name)))
            }
        }
    }
}
