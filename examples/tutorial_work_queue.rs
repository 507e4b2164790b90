//! Work queue: tasks are shared among workers. Each is acknowledged when it is done, so a worker's death loses none.
//!
//! ```python
//! channel.queue_declare(queue='task_queue', durable=True)
//! channel.basic_qos(prefetch_count=1)
//! channel.basic_consume(callback, queue='task_queue')      # time.sleep(body.count('.')); ch.basic_ack(...)
//! ```
//!
//! "Fair dispatch": with a prefetch of one a worker gets the next task when it has done the last, so a slow one gets fewer.

use std::time::Duration;

use examples::{Arguments, Output};
use leveret_client::{BasicProperties, Connection, ConsumeOptions, Error, Options, PERSISTENT, QueueOptions};
use leveret_runtime::{join_all, sleep, spawn};

const USAGE: &str = "tutorial_work_queue: tasks for several workers

  --uri URI       the broker (amqp://guest:guest@localhost:5672)
  --queue NAME    the queue (task_queue)
  --workers N     how many workers (2)
  --tasks N       how many tasks (10)
  --dot-ms N      how long a task takes for each of its dots (10)";

/// What a worker is told when there is no more work.
const NO_MORE: &[u8] = b"quit";

struct Work {
    options: Options,
    queue: String,
    workers: usize,
    tasks: usize,
    dot: Duration,
}

fn durable() -> QueueOptions {
    QueueOptions { durable: true, ..QueueOptions::default() }
}

/// Publishes the tasks, each confirmed: only then is it the broker's to lose.
fn hand_out(work: &Work, out: &Output) -> Result<(), Error> {
    let connection = Connection::open(&work.options)?;
    let channel = connection.open_channel()?;
    channel.queue_declare(&work.queue, &durable())?;
    channel.confirm_select()?;
    let persistent = BasicProperties { delivery_mode: Some(PERSISTENT), ..BasicProperties::default() }.encode();
    for task in 1..=work.tasks {
        let body = format!("task {task}{}", ".".repeat(task % 3));
        channel.publish("", &work.queue, &persistent, body.as_bytes())?;
        out.line(format_args!(" [x] Sent '{body}'"));
    }
    for _ in 0..work.workers {
        channel.publish("", &work.queue, &persistent, NO_MORE)?;
    }
    assert_eq!(channel.wait_for_confirms()?, [], "nothing was refused");
    connection.close()
}

fn do_tasks(name: usize, options: &Options, queue: &str, dot: Duration, out: &Output) -> Result<usize, Error> {
    let connection = Connection::open(options)?;
    let channel = connection.open_channel()?;
    channel.queue_declare(queue, &durable())?;
    channel.qos(1, false)?;
    let mut done = 0;
    for delivery in channel.consume(queue, &ConsumeOptions::default())? {
        let delivery = delivery?;
        if delivery.body() == NO_MORE {
            delivery.ack()?;
            break;
        }
        let dots = delivery.body().iter().filter(|&&byte| byte == b'.').count();
        sleep(dot * u32::try_from(dots).unwrap_or(u32::MAX));
        out.line(format_args!(" [x] Worker {name} did '{}'", String::from_utf8_lossy(delivery.body())));
        delivery.ack()?;
        done += 1;
    }
    connection.close()?;
    Ok(done)
}

fn run(work: Work) -> Result<(), Error> {
    let out = Output::stdout();
    let start_worker = |name| {
        let (options, queue, dot, out) = (work.options.clone(), work.queue.clone(), work.dot, out.clone());
        spawn(move || do_tasks(name, &options, &queue, dot, &out))
    };
    let workers: Vec<_> = (1..=work.workers).map(start_worker).collect();
    hand_out(&work, &out)?;
    let done = join_all(workers).into_iter().map(|worker| worker.unwrap_or_else(|error| error.resume()));
    let done = done.sum::<Result<usize, Error>>()?;
    out.line(format_args!("{done} tasks done"));
    let connection = Connection::open(&work.options)?;
    connection.open_channel()?.queue_delete(&work.queue, false, false)?;
    connection.close()
}

fn main() {
    let arguments = Arguments::of_process(USAGE, &["--uri=", "--queue=", "--workers=", "--tasks=", "--dot-ms="]);
    let work = Work {
        options: arguments.value("--uri", Options::default()),
        queue: arguments.value("--queue", "task_queue".to_owned()),
        workers: arguments.value("--workers", 2),
        tasks: arguments.value("--tasks", 10),
        dot: Duration::from_millis(arguments.value("--dot-ms", 10)),
    };
    let outcome = leveret_runtime::run(move || run(work)).expect("somebody can always run");
    examples::end(outcome);
}
