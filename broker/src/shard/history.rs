//! The last messages of `x-recent-history` exchanges, which every new binding of theirs gets.
//!
//! They are kept by the shard that owns the topology, because it alone knows when a binding is new. What comes from another shard before
//! that shard has applied the binding was not routed by it, so it belongs to the history as that binding sees it. Therefore a binding
//! stays *fresh* until all shards have applied it, and only then, before bind-ok, gets the last messages: each once, and in order.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use leveret_core::message::Message;
use leveret_core::topology::{Applied, Binding, BindingEnd, TopologyChange};
use leveret_core::{FastMap, Name, ShardId, VhostId};

use super::mail::Mail;
use super::{OWNER, Shard};

/// Oldest first.
type History = VecDeque<Arc<Message>>;

/// By exchange; and the bindings that some shard has not applied yet.
#[derive(Default)]
pub struct Histories(RefCell<FastMap<(VhostId, Name), History>>, RefCell<Vec<Fresh>>);

struct Fresh {
    /// Of the change that made it.
    number: u64,
    vhost: VhostId,
    binding: Binding,
    /// What it is to get.
    messages: History,
    length_max: usize,
}

fn push(history: &mut History, message: Arc<Message>, length_max: usize) {
    history.push_back(message);
    while history.len() > length_max {
        history.pop_front();
    }
}

impl Histories {
    fn push(&self, vhost: VhostId, exchange: Name, message: Arc<Message>, length_max: usize) {
        let mut histories = self.0.borrow_mut();
        push(histories.entry((vhost, exchange)).or_default(), message, length_max);
    }

    fn of(&self, vhost: VhostId, exchange: &Name) -> History {
        self.0.borrow().get(&(vhost, exchange.clone())).cloned().unwrap_or_default()
    }

    fn forget(&self, vhost: VhostId, exchange: &Name) {
        self.0.borrow_mut().remove(&(vhost, exchange.clone()));
    }

    fn forget_vhost(&self, vhost: VhostId) {
        self.0.borrow_mut().retain(|(of, _), _| *of != vhost);
    }

    /// A shard that has applied the changes up to this one has routed a message, without the bindings that came later.
    fn push_late(&self, applied: u64, vhost: VhostId, exchange: &Name, message: &Arc<Message>) {
        let mut fresh = self.1.borrow_mut();
        let late = fresh.iter_mut();
        let late = late.filter(|it| it.number > applied && it.vhost == vhost && it.binding.source == *exchange);
        late.for_each(|it| push(&mut it.messages, message.clone(), it.length_max));
    }

    /// Those that all shards have applied.
    fn no_longer_fresh(&self, applied: u64) -> Vec<Fresh> {
        self.1.borrow_mut().extract_if(.., |it| it.number <= applied).collect()
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
            return self.send(OWNER, Mail::Keep(self.id, vhost, exchange, message));
        }
        let topology = self.topology.borrow();
        let length = topology.vhost(vhost).ok().and_then(|vhost| vhost.history_length(&exchange));
        if let Some(length) = length {
            self.histories.push(vhost, exchange, message, length);
        }
    }

    /// The same on the owner, for what another shard has routed with the bindings that it knew.
    pub(super) fn keep_of(&self, shard: ShardId, vhost: VhostId, exchange: Name, message: Arc<Message>) {
        self.histories.push_late(self.applied_by(shard), vhost, &exchange, &message);
        self.keep_for_later(vhost, exchange, message);
    }

    /// A change was applied on the owner: new bindings get their exchange's history, and what is gone has none.
    pub(super) fn update_histories(self: &Rc<Self>, change: &TopologyChange, applied: &Applied) {
        match change {
            TopologyChange::Bound { vhost, binding } => self.replay(*vhost, binding),
            TopologyChange::ExchangeDeleted { vhost, name } => self.forget_exchange(*vhost, name),
            TopologyChange::VhostRemoved { id } => {
                self.tally.forget_vhost(*id);
                self.histories.forget_vhost(*id);
                self.forget_delays(*id, None);
            }
            TopologyChange::QueueDeleted { vhost, .. } | TopologyChange::Unbound { vhost, .. } => {
                applied.exchanges_removed.iter().for_each(|record| self.forget_exchange(*vhost, &record.name));
            }
            _ => {}
        }
    }

    fn forget_exchange(&self, vhost: VhostId, name: &Name) {
        self.histories.forget(vhost, name);
        self.forget_delays(vhost, Some(name));
    }

    fn replay(self: &Rc<Self>, vhost: VhostId, binding: &Binding) {
        if self.id != OWNER {
            return;
        }
        let topology = self.topology.borrow();
        let length = topology.vhost(vhost).ok().and_then(|vhost| vhost.history_length(&binding.source));
        drop(topology);
        let Some(length_max) = length else { return };
        let messages = self.histories.of(vhost, &binding.source);
        let fresh = Fresh { number: self.next_change(), vhost, binding: binding.clone(), messages, length_max };
        match self.count() {
            1 => self.replay_all(&fresh),
            _ => self.histories.1.borrow_mut().push(fresh),
        }
    }

    /// All shards have applied the changes up to this one.
    pub(super) fn replay_histories(self: &Rc<Self>, applied: u64) {
        let known = self.histories.no_longer_fresh(applied);
        known.iter().for_each(|fresh| self.replay_all(fresh));
    }

    fn replay_all(self: &Rc<Self>, fresh: &Fresh) {
        fresh.messages.iter().for_each(|message| self.replay_one(fresh.vhost, &fresh.binding, message));
    }

    fn replay_one(self: &Rc<Self>, vhost: VhostId, binding: &Binding, message: &Arc<Message>) {
        match &binding.destination {
            BindingEnd::Exchange(name) => self.republish(vhost, name, message),
            BindingEnd::Queue(name) => {
                let topology = self.topology.borrow();
                let queue = topology.vhost(vhost).ok().and_then(|vhost| vhost.queue(name));
                let destination = queue.map(|queue| queue.destination());
                drop(topology);
                destination.into_iter().for_each(|destination| self.hand(destination, message));
            }
        }
    }
}
