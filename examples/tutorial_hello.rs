//! Hello World: a sender puts a message into a queue, a receiver takes it out.
//!
//! ```python
//! channel.queue_declare(queue='hello')
//! channel.basic_publish(exchange='', routing_key='hello', body='Hello World!')
//! channel.basic_consume(callback, queue='hello', no_ack=True)
//! channel.start_consuming()
//! ```
//!
//! Sender and receiver are two coroutines here, each with a connection, as the tutorial's two programs are.

use examples::{Arguments, Output};
use leveret_client::{Connection, ConsumeOptions, Error, Options, Properties, QueueOptions};
use leveret_runtime::spawn;

const USAGE: &str = "tutorial_hello: a message through a queue

  --uri URI      the broker (amqp://guest:guest@localhost:5672)
  --queue NAME   the queue (hello)";

fn send(options: &Options, queue: &str, out: &Output) -> Result<(), Error> {
    let connection = Connection::open(options)?;
    let channel = connection.open_channel()?;
    channel.queue_declare(queue, &QueueOptions::default())?;
    channel.publish("", queue, &Properties::default(), b"Hello World!")?;
    out.line(" [x] Sent 'Hello World!'");
    connection.close()
}

fn receive(options: &Options, queue: &str, out: &Output) -> Result<(), Error> {
    let connection = Connection::open(options)?;
    let channel = connection.open_channel()?;
    channel.queue_declare(queue, &QueueOptions::default())?;
    let no_ack = ConsumeOptions { no_ack: true, ..ConsumeOptions::default() };
    let mut deliveries = channel.consume(queue, &no_ack)?;
    out.line(" [*] Waiting for messages.");
    if let Some(delivery) = deliveries.next() {
        out.line(format_args!(" [x] Received '{}'", String::from_utf8_lossy(delivery?.body())));
    }
    drop(deliveries);
    channel.queue_delete(queue, false, false)?;
    connection.close()
}

fn run(options: Options, queue: String) -> Result<(), Error> {
    let out = Output::stdout();
    let (receiver_options, receiver_queue, receiver_out) = (options.clone(), queue.clone(), out.clone());
    let receiver = spawn(move || receive(&receiver_options, &receiver_queue, &receiver_out));
    send(&options, &queue, &out)?;
    receiver.join().unwrap_or_else(|error| error.resume())
}

fn main() {
    let arguments = Arguments::of_process(USAGE, &["--uri=", "--queue="]);
    let options = arguments.value("--uri", Options::default());
    let queue = arguments.value("--queue", "hello".to_owned());
    let outcome = leveret_runtime::run(move || run(options, queue)).expect("somebody can always run");
    examples::end(outcome);
}
