//! Routing: subscribers choose by severity what they get, through a direct exchange.
//!
//! ```python
//! channel.exchange_declare(exchange='direct_logs', type='direct')
//! for severity in severities:
//!     channel.queue_bind(exchange='direct_logs', queue=queue_name, routing_key=severity)
//! ```
//!
//! A queue may be bound by several keys, and a key may lead to several queues: here errors go to both.

use examples::{Arguments, Output};
use leveret_client::{
    Connection, ConsumeOptions, Consumer, Error, ExchangeOptions, Options, Properties, QueueOptions, Table,
};
use leveret_runtime::{join_all, spawn};

const USAGE: &str = "tutorial_routing: messages by severity

  --uri URI          the broker (amqp://guest:guest@localhost:5672)
  --exchange NAME    the exchange (direct_logs)
  KEY...             routing keys of the messages to publish";

/// Who listens, and to what.
const SUBSCRIBERS: [(&str, &[&str]); 2] = [("disk", &["error"]), ("screen", &["info", "warning", "error"])];

/// Published when the command line names none.
const KEYS: [&str; 4] = ["info", "error", "warning", "debug"];

/// Comes last to every subscriber, and tells it that there is no more.
const NO_MORE: &[u8] = b"quit";

fn subscribe(connection: &Connection, exchange: &str, keys: &[&str], end: &str) -> Result<Consumer, Error> {
    let channel = connection.open_channel()?;
    let own = QueueOptions { exclusive: true, ..QueueOptions::default() };
    let queue = channel.queue_declare("", &own)?.name;
    for key in keys.iter().chain([&end]) {
        channel.queue_bind(&queue, exchange, key, &Table::new())?;
    }
    channel.consume(&queue, &ConsumeOptions { no_ack: true, ..ConsumeOptions::default() })
}

fn print(name: &str, deliveries: Consumer, out: &Output) -> Result<(), Error> {
    for delivery in deliveries {
        let delivery = delivery?;
        if delivery.body() == NO_MORE {
            break;
        }
        let body = String::from_utf8_lossy(delivery.body());
        out.line(format_args!(" [{name}] '{}': '{body}'", delivery.routing_key()));
    }
    Ok(())
}

fn run(options: &Options, exchange: &str, keys: &[String]) -> Result<(), Error> {
    let out = Output::stdout();
    let connection = Connection::open(options)?;
    let channel = connection.open_channel()?;
    let gone_at_the_end = ExchangeOptions { auto_delete: true, ..ExchangeOptions::default() };
    channel.exchange_declare(exchange, "direct", &gone_at_the_end)?;
    let start = |(name, keys): (&'static str, &[&str])| {
        let (deliveries, out) = (subscribe(&connection, exchange, keys, "quit")?, out.clone());
        Ok(spawn(move || print(name, deliveries, &out)))
    };
    let printing = SUBSCRIBERS.into_iter().map(start).collect::<Result<Vec<_>, Error>>()?;
    for key in keys {
        channel.publish(exchange, key, &Properties::default(), format!("Hello {key}").as_bytes())?;
    }
    channel.publish(exchange, "quit", &Properties::default(), NO_MORE)?;
    join_all(printing).into_iter().try_for_each(|printer| printer.unwrap_or_else(|error| error.resume()))?;
    connection.close()
}

fn main() {
    let mut arguments = Arguments::of_process(USAGE, &["--uri=", "--exchange="]);
    let options = arguments.value("--uri", Options::default());
    let exchange = arguments.value("--exchange", "direct_logs".to_owned());
    let mut keys = std::mem::take(&mut arguments.others);
    if keys.is_empty() {
        keys.extend(KEYS.map(str::to_owned));
    }
    let outcome = leveret_runtime::run(move || run(&options, &exchange, &keys)).expect("somebody can always run");
    examples::end(outcome);
}
