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
mod kind;
mod targets;
mod topic;
mod weighted;

pub use edges::Edge;
pub use headers::check_pattern;
pub(crate) use kind::Rule;
pub use kind::{DELAY_MAX_MS, ExchangeKind, HISTORY_LENGTH, HashProperty, Identity, delay_ms};
pub use targets::{Destination, Target};
pub use topic::TopicScratch;

use std::sync::Arc;

use crate::error::Error;
use crate::ids::Name;
use crate::queue::settings::QueueKind;
use crate::value::Arguments;
use direct::DirectTable;
use edges::{Change, Edges};
use headers::HeadersTable;
use targets::TargetSet;
use topic::TopicTable;
use weighted::WeightedTable;

/// What of a message decides its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    /// One of its routing keys.
    pub(crate) key: &'a str,
    pub(crate) headers: Option<&'a Arguments>,
    pub(crate) identity: Identity<'a>,
    /// For types that choose at random.
    pub(crate) random: u64,
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
    /// Where messages go for which this exchange finds no target: by the argument `alternate-exchange`, else by policy.
    pub alternate: Option<Name>,
}

/// An exchange with its bindings.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) record: Arc<ExchangeRecord>,
    rule: Rule,
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
    Weighted(WeightedTable),
    /// One of them, by hash or at random.
    Any(TargetSet),
}

impl Exchange {
    /// An exchange without bindings. Arguments that a declare would have refused count as absent.
    pub(crate) fn new(record: Arc<ExchangeRecord>) -> Self {
        let rule = Rule::parse(record.kind, &record.arguments);
        let rule = rule.or_else(|_| Rule::parse(record.kind, &Arguments::new())).unwrap_or_else(|_| Rule::fanout());
        let table = match rule.routes_as {
            ExchangeKind::Direct => Table::Direct(DirectTable::default()),
            ExchangeKind::Fanout | ExchangeKind::RecentHistory => Table::Fanout(TargetSet::default()),
            ExchangeKind::Topic => Table::Topic(TopicTable::default()),
            ExchangeKind::Headers => Table::Headers(HeadersTable::default()),
            ExchangeKind::ConsistentHash => Table::Weighted(WeightedTable::default()),
            ExchangeKind::ModulusHash | ExchangeKind::Random | ExchangeKind::LocalRandom | ExchangeKind::Delayed => {
                Table::Any(TargetSet::default())
            }
        };
        Self { record, rule, edges: Edges::default(), table, onward: 0 }
    }

    /// Adds a binding; `false` if an equal one is there. `label` is the target's name.
    pub(crate) fn bind(&mut self, target: Target, label: &str, key: &Name, arguments: &Arguments) -> bool {
        let change = self.edges.insert(target, key, arguments);
        if change == Change::None {
            return false;
        }
        match &mut self.table {
            Table::Direct(table) if change >= Change::Key => table.insert(key, target),
            Table::Fanout(table) | Table::Any(table) if change >= Change::Target => table.insert(target),
            Table::Weighted(table) if change >= Change::Key => table.insert(key, target, label),
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
            Table::Fanout(table) | Table::Any(table) if change >= Change::Target => table.remove(target),
            Table::Weighted(table) if change >= Change::Key => table.remove(key, target),
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
    pub(crate) fn matches(&self, subject: &Subject<'_>, scratch: &mut TopicScratch, out: &mut Vec<Target>) {
        match &self.table {
            Table::Direct(table) => out.extend_from_slice(table.matches(subject.key)),
            Table::Fanout(table) => out.extend_from_slice(table.as_slice()),
            Table::Topic(table) => table.matches(subject.key, scratch, out),
            Table::Headers(table) => table.matches(subject.headers, out),
            Table::Weighted(table) => out.extend(table.choose(self.hash(subject))),
            Table::Any(table) => {
                let number = match self.rule.routes_as {
                    ExchangeKind::ModulusHash => self.hash(subject),
                    _ => subject.random,
                };
                out.extend(one_of(table.as_slice(), number));
            }
        }
    }

    fn hash(&self, subject: &Subject<'_>) -> u64 {
        self.rule.hash_on.hash(subject.key, subject.headers, subject.identity)
    }

    /// Whether messages with a delay wait here.
    pub(crate) fn delays(&self) -> bool {
        self.rule.delays
    }

    /// Whether it wants to keep this message for bindings to come.
    pub(crate) fn keeps(&self, headers: Option<&Arguments>) -> bool {
        self.rule.history.is_some() && !kind::is_not_kept(headers)
    }

    /// How many messages it keeps for bindings to come, if it does.
    pub(crate) fn history(&self) -> Option<usize> {
        self.rule.history
    }

    /// Checks a binding's key and destination against its type; `queue` is the destination's type, `None` for an exchange.
    pub(crate) fn check_binding(&self, key: &str, queue: Option<QueueKind>) -> Result<(), Error> {
        self.rule.check_binding(key, queue)
    }

    /// How it routes, once nothing delays a message.
    pub(crate) fn routes_as(&self) -> ExchangeKind {
        self.rule.routes_as
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

    /// Whether the headers table, or a property, matters for what is published here directly.
    pub(crate) fn reads_headers(&self) -> bool {
        self.rule.reads_headers() && (self.edges.len() > 0 || self.record.kind != ExchangeKind::Headers)
    }

    /// Whether its routes depend on nothing but its own bindings and the key, and take work to find.
    #[inline]
    pub(crate) fn is_plain_topic(&self) -> bool {
        self.record.kind == ExchangeKind::Topic && !self.leads_on()
    }

    /// Whether its routes depend on nothing but its own bindings and the key.
    #[inline]
    pub(crate) fn is_steady(&self) -> bool {
        let kinds = [ExchangeKind::Direct, ExchangeKind::Fanout, ExchangeKind::Topic];
        kinds.contains(&self.record.kind) && !self.leads_on() && !self.delays() && self.history().is_none()
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

/// One of a list, if there is any, by a number without pattern.
fn one_of(targets: &[Target], number: u64) -> Option<Target> {
    let index = number.checked_rem(targets.len() as u64)?;
    targets.get(usize::try_from(index).ok()?).copied()
}
