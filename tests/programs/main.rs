//! The program's sub-commands and its manners as a service, each run as its users run it.

mod tutorial;

use std::os::unix::net::UnixDatagram;
use std::process::{Command, Output};

use harness::{Broker, Process, leveret, unique};
use leveret_client::{BasicProperties, Connection, Options, PERSISTENT, QueueOptions};

fn run(arguments: &[&str]) -> Output {
    Command::new(leveret()).args(arguments).output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn self_test_passes_and_leaves_nothing() {
    let scratch = harness::target_dir().join(unique("self-test"));
    std::fs::create_dir_all(&scratch).unwrap();
    let output = run(&["self-test", "--dir", scratch.to_str().unwrap()]);
    let said = text(&output.stdout);
    assert!(output.status.success() && said.ends_with("\nOK\n"), "{said}{}", text(&output.stderr));
    assert!(said.contains("1000 persistent messages are confirmed"), "{said}");
    assert_eq!(std::fs::read_dir(&scratch).unwrap().count(), 0, "the scratch directory stayed");
    std::fs::remove_dir(&scratch).unwrap();
}

#[test]
fn self_test_fails_where_it_cannot_write() {
    let output = run(&["self-test", "--dir", "/proc"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("FAILED: making the scratch directory"), "{}", text(&output.stdout));
}

#[test]
fn version_and_manual() {
    let check = |arguments: &[&str], expected: &str| {
        let output = run(arguments);
        let said = text(&output.stdout);
        assert!(output.status.success() && said.contains(expected), "{arguments:?}: {said}");
    };
    check(&["--version"], concat!("leveret ", env!("CARGO_PKG_VERSION")));
    check(&["man"], ".TH leveret 1");
    for shell in ["bash", "zsh", "fish"] {
        check(&["completion", shell], "leveret");
    }
}

/// What `Type=notify` of systemd waits for.
#[test]
fn the_service_manager_is_told() {
    let dir = harness::target_dir().join(unique("notify"));
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join("socket");
    let manager = UnixDatagram::bind(&path).unwrap();
    let mut command = Command::new(leveret());
    command.args(["serve", "--amqp", "127.0.0.1:0", "--http", "off", "--prometheus", "off", "--shards", "1"]);
    command.arg("--data-dir").arg(dir.join("data")).env("NOTIFY_SOCKET", &path);
    let mut process = Process::start("leveret", command);
    let told = || {
        let mut buffer = [0; 256];
        let count = manager.recv(&mut buffer).unwrap();
        text(&buffer[..count])
    };
    assert_eq!(told(), "READY=1\nSTATUS=serving with 1 shards");
    process.expect("ready: amqp");
    process.terminate();
    assert_eq!(told(), "STOPPING=1\nSTATUS=closing connections");
    process.succeed();
    std::fs::remove_dir_all(&dir).unwrap();
}

fn uri(broker: &Broker) -> String {
    format!("amqp://guest:guest@{}", broker.address())
}

/// A durable queue with so many persistent messages, numbered from 0.
fn fill(broker: &Broker, queue: &str, count: u32) {
    let options: Options = uri(broker).parse().unwrap();
    let queue = queue.to_owned();
    let fill = move || {
        let connection = Connection::open(&options)?;
        let channel = connection.open_channel()?;
        channel.queue_declare(&queue, &QueueOptions { durable: true, ..QueueOptions::default() })?;
        channel.confirm_select()?;
        let properties = BasicProperties {
            delivery_mode: Some(PERSISTENT),
            message_id: Some(b"kept".to_vec()),
            ..BasicProperties::default()
        };
        for number in 0..count {
            channel.publish("", &queue, &properties.encode(), &number.to_be_bytes())?;
        }
        channel.wait_for_confirms()?;
        connection.close()
    };
    leveret_runtime::run(fill).unwrap().unwrap();
}

/// The numbers of all messages of a queue, which are taken. All must have kept their properties.
fn take(broker: &Broker, queue: &str) -> Vec<u32> {
    let options: Options = uri(broker).parse().unwrap();
    let queue = queue.to_owned();
    let take = move || {
        let connection = Connection::open(&options)?;
        let channel = connection.open_channel()?;
        let mut numbers = Vec::new();
        while let Some(got) = channel.get(&queue, true)? {
            let properties = got.message.properties();
            assert_eq!((properties.delivery_mode(), properties.message_id()), (Some(PERSISTENT), Some(&b"kept"[..])));
            numbers.push(u32::from_be_bytes(got.message.body().try_into().unwrap()));
        }
        connection.close().map(|()| numbers)
    };
    leveret_runtime::run(take).unwrap().unwrap()
}

fn shovel(from: &Broker, to: &Broker, more: &[&str]) -> (bool, String) {
    let (from, to) = (uri(from), uri(to));
    let output = run(&[&["shovel", "--from", &from, "--to", &to, "--idle", "1"], more].concat());
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

#[test]
fn a_shovel_moves_all_messages_in_order() {
    let (old, new) = (Broker::start_ours(1), Broker::start_ours(2));
    fill(&old, "orders", 1234);
    fill(&new, "orders", 0);
    let (good, said) = shovel(&old, &new, &["--queue", "orders"]);
    assert!(good && said.contains("1234 messages moved"), "{said}");
    assert_eq!(take(&new, "orders"), (0..1234).collect::<Vec<_>>());
    assert_eq!(take(&old, "orders"), Vec::<u32>::new());
}

#[test]
fn a_shovel_stops_at_its_count_and_takes_no_more() {
    let broker = Broker::start_ours(1);
    fill(&broker, "from", 700);
    fill(&broker, "to", 0);
    let (good, said) = shovel(&broker, &broker, &["--queue", "from", "--to-queue", "to", "--count", "600"]);
    assert!(good && said.contains("600 messages moved"), "{said}");
    assert_eq!(take(&broker, "to"), (0..600).collect::<Vec<_>>());
    assert_eq!(take(&broker, "from"), (600..700).collect::<Vec<_>>());
}

#[test]
fn a_shovel_without_a_destination_takes_nothing() {
    let broker = Broker::start_ours(1);
    fill(&broker, "from", 5);
    let (good, said) = shovel(&broker, &broker, &["--queue", "from", "--to-queue", "nowhere"]);
    assert!(!good && said.contains("the destination") && said.contains("NOT_FOUND"), "{said}");
    assert_eq!(take(&broker, "from"), (0..5).collect::<Vec<_>>());
}

#[test]
fn ctl_explains_itself() {
    let broker = Broker::start_ours(2);
    fill(&broker, "orders", 3);
    let dir = broker.data_dir().to_str().unwrap();
    let check = |arguments: &[&str], expected: &str| {
        let output = run(&[&["ctl", "--data-dir", dir], arguments].concat());
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        assert_eq!(text(&output.stdout), expected, "{arguments:?}");
    };
    check(
        &["doctor", "orders"],
        "3 messages wait and nobody consumes from the queue.\n  leveret ctl -p '/' list_consumers\n",
    );
    check(
        &["doctor"],
        "orders:\n  3 messages wait and nobody consumes from the queue.\n    leveret ctl -p '/' list_consumers\n",
    );
    check(
        &["explain_route", "", "orders"],
        "It goes to orders.\nThe default exchange:\n  + queue orders: there is a queue 'orders'\n",
    );
    check(
        &["explain-route", "amq.topic", "x"],
        "It reaches no queue.\nExchange amq.topic (topic):\n  no binding takes the message: it ends here\n",
    );
}

#[test]
fn help_of_every_sub_command_is_there() {
    for command in ["serve", "perf", "ctl", "config", "store", "shovel", "self-test", "man", "completion"] {
        let output = run(&[command, "--help"]);
        let said = text(&output.stdout);
        assert!(output.status.success() && said.contains("Usage: leveret"), "{command}: {said}");
    }
}
