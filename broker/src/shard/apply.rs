//! A change on one shard: the replicas, the queues that live here, the clients that it concerns.

use std::rc::Rc;
use std::sync::Arc;

use leveret_core::access::limit::VhostLimit;
use leveret_core::access::policy::Subject;
use leveret_core::access::{Access, AccessChange};
use leveret_core::topology::{Applied, QueueRecord, Topology, TopologyChange};
use leveret_core::{Name, QueueId, VhostId};

use super::Shard;
use super::address::QueueAddress;
use super::queues::Command;
use super::quota::Quota;
use super::replication::Change;
use crate::metadata::{Op, Recovered, TopologyOps, access_ops};

impl Shard {
    /// This shard's copy of users, permissions, policies and limits, as of now.
    pub fn access(&self) -> Arc<Access> {
        self.access.borrow().clone()
    }

    /// Counts the changes to that copy: what was derived from it before another number is stale.
    #[inline]
    pub fn access_epoch(&self) -> u64 {
        self.access.borrow().epoch()
    }

    /// Makes the state that was stored. Before any client is served, on every shard alike.
    pub fn recover(self: &Rc<Self>, recovered: &Recovered) {
        self.topology.borrow_mut().set_exchanges_max(self.config.limits.exchange_max);
        for change in &recovered.access {
            self.apply_to_access(change);
        }
        for change in &recovered.topology {
            self.apply_to_topology(change);
        }
        self.topology.borrow_mut().reserve_queues(QueueId(recovered.next_queue));
    }

    /// Changes this shard's copies, the queues that live here, and whom else it concerns. Answers what is to be stored of it,
    /// on the owner's shard.
    pub(super) fn apply(self: &Rc<Self>, change: &Change) -> Vec<Op> {
        match change {
            Change::Topology(change) => {
                let ops = TopologyOps::before(&self.topology.borrow(), change);
                let applied = self.apply_to_topology(change);
                ops.after(&applied)
            }
            Change::Access(change) => {
                let ops = access_ops(&self.access.borrow(), change);
                self.apply_to_access(change);
                ops
            }
        }
    }

    // ---- access

    fn access_mut(&self, change: impl FnOnce(&mut Access)) {
        change(Arc::make_mut(&mut *self.access.borrow_mut()));
    }

    fn apply_to_access(self: &Rc<Self>, change: &AccessChange) {
        self.access_mut(|access| access.apply(change));
        match change {
            AccessChange::VhostSet { .. } | AccessChange::VhostRemoved { .. } | AccessChange::VhostLimited { .. } => {
                let counterpart = counterpart(&self.topology.borrow(), change);
                counterpart.iter().for_each(|change| drop(self.apply_to_topology(change)));
                self.note_traced();
                if let AccessChange::VhostLimited { name, .. } | AccessChange::VhostRemoved { name } = change {
                    self.report_quotas(vec![Quota::VhostConnections(name.clone())]);
                }
            }
            AccessChange::UserLimited { name, .. } => self.report_quotas_of_user(name),
            AccessChange::PolicySet { vhost, .. } | AccessChange::PolicyRemoved { vhost, .. } => {
                self.apply_policies(vhost);
            }
            AccessChange::UserRemoved { name } => {
                self.report_quotas_of_user(name);
                self.close_clients(&format!("user '{name}' was deleted"), |client| {
                    client.user().as_ref() == Some(name)
                });
            }
            _ => {}
        }
    }

    /// Finds out anew which virtual hosts are traced.
    fn note_traced(&self) {
        let (access, topology) = (self.access.borrow(), self.topology.borrow());
        let traced = access.vhosts().filter(|(_, vhost)| vhost.settings.tracing);
        *self.traced.borrow_mut() = traced.filter_map(|(name, _)| topology.vhost_id(name)).collect();
        self.is_any_traced.set(!self.traced.borrow().is_empty());
    }

    /// Whether copies of a virtual host's messages go to `amq.rabbitmq.trace`.
    #[inline]
    pub fn is_traced(&self, vhost: VhostId) -> bool {
        self.is_any_traced.get() && self.traced.borrow().contains(&vhost)
    }

    fn report_quotas_of_user(self: &Rc<Self>, name: &Name) {
        self.report_quotas(vec![Quota::UserConnections(name.clone()), Quota::UserChannels(name.clone())]);
    }

    /// Asks clients to go.
    fn close_clients(&self, reason: &str, concerned: impl Fn(&dyn super::Client) -> bool) {
        let clients = self.clients();
        clients.into_iter().filter(|client| concerned(&**client)).for_each(|client| client.force_close(reason));
    }

    // ---- policies

    /// Brings the exchanges of this replica and the queues that live here in line with the policies of a virtual host.
    fn apply_policies(self: &Rc<Self>, vhost: &str) {
        let topology = self.topology.borrow();
        let Some(id) = topology.vhost_id(vhost) else { return };
        let Ok(host) = topology.vhost(id) else { return };
        let exchanges: Vec<Name> = host.exchanges().map(|record| record.name.clone()).collect();
        let queues: Vec<_> = host.queues().filter(|record| record.shard == self.id).cloned().collect();
        drop(topology);
        exchanges.iter().for_each(|name| self.apply_policy_to_exchange(id, vhost, name));
        queues.iter().for_each(|record| self.apply_policy_to_queue(vhost, record));
    }

    fn apply_policy_to_exchange(&self, id: VhostId, vhost: &str, name: &str) {
        let alternate = self.access.borrow().effective(vhost, Subject::Exchange { name }).alternate_exchange();
        self.topology.borrow_mut().set_alternate(id, name, alternate);
    }

    fn apply_policy_to_queue(self: &Rc<Self>, vhost: &str, record: &QueueRecord) {
        let subject = Subject::Queue { name: &record.name, kind: record.kind().as_str() };
        let effective = self.access.borrow().effective(vhost, subject);
        let settings = effective.queue_settings(&record.arguments, &record.settings);
        self.command_here(record.id, Command::Reconfigure { settings: Box::new(settings) });
    }

    // ---- topology

    fn apply_to_topology(self: &Rc<Self>, change: &TopologyChange) -> Applied {
        let ended = match change {
            TopologyChange::QueueDeleted { vhost, name } => self.queue_here(*vhost, name),
            _ => None,
        };
        if let TopologyChange::VhostRemoved { id } = change {
            self.close_clients_of_vhost(*id);
        }
        let applied: Applied = self.topology.borrow_mut().apply(change);
        match change {
            TopologyChange::QueueDeclared { vhost, record } => self.queue_declared(*vhost, record),
            TopologyChange::ExchangeDeclared { vhost, record } => {
                let host = self.vhost_name(*vhost);
                host.into_iter().for_each(|host| self.apply_policy_to_exchange(*vhost, &host, &record.name));
            }
            _ => {}
        }
        self.update_histories(change, &applied);
        let removed = applied.queues_removed.iter().filter(|record| record.shard == self.id).map(|record| record.id);
        for queue in ended.into_iter().chain(removed) {
            self.end_queue(queue);
        }
        applied
    }

    fn close_clients_of_vhost(&self, id: VhostId) {
        if let Some(name) = self.vhost_name(id) {
            self.close_clients(&format!("vhost '{name}' was deleted"), |client| client.vhost() == Some(id));
        }
    }

    /// Makes a queue that is to live on this shard, and does what was asked of it before this shard had heard of it.
    fn queue_declared(self: &Rc<Self>, vhost: VhostId, record: &Arc<QueueRecord>) {
        let topology = self.topology.borrow();
        // Applying it may have done nothing: the name was taken, and then that queue lives on.
        let current = topology.vhost(vhost).ok().and_then(|host| host.queue(&record.name));
        let lives_here = record.shard == self.id && current.is_some_and(|current| current.id == record.id);
        drop(topology);
        if lives_here && let Some(host) = self.vhost_name(vhost) {
            self.queues.add(&host, vhost, record, self.now());
            self.apply_policy_to_queue(&host, record);
        }
        for command in self.queues.note_declared(record.id) {
            self.command_here(record.id, command);
        }
    }

    fn vhost_name(&self, id: VhostId) -> Option<Name> {
        self.topology.borrow().vhost(id).ok().map(|host| host.name().clone())
    }

    /// The queue of that name, if it lives on this shard.
    fn queue_here(&self, vhost: VhostId, name: &str) -> Option<QueueId> {
        let topology = self.topology.borrow();
        let record = topology.vhost(vhost).ok()?.queue(name)?;
        (QueueAddress::of(record).shard == self.id).then_some(record.id)
    }
}

/// A virtual host is in the topology too. Every replica works that out alike, so it is not sent.
fn counterpart(topology: &Topology, change: &AccessChange) -> Option<TopologyChange> {
    match change {
        AccessChange::VhostSet { name, .. } => topology.add_vhost(name),
        AccessChange::VhostRemoved { name } => topology.remove_vhost(name),
        AccessChange::VhostLimited { name, limits } => topology.limit_vhost(name, limits.of(VhostLimit::MaxQueues)),
        _ => None,
    }
}
