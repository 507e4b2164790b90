//! One virtual host: a name space of exchanges, queues and bindings.
//!
//! Exchanges sit in places of a vector; their number is their place. A freed place is used again, which every replica
//! does alike.

use std::sync::Arc;

use crate::exchange::{Destination, Exchange, ExchangeKind, ExchangeRecord, Target};
use crate::hash::{FastMap, FastSet};
use crate::ids::{ExchangeId, Name, QueueId, VhostId};
use crate::value::Arguments;

use super::change::{Applied, Binding, BindingEnd};
use super::queues::QueueRecord;

/// What every virtual host starts with; all are durable. The default exchange comes first.
const PREDECLARED: [(&str, ExchangeKind, bool); 7] = [
    ("", ExchangeKind::Direct, false),
    ("amq.direct", ExchangeKind::Direct, false),
    ("amq.fanout", ExchangeKind::Fanout, false),
    ("amq.topic", ExchangeKind::Topic, false),
    ("amq.headers", ExchangeKind::Headers, false),
    ("amq.match", ExchangeKind::Headers, false),
    ("amq.rabbitmq.trace", ExchangeKind::Topic, true),
];

/// See the module's description.
#[derive(Debug)]
pub struct Vhost {
    name: Name,
    exchanges: Vec<Option<ExchangeNode>>,
    free_exchanges: Vec<u32>,
    exchange_names: FastMap<Name, ExchangeId>,
    queues: FastMap<QueueId, QueueNode>,
    queue_names: FastMap<Name, Destination>,
    queues_max: Option<u64>,
    /// The last version given to an exchange; starts so that no two virtual hosts give the same one.
    last_version: u64,
}

#[derive(Debug)]
pub(super) struct ExchangeNode {
    pub(super) exchange: Exchange,
    /// Changes with its bindings, to a number that no exchange ever had.
    pub(super) version: u64,
    /// Exchanges with bindings that lead here.
    sources: FastSet<ExchangeId>,
}

#[derive(Debug)]
struct QueueNode {
    record: Arc<QueueRecord>,
    /// Exchanges with bindings that lead here.
    sources: FastSet<ExchangeId>,
}

impl Vhost {
    pub(super) fn new(id: VhostId, name: Name) -> Self {
        let mut vhost = Self {
            name,
            exchanges: Vec::new(),
            free_exchanges: Vec::new(),
            exchange_names: FastMap::default(),
            queues: FastMap::default(),
            queue_names: FastMap::default(),
            queues_max: None,
            last_version: u64::from(id.0) << 40,
        };
        for (name, kind, internal) in PREDECLARED {
            vhost.add_exchange(Arc::new(ExchangeRecord {
                name: name.into(),
                kind,
                durable: true,
                auto_delete: false,
                internal,
                arguments: Arguments::new(),
                alternate: None,
            }));
        }
        vhost
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// How many queues it may have.
    pub fn queues_max(&self) -> Option<u64> {
        self.queues_max
    }

    /// The exchange of that name; the empty one is the default exchange.
    pub fn exchange(&self, name: &str) -> Option<&Arc<ExchangeRecord>> {
        self.exchange_named(name).map(|node| &node.exchange.record)
    }

    /// All exchanges, the predeclared ones first.
    pub fn exchanges(&self) -> impl Iterator<Item = &Arc<ExchangeRecord>> {
        self.exchanges.iter().flatten().map(|node| &node.exchange.record)
    }

    /// How many messages an exchange keeps for bindings to come, if it does.
    pub fn history_length(&self, exchange: &str) -> Option<usize> {
        self.exchange_named(exchange)?.exchange.history()
    }

    /// Exchanges besides the predeclared ones.
    pub(super) fn declared_exchange_count(&self) -> usize {
        self.exchange_names.len() - PREDECLARED.len()
    }

    /// The queue of that name.
    pub fn queue(&self, name: &str) -> Option<&Arc<QueueRecord>> {
        self.queue_by_id(self.queue_destination(name)?.queue)
    }

    /// The queue of that number.
    pub fn queue_by_id(&self, id: QueueId) -> Option<&Arc<QueueRecord>> {
        self.queues.get(&id).map(|node| &node.record)
    }

    /// All queues, in no particular order.
    pub fn queues(&self) -> impl ExactSizeIterator<Item = &Arc<QueueRecord>> {
        self.queues.values().map(|node| &node.record)
    }

    /// All explicit bindings, source by source. (Implicit: each queue to the default exchange by its name.)
    pub fn bindings(&self) -> impl Iterator<Item = Binding> {
        self.exchanges.iter().flatten().flat_map(|node| self.bindings_of(node))
    }

    /// Whether a binding survives a restart: "A binding is durable when both ends are."
    pub fn is_durable(&self, binding: &Binding) -> bool {
        let source = self.exchange(&binding.source).is_some_and(|record| record.durable);
        source
            && match &binding.destination {
                BindingEnd::Queue(name) => self.queue(name).is_some_and(|record| record.durable),
                BindingEnd::Exchange(name) => self.exchange(name).is_some_and(|record| record.durable),
            }
    }

    /// The bindings in which an exchange is the source.
    pub fn bindings_from(&self, exchange: &str) -> impl Iterator<Item = Binding> {
        self.exchange_named(exchange).into_iter().flat_map(|node| self.bindings_of(node))
    }

    /// The bindings that lead to a queue or exchange.
    pub fn bindings_to(&self, end: &BindingEnd) -> Vec<Binding> {
        let Some(target) = self.target(end) else { return Vec::new() };
        let mut sources: Vec<_> = self.sources(target).into_iter().flatten().copied().collect();
        sources.sort_unstable();
        let nodes = sources.into_iter().filter_map(|id| self.node(id));
        nodes
            .flat_map(|node| {
                let edges = node.exchange.edges_to(target);
                edges.into_iter().map(|(key, arguments)| binding(&node.exchange, end.clone(), key, arguments))
            })
            .collect()
    }

    pub(super) fn set_queues_max(&mut self, max: Option<u64>) {
        self.queues_max = max;
    }

    pub(super) fn has_binding(&self, binding: &Binding) -> bool {
        let node = self.exchange_named(&binding.source);
        let target = self.target(&binding.destination);
        node.zip(target).is_some_and(|(node, target)| node.exchange.has_edge(target, &binding.key, &binding.arguments))
    }

    pub(super) fn exchange_id(&self, name: &str) -> Option<ExchangeId> {
        self.exchange_names.get(name).copied()
    }

    pub(super) fn exchange_named(&self, name: &str) -> Option<&ExchangeNode> {
        self.node(self.exchange_id(name)?)
    }

    pub(super) fn node(&self, id: ExchangeId) -> Option<&ExchangeNode> {
        self.exchanges.get(id.0 as usize)?.as_ref()
    }

    #[inline]
    pub(super) fn queue_destination(&self, name: &str) -> Option<Destination> {
        self.queue_names.get(name).copied()
    }

    pub(super) fn add_exchange(&mut self, record: Arc<ExchangeRecord>) {
        if self.exchange_names.contains_key(&record.name) {
            return;
        }
        let name = record.name.clone();
        self.last_version += 1;
        let version = self.last_version;
        let node = Some(ExchangeNode { exchange: Exchange::new(record), version, sources: FastSet::default() });
        let place = self.free_exchanges.pop().unwrap_or_else(|| {
            self.exchanges.push(None);
            u32::try_from(self.exchanges.len() - 1).expect("memory ends before four billion exchanges")
        });
        self.exchanges[place as usize] = node;
        self.exchange_names.insert(name, ExchangeId(place));
    }

    /// Where an exchange without an alternate by argument passes on what it cannot route.
    pub(super) fn set_alternate(&mut self, exchange: &str, alternate: Option<Name>) {
        let Some(id) = self.exchange_id(exchange) else { return };
        let Some(Some(node)) = self.exchanges.get_mut(id.0 as usize) else { return };
        let record = &node.exchange.record;
        if record.alternate == alternate || record.arguments.get("alternate-exchange").is_some() {
            return;
        }
        node.exchange.record = Arc::new(ExchangeRecord { alternate, ..(**record).clone() });
        self.last_version += 1;
        node.version = self.last_version;
    }

    /// `false` if there is one of that name.
    pub(super) fn add_queue(&mut self, record: Arc<QueueRecord>) -> bool {
        if self.queue_names.contains_key(&record.name) {
            return false;
        }
        self.queue_names.insert(record.name.clone(), record.destination());
        self.queues.insert(record.id, QueueNode { record, sources: FastSet::default() });
        true
    }

    pub(super) fn bind(&mut self, binding: &Binding) {
        let Some(target) = self.target(&binding.destination) else { return };
        let Some(source) = self.exchange_id(&binding.source) else { return };
        let Some(Some(node)) = self.exchanges.get_mut(source.0 as usize) else { return };
        let (BindingEnd::Queue(label) | BindingEnd::Exchange(label)) = &binding.destination;
        node.exchange.bind(target, label, &binding.key, &binding.arguments);
        self.last_version += 1;
        node.version = self.last_version;
        if let Some(sources) = self.sources_mut(target) {
            sources.insert(source);
        }
    }

    pub(super) fn unbind(&mut self, binding: &Binding, applied: &mut Applied) {
        let Some(target) = self.target(&binding.destination) else { return };
        let Some(source) = self.exchange_id(&binding.source) else { return };
        let Some(Some(node)) = self.exchanges.get_mut(source.0 as usize) else { return };
        if !node.exchange.unbind(target, &binding.key, &binding.arguments) {
            return;
        }
        self.last_version += 1;
        node.version = self.last_version;
        let still_bound = node.exchange.has_edge_to(target);
        if !still_bound && let Some(sources) = self.sources_mut(target) {
            sources.remove(&source);
        }
        self.remove_if_left_empty(source, applied);
    }

    pub(super) fn remove_queue(&mut self, name: &str, applied: &mut Applied) -> Option<Arc<QueueRecord>> {
        let destination = self.queue_names.remove(name)?;
        let QueueNode { record, sources } = self.queues.remove(&destination.queue)?;
        let target = Target::Queue(record.destination());
        self.cut_sources(sources, target, &BindingEnd::Queue(record.name.clone()), applied);
        Some(record)
    }

    pub(super) fn remove_exchange(&mut self, name: &str, applied: &mut Applied) {
        if let Some(id) = self.exchange_id(name) {
            self.remove_exchange_at(id, applied);
        }
    }

    /// Bindings on both sides go; auto-delete exchanges that led only here go too, and so on. A loop of them ends,
    /// because each is taken out of its place first.
    fn remove_exchange_at(&mut self, id: ExchangeId, applied: &mut Applied) -> Option<Arc<ExchangeRecord>> {
        let node = self.exchanges.get_mut(id.0 as usize)?.take()?;
        let record = node.exchange.record.clone();
        self.exchange_names.remove(&record.name);
        for target in node.exchange.targets() {
            if let Some(sources) = self.sources_mut(target) {
                sources.remove(&id);
            }
        }
        let gone: Vec<_> = self.bindings_of(&node).collect();
        applied.bindings_removed.extend(gone);
        let end = BindingEnd::Exchange(record.name.clone());
        self.cut_sources(node.sources, Target::Exchange(id), &end, applied);
        self.free_exchanges.push(id.0);
        Some(record)
    }

    /// Removes what leads to a target that is gone.
    fn cut_sources(&mut self, sources: FastSet<ExchangeId>, target: Target, end: &BindingEnd, applied: &mut Applied) {
        let mut sources: Vec<_> = sources.into_iter().collect();
        sources.sort_unstable();
        for id in sources {
            let Some(Some(node)) = self.exchanges.get_mut(id.0 as usize) else { continue };
            self.last_version += 1;
            node.version = self.last_version;
            for (key, arguments) in node.exchange.unbind_target(target) {
                applied.bindings_removed.push(binding(&node.exchange, end.clone(), key, arguments));
            }
            self.remove_if_left_empty(id, applied);
        }
    }

    /// "removed when its last binding as source goes": called after a removal, so it has had one.
    fn remove_if_left_empty(&mut self, id: ExchangeId, applied: &mut Applied) {
        let Some(node) = self.node(id) else { return };
        if node.exchange.record.auto_delete && node.exchange.edge_count() == 0 {
            let removed = self.remove_exchange_at(id, applied);
            applied.exchanges_removed.extend(removed);
        }
    }

    pub(super) fn target(&self, end: &BindingEnd) -> Option<Target> {
        match end {
            BindingEnd::Queue(name) => Some(Target::Queue(self.queue_destination(name)?)),
            BindingEnd::Exchange(name) => Some(Target::Exchange(self.exchange_id(name)?)),
        }
    }

    fn end(&self, target: Target) -> Option<BindingEnd> {
        Some(match target {
            Target::Queue(Destination { queue, .. }) => BindingEnd::Queue(self.queues.get(&queue)?.record.name.clone()),
            Target::Exchange(id) => BindingEnd::Exchange(self.node(id)?.exchange.record.name.clone()),
        })
    }

    fn sources(&self, target: Target) -> Option<&FastSet<ExchangeId>> {
        match target {
            Target::Queue(Destination { queue, .. }) => self.queues.get(&queue).map(|node| &node.sources),
            Target::Exchange(id) => self.node(id).map(|node| &node.sources),
        }
    }

    fn sources_mut(&mut self, target: Target) -> Option<&mut FastSet<ExchangeId>> {
        match target {
            Target::Queue(Destination { queue, .. }) => self.queues.get_mut(&queue).map(|node| &mut node.sources),
            Target::Exchange(id) => self.exchanges.get_mut(id.0 as usize)?.as_mut().map(|node| &mut node.sources),
        }
    }

    fn bindings_of<'a>(&'a self, node: &'a ExchangeNode) -> impl Iterator<Item = Binding> + 'a {
        node.exchange.edges().filter_map(|edge| {
            let end = self.end(edge.target)?;
            Some(binding(&node.exchange, end, edge.key.clone(), edge.arguments.clone()))
        })
    }

    /// Panics if the fields contradict each other; for tests.
    #[cfg(test)]
    pub(super) fn check_invariants(&self) {
        assert_eq!(self.exchanges.iter().flatten().count(), self.exchange_names.len());
        assert_eq!(self.exchanges.len(), self.exchange_names.len() + self.free_exchanges.len());
        assert_eq!(self.queues.len(), self.queue_names.len());
        let mut reached = FastSet::default();
        for (place, node) in self.exchanges.iter().enumerate() {
            let Some(node) = node else { continue };
            node.exchange.check_invariants();
            let id = ExchangeId(place as u32);
            for target in node.exchange.targets() {
                assert!(
                    self.sources(target).is_some_and(|sources| sources.contains(&id)),
                    "targets know their sources"
                );
                reached.insert((id, target));
            }
        }
        let of_queues = self.queues.values().map(|node| node.sources.len()).sum::<usize>();
        let of_exchanges = self.exchanges.iter().flatten().map(|node| node.sources.len()).sum::<usize>();
        assert_eq!(reached.len(), of_queues + of_exchanges, "sources know their targets");
    }
}

fn binding(source: &Exchange, destination: BindingEnd, key: Name, arguments: Arguments) -> Binding {
    Binding { source: source.record.name.clone(), destination, key, arguments }
}
