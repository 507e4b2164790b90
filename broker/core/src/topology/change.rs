//! The values by which topologies change, and their application.

use std::sync::Arc;

use crate::exchange::ExchangeRecord;
use crate::ids::{Name, VhostId};
use crate::value::Arguments;

use super::{QueueRecord, Topology, Vhost};

/// One fact to apply, send to the replicas, and store. Names rather than numbers where it is to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants' names say what their fields are")]
pub enum TopologyChange {
    VhostAdded {
        id: VhostId,
        name: Name,
    },
    VhostRemoved {
        id: VhostId,
    },
    /// How many queues it may have from now on; those that are there stay.
    VhostLimited {
        id: VhostId,
        queues_max: Option<u64>,
    },
    ExchangeDeclared {
        vhost: VhostId,
        record: Arc<ExchangeRecord>,
    },
    ExchangeDeleted {
        vhost: VhostId,
        name: Name,
    },
    QueueDeclared {
        vhost: VhostId,
        record: Arc<QueueRecord>,
    },
    QueueDeleted {
        vhost: VhostId,
        name: Name,
    },
    Bound {
        vhost: VhostId,
        binding: Binding,
    },
    Unbound {
        vhost: VhostId,
        binding: Binding,
    },
}

/// The far end of a binding, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BindingEnd {
    /// A queue.
    Queue(Name),
    /// An exchange.
    Exchange(Name),
}

/// A binding: messages published to `source` that match go on to `destination`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// An exchange.
    pub source: Name,
    /// A queue or an exchange.
    pub destination: BindingEnd,
    /// The binding key.
    pub key: Name,
    /// Patterns and options of the exchange type.
    pub arguments: Arguments,
}

/// What went along with an applied change, beyond what it says itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Bindings that lost an end.
    pub bindings_removed: Vec<Binding>,
    /// Auto-delete exchanges that lost their last binding.
    pub exchanges_removed: Vec<Arc<ExchangeRecord>>,
    /// Queues of a removed virtual host.
    pub queues_removed: Vec<Arc<QueueRecord>>,
}

impl Topology {
    /// Makes a change. One that refers to something that is not there (any more) does nothing, so that replaying a
    /// store's facts is safe.
    pub fn apply(&mut self, change: &TopologyChange) -> Applied {
        self.epoch += 1;
        let mut applied = Applied::default();
        match change {
            TopologyChange::VhostAdded { id, name } => {
                let place = id.0 as usize;
                self.vhosts.resize_with(self.vhosts.len().max(place + 1), || None);
                self.vhosts[place] = Some(Box::new(Vhost::new(*id, name.clone())));
                self.vhost_names.insert(name.clone(), *id);
            }
            TopologyChange::VhostRemoved { id } => self.remove_whole_vhost(*id, &mut applied),
            TopologyChange::VhostLimited { id, queues_max } => {
                self.with_vhost(*id, |vhost| vhost.set_queues_max(*queues_max));
            }
            TopologyChange::QueueDeclared { vhost, record } => self.add_queue(*vhost, record),
            TopologyChange::QueueDeleted { vhost, name } => self.remove_queue(*vhost, name, &mut applied),
            TopologyChange::ExchangeDeclared { vhost, record } => {
                self.with_vhost(*vhost, |vhost| vhost.add_exchange(record.clone()));
            }
            TopologyChange::ExchangeDeleted { vhost, name } => {
                self.with_vhost(*vhost, |vhost| vhost.remove_exchange(name, &mut applied));
            }
            TopologyChange::Bound { vhost, binding } => self.with_vhost(*vhost, |vhost| vhost.bind(binding)),
            TopologyChange::Unbound { vhost, binding } => {
                self.with_vhost(*vhost, |vhost| vhost.unbind(binding, &mut applied));
            }
        }
        applied
    }

    fn vhost_mut(&mut self, id: VhostId) -> Option<&mut Vhost> {
        self.vhosts.get_mut(id.0 as usize)?.as_deref_mut()
    }

    pub(super) fn with_vhost(&mut self, id: VhostId, change: impl FnOnce(&mut Vhost)) {
        if let Some(vhost) = self.vhost_mut(id) {
            change(vhost);
        }
    }

    fn remove_whole_vhost(&mut self, id: VhostId, applied: &mut Applied) {
        let Some(vhost) = self.vhosts.get_mut(id.0 as usize).and_then(Option::take) else { return };
        self.vhost_names.remove(vhost.name());
        applied.queues_removed = vhost.queues().cloned().collect();
        for record in &applied.queues_removed {
            self.forget_exclusive(id, record);
        }
    }

    fn add_queue(&mut self, id: VhostId, record: &Arc<QueueRecord>) {
        let Some(vhost) = self.vhost_mut(id) else { return };
        let is_new = vhost.add_queue(record.clone());
        self.next_queue = self.next_queue.max(record.id.0 + 1);
        if is_new && let Some(owner) = record.exclusive_owner {
            self.exclusive.entry(owner).or_default().push((id, record.id));
        }
    }

    fn remove_queue(&mut self, id: VhostId, name: &str, applied: &mut Applied) {
        let Some(vhost) = self.vhost_mut(id) else { return };
        if let Some(record) = vhost.remove_queue(name, applied) {
            self.forget_exclusive(id, &record);
        }
    }

    fn forget_exclusive(&mut self, vhost: VhostId, record: &QueueRecord) {
        let Some(owner) = record.exclusive_owner else { return };
        let Some(queues) = self.exclusive.get_mut(&owner) else { return };
        queues.retain(|queue| *queue != (vhost, record.id));
        if queues.is_empty() {
            self.exclusive.remove(&owner);
        }
    }
}
