//! `leveret shovel`: messages from a queue of one broker to a queue of another, for moving house.
//!
//! ```text
//!   source ── deliver ──► batch ── publish, mandatory ──► destination
//!      ◄──── ack ──────────────── confirmed, none returned ────┘
//! ```
//!
//! A message is acknowledged at the source only when the destination has confirmed all of its batch. So none is lost, whoever dies;
//! those of an unfinished batch may arrive twice.

use std::cell::Cell;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use leveret_client::{Channel, Connection, ConsumeOptions, Consumer, Delivery, Error, Options, QueueOptions};
use leveret_runtime as runtime;

/// Messages that are on their way at once.
const BATCH: u16 = 500;

/// Options of `shovel`.
#[derive(Args, Clone, Debug)]
pub struct Shovel {
    /// The broker to take from, such as `amqp://user:password@old.example:5672/vhost`
    #[arg(long, value_name = "URI")]
    from: Options,
    /// The queue to take from
    #[arg(long, value_name = "NAME")]
    queue: String,
    /// The broker to give to
    #[arg(long, value_name = "URI", default_value = "amqp://guest:guest@localhost:5672")]
    to: Options,
    /// The queue to give to, which must be there [default: the one of the same name]
    #[arg(long, value_name = "NAME")]
    to_queue: Option<String>,
    /// Stop after so many messages
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Stop when nothing has come for so many seconds; 0: go on for ever
    #[arg(long, value_name = "SECONDS", default_value_t = 2)]
    idle: u64,
}

/// Why it ended early.
#[derive(Debug)]
enum Failure {
    Source(Error),
    Destination(Error),
    /// The destination did not take a message.
    Refused(&'static str),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Source(error) => write!(f, "the source: {error}"),
            Failure::Destination(error) => write!(f, "the destination: {error}"),
            Failure::Refused(what) => {
                write!(f, "the destination {what}; what it did not confirm is still at the source")
            }
        }
    }
}

/// Runs the sub-command.
pub fn main(options: Shovel) -> ExitCode {
    let done = runtime::run(move || {
        let moved = Cell::new(0);
        let ended = run(&options, &moved);
        println!("{} messages moved", moved.get());
        ended.map_err(|failure| failure.to_string())
    });
    match done.map_err(|deadlock| deadlock.to_string()).flatten() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("leveret shovel: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Shovel, moved: &Cell<u64>) -> Result<(), Failure> {
    let named = |it: &Options| Options { name: Some("leveret shovel".into()), ..it.clone() };
    let to_queue = options.to_queue.as_deref().unwrap_or(&options.queue);
    let destination = Connection::open(&named(&options.to)).map_err(Failure::Destination)?;
    let giving = destination.open_channel().map_err(Failure::Destination)?;
    let passive = QueueOptions { passive: true, ..QueueOptions::default() };
    giving.queue_declare(to_queue, &passive).map_err(Failure::Destination)?;
    giving.confirm_select().map_err(Failure::Destination)?;
    let source = Connection::open(&named(&options.from)).map_err(Failure::Source)?;
    let taking = source.open_channel().map_err(Failure::Source)?;
    taking.qos(BATCH, false).map_err(Failure::Source)?;
    let mut consumer = taking.consume(&options.queue, &ConsumeOptions::default()).map_err(Failure::Source)?;
    loop {
        let left = options.count.map_or(u64::from(BATCH), |count| count.saturating_sub(moved.get()));
        let batch = next_batch(&mut consumer, options.idle, left.min(u64::from(BATCH)) as usize)?;
        let Some(count) = give(&giving, to_queue, batch)? else { break };
        moved.set(moved.get() + count);
    }
    let _ = taking.close();
    source.close().map_err(Failure::Source)?;
    destination.close().map_err(Failure::Destination)
}

/// What has come, at least one message unless it is the end.
fn next_batch(consumer: &mut Consumer, idle: u64, size: usize) -> Result<Vec<Delivery>, Failure> {
    if size == 0 {
        return Ok(Vec::new());
    }
    let first = match idle {
        0 => consumer.next().transpose(),
        seconds => consumer.next_timeout(Duration::from_secs(seconds)),
    };
    let mut batch: Vec<Delivery> = first.map_err(Failure::Source)?.into_iter().collect();
    while !batch.is_empty() && batch.len() < size {
        match consumer.try_next().map_err(Failure::Source)? {
            Some(delivery) => batch.push(delivery),
            None => break,
        }
    }
    Ok(batch)
}

/// Gives a batch on and settles it; how many that were, `None` for an empty one.
fn give(channel: &Channel, queue: &str, mut batch: Vec<Delivery>) -> Result<Option<u64>, Failure> {
    let Some(last) = batch.pop() else { return Ok(None) };
    for delivery in batch.iter().chain([&last]) {
        let message = delivery.message();
        let sent = channel.publish_mandatory("", queue, &message.properties(), message.body());
        sent.map_err(Failure::Destination)?;
    }
    let nacked = channel.wait_for_confirms().map_err(Failure::Destination)?;
    let returned = channel.take_returned().is_some();
    if !nacked.is_empty() || returned {
        return Err(Failure::Refused(if returned { "has no such queue any more" } else { "refused a message" }));
    }
    last.ack_multiple().map_err(Failure::Source)?;
    Ok(Some(batch.len() as u64 + 1))
}
