//! Why a message goes where it goes: routing told step by step, for people.
//!
//! It takes the same way as [`Router`](super::Router), and asks the same matching code about each binding alone; it is
//! not fast and keeps nothing.

use std::sync::Arc;

use crate::error::Error;
use crate::exchange::{Exchange, ExchangeKind, ExchangeRecord, Subject, Target, TopicScratch};
use crate::ids::{ExchangeId, Name, VhostId};

use super::vhost::ExchangeNode;
use super::{Binding, BindingEnd, Publish, Topology, Vhost};

/// The whole way of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explanation {
    /// The exchanges that it comes by, each once, in order.
    pub hops: Vec<Hop>,
    /// The queues that get it, by name.
    pub queues: Vec<Name>,
}

/// What one exchange does with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The exchange; the default exchange has the empty name.
    pub exchange: Name,
    /// Its type.
    pub kind: ExchangeKind,
    /// Each of its bindings, and whether the message goes on by it.
    pub bindings: Vec<Verdict>,
    /// No binding took it, and it goes to this exchange instead, if that exists.
    pub alternate: Option<(Name, bool)>,
    /// It waits here because of its header `x-delay`; where it goes afterwards is told all the same.
    pub delays: bool,
}

/// What a binding does with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The binding. Those of the default exchange are implicit.
    pub binding: Binding,
    /// The message goes on by it.
    pub takes: bool,
}

impl Topology {
    /// Explains where a message would go. Exchanges that choose at random choose anew each time.
    ///
    /// # Errors
    /// There is no such exchange.
    pub fn explain(&self, vhost: VhostId, publish: &Publish<'_>, random: u64) -> Result<Explanation, Error> {
        self.publish_point(vhost, publish.exchange)?;
        let vhost = self.vhost(vhost)?;
        let mut told = Explanation::default();
        let start = vhost.exchange_id(publish.exchange);
        let mut visits: Vec<ExchangeId> = start.into_iter().collect();
        let mut index = 0;
        while let Some(node) = visits.get(index).and_then(|id| vhost.node(*id)) {
            index += 1;
            let (hop, targets) = match node.exchange.record.name.is_empty() {
                true => by_queue_name(vhost, &node.exchange.record, publish),
                false => by_bindings(vhost, node, publish, random),
            };
            told.hops.push(hop);
            for target in targets {
                match target {
                    Target::Exchange(next) if !visits.contains(&next) => visits.push(next),
                    Target::Exchange(_) => {}
                    Target::Queue(it) => told.queues.extend(vhost.queue_by_id(it.queue).map(|it| it.name.clone())),
                }
            }
        }
        told.queues.sort_unstable();
        told.queues.dedup();
        Ok(told)
    }
}

fn keys<'a>(publish: &Publish<'a>) -> impl Iterator<Item = &'a str> {
    std::iter::once(publish.routing_key).chain(publish.more_keys.iter().map(|key| &**key))
}

/// "Every queue is bound to the default exchange by its name."
fn by_queue_name(vhost: &Vhost, record: &ExchangeRecord, publish: &Publish<'_>) -> (Hop, Vec<Target>) {
    let found: Vec<_> = keys(publish).filter_map(|key| vhost.queue(key)).collect();
    let verdict = |name: &Name| Verdict {
        binding: Binding {
            source: record.name.clone(),
            destination: BindingEnd::Queue(name.clone()),
            key: name.clone(),
            arguments: Default::default(),
        },
        takes: true,
    };
    let bindings = found.iter().map(|queue| verdict(&queue.name)).collect();
    let hop = Hop { exchange: record.name.clone(), kind: record.kind, bindings, alternate: None, delays: false };
    (hop, found.iter().map(|queue| Target::Queue(queue.destination())).collect())
}

fn by_bindings(vhost: &Vhost, node: &ExchangeNode, publish: &Publish<'_>, random: u64) -> (Hop, Vec<Target>) {
    let record = &node.exchange.record;
    let mut targets = matching(&node.exchange, publish, random);
    let bindings: Vec<Verdict> = vhost
        .bindings_from(&record.name)
        .map(|binding| {
            let target = vhost.target(&binding.destination);
            let is_chosen = target.is_some_and(|target| targets.contains(&target));
            let takes = is_chosen && target.is_none_or(|target| takes_alone(record, target, &binding, publish));
            Verdict { binding, takes }
        })
        .collect();
    let alternate = record.alternate.clone().filter(|_| targets.is_empty());
    let alternate = alternate.map(|name| {
        let next = vhost.exchange_id(&name);
        targets.extend(next.map(Target::Exchange));
        (name, next.is_some())
    });
    let delays = node.exchange.delays() && publish.headers.is_some_and(|headers| headers.get("x-delay").is_some());
    (Hop { exchange: record.name.clone(), kind: record.kind, bindings, alternate, delays }, targets)
}

fn matching(exchange: &Exchange, publish: &Publish<'_>, random: u64) -> Vec<Target> {
    let (mut scratch, mut targets) = (TopicScratch::default(), Vec::new());
    let (headers, identity) = (publish.headers, publish.identity);
    for key in keys(publish) {
        exchange.matches(&Subject { key, headers, identity, random }, &mut scratch, &mut targets);
    }
    targets
}

/// Whether an exchange with this binding alone would take the message. (One that chooses among its bindings always would.)
fn takes_alone(record: &Arc<ExchangeRecord>, target: Target, binding: &Binding, publish: &Publish<'_>) -> bool {
    let mut alone = Exchange::new(record.clone());
    alone.bind(target, "", &binding.key, &binding.arguments);
    !matching(&alone, publish, 0).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ConnectionId, ShardId};
    use crate::topology::{Bind, Declared, ExchangeDeclare, QueueDeclare, Router};
    use crate::value::{Arguments, Value};

    const HOST: VhostId = VhostId(0);

    fn topology(
        exchanges: &[(&str, &str, Option<&str>)],
        queues: &[&str],
        bindings: &[(&str, &str, &str)],
    ) -> Topology {
        let mut topology = Topology::new();
        let change = topology.add_vhost("/").expect("the first one");
        topology.apply(&change);
        for (name, kind, alternate) in exchanges {
            let mut arguments = Arguments::new();
            alternate.iter().for_each(|it| arguments.push("alternate-exchange", Value::str(it)));
            let (vhost, passive, durable) = (HOST, false, true);
            let (auto_delete, internal) = (false, false);
            let declare = ExchangeDeclare { vhost, name, kind, passive, durable, auto_delete, internal, arguments };
            let Declared::New(_, change) = topology.declare_exchange(&declare).expect("a new name") else { continue };
            topology.apply(&change);
        }
        for name in queues {
            let declare = QueueDeclare {
                vhost: HOST,
                name,
                passive: false,
                durable: true,
                exclusive: false,
                auto_delete: false,
                arguments: Arguments::new(),
                connection: ConnectionId(1),
                shard: ShardId(0),
                random: [0; 16],
            };
            let Declared::New(_, change) = topology.declare_queue(&declare).expect("a new name") else { continue };
            topology.apply(&change);
        }
        for (source, destination, key) in bindings {
            let destination = match destination.strip_prefix("x:") {
                Some(exchange) => BindingEnd::Exchange(exchange.into()),
                None => BindingEnd::Queue((*destination).into()),
            };
            let (arguments, connection) = (Arguments::new(), ConnectionId(1));
            let bind = Bind { vhost: HOST, source, destination, key, arguments, connection };
            let change = topology.bind(&bind).expect("both ends are there").expect("a new binding");
            topology.apply(&change);
        }
        topology
    }

    /// Hops as `exchange: queue+ queue- ?alternate`, and the queues; the router must agree about those.
    fn told(topology: &Topology, exchange: &str, routing_key: &str) -> (Vec<String>, Vec<String>) {
        let publish = Publish {
            exchange,
            routing_key,
            more_keys: &[],
            headers: None,
            identity: Default::default(),
            has_waited: false,
        };
        let explanation = topology.explain(HOST, &publish, 0).expect("the exchange is there");
        let mut router = Router::default();
        let routed = router.route(topology, HOST, &publish).expect("the exchange is there").len();
        assert_eq!(routed, explanation.queues.len(), "the router agrees");
        let hop = |hop: &Hop| {
            let mut verdicts: Vec<String> = hop
                .bindings
                .iter()
                .map(|it| {
                    let end = match &it.binding.destination {
                        BindingEnd::Queue(name) | BindingEnd::Exchange(name) => name,
                    };
                    format!(" {end}{}", if it.takes { '+' } else { '-' })
                })
                .collect();
            verdicts.sort();
            let alternate = hop.alternate.as_ref().map(|(name, _)| format!(" ?{name}")).unwrap_or_default();
            format!("{}:{}{alternate}", hop.exchange, verdicts.concat())
        };
        let queues = explanation.queues.iter().map(|name| name.to_string()).collect();
        (explanation.hops.iter().map(hop).collect(), queues)
    }

    fn check(topology: &Topology, publish: (&str, &str), hops: &[&str], queues: &[&str]) {
        let expected =
            (hops.iter().map(|it| it.to_string()).collect(), queues.iter().map(|it| it.to_string()).collect());
        assert_eq!(told(topology, publish.0, publish.1), expected, "{publish:?}");
    }

    #[test]
    fn each_binding_has_its_verdict() {
        let exchanges =
            [("d", "direct", Some("f")), ("t", "topic", None), ("f", "fanout", None), ("loop", "fanout", None)];
        let bindings = [
            ("d", "a", "k"),
            ("d", "b", "other"),
            ("t", "a", "x.*"),
            ("t", "a", "y.#"),
            ("t", "x:f", "#.z"),
            ("f", "c", ""),
            ("loop", "x:loop", ""),
        ];
        let topology = topology(&exchanges, &["a", "b", "c"], &bindings);
        check(&topology, ("", "a"), &[": a+"], &["a"]);
        check(&topology, ("", "none"), &[":"], &[]);
        check(&topology, ("d", "k"), &["d: a+ b-"], &["a"]);
        check(&topology, ("d", "none"), &["d: a- b- ?f", "f: c+"], &["c"]);
        check(&topology, ("t", "x.z"), &["t: a+ a- f+", "f: c+"], &["a", "c"]);
        check(&topology, ("t", "q"), &["t: a- a- f-"], &[]);
        check(&topology, ("loop", ""), &["loop: loop+"], &[]);
    }

    #[test]
    fn an_exchange_that_is_not_there_is_an_error() {
        let publish = Publish {
            exchange: "none",
            routing_key: "",
            more_keys: &[],
            headers: None,
            identity: Default::default(),
            has_waited: false,
        };
        assert!(topology(&[], &[], &[]).explain(HOST, &publish, 0).is_err());
    }
}
