//! Exchanges: from a routing key and headers to targets.
//!
//! An exchange is its record (what was declared), its *edges* (its bindings, each stored once) and a *table* made from
//! the edges for fast matching. Edges answer "is it there already", "what led to this queue" and "is anything left";
//! the table answers only "who matches". The two are changed together, here and nowhere else.
//!
//! What happens behind a target (another exchange, its alternate, cycles) is the topology's business.

mod direct;
mod edges;
mod headers;
mod targets;
mod topic;

pub use edges::Edge;
pub use headers::check_pattern;
pub use targets::{Destination, Target};
pub use topic::TopicScratch;

use std::sync::Arc;

use crate::ids::Name;
use crate::value::Arguments;
use direct::DirectTable;
use edges::{Change, Edges};
use headers::HeadersTable;
use targets::TargetSet;
use topic::TopicTable;

/// The exchange types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExchangeKind {
    /// Binding key equals routing key.
    Direct,
    /// Every binding.
    Fanout,
    /// Words with wildcards.
    Topic,
    /// Patterns on the headers table.
    Headers,
}

impl ExchangeKind {
    /// All of them, for lists of capabilities.
    pub const ALL: [Self; 4] = [Self::Direct, Self::Fanout, Self::Topic, Self::Headers];

    /// The type of that name; `None` if there is none.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Fanout => "fanout",
            Self::Topic => "topic",
            Self::Headers => "headers",
        }
    }
}

/// An exchange as declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeRecord {
    /// Empty for the default exchange.
    pub name: Name,
    /// Its type.
    pub kind: ExchangeKind,
    /// Survives a restart.
    pub durable: bool,
    /// Goes with its last binding as source.
    pub auto_delete: bool,
    /// Takes messages only from other exchanges.
    pub internal: bool,
    /// As sent.
    pub arguments: Arguments,
    /// The argument `alternate-exchange`: where messages go for which this exchange finds no target.
    pub alternate: Option<Name>,
}

/// An exchange with its bindings.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) record: Arc<ExchangeRecord>,
    edges: Edges,
    table: Table,
    /// How many edges lead to exchanges.
    onward: usize,
}

#[derive(Debug)]
enum Table {
    Direct(DirectTable),
    Fanout(TargetSet),
    Topic(TopicTable),
    Headers(HeadersTable),
}

impl Exchange {
    pub(crate) fn new(record: Arc<ExchangeRecord>) -> Self {
        let table = match record.kind {
            ExchangeKind::Direct => Table::Direct(DirectTable::default()),
            ExchangeKind::Fanout => Table::Fanout(TargetSet::default()),
            ExchangeKind::Topic => Table::Topic(TopicTable::default()),
            ExchangeKind::Headers => Table::Headers(HeadersTable::default()),
        };
        Self { record, edges: Edges::default(), table, onward: 0 }
    }

    /// Adds a binding; `false` if an equal one is there.
    pub(crate) fn bind(&mut self, target: Target, key: &Name, arguments: &Arguments) -> bool {
        let change = self.edges.insert(target, key, arguments);
        if change == Change::None {
            return false;
        }
        match &mut self.table {
            Table::Direct(table) if change >= Change::Key => table.insert(key, target),
            Table::Fanout(table) if change >= Change::Target => table.insert(target),
            Table::Topic(table) if change >= Change::Key => table.insert(key, target),
            Table::Headers(table) => table.insert(target, key, arguments),
            _ => {}
        }
        self.onward += usize::from(matches!(target, Target::Exchange(_)));
        true
    }

    /// Takes a binding away; `false` if there is none.
    pub(crate) fn unbind(&mut self, target: Target, key: &Name, arguments: &Arguments) -> bool {
        let change = self.edges.remove(target, key, arguments);
        if change == Change::None {
            return false;
        }
        match &mut self.table {
            Table::Direct(table) if change >= Change::Key => table.remove(key, target),
            Table::Fanout(table) if change >= Change::Target => table.remove(target),
            Table::Topic(table) if change >= Change::Key => table.remove(key, target),
            Table::Headers(table) => table.remove(target, key, arguments),
            _ => {}
        }
        self.onward -= usize::from(matches!(target, Target::Exchange(_)));
        true
    }

    /// Takes away every binding to a target and returns them.
    pub(crate) fn unbind_target(&mut self, target: Target) -> Vec<(Name, Arguments)> {
        let edges = self.edges.of_target(target);
        for (key, arguments) in &edges {
            self.unbind(target, key, arguments);
        }
        edges
    }

    /// Appends the targets of a message; a target may appear twice, if it has several matching bindings.
    pub(crate) fn matches(
        &self,
        key: &str,
        headers: Option<&Arguments>,
        scratch: &mut TopicScratch,
        out: &mut Vec<Target>,
    ) {
        match &self.table {
            Table::Direct(table) => out.extend_from_slice(table.matches(key)),
            Table::Fanout(table) => out.extend_from_slice(table.as_slice()),
            Table::Topic(table) => table.matches(key, scratch, out),
            Table::Headers(table) => table.matches(headers, out),
        }
    }

    pub(crate) fn has_edge(&self, target: Target, key: &str, arguments: &Arguments) -> bool {
        self.edges.contains(target, key, arguments)
    }

    pub(crate) fn has_edge_to(&self, target: Target) -> bool {
        self.edges.contains_target(target)
    }

    pub(crate) fn edges(&self) -> impl Iterator<Item = Edge<'_>> {
        self.edges.iter()
    }

    pub(crate) fn edges_to(&self, target: Target) -> Vec<(Name, Arguments)> {
        self.edges.of_target(target)
    }

    pub(crate) fn edge_count(&self) -> usize {
        self.edges.len()
    }

    pub(crate) fn targets(&self) -> impl Iterator<Item = Target> {
        self.edges.targets()
    }

    /// Whether the headers table matters for what is published here directly.
    pub(crate) fn reads_headers(&self) -> bool {
        self.record.kind == ExchangeKind::Headers && self.edges.len() > 0
    }

    /// Whether its routes depend on nothing but its own bindings and the key, and take work to find.
    #[inline]
    pub(crate) fn is_plain_topic(&self) -> bool {
        self.record.kind == ExchangeKind::Topic && !self.leads_on()
    }

    /// Whether messages may go on to other exchanges.
    pub(crate) fn leads_on(&self) -> bool {
        self.onward > 0 || self.record.alternate.is_some()
    }

    #[cfg(test)]
    pub(crate) fn check_invariants(&self) {
        self.edges.check_invariants();
        if let Table::Topic(table) = &self.table {
            table.check_invariants();
        }
        let onward = self.edges.iter().filter(|edge| matches!(edge.target, Target::Exchange(_))).count();
        assert_eq!(onward, self.onward);
    }
}
