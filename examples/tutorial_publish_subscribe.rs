//! Publish and subscribe: every subscriber gets every message, through a fanout exchange and a queue of its own.
//!
//! ```python
//! channel.exchange_declare(exchange='logs', type='fanout')
//! result = channel.queue_declare(exclusive=True)
//! channel.queue_bind(exchange='logs', queue=result.method.queue)
//! ```
//!
//! Subscribers are there before the first message: "the messages will be lost if no queue is bound to the exchange yet, but
//! that's okay for us".

use examples::{Arguments, Output};
use leveret_client::{
    Connection, ConsumeOptions, Consumer, Error, ExchangeOptions, Options, Properties, QueueOptions, Table,
};
use leveret_runtime::{join_all, spawn};

const USAGE: &str = "tutorial_publish_subscribe: every message to every subscriber

  --uri URI           the broker (amqp://guest:guest@localhost:5672)
  --exchange NAME     the exchange (logs)
  --subscribers N     how many subscribers (3)
  MESSAGE...          what is published (info: Hello World!)";

fn subscribe(connection: &Connection, exchange: &str) -> Result<Consumer, Error> {
    let channel = connection.open_channel()?;
    let own = QueueOptions { exclusive: true, ..QueueOptions::default() };
    let queue = channel.queue_declare("", &own)?.name;
    channel.queue_bind(&queue, exchange, "", &Table::new())?;
    channel.consume(&queue, &ConsumeOptions { no_ack: true, ..ConsumeOptions::default() })
}

fn print(name: usize, deliveries: Consumer, count: usize, out: &Output) -> Result<(), Error> {
    for delivery in deliveries.take(count) {
        out.line(format_args!(" [{name}] {}", String::from_utf8_lossy(delivery?.body())));
    }
    Ok(())
}

fn run(options: &Options, exchange: &str, subscribers: usize, messages: &[String]) -> Result<(), Error> {
    let (out, count) = (Output::stdout(), messages.len());
    let connection = Connection::open(options)?;
    let channel = connection.open_channel()?;
    let gone_at_the_end = ExchangeOptions { auto_delete: true, ..ExchangeOptions::default() };
    channel.exchange_declare(exchange, "fanout", &gone_at_the_end)?;
    let start = |name| {
        let (deliveries, out) = (subscribe(&connection, exchange)?, out.clone());
        Ok(spawn(move || print(name, deliveries, count, &out)))
    };
    let printing = (1..=subscribers).map(start).collect::<Result<Vec<_>, Error>>()?;
    for message in messages {
        channel.publish(exchange, "", &Properties::default(), message.as_bytes())?;
    }
    join_all(printing).into_iter().try_for_each(|printer| printer.unwrap_or_else(|error| error.resume()))?;
    connection.close()
}

fn main() {
    let mut arguments = Arguments::of_process(USAGE, &["--uri=", "--exchange=", "--subscribers="]);
    let options = arguments.value("--uri", Options::default());
    let exchange = arguments.value("--exchange", "logs".to_owned());
    let subscribers = arguments.value("--subscribers", 3);
    let mut messages = std::mem::take(&mut arguments.others);
    if messages.is_empty() {
        messages.push("info: Hello World!".to_owned());
    }
    let main = move || run(&options, &exchange, subscribers, &messages);
    examples::end(leveret_runtime::run(main).expect("somebody can always run"));
}
