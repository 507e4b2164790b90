//! What is stored comes back: through entries in memory, and through the file.

use std::collections::BTreeMap;

use leveret_core::access::limit::VhostLimit;
use leveret_core::access::password::{Algorithm, PasswordHash};
use leveret_core::access::policy::Scope;
use leveret_core::access::{Access, Command, PasswordUpdate, Tag, VhostUpdate};
use leveret_core::topology::{Bind, BindingEnd, Declared, ExchangeDeclare, QueueDeclare, Topology, TopologyChange};
use leveret_core::value::{Arguments, IntKind, Value};
use leveret_core::{ConnectionId, Name, ShardId, VhostId};
use leveret_runtime::sim::{self, Effect, Fault};
use leveret_runtime::{Runtime, fs};

use super::*;

const VHOST: VhostId = VhostId(0);

/// A broker's state with what it would have stored.
#[derive(Default)]
struct World {
    access: Access,
    topology: Topology,
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
    ops: Vec<Op>,
}

impl World {
    fn new() -> World {
        let mut world = World::default();
        for name in ["/", "other"] {
            world.run(Command::PutVhost { name: name.into(), update: VhostUpdate::default(), creator: None });
        }
        world
    }

    fn note(&mut self, ops: Vec<Op>) {
        for op in &ops {
            match op {
                Op::Put { key, value } => drop(self.entries.insert(key.clone(), value.clone())),
                Op::Remove { key } => drop(self.entries.remove(key)),
                Op::RemoveUnder { prefix } => self.entries.retain(|key, _| !key.starts_with(prefix)),
                Op::NextQueue(next) => {
                    let next = next.to_be_bytes().to_vec();
                    let entry = self.entries.entry(Vec::new()).or_default();
                    *entry = std::cmp::max(entry.clone(), next);
                }
                Op::Store(_) => {}
            }
        }
        self.ops.extend(ops);
    }

    fn run(&mut self, command: Command) {
        for change in self.access.check(&command).expect("it makes sense").changes {
            let ops = access_ops(&self.access, &change);
            self.note(ops);
            self.access.apply(&change);
            let (added, removed) = match &change {
                leveret_core::access::AccessChange::VhostSet { name, .. } => (self.topology.add_vhost(name), None),
                leveret_core::access::AccessChange::VhostRemoved { name } => (None, self.topology.remove_vhost(name)),
                _ => (None, None),
            };
            added.or(removed).into_iter().for_each(|change| self.change(&change));
        }
    }

    fn change(&mut self, change: &TopologyChange) {
        let ops = TopologyOps::before(&self.topology, change);
        let applied = self.topology.apply(change);
        self.note(ops.after(&applied));
    }

    fn exchange(&mut self, name: &str, kind: &str, durable: bool, auto_delete: bool) {
        let declare = ExchangeDeclare {
            vhost: VHOST,
            name,
            kind,
            passive: false,
            durable,
            auto_delete,
            internal: false,
            arguments: arguments(),
        };
        match self.topology.declare_exchange(&declare).expect("it makes sense") {
            Declared::New(_, change) => self.change(&change),
            Declared::Existing(_) => {}
        }
    }

    fn queue(&mut self, name: &str, durable: bool) {
        let declare = QueueDeclare {
            vhost: VHOST,
            name,
            passive: false,
            durable,
            exclusive: false,
            auto_delete: false,
            arguments: arguments(),
            connection: ConnectionId(1),
            shard: ShardId(3),
            random: [0; 16],
        };
        match self.topology.declare_queue(&declare).expect("it makes sense") {
            Declared::New(_, change) => self.change(&change),
            Declared::Existing(_) => {}
        }
    }

    fn bind(&mut self, source: &str, destination: BindingEnd, unbind: bool) {
        let bind =
            Bind { vhost: VHOST, source, destination, key: "k", arguments: arguments(), connection: ConnectionId(1) };
        let change = if unbind { self.topology.unbind(&bind) } else { self.topology.bind(&bind) };
        change.expect("it makes sense").into_iter().for_each(|change| self.change(&change));
    }

    fn delete_queue(&mut self, name: &str) {
        let change = self.topology.delete_queue(VHOST, name, ConnectionId(1)).expect("it makes sense");
        change.into_iter().for_each(|change| self.change(&change));
    }

    fn entries(&self) -> Vec<Entry> {
        self.entries.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

fn arguments() -> Arguments {
    let mut arguments = Arguments::new();
    arguments.push("x-max-length", Value::Int { value: 5, kind: IntKind::UnsignedByte });
    arguments.push("x-custom", Value::Str((*b"\xff").into()));
    arguments
}

/// Users, permissions, policies and so on, as text; digests apart.
fn shown(access: &Access) -> String {
    let digests: Vec<_> =
        access.users().map(|(_, user)| user.password.as_ref().map(|it| it.as_str().to_owned())).collect();
    format!("{:?} {digests:?}", access.facts())
}

/// What is durable, in words.
fn durable(topology: &Topology) -> Vec<String> {
    let mut all = Vec::new();
    for (_, host) in topology.vhosts() {
        let exchanges = host.exchanges().filter(|it| it.durable).map(|it| format!("{} x {it:?}", host.name()));
        let queues = host.queues().filter(|it| it.durable).map(|it| format!("{} q {it:?}", host.name()));
        let bindings = host.bindings().filter(|it| host.is_durable(it)).map(|it| format!("{} b {it:?}", host.name()));
        all.extend(exchanges.chain(queues).chain(bindings));
    }
    all.sort();
    all
}

fn rebuilt(recovered: &Recovered) -> (Access, Topology) {
    let (mut access, mut topology) = (Access::new(), Topology::new());
    for change in &recovered.access {
        access.apply(change);
        if let leveret_core::access::AccessChange::VhostSet { name, .. } = change {
            let added = topology.add_vhost(name);
            added.iter().for_each(|change| drop(topology.apply(change)));
        }
    }
    recovered.topology.iter().for_each(|change| drop(topology.apply(change)));
    (access, topology)
}

fn check(world: &World) {
    let recovered = Recovered::from_entries(&world.entries(), 5).expect("our own entries");
    let (access, topology) = rebuilt(&recovered);
    assert_eq!(shown(&access), shown(&world.access));
    assert_eq!(durable(&topology), durable(&world.topology));
}

fn busy_world() -> World {
    let mut world = World::new();
    let hash = PasswordHash::create(Algorithm::Sha256, b"canary-secret", [3; 16]);
    let limits = Some(vec![(Name::from("max-channels"), Value::long(-1))]);
    let (password, tags) = (PasswordUpdate::Set(hash), vec![Tag::Administrator, Tag::Other("x".into())]);
    world.run(Command::PutUser { name: "alice".into(), password, tags, limits });
    let (user, vhost) = (Name::from("alice"), Name::from("/"));
    let (configure, write, read) = ("^(?!amq).*".into(), ".*".into(), "".into());
    world.run(Command::SetPermission { user: user.clone(), vhost: vhost.clone(), configure, write, read });
    let (exchange, write, read) = ("t".into(), "^{username}".into(), ".*".into());
    world.run(Command::SetTopicPermission { user, vhost: vhost.clone(), exchange, write, read });
    let limit = VhostLimit::MaxQueues.as_str().into();
    world.run(Command::SetVhostLimit { vhost: vhost.clone(), limit, value: Value::long(100) });
    for scope in [Scope::User, Scope::Operator] {
        world.run(Command::PutPolicy {
            vhost: vhost.clone(),
            scope,
            name: "p".into(),
            pattern: "^q".into(),
            apply_to: "queues".into(),
            priority: Value::long(-7),
            definition: Value::Table([("max-length", Value::long(9))].into_iter().collect()),
        });
    }
    let value = Value::Table(arguments());
    world.run(Command::PutParameter { vhost, component: "shovel".into(), name: "s".into(), value: value.clone() });
    world.run(Command::PutGlobalParameter { name: "cluster_name".into(), value });
    world.exchange("x", "topic", true, false);
    world.exchange("passing", "fanout", false, false);
    world.exchange("auto", "direct", true, true);
    world.queue("q", true);
    world.queue("transient", false);
    let (q, transient) = (BindingEnd::Queue("q".into()), BindingEnd::Queue("transient".into()));
    for source in ["x", "passing", "auto", "amq.topic"] {
        world.bind(source, q.clone(), false);
        world.bind(source, transient.clone(), false);
    }
    world.bind("amq.fanout", BindingEnd::Exchange("x".into()), false);
    world
}

#[test]
fn what_is_durable_comes_back_and_nothing_else() {
    let mut world = busy_world();
    check(&world);
    assert_eq!(durable(&world.topology).iter().filter(|line| line.contains(" b ")).count(), 4, "both ends durable");
    world.bind("x", BindingEnd::Queue("q".into()), true);
    check(&world);
    world.delete_queue("transient");
    check(&world);
    // The last binding of an auto-delete exchange goes with the queue, and the exchange with it.
    world.delete_queue("q");
    check(&world);
    assert!(!durable(&world.topology).iter().any(|line| line.contains("\"auto\"")));
    world.queue("q", true);
    check(&world);
    let recovered = Recovered::from_entries(&world.entries(), 5).expect("our own entries");
    assert_eq!(recovered.next_queue, 3, "three queues had numbers");
}

#[test]
fn what_goes_takes_its_entries_along() {
    let mut world = busy_world();
    let before: Vec<_> = World::new().entries();
    world.run(Command::DeleteUser { name: "alice".into() });
    check(&world);
    world.run(Command::DeleteVhost { name: "/".into() });
    check(&world);
    world.run(Command::DeleteGlobalParameter { name: "cluster_name".into() });
    world.run(Command::PutVhost { name: "/".into(), update: VhostUpdate::default(), creator: None });
    let entries: Vec<_> = world.entries().into_iter().filter(|(key, _)| !key.is_empty()).collect();
    assert_eq!(entries, before, "as in the beginning, but for the queues' numbers");
}

#[test]
fn queues_stay_where_they_were_unless_that_shard_is_gone() {
    let world = busy_world();
    let shard = |shards| {
        let recovered = Recovered::from_entries(&world.entries(), shards).expect("our own entries");
        let (_, topology) = rebuilt(&recovered);
        topology.vhost(VHOST).ok().and_then(|host| host.queue("q")).expect("it is durable").shard
    };
    assert_eq!((shard(5), shard(4)), (ShardId(3), ShardId(3)));
    assert!(shard(2) < ShardId(2) && shard(1) == ShardId(0));
    assert_eq!(shard(3), shard(3));
}

#[test]
fn entries_that_make_no_sense_are_refused_by_their_key() {
    let entries = busy_world().entries();
    for (index, (_, value)) in entries.iter().enumerate() {
        let mut longer = entries.clone();
        longer[index].1.push(0);
        let error = Recovered::from_entries(&longer, 1).expect_err("something is left over");
        assert!(error.to_string().contains("makes no sense"), "{error}");
        for cut in 0..value.len() {
            let mut cut_off = entries.clone();
            cut_off[index].1.truncate(cut);
            assert!(Recovered::from_entries(&cut_off, 1).is_err(), "entry {index} cut at {cut}");
        }
    }
    let unknown = vec![(vec![99, 0, 1, b'x'], Vec::new())];
    assert!(Recovered::from_entries(&unknown, 1).is_err());
}

#[test]
fn secrets_do_not_show() {
    let world = busy_world();
    let hash = world.access.user("alice").and_then(|user| user.password.clone()).expect("set above");
    assert!(!format!("{:?}", world.ops).contains(hash.as_str()));
}

/// The state of the file, as a broker that starts finds it.
fn reopened(dir: &Path) -> (Access, Topology) {
    let (_, entries) = Metadata::open(dir).expect("it opens");
    rebuilt(&Recovered::from_entries(&entries.expect("not new"), 5).expect("our own entries"))
}

#[test]
fn the_file_keeps_it() {
    Runtime::builder()
        .build()
        .expect("valid")
        .run(|| {
            let dir = std::env::temp_dir().join(format!("leveret-metadata-{}", std::process::id()));
            let _ = fs::remove_dir_all(&dir);
            let lock = lock_data_dir(&dir).expect("nobody else has it");
            let mode = fs::metadata(&dir).expect("it is there").permissions();
            assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o700);
            let text = lock_data_dir(&dir).expect_err("it is locked").to_string();
            assert!(text.contains("is in use by another broker") && text.contains("--data-dir"), "{text}");
            let (metadata, entries) = Metadata::open(&dir).expect("it is made");
            assert!(entries.is_none(), "it is new");
            let mut world = busy_world();
            metadata.commit(std::mem::take(&mut world.ops)).expect("it is stored");
            world.run(Command::DeleteVhost { name: "other".into() });
            metadata.commit(std::mem::take(&mut world.ops)).expect("it is stored");
            drop(metadata);
            let (access, topology) = reopened(&dir);
            assert_eq!((shown(&access), durable(&topology)), (shown(&world.access), durable(&world.topology)));
            drop(lock);
            let _lock = lock_data_dir(&dir).expect("it is free again");
            fs::remove_dir_all(&dir).expect("it is ours");
        })
        .expect("no deadlock");
}

#[test]
fn a_file_of_another_kind_or_version_is_refused() {
    Runtime::builder()
        .build()
        .expect("valid")
        .run(|| {
            let dir = std::env::temp_dir().join(format!("leveret-metadata-refused-{}", std::process::id()));
            let _ = fs::remove_dir_all(&dir);
            fs::create_dir_all(&dir).expect("a directory");
            fs::write(dir.join(FILE_NAME), *b"not a database at all, but some text").expect("a file");
            let error = Metadata::open(&dir).err().expect("no database").to_string();
            assert!(error.contains(FILE_NAME), "{error}");
            fs::remove_file(dir.join(FILE_NAME)).expect("it is ours");
            database::tests::write_version(&dir.join(FILE_NAME), 7);
            let error = Metadata::open(&dir).err().expect("unknown").to_string();
            assert!(error.contains("has format version 7; this program knows 1"), "{error}");
            fs::remove_dir_all(&dir).expect("it is ours");
        })
        .expect("no deadlock");
}

/// The power is cut at every call of a first start: the next one goes on from there. (redb does not open what that leaves of
/// a file half made; so it is made elsewhere.)
#[test]
fn a_first_start_may_be_cut_short_anywhere() {
    let open = || {
        let dir = Path::new("/data");
        let _lock = lock_data_dir(dir).expect("nobody else has it");
        let (metadata, entries) = Metadata::open(dir).expect("it opens");
        metadata.commit(busy_world().ops).expect("it is stored");
        metadata.close();
        entries.is_none()
    };
    let checked = sim::check(1..80, |call| {
        let machine = Runtime::builder().simulated(call).build().expect("valid");
        let run = machine.run(move || {
            let host = sim::host("broker");
            let cut_short = host.run(move || {
                sim::inject(Fault::at("fs.*").nth(call).then(Effect::Crash));
                open()
            });
            drop(cut_short);
            sim::clear_faults();
            if host.is_up() {
                host.crash();
            }
            host.restart();
            host.run(open).expect("it starts");
            assert!(!host.run(open).expect("it starts"), "what was stored is there");
        });
        run.expect("no deadlock");
    });
    assert!(checked.faults > 20, "{checked}");
}

/// A file that is harmed anywhere is refused with its name, or has all that was in it; and what is refused is not changed.
#[test]
fn a_harmed_file_is_refused_or_whole() {
    let machine = Runtime::builder().simulated(5).build().expect("valid");
    let run = machine.run(|| {
        let (dir, path) = (Path::new("/data"), Path::new("/data").join(FILE_NAME));
        fs::create_dir_all(dir).expect("made");
        let open = || {
            Metadata::open(dir).map(|(metadata, entries)| {
                let store = metadata.store();
                metadata.close();
                (entries, store.expect("readable"))
            })
        };
        let (metadata, _) = Metadata::open(dir).expect("it opens");
        metadata.commit(busy_world().ops).expect("it is stored");
        metadata.commit(vec![Op::Store(7)]).expect("it is stored");
        assert_eq!(metadata.store().expect("readable"), Some(7));
        metadata.close();
        let whole = open().expect("it opens");
        let image = sim::disk().image();
        let size = image.len(&path).expect("there");
        let (mut tried, mut refused, mut older) = (0, 0, 0);
        let mut try_one = |harm: &dyn Fn(&mut sim::Image)| {
            let mut harmed = image.clone();
            harm(&mut harmed);
            sim::disk().restore(&harmed);
            tried += 1;
            match open() {
                // redb keeps the number of the slot that counts in two bits without a checksum.
                Ok((entries, None)) => {
                    assert_eq!(entries, whole.0);
                    older += 1;
                }
                Ok(found) => assert_eq!(found, whole),
                Err(error) => {
                    refused += 1;
                    assert!(error.to_string().contains(FILE_NAME), "{error}");
                    assert_eq!(sim::disk().image().read(&path), harmed.read(&path), "it is as it was");
                }
            }
        };
        // Each bit of the header, then some of every page.
        for bit in (0..320 * 8).step_by(3).chain(64..96).chain((0..size * 8).step_by(16_411)) {
            try_one(&|image| image.flip_bit(&path, bit));
        }
        for page in (0..size).step_by(4096) {
            try_one(&|image| image.zero(&path, page..(page + 4096).min(size)));
        }
        for end in (1..size).step_by(size as usize / 50) {
            try_one(&|image| image.truncate(&path, end));
        }
        println!("META: {tried} files harmed, {refused} refused, the others whole");
        assert!(refused > 50 && older <= 2, "{refused} of {tried} refused, {older} one commit behind");
    });
    run.expect("no deadlock");
}
