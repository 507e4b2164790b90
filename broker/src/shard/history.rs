//! The last messages of `x-recent-history` exchanges, which every new binding of theirs gets.
//!
//! They are kept by the shard that owns the topology, because it alone knows when a binding is new: a message that comes
//! from another shard before that shard has heard of the binding belongs to the history or is routed, never both.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use leveret_core::message::Message;
use leveret_core::topology::{Applied, Binding, BindingEnd, TopologyChange};
use leveret_core::{FastMap, Name, VhostId};

use super::mail::Mail;
use super::{OWNER, Shard};

/// Oldest first.
type History = VecDeque<Arc<Message>>;

/// By exchange.
#[derive(Default)]
pub struct Histories(RefCell<FastMap<(VhostId, Name), History>>);

impl Histories {
    fn push(&self, vhost: VhostId, exchange: Name, message: Arc<Message>, length_max: usize) {
        let mut histories = self.0.borrow_mut();
        let history = histories.entry((vhost, exchange)).or_default();
        history.push_back(message);
        while history.len() > length_max {
            history.pop_front();
        }
    }

    fn of(&self, vhost: VhostId, exchange: &Name) -> Vec<Arc<Message>> {
        self.0.borrow().get(&(vhost, exchange.clone())).into_iter().flatten().cloned().collect()
    }

    fn forget(&self, vhost: VhostId, exchange: &Name) {
        self.0.borrow_mut().remove(&(vhost, exchange.clone()));
    }

    fn forget_vhost(&self, vhost: VhostId) {
        self.0.borrow_mut().retain(|(of, _), _| *of != vhost);
    }

    /// Bytes of the messages that are kept.
    pub fn bytes(&self) -> u64 {
        self.0.borrow().values().flatten().map(|message| message.size() as u64).sum()
    }
}

impl Shard {
    /// Adds a message to an exchange's history.
    pub(super) fn keep_for_later(&self, vhost: VhostId, exchange: Name, message: Arc<Message>) {
        if self.id != OWNER {
            return self.send(OWNER, Mail::Keep(vhost, exchange, message));
        }
        let topology = self.topology.borrow();
        let length = topology.vhost(vhost).ok().and_then(|vhost| vhost.history_length(&exchange));
        if let Some(length) = length {
            self.histories.push(vhost, exchange, message, length);
        }
    }

    /// A change was applied on the owner: new bindings get their exchange's history, and what is gone has none.
    pub(super) fn update_histories(self: &Rc<Self>, change: &TopologyChange, applied: &Applied) {
        match change {
            TopologyChange::Bound { vhost, binding } => self.replay(*vhost, binding),
            TopologyChange::ExchangeDeleted { vhost, name } => self.forget_exchange(*vhost, name),
            TopologyChange::VhostRemoved { id } => {
                self.histories.forget_vhost(*id);
                self.delays.forget(*id, None);
            }
            TopologyChange::QueueDeleted { vhost, .. } | TopologyChange::Unbound { vhost, .. } => {
                applied.exchanges_removed.iter().for_each(|record| self.forget_exchange(*vhost, &record.name));
            }
            _ => {}
        }
    }

    fn forget_exchange(&self, vhost: VhostId, name: &Name) {
        self.histories.forget(vhost, name);
        self.delays.forget(vhost, Some(name));
    }

    fn replay(self: &Rc<Self>, vhost: VhostId, binding: &Binding) {
        if self.id != OWNER {
            return;
        }
        for message in self.histories.of(vhost, &binding.source) {
            match &binding.destination {
                BindingEnd::Exchange(name) => self.republish(vhost, name, &message, false),
                BindingEnd::Queue(name) => {
                    let topology = self.topology.borrow();
                    let queue = topology.vhost(vhost).ok().and_then(|vhost| vhost.queue(name));
                    let destination = queue.map(|queue| queue.destination());
                    drop(topology);
                    destination.into_iter().for_each(|destination| self.hand(destination, &message));
                }
            }
        }
    }
}
