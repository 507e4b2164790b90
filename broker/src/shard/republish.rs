//! Messages that the broker itself publishes: the dead, the delayed, and the history of an exchange.
//!
//! Nobody waits for them: they are neither confirmed nor returned, and go nowhere if their exchange is gone.

use std::rc::Rc;
use std::sync::Arc;

use leveret_core::death::{DeathReason, redirect};
use leveret_core::exchange::Destination;
use leveret_core::message::Message;
use leveret_core::topology::{Aside, Publish as Route};
use leveret_core::{QueueId, VhostId};

use super::Shard;
use super::address::QueueAddress;
use super::delays::Place;
use super::queues::Command;

impl Shard {
    /// Publishes a dead message of a queue again, as the queue's dead-letter target says. If it is stored and goes to other
    /// shards, answers the number of the relay that says when they have it: until then it is not to be settled here.
    pub(super) fn dead_letter(
        self: &Rc<Self>,
        id: QueueId,
        message: &Arc<Message>,
        reason: DeathReason,
    ) -> Option<u64> {
        let (vhost, name, target) = self.queues.dead_letter_target(id)?;
        self.tally.dead_lettered(reason).add(1);
        let redirect = redirect(message, &name, &target, reason, self.now());
        let reborn = (self.editor.redirect)(message, &redirect);
        let (destinations, aside) = self.find(vhost, &redirect.exchange, &redirect.more_keys, &reborn, false);
        // "A target queue is skipped if the death history already contains it and no entry back to it is a rejection."
        let targets: Vec<Destination> =
            destinations.into_iter().filter(|it| !self.is_cycle(vhost, it.queue, &redirect.deaths)).collect();
        let relay = self.hand_to_all(&targets, &reborn, message.persistent && self.stored.is_attached());
        self.set_aside(vhost, &aside, &reborn);
        relay
    }

    /// Gives a message to queues. If it is stored here and goes to other shards, answers the number of the relay that says when
    /// they have it.
    fn hand_to_all(self: &Rc<Self>, targets: &[Destination], message: &Arc<Message>, is_stored: bool) -> Option<u64> {
        let away = targets.iter().filter(|it| it.shard != self.id).count();
        let relay = (away > 0 && is_stored).then(|| self.stored.relays.begin(away));
        for target in targets {
            let queue = QueueAddress { shard: target.shard, queue: target.queue };
            let confirm = relay.filter(|_| target.shard != self.id).map(|number| (self.relay_address(), number));
            self.command(queue, Command::Publish { message: message.clone(), confirm });
        }
        relay
    }

    /// Publishes a message that has waited at an exchange; `place` is where it is stored, if it is.
    pub(super) fn publish_waited(
        self: &Rc<Self>,
        vhost: VhostId,
        exchange: &str,
        message: &Arc<Message>,
        place: Option<Place>,
    ) {
        let (destinations, aside) = self.find_again(vhost, exchange, message, true);
        let relay = self.hand_to_all(&destinations, message, place.is_some());
        self.set_aside(vhost, &aside, message);
        match (place, relay) {
            (Some(place), Some(relay)) => self.stored.relays.settle_after(relay, place.queue, place.seq),
            (Some(place), None) => self.stored.settle(place.queue, place.seq, place.seq),
            (None, _) => {}
        }
    }

    fn is_cycle(&self, vhost: VhostId, queue: QueueId, deaths: &leveret_core::death::DeathHistory) -> bool {
        let topology = self.topology.borrow();
        let record = topology.vhost(vhost).ok().and_then(|vhost| vhost.queue_by_id(queue));
        record.is_some_and(|record| deaths.is_cycle(&record.name))
    }

    /// Publishes a message that was published before: from `exchange`, once more, or on from there.
    pub fn republish(self: &Rc<Self>, vhost: VhostId, exchange: &str, message: &Arc<Message>) {
        let (destinations, aside) = self.find_again(vhost, exchange, message, false);
        for destination in destinations {
            self.hand(destination, message);
        }
        self.set_aside(vhost, &aside, message);
    }

    fn find_again(
        &self,
        vhost: VhostId,
        exchange: &str,
        message: &Message,
        has_waited: bool,
    ) -> (Vec<Destination>, Aside) {
        let keys: Vec<_> = message.cc_keys().iter().chain(message.bcc_keys()).cloned().collect();
        self.find(vhost, exchange, &keys, message, has_waited)
    }

    /// Gives a message to a queue, wherever it lives.
    pub(super) fn hand(self: &Rc<Self>, destination: Destination, message: &Arc<Message>) {
        let queue = QueueAddress { shard: destination.shard, queue: destination.queue };
        self.command(queue, Command::Publish { message: message.clone(), confirm: None });
    }

    /// Where a message goes, and what else its exchanges do with it; nowhere if the exchange does not exist.
    pub fn find(
        &self,
        vhost: VhostId,
        exchange: &str,
        more_keys: &[Box<str>],
        message: &Message,
        has_waited: bool,
    ) -> (Vec<Destination>, Aside) {
        let topology = self.topology.borrow();
        let Ok(point) = topology.publish_point(vhost, exchange) else { return Default::default() };
        let details = point.needs_headers().then(|| (self.editor.details)(message));
        let route = Route {
            exchange,
            routing_key: message.routing_key_text(),
            more_keys,
            headers: details.as_ref().map(|details| &details.headers),
            identity: details.as_ref().map(|details| details.identity()).unwrap_or_default(),
            has_waited,
        };
        let mut router = self.router.borrow_mut();
        let destinations = router.route_from(point, &route).to_vec();
        (destinations, router.aside().clone())
    }

    /// Does for a message what its exchanges do besides routing it.
    pub fn set_aside(self: &Rc<Self>, vhost: VhostId, aside: &Aside, message: &Arc<Message>) {
        for (exchange, delay_ms) in &aside.delayed {
            self.delay(vhost, exchange.clone(), message, self.now().plus_ms(*delay_ms));
        }
        for exchange in &aside.kept {
            self.keep_for_later(vhost, exchange.clone(), message.clone());
        }
    }
}
