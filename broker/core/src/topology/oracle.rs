//! A topology against lists: random declares, binds and deletes, with routes compared to a search through all bindings.

use std::collections::BTreeSet;

use super::tests::{ME, VHOST, arguments, bind, exchange, queue};
use super::*;
use crate::exchange::ExchangeKind;
use crate::testing::Random;
use crate::value::{Arguments, Value};

#[derive(Clone, Debug, PartialEq, Eq)]
struct ModelExchange {
    name: String,
    kind: &'static str,
    auto_delete: bool,
    alternate: Option<String>,
}

#[derive(Default)]
struct Model {
    exchanges: Vec<ModelExchange>,
    queues: BTreeSet<String>,
    bindings: Vec<Binding>,
}

impl Model {
    fn remove_bindings(&mut self, is_gone: impl Fn(&Binding) -> bool) {
        let sources: BTreeSet<_> =
            self.bindings.iter().filter(|it| is_gone(it)).map(|it| it.source.to_string()).collect();
        self.bindings.retain(|it| !is_gone(it));
        for source in sources {
            let is_left_empty = !self.bindings.iter().any(|it| *it.source == source);
            let auto_delete = self.exchanges.iter().any(|it| it.name == source && it.auto_delete);
            if is_left_empty && auto_delete {
                self.remove_exchange(&source);
            }
        }
    }

    fn remove_exchange(&mut self, name: &str) {
        self.exchanges.retain(|it| it.name != name);
        self.bindings.retain(|it| *it.source != *name);
        self.remove_bindings(|it| it.destination == BindingEnd::Exchange(name.into()));
    }

    fn remove_queue(&mut self, name: &str) {
        self.queues.remove(name);
        self.remove_bindings(|it| it.destination == BindingEnd::Queue(name.into()));
    }

    /// By the book: visit exchanges, try all bindings.
    fn route(&self, start: &str, key: &str, headers: &Arguments) -> BTreeSet<String> {
        let (mut found, mut visited, mut waiting) = (BTreeSet::new(), BTreeSet::new(), vec![start.to_owned()]);
        while let Some(name) = waiting.pop() {
            let Some(exchange) = self.exchanges.iter().find(|it| it.name == name) else { continue };
            if !visited.insert(name.clone()) {
                continue;
            }
            let of_this = self.bindings.iter().filter(|it| *it.source == *name);
            let matching: Vec<_> = of_this.filter(|it| matches(exchange.kind, it, key, headers)).collect();
            for binding in &matching {
                match &binding.destination {
                    BindingEnd::Queue(queue) => _ = found.insert(queue.to_string()),
                    BindingEnd::Exchange(exchange) => waiting.push(exchange.to_string()),
                }
            }
            if matching.is_empty() {
                waiting.extend(exchange.alternate.clone());
            }
        }
        found
    }
}

fn matches(kind: &str, binding: &Binding, key: &str, headers: &Arguments) -> bool {
    match kind {
        "direct" => &*binding.key == key,
        "fanout" => true,
        "topic" => topic(&words(&binding.key), &words(key)),
        _ => {
            let any = binding.arguments.get("x-match") == Some(&Value::str("any"));
            let mut fields = binding.arguments.iter().filter(|(name, _)| *name != "x-match");
            if any {
                fields.any(|(name, value)| headers.get(name) == Some(value))
            } else {
                fields.all(|(name, value)| headers.get(name) == Some(value))
            }
        }
    }
}

fn words(key: &str) -> Vec<&str> {
    if key.is_empty() { Vec::new() } else { key.split('.').collect() }
}

fn topic(pattern: &[&str], key: &[&str]) -> bool {
    match (pattern, key) {
        ([], []) => true,
        (["#", rest @ ..], _) => (0..=key.len()).any(|skipped| topic(rest, &key[skipped..])),
        ([word, rest @ ..], [first, others @ ..]) => (*word == "*" || word == first) && topic(rest, others),
        _ => false,
    }
}

struct Run {
    topology: Topology,
    replica: Topology,
    model: Model,
    router: Router,
    replica_router: Router,
    random: Random,
}

const EXCHANGES: [&str; 5] = ["v", "w", "x", "y", "z"];
const QUEUES: [&str; 4] = ["a", "b", "c", "d"];
const BINDING_KEYS: [&str; 6] = ["", "a", "#", "*", "a.*", "a.#.b"];
const ROUTING_KEYS: [&str; 5] = ["", "a", "b", "a.b", "a.x.b"];

impl Run {
    fn new(seed: u64) -> Self {
        let (mut topology, mut replica) = (Topology::new(), Topology::new());
        let added = topology.add_vhost("/").expect("it is new");
        topology.apply(&added);
        replica.apply(&added);
        Self {
            topology,
            replica,
            model: Model::default(),
            router: Router::default(),
            replica_router: Router::default(),
            random: Random::new(seed),
        }
    }

    fn any(&mut self, names: &[&'static str]) -> &'static str {
        names[self.random.below(names.len() as u64) as usize]
    }

    fn apply(&mut self, change: Option<TopologyChange>) -> bool {
        let Some(change) = change else { return false };
        let applied = self.topology.apply(&change);
        assert_eq!(self.replica.apply(&change), applied);
        true
    }

    fn fields(&mut self) -> Arguments {
        let fields = [("x-match", Value::str("any")), ("h", Value::long(1)), ("i", Value::long(2))];
        let chosen: Vec<_> = fields.into_iter().filter(|_| self.random.chance(40)).collect();
        arguments(&chosen)
    }

    fn step(&mut self) {
        match self.random.below(10) {
            0 => self.declare_exchange(),
            1 => {
                let name = self.any(&EXCHANGES);
                let change = self.topology.delete_exchange(VHOST, name, false).expect("not reserved");
                if self.apply(change) {
                    self.model.remove_exchange(name);
                }
            }
            2 => {
                let name = self.any(&QUEUES);
                if let Declared::New(_, change) = self.topology.declare_queue(&queue(name)).expect("valid") {
                    self.apply(Some(change));
                    self.model.queues.insert(name.to_owned());
                }
            }
            3 if self.random.chance(50) => {
                let name = self.any(&QUEUES);
                let change = self.topology.delete_queue(VHOST, name, ME).expect("not locked");
                if self.apply(change) {
                    self.model.remove_queue(name);
                }
            }
            4..=6 => self.bind(),
            7 => self.unbind(),
            _ => self.route(),
        }
        self.compare();
    }

    fn declare_exchange(&mut self) {
        let name = self.any(&EXCHANGES);
        if self.model.exchanges.iter().any(|it| it.name == name) {
            return;
        }
        let kind = ExchangeKind::ALL[self.random.below(4) as usize].as_str();
        let alternate = self.random.chance(40).then(|| self.any(&EXCHANGES));
        let mut declare = exchange(name, kind);
        declare.auto_delete = self.random.chance(30);
        if let Some(alternate) = alternate {
            declare.arguments.push("alternate-exchange", Value::str(alternate));
        }
        let Declared::New(_, change) = self.topology.declare_exchange(&declare).expect("valid") else {
            panic!("the model does not know it")
        };
        self.apply(Some(change));
        let alternate = alternate.map(str::to_owned);
        let auto_delete = declare.auto_delete;
        self.model.exchanges.push(ModelExchange { name: name.to_owned(), kind, auto_delete, alternate });
    }

    fn some_binding(&mut self) -> Bind<'static> {
        let destination = match self.random.chance(30) {
            true => format!(">{}", self.any(&EXCHANGES)),
            false => self.any(&QUEUES).to_owned(),
        };
        let (source, key) = (self.any(&EXCHANGES), self.any(&BINDING_KEYS));
        Bind { arguments: self.fields(), ..bind(source, key, &destination) }
    }

    fn bind(&mut self) {
        let bind = self.some_binding();
        match self.topology.bind(&bind) {
            Ok(Some(change)) => {
                let TopologyChange::Bound { binding, .. } = &change else { panic!("{change:?}") };
                assert!(!self.model.bindings.contains(binding));
                self.model.bindings.push(binding.clone());
                self.apply(Some(change));
            }
            Ok(None) => assert!(self.model.bindings.iter().any(|it| is_same(it, &bind))),
            Err(error) => {
                let has_source = self.model.exchanges.iter().any(|it| it.name == bind.source);
                let has_destination = match &bind.destination {
                    BindingEnd::Queue(name) => self.model.queues.contains(&**name),
                    BindingEnd::Exchange(name) => self.model.exchanges.iter().any(|it| *it.name == **name),
                };
                assert!(!(has_source && has_destination), "{error:?}");
            }
        }
    }

    fn unbind(&mut self) {
        let count = self.model.bindings.len() as u64;
        let unbind = match count > 0 && self.random.chance(80) {
            true => {
                let it = self.model.bindings[self.random.below(count) as usize].clone();
                let source = *EXCHANGES.iter().find(|name| ***name == *it.source).expect("one of them");
                let key = *BINDING_KEYS.iter().find(|name| ***name == *it.key).expect("one of them");
                Bind { destination: it.destination, arguments: it.arguments, ..bind(source, key, "") }
            }
            false => self.some_binding(),
        };
        let is_there = self.model.bindings.iter().any(|it| is_same(it, &unbind));
        let change = self.topology.unbind(&unbind).expect("idempotent");
        assert_eq!(self.apply(change), is_there);
        self.model.remove_bindings(|it| is_same(it, &unbind));
    }

    fn route(&mut self) {
        let (start, key, headers) = (self.any(&EXCHANGES), self.any(&ROUTING_KEYS), self.fields());
        let publish = Publish { exchange: start, routing_key: key, headers: Some(&headers), ..Publish::default() };
        let is_there = self.model.exchanges.iter().any(|it| it.name == start);
        let Ok(found) = self.router.route(&self.topology, VHOST, &publish).map(<[_]>::to_vec) else {
            return assert!(!is_there);
        };
        assert_eq!(self.replica_router.route(&self.replica, VHOST, &publish), Ok(&found[..]), "replicas route alike");
        let vhost = self.topology.vhost(VHOST).expect("there");
        let names = found.iter().map(|it| vhost.queue_by_id(it.queue).expect("it is there").name.to_string());
        assert_eq!(names.clone().count(), names.clone().collect::<BTreeSet<_>>().len(), "each queue once");
        assert_eq!(names.collect::<BTreeSet<_>>(), self.model.route(start, key, &headers));
        let without = Publish { headers: None, ..publish };
        if !self.topology.needs_headers(VHOST, start) {
            assert_eq!(self.router.route(&self.topology, VHOST, &without), Ok(&found[..]));
        }
    }

    fn compare(&self) {
        let vhost = self.topology.vhost(VHOST).expect("there");
        vhost.check_invariants();
        let exchanges: BTreeSet<_> = vhost.exchanges().map(|it| it.name.to_string()).collect();
        let ours: BTreeSet<_> = self.model.exchanges.iter().map(|it| it.name.clone()).collect();
        assert!(exchanges.iter().filter(|name| name.len() == 1).eq(ours.iter()));
        assert!(vhost.queues().map(|it| it.name.to_string()).collect::<BTreeSet<_>>() == self.model.queues);
        let bindings: Vec<_> = vhost.bindings().collect();
        assert_eq!(bindings.len(), self.model.bindings.len());
        assert!(bindings.iter().all(|it| self.model.bindings.contains(it)));
    }
}

fn is_same(binding: &Binding, bind: &Bind<'_>) -> bool {
    *binding.source == *bind.source
        && binding.destination == bind.destination
        && *binding.key == *bind.key
        && binding.arguments == bind.arguments
}

#[test]
fn agrees_with_a_search_through_all_bindings() {
    for seed in 0..60 {
        let mut run = Run::new(seed);
        (0..500).for_each(|_| run.step());
    }
}
