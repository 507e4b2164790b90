//! From a publish to the queues that get it, each once.
//!
//! Exchanges are visited breadth first, each once, so cycles end. An exchange that finds no target at all passes the
//! message to its alternate exchange, if that exists. Routes through a single topic exchange are remembered.

use crate::error::{Error, Resource};
use crate::exchange::{Destination, ExchangeRecord, Identity, Subject, Target, TopicScratch, delay_ms};
use crate::ids::{ExchangeId, Name, VhostId};
use crate::value::Arguments;

use super::cache::{Question, RouteCache};
use super::vhost::ExchangeNode;
use super::{Topology, Vhost};

/// What routing looks at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Publish<'a> {
    /// The exchange's name.
    pub exchange: &'a str,
    /// The routing key.
    pub routing_key: &'a str,
    /// The strings of the CC and BCC headers.
    pub more_keys: &'a [Box<str>],
    /// The headers table; only needed if [`Topology::needs_headers`]. `None` is an empty one.
    pub headers: Option<&'a Arguments>,
    /// Properties that may decide; needed with the headers.
    pub identity: Identity<'a>,
    /// It has waited as long as its header says, or must not.
    pub has_waited: bool,
}

/// An exchange that messages are published to, looked up once for all that is asked of it.
#[derive(Clone, Copy, Debug)]
pub struct PublishPoint<'a> {
    vhost: &'a Vhost,
    /// `None` for the default exchange.
    exchange: Option<(ExchangeId, &'a ExchangeNode)>,
}

impl<'a> PublishPoint<'a> {
    /// Whether the headers table takes part in routing. May be true without need, if messages can go on to other
    /// exchanges.
    #[inline]
    pub fn needs_headers(&self) -> bool {
        self.exchange.is_some_and(|(_, node)| node.exchange.reads_headers() || node.exchange.leads_on())
    }

    /// Whether messages go the same way for as long as they have the same key and the topology its
    /// [epoch](Topology::epoch), and nothing is done to them aside.
    #[inline]
    pub fn is_steady(&self) -> bool {
        self.exchange.is_none_or(|(_, node)| node.exchange.is_steady())
    }

    /// Its record; `None` for the default exchange.
    pub fn record(&self) -> Option<&'a ExchangeRecord> {
        self.exchange.map(|(_, node)| &*node.exchange.record)
    }
}

impl Topology {
    /// Where to publish; not found if there is no such exchange.
    #[inline]
    pub fn publish_point(&self, vhost: VhostId, exchange: &str) -> Result<PublishPoint<'_>, Error> {
        let vhost = self.vhost(vhost)?;
        if exchange.is_empty() {
            return Ok(PublishPoint { vhost, exchange: None });
        }
        let id = vhost.exchange_id(exchange);
        match id.and_then(|id| Some((id, vhost.node(id)?))) {
            Some(found) => Ok(PublishPoint { vhost, exchange: Some(found) }),
            None => Err(Error::NotFound(Resource::exchange(vhost.name(), exchange))),
        }
    }

    /// [`Topology::publish_point`] for a client, which may not publish to internal exchanges.
    #[inline]
    pub fn publish_point_for_client(&self, vhost: VhostId, exchange: &str) -> Result<PublishPoint<'_>, Error> {
        let point = self.publish_point(vhost, exchange)?;
        match point.record() {
            Some(record) if record.internal => {
                Err(Error::InternalExchange(Resource::exchange(point.vhost.name(), exchange)))
            }
            _ => Ok(point),
        }
    }

    /// Whether a client may publish to an exchange: it must be there and not be internal.
    pub fn check_publish(&self, vhost: VhostId, exchange: &str) -> Result<(), Error> {
        self.publish_point_for_client(vhost, exchange).map(|_| ())
    }

    /// [`PublishPoint::needs_headers`] by name; `false` if there is no such exchange.
    pub fn needs_headers(&self, vhost: VhostId, exchange: &str) -> bool {
        self.publish_point(vhost, exchange).is_ok_and(|point| point.needs_headers())
    }
}

/// What some exchanges do besides routing, each named; empty for nearly every message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aside {
    /// Have the message published to them again when so many milliseconds have passed.
    pub delayed: Vec<(Name, u64)>,
    /// Keep the message for their bindings to come.
    pub kept: Vec<Name>,
}

impl Aside {
    /// Whether there is nothing to do.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.delayed.is_empty() && self.kept.is_empty()
    }
}

/// Routes messages; keeps its buffers from one to the next. One for each shard, to be used with one topology only.
#[derive(Debug, Default)]
pub struct Router {
    destinations: Vec<Destination>,
    targets: Vec<Target>,
    /// Exchanges to visit, in order.
    visits: Vec<ExchangeId>,
    /// For each exchange the last message that came by.
    seen: Vec<u64>,
    message: u64,
    topic: TopicScratch,
    cache: RouteCache,
    aside: Aside,
    /// State of the generator for exchanges that choose at random.
    random: u64,
}

impl Router {
    /// A router whose choices at random follow from `seed`.
    pub fn seeded(seed: u64) -> Self {
        Self { random: seed, ..Self::default() }
    }

    /// What is to be done for the message that was routed last, besides giving it to its queues.
    #[inline]
    pub fn aside(&self) -> &Aside {
        &self.aside
    }

    /// Computes where a message goes; empty if it is unroutable. The order is the same on every replica and means
    /// nothing.
    ///
    /// Whether a client may publish there is not asked: dead letters go to internal exchanges too.
    pub fn route(
        &mut self,
        topology: &Topology,
        vhost: VhostId,
        publish: &Publish<'_>,
    ) -> Result<&[Destination], Error> {
        let point = topology.publish_point(vhost, publish.exchange)?;
        Ok(self.route_from(point, publish))
    }

    /// [`Router::route`] from an exchange that was looked up before; the one that `publish` names is not looked at.
    #[inline]
    pub fn route_from(&mut self, point: PublishPoint<'_>, publish: &Publish<'_>) -> &[Destination] {
        self.destinations.clear();
        if !self.aside.is_empty() {
            self.aside = Aside::default();
        }
        match point.exchange {
            None => self.route_by_queue_name(point.vhost, publish),
            Some((exchange, node)) if publish.more_keys.is_empty() && node.exchange.is_plain_topic() => {
                let question = Question { version: node.version, exchange, key: publish.routing_key };
                self.route_by_topic(point.vhost, question, publish);
            }
            Some((id, _)) => self.route_by_bindings(point.vhost, id, publish),
        }
        &self.destinations
    }

    fn route_by_topic(&mut self, vhost: &Vhost, question: Question<'_>, publish: &Publish<'_>) {
        if let Some(known) = self.cache.find(question) {
            return self.destinations.extend_from_slice(known);
        }
        self.route_by_bindings(vhost, question.exchange, publish);
        self.cache.remember(question, &self.destinations);
    }

    fn route_by_queue_name(&mut self, vhost: &Vhost, publish: &Publish<'_>) {
        for key in keys(publish) {
            self.destinations.extend(vhost.queue_destination(key));
        }
        self.remove_duplicates();
    }

    fn route_by_bindings(&mut self, vhost: &Vhost, start: ExchangeId, publish: &Publish<'_>) {
        self.message += 1;
        self.visits.clear();
        self.will_visit(start);
        let mut index = 0;
        while let Some(id) = self.visits.get(index).copied() {
            index += 1;
            self.visit(vhost, id, publish);
        }
        self.remove_duplicates();
    }

    fn visit(&mut self, vhost: &Vhost, id: ExchangeId, publish: &Publish<'_>) {
        let Some(node) = vhost.node(id) else { return };
        // The default exchange as somebody's alternate.
        if node.exchange.record.name.is_empty() {
            return self.route_by_queue_name(vhost, publish);
        }
        if node.exchange.delays()
            && let Some(delay) = publish.headers.filter(|_| !publish.has_waited).and_then(delay_ms)
        {
            return self.aside.delayed.push((node.exchange.record.name.clone(), delay));
        }
        if node.exchange.keeps(publish.headers) {
            self.aside.kept.push(node.exchange.record.name.clone());
        }
        self.targets.clear();
        let (headers, identity) = (publish.headers, publish.identity);
        for key in keys(publish) {
            let random = self.next_random();
            let subject = Subject { key, headers, identity, random };
            node.exchange.matches(&subject, &mut self.topic, &mut self.targets);
        }
        if self.targets.is_empty()
            && let Some(alternate) = &node.exchange.record.alternate
        {
            self.targets.extend(vhost.exchange_id(alternate).map(Target::Exchange));
        }
        for index in 0..self.targets.len() {
            match self.targets[index] {
                Target::Queue(destination) => self.destinations.push(destination),
                Target::Exchange(next) => self.will_visit(next),
            }
        }
    }

    /// SplitMix64: an even spread is all that is asked of it.
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let bits = (self.random ^ self.random >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits ^ bits >> 31
    }

    fn will_visit(&mut self, exchange: ExchangeId) {
        let place = exchange.0 as usize;
        if self.seen.len() <= place {
            self.seen.resize(place + 1, 0);
        }
        if self.seen[place] != self.message {
            self.seen[place] = self.message;
            self.visits.push(exchange);
        }
    }

    fn remove_duplicates(&mut self) {
        if self.destinations.len() > 1 {
            self.destinations.sort_unstable();
            self.destinations.dedup();
        }
    }
}

fn keys<'a>(publish: &Publish<'a>) -> impl Iterator<Item = &'a str> {
    std::iter::once(publish.routing_key).chain(publish.more_keys.iter().map(|key| &**key))
}
