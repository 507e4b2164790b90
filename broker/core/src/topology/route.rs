//! From a publish to the queues that get it, each once.
//!
//! Exchanges are visited breadth first, each once, so cycles end. An exchange that finds no target at all passes the message to its
//! alternate exchange, if that exists.

use crate::error::{Error, Resource};
use crate::exchange::{Destination, Target, TopicScratch};
use crate::ids::{ExchangeId, VhostId};
use crate::value::Arguments;

use super::{Topology, Vhost};

/// What routing looks at.
#[derive(Clone, Copy, Debug)]
pub struct Publish<'a> {
    /// The exchange's name.
    pub exchange: &'a str,
    /// The routing key.
    pub routing_key: &'a str,
    /// The strings of the CC and BCC headers.
    pub more_keys: &'a [Box<str>],
    /// The headers table; only needed if [`Topology::needs_headers`]. `None` is an empty one.
    pub headers: Option<&'a Arguments>,
}

/// Routes messages; keeps its buffers from one to the next. One for each shard.
#[derive(Debug, Default)]
pub struct Router {
    destinations: Vec<Destination>,
    targets: Vec<Target>,
    visited: Vec<ExchangeId>,
    topic: TopicScratch,
}

impl Router {
    /// Computes where a message goes; empty if it is unroutable. The order is the same on every replica and means nothing.
    ///
    /// Whether a client may publish there ([`Topology::check_publish`]) is not asked: dead letters go to internal exchanges too.
    pub fn route(
        &mut self,
        topology: &Topology,
        vhost: VhostId,
        publish: &Publish<'_>,
    ) -> Result<&[Destination], Error> {
        self.destinations.clear();
        let vhost = topology.vhost(vhost)?;
        if publish.exchange.is_empty() {
            self.route_by_queue_name(vhost, publish);
        } else {
            // A default exchange is also reached as somebody's alternate.
            let start = vhost.exchange_id(publish.exchange);
            let start = start.ok_or_else(|| Error::NotFound(Resource::exchange(vhost.name(), publish.exchange)))?;
            self.route_by_bindings(vhost, start, publish);
        }
        if self.destinations.len() > 1 {
            self.remove_duplicates();
        }
        Ok(&self.destinations)
    }

    fn route_by_queue_name(&mut self, vhost: &Vhost, publish: &Publish<'_>) {
        for key in keys(publish) {
            let queue = vhost.queue(key).map(|record| record.destination());
            self.destinations.extend(queue);
        }
    }

    fn route_by_bindings(&mut self, vhost: &Vhost, start: ExchangeId, publish: &Publish<'_>) {
        self.visited.clear();
        self.visited.push(start);
        let mut index = 0;
        while let Some(id) = self.visited.get(index).copied() {
            index += 1;
            self.visit(vhost, id, publish);
        }
    }

    fn visit(&mut self, vhost: &Vhost, id: ExchangeId, publish: &Publish<'_>) {
        let Some(node) = vhost.node(id) else { return };
        if node.exchange.record.name.is_empty() {
            return self.route_by_queue_name(vhost, publish);
        }
        self.targets.clear();
        for key in keys(publish) {
            node.exchange.matches(key, publish.headers, &mut self.topic, &mut self.targets);
        }
        if self.targets.is_empty()
            && let Some(alternate) = &node.exchange.record.alternate
        {
            self.targets.extend(vhost.exchange_id(alternate).map(Target::Exchange));
        }
        for target in &self.targets {
            match target {
                Target::Queue(destination) => self.destinations.push(*destination),
                Target::Exchange(next) if !self.visited.contains(next) => self.visited.push(*next),
                Target::Exchange(_) => {}
            }
        }
    }

    fn remove_duplicates(&mut self) {
        self.destinations.sort_unstable();
        self.destinations.dedup();
    }
}

fn keys<'a>(publish: &Publish<'a>) -> impl Iterator<Item = &'a str> {
    std::iter::once(publish.routing_key).chain(publish.more_keys.iter().map(|key| &**key))
}

impl Topology {
    /// Whether a client may publish to an exchange: it must be there and not be internal.
    pub fn check_publish(&self, vhost: VhostId, exchange: &str) -> Result<(), Error> {
        let vhost = self.vhost(vhost)?;
        let resource = || Resource::exchange(vhost.name(), exchange);
        match vhost.exchange(exchange) {
            None => Err(Error::NotFound(resource())),
            Some(record) if record.internal => Err(Error::InternalExchange(resource())),
            Some(_) => Ok(()),
        }
    }

    /// Whether the headers table takes part in routing a message published there. May be true without need, if the message can go on to
    /// other exchanges.
    pub fn needs_headers(&self, vhost: VhostId, exchange: &str) -> bool {
        let node = self.vhost(vhost).ok().and_then(|vhost| vhost.exchange_named(exchange));
        node.is_some_and(|node| node.exchange.reads_headers() || node.exchange.leads_on())
    }
}
