//! Short stories about declaring, binding and routing. [`Bench`] applies each change at once, as the owner does, and to
//! a replica.

use super::*;
use crate::error::{Inequivalent, Resource};
use crate::ids::{QueueKey, ShardId};
use crate::queue::settings::QueueKind;
use crate::value::{Arguments, Value};

pub(super) const VHOST: VhostId = VhostId(0);
pub(super) const ME: ConnectionId = ConnectionId(1);
pub(super) const OTHER: ConnectionId = ConnectionId(2);

pub(super) fn exchange<'a>(name: &'a str, kind: &'a str) -> ExchangeDeclare<'a> {
    ExchangeDeclare {
        vhost: VHOST,
        name,
        kind,
        passive: false,
        durable: false,
        auto_delete: false,
        internal: false,
        arguments: Arguments::new(),
    }
}

pub(super) fn queue(name: &str) -> QueueDeclare<'_> {
    QueueDeclare {
        vhost: VHOST,
        name,
        passive: false,
        durable: false,
        exclusive: false,
        auto_delete: false,
        arguments: Arguments::new(),
        connection: ME,
        shard: ShardId(3),
        random: [0; 16],
    }
}

pub(super) fn arguments(fields: &[(&str, Value)]) -> Arguments {
    fields.iter().map(|(name, value)| (*name, value.clone())).collect()
}

pub(super) fn bind<'a>(source: &'a str, key: &'a str, destination: &str) -> Bind<'a> {
    let destination = match destination.strip_prefix('>') {
        Some(exchange) => BindingEnd::Exchange(exchange.into()),
        None => BindingEnd::Queue(destination.into()),
    };
    Bind { vhost: VHOST, source, destination, key, arguments: Arguments::new(), connection: ME }
}

fn of_queue(name: &str) -> Resource {
    Resource::queue(&"/".into(), name)
}

fn of_exchange(name: &str) -> Resource {
    Resource::exchange(&"/".into(), name)
}

fn inequivalent(subject: Resource, argument: &str, received: Option<Value>, current: Option<Value>) -> Error {
    Error::Inequivalent(Box::new(Inequivalent { argument: argument.into(), subject, received, current }))
}

/// In names of destinations, `>x` is the exchange x.
struct Bench {
    owner: Topology,
    replica: Topology,
    router: Router,
    replica_router: Router,
}

impl Bench {
    fn new() -> Self {
        let mut bench = Self {
            owner: Topology::new(),
            replica: Topology::new(),
            router: Router::default(),
            replica_router: Router::default(),
        };
        let added = bench.owner.add_vhost("/").expect("it is new");
        bench.apply(&added);
        bench
    }

    fn apply(&mut self, change: &TopologyChange) -> Applied {
        let applied = self.owner.apply(change);
        assert_eq!(self.replica.apply(change), applied, "replicas go the same way");
        self.owner.vhosts().for_each(|(_, vhost)| vhost.check_invariants());
        applied
    }

    fn exchange(&mut self, declare: &ExchangeDeclare<'_>) -> Result<bool, Error> {
        match self.owner.declare_exchange(declare)? {
            Declared::Existing(_) => Ok(false),
            Declared::New(_, change) => {
                self.apply(&change);
                Ok(true)
            }
        }
    }

    fn queue(&mut self, declare: &QueueDeclare<'_>) -> Result<Name, Error> {
        let declared = self.owner.declare_queue(declare)?;
        let name = declared.record().name.clone();
        if let Declared::New(_, change) = declared {
            self.apply(&change);
        }
        Ok(name)
    }

    fn bind(&mut self, source: &str, key: &str, destination: &str) -> bool {
        let change = self.owner.bind(&bind(source, key, destination)).expect("valid");
        change.map(|change| self.apply(&change)).is_some()
    }

    fn unbind(&mut self, source: &str, key: &str, destination: &str) -> Option<Applied> {
        let change = self.owner.unbind(&bind(source, key, destination)).expect("valid");
        change.map(|change| self.apply(&change))
    }

    fn delete_queue(&mut self, name: &str) -> Applied {
        let change = self.owner.delete_queue(VHOST, name, ME).expect("allowed").expect("there");
        self.apply(&change)
    }

    fn delete_exchange(&mut self, name: &str) -> Applied {
        let change = self.owner.delete_exchange(VHOST, name, false).expect("allowed").expect("there");
        self.apply(&change)
    }

    fn vhost(&self) -> &Vhost {
        self.owner.vhost(VHOST).expect("there")
    }

    fn exchange_names(&self) -> Vec<&str> {
        self.vhost().exchanges().map(|record| &*record.name).filter(|name| !name.starts_with("amq.")).collect()
    }

    /// The queues that get a message, sorted by age.
    fn route(&mut self, exchange: &str, key: &str) -> String {
        self.route_keys(exchange, key, &[])
    }

    fn route_keys(&mut self, exchange: &str, key: &str, more: &[&str]) -> String {
        let more_keys: Vec<Box<str>> = more.iter().map(|key| (*key).into()).collect();
        let publish = Publish { exchange, routing_key: key, more_keys: &more_keys, ..Publish::default() };
        let found = self.router.route(&self.owner, VHOST, &publish).expect("it exists").to_vec();
        assert_eq!(self.replica_router.route(&self.replica, VHOST, &publish), Ok(&found[..]));
        let mut names: Vec<_> = found.iter().map(|it| (it.queue, &*self.record(it.queue).name)).collect();
        names.sort_unstable();
        assert!(found.iter().all(|it| it.shard == ShardId(3)));
        names.into_iter().map(|(_, name)| name).collect::<Vec<_>>().join(" ")
    }

    fn record(&self, id: QueueId) -> &QueueRecord {
        self.vhost().queue_by_id(id).expect("routed to")
    }
}

#[test]
fn a_virtual_host_starts_with_its_exchanges() {
    let mut bench = Bench::new();
    let found: Vec<_> = bench.vhost().exchanges().map(|it| (&*it.name, it.kind.as_str(), it.internal)).collect();
    let expected = [
        ("", "direct", false),
        ("amq.direct", "direct", false),
        ("amq.fanout", "fanout", false),
        ("amq.topic", "topic", false),
        ("amq.headers", "headers", false),
        ("amq.match", "headers", false),
        ("amq.rabbitmq.trace", "topic", true),
    ];
    assert_eq!(found, expected);
    assert!(bench.vhost().exchanges().all(|record| record.durable && !record.auto_delete));
    assert_eq!(bench.owner.add_vhost("/"), None);
    bench.queue(&queue("q")).expect("valid");
    let removed = bench.owner.remove_vhost("/").expect("it is there");
    assert_eq!(bench.apply(&removed).queues_removed.len(), 1);
    assert_eq!(bench.owner.vhost(VHOST).err(), Some(Error::NoVhost));
    assert_eq!(bench.owner.declare_queue(&queue("q")).err(), Some(Error::NoVhost));
    let again = bench.owner.add_vhost("/").expect("it is new");
    assert_eq!(again, TopologyChange::VhostAdded { id: VhostId(1), name: "/".into() });
}

#[test]
fn exchange_declares() {
    let mut bench = Bench::new();
    let base = || exchange("x", "topic");
    let alternate = |value: Value| arguments(&[("alternate-exchange", value)]);
    let steps: Vec<(ExchangeDeclare<'_>, Result<bool, Error>)> = vec![
        (exchange("", "direct"), Err(Error::DefaultExchange)),
        (ExchangeDeclare { passive: true, ..exchange("", "") }, Err(Error::DefaultExchange)),
        (exchange("\r\n", "direct"), Err(Error::DefaultExchange)),
        (exchange("x", "tropic"), Err(Error::UnknownExchangeType("tropic".into()))),
        (exchange("", "tropic"), Err(Error::UnknownExchangeType("tropic".into()))),
        (exchange("amq.mine", "tropic"), Err(Error::UnknownExchangeType("tropic".into()))),
        (ExchangeDeclare { passive: true, ..base() }, Err(Error::NotFound(of_exchange("x")))),
        (exchange("amq.mine", "topic"), Err(Error::ReservedName(of_exchange("amq.mine")))),
        (base(), Ok(true)),
        (base(), Ok(false)),
        (exchange("\rx\n", "topic"), Ok(false)),
        (ExchangeDeclare { passive: true, kind: "nonsense", ..base() }, Ok(false)),
        (
            exchange("x", "fanout"),
            Err(inequivalent(of_exchange("x"), "type", Some(Value::str("fanout")), Some(Value::str("topic")))),
        ),
        (
            ExchangeDeclare { durable: true, auto_delete: true, ..base() },
            Err(inequivalent(of_exchange("x"), "durable", Some(Value::Bool(true)), Some(Value::Bool(false)))),
        ),
        (
            ExchangeDeclare { auto_delete: true, ..base() },
            Err(inequivalent(of_exchange("x"), "auto_delete", Some(Value::Bool(true)), Some(Value::Bool(false)))),
        ),
        (
            ExchangeDeclare { internal: true, ..base() },
            Err(inequivalent(of_exchange("x"), "internal", Some(Value::Bool(true)), Some(Value::Bool(false)))),
        ),
        (
            ExchangeDeclare { arguments: alternate(Value::str("y")), ..base() },
            Err(inequivalent(of_exchange("x"), "alternate-exchange", Some(Value::str("y")), None)),
        ),
        (
            ExchangeDeclare { arguments: alternate(Value::Void), ..base() },
            Err(inequivalent(of_exchange("x"), "alternate-exchange", Some(Value::Void), None)),
        ),
        (ExchangeDeclare { arguments: arguments(&[("anything", Value::Void)]), ..base() }, Ok(false)),
        (
            ExchangeDeclare { arguments: alternate(Value::long(1)), ..exchange("z", "direct") },
            Err(Error::InvalidAlternateExchange { exchange: of_exchange("z"), type_name: "long" }),
        ),
        (ExchangeDeclare { durable: true, ..exchange("amq.topic", "topic") }, Ok(false)),
        (
            exchange("amq.topic", "topic"),
            Err(inequivalent(of_exchange("amq.topic"), "durable", Some(Value::Bool(false)), Some(Value::Bool(true)))),
        ),
        (ExchangeDeclare { passive: true, ..exchange("amq.rabbitmq.trace", "") }, Ok(false)),
    ];
    for (declare, expected) in steps {
        assert_eq!(bench.exchange(&declare), expected, "{declare:?}");
    }
}

#[test]
fn limits_are_kept_at_the_limit_and_one_past_it() {
    let mut bench = Bench::new();
    bench.owner.set_exchanges_max(Some(1));
    assert_eq!(bench.exchange(&exchange("x", "topic")), Ok(true));
    let limit = Error::ExchangeLimit { exchange: of_exchange("y"), limit: 1 };
    assert_eq!(bench.exchange(&exchange("y", "topic")), Err(limit));
    assert_eq!(bench.exchange(&exchange("x", "topic")), Ok(false), "what is there may be declared again");
    let change = bench.owner.limit_vhost("/", Some(1)).expect("it is there");
    bench.apply(&change);
    assert_eq!(bench.queue(&queue("a")), Ok("a".into()));
    for (name, full) in [("b", "b"), ("", "amq.gen-AAAAAAAAAAAAAAAAAAAAAA")] {
        let limit = Error::QueueLimit { queue: of_queue(full), limit: 1 };
        assert_eq!(bench.queue(&queue(name)), Err(limit));
    }
    assert_eq!(bench.queue(&queue("a")), Ok("a".into()));
    let change = bench.owner.limit_vhost("/", None).expect("it is there");
    bench.apply(&change);
    assert_eq!(bench.queue(&queue("b")), Ok("b".into()));
}

#[test]
fn exchange_deletes() {
    let mut bench = Bench::new();
    bench.exchange(&exchange("x", "fanout")).expect("valid");
    bench.exchange(&exchange("y", "fanout")).expect("valid");
    bench.bind("y", "", ">x");
    let check = |bench: &Bench, name: &str, if_unused: bool, expected: Result<bool, Error>| {
        assert_eq!(bench.owner.delete_exchange(VHOST, name, if_unused).map(|it| it.is_some()), expected, "{name}");
    };
    check(&bench, "", false, Err(Error::DefaultExchange));
    check(&bench, "amq.direct", false, Err(Error::SystemExchange(of_exchange("amq.direct"))));
    check(&bench, "amq.never", false, Err(Error::SystemExchange(of_exchange("amq.never"))));
    check(&bench, "missing", true, Ok(false));
    check(&bench, "x", true, Ok(true));
    check(&bench, "y", true, Err(Error::InUse(of_exchange("y"))));
    check(&bench, "y", false, Ok(true));
    assert_eq!(bench.delete_exchange("x").bindings_removed.len(), 1);
    check(&bench, "y", true, Ok(true));
}

#[test]
fn queue_declares() {
    let mut bench = Bench::new();
    let ttl = |value: Value| arguments(&[("x-message-ttl", value)]);
    let steps: Vec<(QueueDeclare<'_>, Result<&str, Error>)> = vec![
        (QueueDeclare { passive: true, ..queue("q") }, Err(Error::NotFound(of_queue("q")))),
        (queue("amq.q"), Err(Error::ReservedName(of_queue("amq.q")))),
        (queue("q"), Ok("q")),
        (queue("q\n"), Ok("q")),
        (QueueDeclare { connection: OTHER, shard: ShardId(9), ..queue("q") }, Ok("q")),
        (QueueDeclare { passive: true, durable: true, exclusive: true, ..queue("q") }, Ok("q")),
        (QueueDeclare { exclusive: true, durable: true, ..queue("q") }, Err(Error::ResourceLocked(of_queue("q")))),
        (
            QueueDeclare { durable: true, auto_delete: true, arguments: ttl(Value::Void), ..queue("q") },
            Err(inequivalent(of_queue("q"), "durable", Some(Value::Bool(true)), Some(Value::Bool(false)))),
        ),
        (
            QueueDeclare { auto_delete: true, ..queue("q") },
            Err(inequivalent(of_queue("q"), "auto_delete", Some(Value::Bool(true)), Some(Value::Bool(false)))),
        ),
        (
            QueueDeclare { arguments: ttl(Value::long(5)), ..queue("q") },
            Err(inequivalent(of_queue("q"), "x-message-ttl", Some(Value::long(5)), None)),
        ),
        (QueueDeclare { arguments: arguments(&[("x-queue-type", Value::str("classic"))]), ..queue("q") }, Ok("q")),
        (QueueDeclare { arguments: arguments(&[("x-something", Value::str("else"))]), ..queue("q") }, Ok("q")),
        (QueueDeclare { arguments: ttl(Value::long(5)), ..queue("t") }, Ok("t")),
        (
            QueueDeclare {
                arguments: ttl(Value::Int { value: 5, kind: crate::value::IntKind::UnsignedByte }),
                ..queue("t")
            },
            Ok("t"),
        ),
        (
            QueueDeclare { arguments: ttl(Value::long(6)), ..queue("t") },
            Err(inequivalent(of_queue("t"), "x-message-ttl", Some(Value::long(6)), Some(Value::long(5)))),
        ),
        (queue("t"), Err(inequivalent(of_queue("t"), "x-message-ttl", None, Some(Value::long(5))))),
    ];
    for (declare, expected) in steps {
        assert_eq!(bench.queue(&declare), expected.map(Name::from), "{declare:?}");
    }
}

#[test]
fn quorum_queues_have_rules_of_their_own() {
    let mut bench = Bench::new();
    let quorum = |name| QueueDeclare {
        durable: true,
        arguments: arguments(&[("x-queue-type", Value::str("quorum"))]),
        ..queue(name)
    };
    let invalid = |property| Err(Error::InvalidProperty { property, queue: of_queue("q") });
    assert_eq!(bench.queue(&quorum("")), Err(Error::ServerNamedUnsupported(QueueKind::Quorum)));
    assert_eq!(bench.queue(&QueueDeclare { durable: false, ..quorum("q") }), invalid("non-durable"));
    assert_eq!(bench.queue(&QueueDeclare { exclusive: true, ..quorum("q") }), invalid("exclusive-owner"));
    assert_eq!(bench.queue(&QueueDeclare { auto_delete: true, ..quorum("q") }), invalid("auto-delete"));
    assert_eq!(bench.queue(&quorum("q")), Ok("q".into()));
    let classic = QueueDeclare { durable: true, ..queue("q") };
    let expected = inequivalent(of_queue("q"), "x-queue-type", None, Some(Value::str("quorum")));
    assert_eq!(bench.queue(&classic), Err(expected));
}

#[test]
fn exclusive_queues_belong_to_their_connection() {
    let mut bench = Bench::new();
    let declare = QueueDeclare { exclusive: true, durable: true, ..queue("q") };
    bench.queue(&declare).expect("valid");
    let record = bench.vhost().queue("q").expect("declared").clone();
    assert_eq!((record.exclusive_owner, record.durable), (Some(ME), false), "exclusive means not durable");
    assert_eq!(bench.queue(&declare), Ok("q".into()));
    let locked = Error::ResourceLocked(of_queue("q"));
    assert_eq!(bench.queue(&queue("q")), Err(locked.clone()), "the exclusive flag differs");
    assert_eq!(bench.queue(&QueueDeclare { connection: OTHER, ..declare.clone() }), Err(locked.clone()));
    let passive = |connection| QueueDeclare { passive: true, connection, ..queue("q") };
    assert_eq!(bench.queue(&passive(ME)), Ok("q".into()));
    assert_eq!(bench.queue(&passive(OTHER)), Err(locked.clone()));
    assert_eq!(bench.owner.queue(VHOST, "q", OTHER).err(), Some(locked.clone()));
    assert_eq!(bench.owner.delete_queue(VHOST, "q", OTHER), Err(locked.clone()));
    let others = Bind { connection: OTHER, ..bind("amq.direct", "k", "q") };
    assert_eq!(bench.owner.bind(&others), Err(locked.clone()));
    assert_eq!(bench.owner.unbind(&others), Ok(None), "what is not there can be taken away by anybody");
    let own = bench.owner.bind(&bind("amq.direct", "k", "q")).expect("valid").expect("new");
    bench.apply(&own);
    assert_eq!(bench.owner.unbind(&others), Err(locked));
    assert_eq!(bench.owner.exclusive_queues(ME), [(VHOST, record.id)]);
    let ended = bench.owner.queue_ended(VHOST, record.id).expect("there");
    bench.apply(&ended);
    assert_eq!(bench.owner.exclusive_queues(ME), []);
    assert_eq!(bench.owner.queue_ended(VHOST, record.id), None);
    bench.queue(&declare).expect("valid again");
    assert_eq!(bench.owner.queue_ended(VHOST, record.id), None, "it is another queue");
    assert!(!bench.owner.exclusive_queues(ME).is_empty());
}

#[test]
fn server_made_names() {
    let check = |random: [u8; 16], prefix: Option<Value>, expected: Result<&str, Error>| {
        let fields: Vec<_> = prefix.into_iter().map(|prefix| ("x-name-prefix", prefix)).collect();
        let mut bench = Bench::new();
        let declared = bench.queue(&QueueDeclare { random, arguments: arguments(&fields), ..queue("") });
        assert_eq!(declared, expected.map(Name::from));
        if let Ok(name) = declared {
            assert!(bench.vhost().queue(&name).expect("declared").arguments.is_empty(), "the prefix is not kept");
        }
    };
    check([0; 16], None, Ok("amq.gen-AAAAAAAAAAAAAAAAAAAAAA"));
    let mut bench = Bench::new();
    let name = bench.queue(&queue("")).expect("valid");
    assert_eq!(bench.queue(&queue("")), Err(Error::ReservedName(of_queue(&name))), "the same random bytes again");
    check([0xff; 16], None, Ok("amq.gen-_____________________w"));
    let counting = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
    check(counting, None, Ok("amq.gen-AAECAwQFBgcICQoLDA0ODw"));
    check([0; 16], Some(Value::str("worker")), Ok("worker-AAAAAAAAAAAAAAAAAAAAAA"));
    let longest = "p".repeat(NAME_PREFIX_MAX);
    check([0; 16], Some(Value::str(&longest)), Ok(&format!("{longest}-AAAAAAAAAAAAAAAAAAAAAA")));
    let too_long = "p".repeat(NAME_PREFIX_MAX + 1);
    check([0; 16], Some(Value::str(&too_long)), Err(Error::NamePrefixTooLong(too_long.as_str().into())));
}

#[test]
fn binding_and_unbinding_are_idempotent() {
    let mut bench = Bench::new();
    bench.queue(&queue("q")).expect("valid");
    assert!(bench.bind("amq.direct", "k", "q"));
    assert!(!bench.bind("amq.direct", "k", "q"));
    assert!(!bench.bind("amq.direct", "k", "\nq"), "names are cleaned");
    assert!(bench.bind("amq.direct", "other", "q"));
    assert_eq!(bench.vhost().bindings().count(), 2);
    assert!(bench.unbind("amq.direct", "k", "q").is_some());
    for (source, key, destination) in [
        ("amq.direct", "k", "q"),
        ("amq.direct", "never", "q"),
        ("missing", "k", "q"),
        ("amq.direct", "k", "missing"),
        ("amq.direct", "k", ">missing"),
    ] {
        assert!(bench.unbind(source, key, destination).is_none(), "{source} {key} {destination}");
    }
    assert_eq!(bench.route("amq.direct", "other"), "q");
}

#[test]
fn bindings_with_other_arguments_are_others() {
    let mut bench = Bench::new();
    bench.queue(&queue("q")).expect("valid");
    let with = |n: i64| Bind { arguments: arguments(&[("n", Value::long(n))]), ..bind("amq.topic", "#", "q") };
    for n in [1, 2] {
        let change = bench.owner.bind(&with(n)).expect("valid").expect("new");
        bench.apply(&change);
    }
    assert_eq!(bench.route("amq.topic", "a"), "q", "one copy");
    let change = bench.owner.unbind(&with(1)).expect("valid").expect("there");
    bench.apply(&change);
    assert_eq!(bench.route("amq.topic", "a"), "q", "one of them is left");
    let change = bench.owner.unbind(&with(2)).expect("valid").expect("there");
    bench.apply(&change);
    assert_eq!(bench.route("amq.topic", "a"), "");
}

#[test]
fn bindings_are_as_durable_as_their_ends() {
    let mut bench = Bench::new();
    bench.queue(&queue("fleeting")).expect("valid");
    bench.queue(&QueueDeclare { durable: true, ..queue("durable") }).expect("valid");
    bench.exchange(&exchange("fleeting", "fanout")).expect("valid");
    let ends = [
        ("amq.fanout", "durable"),
        ("amq.fanout", "fleeting"),
        ("fleeting", "durable"),
        ("amq.fanout", ">amq.topic"),
        ("amq.fanout", ">fleeting"),
    ];
    let mut found = Vec::new();
    for (source, destination) in ends {
        let change = bench.owner.bind(&bind(source, "", destination)).expect("valid").expect("new");
        let TopologyChange::Bound { binding, .. } = &change else { panic!("{change:?}") };
        found.push(bench.vhost().is_durable(binding));
        bench.apply(&change);
    }
    assert_eq!(found, [true, false, false, true, false]);
}

#[test]
fn binds_that_are_refused() {
    let mut bench = Bench::new();
    bench.queue(&queue("q")).expect("valid");
    let check = |bind: Bind<'_>, expected: Error| assert_eq!(bench.owner.bind(&bind), Err(expected), "{bind:?}");
    check(bind("", "k", "q"), Error::DefaultExchange);
    check(bind("amq.direct", "k", ">"), Error::DefaultExchange);
    check(bind("missing", "k", "q"), Error::NotFound(of_exchange("missing")));
    check(bind("missing", "k", "missing"), Error::NotFound(of_exchange("missing")));
    check(bind("amq.direct", "k", "missing"), Error::NotFound(of_queue("missing")));
    check(bind("amq.direct", "k", ">missing"), Error::NotFound(of_exchange("missing")));
    let pattern = arguments(&[("x-match", Value::str("most"))]);
    check(Bind { arguments: pattern, ..bind("amq.headers", "", "q") }, Error::InvalidMatchValue("most".into()));
    assert_eq!(bench.owner.unbind(&bind("", "k", "q")), Err(Error::DefaultExchange));
}

#[test]
fn the_default_exchange_routes_by_queue_name() {
    let mut bench = Bench::new();
    for name in ["a", "b", ""] {
        bench.queue(&queue(name)).expect("valid");
    }
    assert_eq!(bench.route("", "a"), "a");
    assert_eq!(bench.route("", "missing"), "");
    assert_eq!(bench.route("", ""), "");
    assert_eq!(bench.route_keys("", "a", &["b", "a", "missing"]), "a b");
}

#[test]
fn each_type_routes_by_its_rule() {
    let mut bench = Bench::new();
    for name in ["a", "b"] {
        bench.queue(&queue(name)).expect("valid");
    }
    bench.bind("amq.direct", "k", "a");
    bench.bind("amq.direct", "k", "b");
    bench.bind("amq.direct", "l", "b");
    bench.bind("amq.fanout", "ignored", "a");
    bench.bind("amq.topic", "x.*", "a");
    bench.bind("amq.topic", "#", "b");
    bench.bind("amq.topic", "x.#", "b");
    assert_eq!(bench.route("amq.direct", "k"), "a b");
    assert_eq!(bench.route("amq.direct", "l"), "b");
    assert_eq!(bench.route("amq.direct", "K"), "");
    assert_eq!(bench.route_keys("amq.direct", "none", &["l", "k"]), "a b");
    assert_eq!(bench.route("amq.fanout", "whatever"), "a");
    assert_eq!(bench.route("amq.topic", "x.y"), "a b");
    assert_eq!(bench.route("amq.topic", "y"), "b");
    bench.bind("amq.headers", "", "a");
    assert_eq!(bench.route("amq.headers", ""), "a", "a pattern without fields matches everything");
    assert!(bench.owner.needs_headers(VHOST, "amq.headers"));
    assert!(!bench.owner.needs_headers(VHOST, "amq.match"), "nothing is bound there");
    assert!(!bench.owner.needs_headers(VHOST, "amq.topic"));
    bench.bind("amq.topic", "#", ">amq.headers");
    assert!(bench.owner.needs_headers(VHOST, "amq.topic"));
}

#[test]
fn remembered_routes_end_with_the_bindings_they_came_from() {
    let mut bench = Bench::new();
    let declare = |bench: &mut Bench| {
        bench.exchange(&exchange("x", "topic")).expect("valid");
        bench.queue(&queue("a")).expect("valid");
        bench.queue(&queue("b")).expect("valid");
    };
    declare(&mut bench);
    bench.bind("x", "k", "a");
    assert_eq!(bench.route("x", "k"), "a");
    bench.bind("x", "#", "b");
    assert_eq!(bench.route("x", "k"), "a b");
    bench.unbind("x", "k", "a");
    assert_eq!(bench.route("x", "k"), "b");
    bench.bind("x", "k", ">amq.direct");
    bench.bind("amq.direct", "k", "a");
    assert_eq!(bench.route("x", "k"), "a b");
    bench.unbind("x", "k", ">amq.direct");
    assert_eq!(bench.route("x", "k"), "b");
    bench.delete_queue("b");
    assert_eq!(bench.route("x", "k"), "");
    bench.bind("x", "k", "a");
    assert_eq!(bench.route("x", "k"), "a");
    bench.delete_exchange("x");
    declare(&mut bench);
    assert_eq!(bench.route("x", "k"), "", "another exchange in its place");
}

#[test]
fn exchanges_pass_messages_on_and_cycles_end() {
    let mut bench = Bench::new();
    for name in ["x", "y", "z"] {
        bench.exchange(&exchange(name, "fanout")).expect("valid");
        bench.queue(&queue(name)).expect("valid");
        bench.bind(name, "", name);
    }
    bench.bind("x", "", ">y");
    bench.bind("y", "", ">z");
    assert_eq!(bench.route("x", ""), "x y z");
    bench.bind("z", "", ">x");
    bench.bind("z", "", ">z");
    bench.bind("x", "", "z");
    for start in ["x", "y", "z"] {
        assert_eq!(bench.route(start, ""), "x y z", "each queue once");
    }
    bench.delete_exchange("y");
    assert_eq!(bench.route("x", ""), "x z");
    assert_eq!(bench.route("z", ""), "x z");
}

#[test]
fn alternate_exchanges_take_what_finds_no_target() {
    let mut bench = Bench::new();
    let with_alternate = |name: &'static str, alternate: &str| ExchangeDeclare {
        arguments: arguments(&[("alternate-exchange", Value::str(alternate))]),
        ..exchange(name, "direct")
    };
    bench.exchange(&with_alternate("first", "second")).expect("valid");
    bench.queue(&queue("a")).expect("valid");
    bench.queue(&queue("b")).expect("valid");
    bench.queue(&queue("c")).expect("valid");
    assert_eq!(bench.route("first", "k"), "", "it need not exist");
    bench.exchange(&with_alternate("second", "third")).expect("valid");
    bench.exchange(&with_alternate("third", "first")).expect("valid");
    assert_eq!(bench.route("first", "k"), "", "cycles end");
    bench.bind("first", "k", "a");
    bench.bind("third", "l", "b");
    assert_eq!(bench.route("first", "k"), "a", "no alternate where there is a target");
    assert_eq!(bench.route("first", "l"), "b", "applied again at the alternate");
    bench.exchange(&exchange("sink", "direct")).expect("valid");
    bench.bind("first", "m", ">sink");
    assert_eq!(bench.route("first", "m"), "", "an exchange is a target too");
    bench.exchange(&with_alternate("fourth", "")).expect("valid");
    assert_eq!(bench.route("fourth", "c"), "c", "the default exchange as alternate");
}

#[test]
fn an_alternate_exchange_by_policy_holds_where_there_is_none_by_argument() {
    let mut bench = Bench::new();
    bench.queue(&queue("q")).expect("valid");
    bench.exchange(&exchange("plain", "topic")).expect("valid");
    bench.exchange(&exchange("other", "fanout")).expect("valid");
    bench.bind("other", "", "q");
    let none = arguments(&[("alternate-exchange", Value::str("none"))]);
    bench.exchange(&ExchangeDeclare { arguments: none, ..exchange("fixed", "direct") }).expect("valid");
    assert_eq!(bench.route("plain", "k"), "");
    let set = |bench: &mut Bench, exchange: &str, alternate: Option<&str>| {
        for topology in [&mut bench.owner, &mut bench.replica] {
            topology.set_alternate(VHOST, exchange, alternate.map(Name::from));
        }
    };
    set(&mut bench, "plain", Some("other"));
    set(&mut bench, "fixed", Some("other"));
    set(&mut bench, "not there", Some("other"));
    assert_eq!(bench.route("plain", "k"), "q", "also where the route was remembered");
    assert_eq!(bench.route("fixed", "k"), "", "the argument wins");
    set(&mut bench, "plain", None);
    assert_eq!(bench.route("plain", "k"), "");
}

#[test]
fn numbers_that_are_reserved_are_not_given_again() {
    let mut bench = Bench::new();
    bench.owner.reserve_queues(QueueId(7));
    bench.owner.reserve_queues(QueueId(5));
    let durable = QueueDeclare { durable: true, ..queue("q") };
    let Declared::New(record, _) = bench.owner.declare_queue(&durable).expect("valid") else { panic!("it is new") };
    assert_eq!((record.id, record.key()), (QueueId(7), Some(QueueKey(7))));
}

#[test]
fn auto_delete_exchanges_go_with_their_last_binding() {
    let mut bench = Bench::new();
    for name in ["x", "y", "z"] {
        bench.exchange(&ExchangeDeclare { auto_delete: true, ..exchange(name, "fanout") }).expect("valid");
    }
    bench.queue(&queue("q")).expect("valid");
    assert_eq!(bench.exchange_names(), ["", "x", "y", "z"], "they stay until they had one");
    bench.bind("x", "1", "q");
    bench.bind("x", "2", "q");
    assert_eq!(bench.unbind("x", "1", "q"), Some(Applied::default()));
    let removed = bench.unbind("x", "2", "q").expect("there").exchanges_removed;
    assert_eq!(removed.iter().map(|record| &*record.name).collect::<Vec<_>>(), ["x"]);
    bench.bind("y", "", ">z");
    bench.bind("z", "", "q");
    let applied = bench.delete_queue("q");
    let removed: Vec<_> = applied.exchanges_removed.iter().map(|record| &*record.name).collect();
    assert_eq!(removed, ["y", "z"], "one after the other");
    assert_eq!(applied.bindings_removed.len(), 2);
    assert_eq!(bench.exchange_names(), [""]);
}

#[test]
fn bindings_of_what_is_deleted_go_too() {
    let mut bench = Bench::new();
    bench.exchange(&exchange("x", "topic")).expect("valid");
    for name in ["a", "b"] {
        bench.queue(&queue(name)).expect("valid");
        bench.bind("x", "one", name);
        bench.bind("x", "two", name);
        bench.bind("amq.direct", "k", name);
    }
    assert_eq!(bench.delete_queue("a").bindings_removed.len(), 3);
    assert_eq!(bench.owner.delete_queue(VHOST, "a", ME), Ok(None));
    assert_eq!(bench.route("x", "one"), "b");
    assert_eq!(bench.vhost().bindings_to(&BindingEnd::Queue("b".into())).len(), 3);
    assert_eq!(bench.vhost().bindings_from("x").count(), 2);
    assert_eq!(bench.delete_exchange("x").bindings_removed.len(), 2);
    assert_eq!(bench.vhost().bindings_to(&BindingEnd::Queue("b".into())).len(), 1);
    bench.queue(&queue("a")).expect("valid");
    assert_eq!(bench.route("amq.direct", "k"), "b", "a new queue of an old name has no bindings");
}

#[test]
fn clients_publish_only_to_what_is_there_and_not_internal() {
    let mut bench = Bench::new();
    bench.exchange(&ExchangeDeclare { internal: true, ..exchange("inside", "fanout") }).expect("valid");
    let check = |name: &str, expected: Result<(), Error>| assert_eq!(bench.owner.check_publish(VHOST, name), expected);
    check("", Ok(()));
    check("amq.topic", Ok(()));
    check("inside", Err(Error::InternalExchange(of_exchange("inside"))));
    check("missing", Err(Error::NotFound(of_exchange("missing"))));
}
