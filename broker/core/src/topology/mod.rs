//! What exists: virtual hosts with their exchanges, queues (the directory, not their messages) and bindings.
//!
//! One shard owns the topology; every shard holds a replica. A command is *checked* against the owner's copy (`&self`,
//! nothing changes), which yields an error, "it is so already", or a [`TopologyChange`]. The change is *applied* to the
//! owner's copy and, as a value, to each replica in the same order, so all copies go through the same states:
//!
//! ```text
//!   owner:     declare_queue(..) -> New(record, change) -> store it -> apply -> send to all -> answer when all have it
//!   replicas:                                                          apply
//! ```
//!
//! Between a check and its `apply` no other change may come in: the owner must not park there (or must queue its
//! commands). What follows from a change (a deleted queue's bindings, auto-delete exchanges left empty) every copy
//! works out by itself; [`Applied`] tells what it was.
//!
//! Numbers ([`QueueId`], [`VhostId`], [`ExchangeId`](crate::ExchangeId)) follow from the order of changes. The topology
//! knows neither permissions nor messages, and of a queue only who owns it.

mod bindings;
mod cache;
mod change;
mod exchanges;
mod explain;
#[cfg(test)]
mod oracle;
mod queues;
mod route;
#[cfg(test)]
mod tests;
mod vhost;

pub use bindings::Bind;
pub use change::{Applied, Binding, BindingEnd, TopologyChange};
pub use exchanges::ExchangeDeclare;
pub use explain::{Explanation, Hop, Verdict};
pub use queues::{NAME_PREFIX_MAX, QueueDeclare, QueueRecord, server_made_name};
pub use route::{Aside, Publish, PublishPoint, Router};
pub use vhost::Vhost;

use std::borrow::Cow;

use crate::error::Error;
use crate::hash::FastMap;
use crate::ids::{ConnectionId, Name, QueueId, VhostId};

/// Names that only the broker may create begin with this.
pub const RESERVED_PREFIX: &str = "amq.";

/// The outcome of a declare.
#[derive(Clone, Debug)]
pub enum Declared<R> {
    /// There already, and equivalent (or only asked for).
    Existing(R),
    /// To be made by applying the change.
    New(R, TopologyChange),
}

impl<R> Declared<R> {
    /// The record, either way.
    pub fn record(&self) -> &R {
        match self {
            Self::Existing(record) | Self::New(record, _) => record,
        }
    }
}

/// See the module's description.
#[derive(Debug, Default)]
pub struct Topology {
    /// By number.
    vhosts: Vec<Option<Box<Vhost>>>,
    vhost_names: FastMap<Name, VhostId>,
    exclusive: FastMap<ConnectionId, Vec<(VhostId, QueueId)>>,
    next_queue: u64,
    exchanges_max: Option<u64>,
    epoch: u64,
}

impl Topology {
    /// Nothing yet, not even a virtual host.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts the changes, also those that policies make: what was learned of routes holds while it is the same.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The virtual host of that name.
    pub fn vhost_id(&self, name: &str) -> Option<VhostId> {
        self.vhost_names.get(name).copied()
    }

    /// A virtual host.
    pub fn vhost(&self, id: VhostId) -> Result<&Vhost, Error> {
        self.vhosts.get(id.0 as usize).and_then(Option::as_deref).ok_or(Error::NoVhost)
    }

    /// All virtual hosts, oldest first.
    pub fn vhosts(&self) -> impl Iterator<Item = (VhostId, &Vhost)> {
        (0..).map(VhostId).zip(&self.vhosts).filter_map(|(id, vhost)| Some((id, vhost.as_deref()?)))
    }

    /// Adds a virtual host with its predeclared exchanges; `None` if there is one of that name.
    pub fn add_vhost(&self, name: &str) -> Option<TopologyChange> {
        let is_new = !self.vhost_names.contains_key(name);
        is_new.then(|| {
            let id = u32::try_from(self.vhosts.len()).expect("memory ends before four billion virtual hosts");
            TopologyChange::VhostAdded { id: VhostId(id), name: name.into() }
        })
    }

    /// Removes a virtual host with everything in it; `None` if there is none of that name.
    pub fn remove_vhost(&self, name: &str) -> Option<TopologyChange> {
        Some(TopologyChange::VhostRemoved { id: self.vhost_id(name)? })
    }

    /// Limits a virtual host; `None` if there is none of that name.
    pub fn limit_vhost(&self, name: &str, queues_max: Option<u64>) -> Option<TopologyChange> {
        Some(TopologyChange::VhostLimited { id: self.vhost_id(name)?, queues_max })
    }

    /// Limits the number of exchanges that clients may declare, over all virtual hosts. Configuration, not a change:
    /// only the owner's checks ask for it.
    pub fn set_exchanges_max(&mut self, max: Option<u64>) {
        self.exchanges_max = max;
    }

    /// Gives the next queues numbers from `next` on: those below it belonged to queues that a store may still speak of.
    pub fn reserve_queues(&mut self, next: QueueId) {
        self.next_queue = self.next_queue.max(next.0);
    }

    /// Sets an exchange's alternate exchange from policies: not a change to send, since every replica works it out from
    /// the same policies. An exchange that has one by argument keeps it.
    pub fn set_alternate(&mut self, vhost: VhostId, exchange: &str, alternate: Option<Name>) {
        self.epoch += 1;
        self.with_vhost(vhost, |vhost| vhost.set_alternate(exchange, alternate));
    }

    /// The queues that a connection holds exclusively: to be deleted when it closes, in the order of declaration.
    pub fn exclusive_queues(&self, owner: ConnectionId) -> &[(VhostId, QueueId)] {
        self.exclusive.get(&owner).map_or(&[], Vec::as_slice)
    }
}

/// "CR and LF are removed from exchange and queue names" (RabbitMQ).
pub fn clean_name(name: &str) -> Cow<'_, str> {
    let unwanted = ['\r', '\n'];
    if name.contains(unwanted) { Cow::Owned(name.replace(unwanted, "")) } else { Cow::Borrowed(name) }
}
