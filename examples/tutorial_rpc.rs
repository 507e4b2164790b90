//! Remote procedure call: a client asks a server for Fibonacci numbers, and waits.
//!
//! ```python
//! self.channel.basic_publish(exchange='', routing_key='rpc_queue', body=str(n),
//!                            properties=pika.BasicProperties(reply_to=..., correlation_id=...))
//! while self.response is None:
//!     self.connection.process_data_events()
//! ```
//!
//! Here the call parks its coroutine until the answer is there; the bookkeeping is in `RpcClient`.

use std::time::Duration;

use examples::{Arguments, Output};
use leveret_client::{Connection, Error, Message, Options, QueueOptions, RpcClient, serve};
use leveret_runtime::spawn;

const USAGE: &str = "tutorial_rpc: Fibonacci numbers from a server

  --uri URI      the broker (amqp://guest:guest@localhost:5672)
  --queue NAME   the queue of requests (rpc_queue)
  --n N          up to which number (30)";

/// How long the client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

fn fibonacci(n: u32) -> u128 {
    (0..n).fold((0, 1), |(this, next): (u128, u128), _| (next, this.saturating_add(next))).0
}

fn answer(request: &Message, out: &Output) -> Vec<u8> {
    let n = std::str::from_utf8(request.body()).ok().and_then(|text| text.parse().ok());
    out.line(format_args!(" [.] fib({})", String::from_utf8_lossy(request.body())));
    n.map_or("not a number".to_owned(), |n| fibonacci(n).to_string()).into_bytes()
}

fn run(options: &Options, queue: &str, n: u32) -> Result<(), Error> {
    let out = Output::stdout();
    let server_connection = Connection::open(options)?;
    let channel = server_connection.open_channel()?;
    channel.queue_declare(queue, &QueueOptions { auto_delete: true, ..QueueOptions::default() })?;
    channel.qos(1, false)?;
    let (served, server_out) = (queue.to_owned(), out.clone());
    let server = spawn(move || serve(&channel, &served, |request| answer(request, &server_out)));

    let connection = Connection::open(options)?;
    let mut rpc = RpcClient::open(&connection)?;
    for n in [n, n / 2] {
        out.line(format_args!(" [x] Requesting fib({n})"));
        let answer = rpc.call(queue, n.to_string().as_bytes(), PATIENCE)?;
        out.line(format_args!(" [.] Got {}", String::from_utf8_lossy(answer.body())));
    }
    connection.close()?;
    server.kill();
    server_connection.close()
}

fn main() {
    let arguments = Arguments::of_process(USAGE, &["--uri=", "--queue=", "--n="]);
    let options = arguments.value("--uri", Options::default());
    let queue = arguments.value("--queue", "rpc_queue".to_owned());
    let n = arguments.value("--n", 30);
    examples::end(leveret_runtime::run(move || run(&options, &queue, n)).expect("somebody can always run"));
}
