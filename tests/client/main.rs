//! Our own client against a broker, and the programs that use it: the tutorial's and the load generator.
//!
//! Each scenario runs against brokers with one, two and five shards, and passes against RabbitMQ as well:
//! `LEVERET_AMQP=localhost:5672 cargo test --test client shards_1`. What a broker does on the wire is tested in `raw/`; here it is
//! whether the client understands it.
//!
//! | module | subject |
//! | --- | --- |
//! | `connections` | opening, refusals, closing from both sides, heartbeats, coming back |
//! | `declaring` | queues, exchanges, bindings, and a server that says no |
//! | `publishing` | confirms, returns, large bodies, transactions |
//! | `consuming` | deliveries, settling, cancelling from both sides, get |
//! | `calls` | remote procedure calls, several coroutines on one connection, calls that are cut short |
//! | `perf` | `leveret perf`: its verdict, its exit code, its formats |
//! | `tutorials` | the programs of the tutorial |

mod calls;
mod connections;
mod consuming;
mod declaring;
mod perf;
mod publishing;
mod tutorials;

use harness::{Broker, patience, unique};
use leveret_client::{Channel, Connection, Error, Options, QueueOptions};

/// A broker, a connection to it, and names of its own.
pub(crate) struct World {
    pub(crate) broker: &'static Broker,
    pub(crate) connection: Connection,
}

impl World {
    pub(crate) fn channel(&self) -> Channel {
        self.connection.open_channel().expect("a channel")
    }

    /// A channel, and an exclusive queue.
    pub(crate) fn queue(&self) -> (Channel, String) {
        let channel = self.channel();
        let options = QueueOptions { exclusive: true, ..QueueOptions::default() };
        let queue = channel.queue_declare(&unique("q"), &options).expect("a queue").name;
        (channel, queue)
    }
}

pub(crate) fn options(broker: &Broker) -> Options {
    let address = broker.address();
    Options { host: address.ip().to_string(), port: address.port(), ..Options::default() }
}

/// Runs a scenario in a coroutine, with an open connection, and fails if it takes too long.
pub(crate) fn run(shards: usize, scenario: fn(&World)) {
    let broker = Broker::shared(shards);
    let _log = broker.log_on_failure();
    let main = move || {
        let connection = Connection::open(&options(broker)).expect("a connection");
        let world = World { broker, connection };
        leveret_runtime::timeout(patience(), || scenario(&world)).expect("the scenario ends in time");
        world.connection.close().expect("the connection is open to the end");
    };
    leveret_runtime::run(main).expect("somebody can always run");
}

/// The code and the text of a channel or connection that the server closed.
pub(crate) fn refusal<T: std::fmt::Debug>(result: Result<T, Error>) -> (u16, String) {
    match result {
        Err(Error::ChannelClosed(close) | Error::ConnectionClosed(close)) => (close.code, close.text),
        other => panic!("not closed by the server: {other:?}"),
    }
}

/// For each shard count one test a scenario.
macro_rules! scenarios {
    ($($scenario:ident),* $(,)?) => {
        crate::scenarios! { @shards shards_1: 1, $($scenario),* }
        crate::scenarios! { @shards shards_2: 2, $($scenario),* }
        crate::scenarios! { @shards shards_5: 5, $($scenario),* }
    };
    (@shards $module:ident: $shards:literal, $($scenario:ident),*) => {
        mod $module {
            $(#[test]
            fn $scenario() {
                crate::run($shards, super::$scenario);
            })*
        }
    };
}
pub(crate) use scenarios;
