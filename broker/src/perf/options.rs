//! Options of `leveret perf`, named after RabbitMQ's PerfTest where it has the same.

use std::time::Duration;

use clap::{Args, ValueEnum};
use leveret_client::{FieldValue, Options, Table};

use super::stamp::STAMP_SIZE;

const EXAMPLES: &str = "\
Examples:
  leveret perf --duration 10                          one producer, one consumer, as fast as it goes
  leveret perf -x 4 -y 4 --queues 4 -z 30 -q 500      four of each, a queue for each pair, prefetch 500
  leveret perf --confirm 100 --persistent --durable -C 100000
                                                      100,000 messages that must not be lost, at most 100 unconfirmed
  leveret perf --rate 1000 --size 1000 -z 60          latency at 1,000 messages a second of 1,000 bytes
  leveret perf --exchange-type fanout --queues 3 -y 3 every message to three queues
  leveret perf --exchange-type topic --routing-key a.b.c --binding-key 'a.#' --queues 2 -y 2
  leveret perf --uri amqp://user:secret@broker:5672/orders -z 10 --json

Every message carries a sequence number and a time stamp. At the end it is said how many were lost, duplicated or out of
order; the exit code is 0 when none was lost or duplicated, 1 otherwise, and 2 when the run could not be made. Ctrl-C ends
the publishing, and the messages on their way are still waited for.";

/// Options of `perf`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Perf {
    /// The broker: amqp://user:password@host:port/vhost
    #[arg(long, short, value_name = "URI", default_value = "amqp://guest:guest@localhost:5672")]
    uri: Options,
    /// How many producers, each with a connection
    #[arg(long, short = 'x', value_name = "N", default_value_t = 1)]
    pub(super) producers: u32,
    /// How many consumers, each with a connection
    #[arg(long, short = 'y', value_name = "N", default_value_t = 1)]
    pub(super) consumers: u32,
    /// How many queues; producers and consumers take them in turn
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) queues: u32,
    /// Name of the queue, or what the names of several begin with
    #[arg(long, value_name = "NAME", default_value = "perf-test")]
    pub(super) queue: String,
    /// Bytes of a body, at least 28 (the sequence number and the time stamp)
    #[arg(long, short, value_name = "BYTES", default_value_t = 100)]
    pub(super) size: usize,
    /// Messages a second of each producer; as fast as it goes without it
    #[arg(long, short, value_name = "N")]
    pub(super) rate: Option<f64>,
    /// Publisher confirms, with at most this many messages unconfirmed
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) confirm: Option<u32>,
    /// Have messages returned that no queue takes
    #[arg(long)]
    pub(super) mandatory: bool,
    /// Most unacknowledged deliveries of a consumer; 0 is no limit
    #[arg(long, short = 'q', value_name = "N", default_value_t = 0)]
    pub(super) prefetch: u16,
    /// Deliveries need no acknowledgement
    #[arg(long, short, conflicts_with = "ack_every")]
    pub(super) auto_ack: bool,
    /// Acknowledge every N-th delivery, and all before it
    #[arg(long, short = 'A', value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) ack_every: u32,
    /// Persistent messages
    #[arg(long)]
    pub(super) persistent: bool,
    /// Durable queues (and exchange)
    #[arg(long)]
    pub(super) durable: bool,
    /// An argument of the queues, such as x-max-length=1000; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = queue_argument)]
    queue_arg: Vec<(String, FieldValue)>,
    /// Publish through an exchange of this type, and not through the default exchange
    #[arg(long, short = 't', value_name = "TYPE")]
    pub(super) exchange_type: Option<ExchangeType>,
    /// Name of that exchange; amq.* ones are used as they are
    #[arg(long, short, value_name = "NAME", requires = "exchange_type")]
    pub(super) exchange: Option<String>,
    /// Routing key of all messages, and all queues are bound by it; without it each queue has its own name for a key
    #[arg(long, short = 'k', value_name = "KEY", requires = "exchange_type")]
    pub(super) routing_key: Option<String>,
    /// Binding key, where it is not the routing key
    #[arg(long, value_name = "KEY", requires = "routing_key")]
    pub(super) binding_key: Option<String>,
    /// How long to publish, in seconds; until Ctrl-C without it and --count
    #[arg(long, short = 'z', value_name = "SECONDS", value_parser = seconds)]
    pub(super) duration: Option<Duration>,
    /// How many messages each producer publishes
    #[arg(long, short = 'C', value_name = "N")]
    pub(super) count: Option<u64>,
    /// How long to wait at the end when nothing arrives any more, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub(super) drain: Duration,
    /// Leave the queues behind
    #[arg(long)]
    pub(super) keep: bool,
    /// How often to report, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub(super) interval: Duration,
    /// Print the result as a JSON object to stdout
    #[arg(long, conflicts_with = "csv")]
    pub(super) json: bool,
    /// Print a line of comma-separated values for each interval to stdout
    #[arg(long)]
    pub(super) csv: bool,
    /// Print no progress
    #[arg(long)]
    pub(super) quiet: bool,
}

/// The exchanges that perf can bind queues to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ExchangeType {
    Direct,
    Fanout,
    Topic,
}

impl ExchangeType {
    pub(super) fn name(self) -> &'static str {
        match self {
            ExchangeType::Direct => "direct",
            ExchangeType::Fanout => "fanout",
            ExchangeType::Topic => "topic",
        }
    }
}

impl Perf {
    /// What one option cannot see of the others.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.size < STAMP_SIZE {
            return Err(format!("--size {}: a body has at least {STAMP_SIZE} bytes", self.size));
        }
        if self.producers == 0 && self.consumers == 0 {
            return Err("nobody produces and nobody consumes: --producers or --consumers must be 1 or more".into());
        }
        if self.prefetch != 0 && self.ack_every > self.prefetch.into() {
            return Err(format!("--ack-every {} is more than --prefetch {}", self.ack_every, self.prefetch));
        }
        if self.rate.is_some_and(|rate| !(rate > 0.0 && rate.is_finite())) {
            return Err("--rate is a number above 0".into());
        }
        if self.consumers > 0 && self.consumers < self.queues && self.producers > 0 {
            let text = "some queues have no consumer: --consumers must be at least --queues, or 0";
            return Err(text.into());
        }
        Ok(())
    }

    /// How to connect, under a name that the broker's lists show.
    pub(super) fn connection(&self, name: &str) -> Options {
        Options { name: Some(self.uri.name.clone().unwrap_or_else(|| name.to_owned())), ..self.uri.clone() }
    }

    pub(super) fn queue_arguments(&self) -> Table {
        self.queue_arg.iter().cloned().collect()
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds, such as 10 or 0.5".to_owned())?;
    let duration = Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?;
    if duration.is_zero() { Err("more than 0 seconds".into()) } else { Ok(duration) }
}

/// Numbers and booleans are sent as such, all else as text.
fn queue_argument(text: &str) -> Result<(String, FieldValue), String> {
    let (key, value) = text.split_once('=').ok_or("KEY=VALUE, such as x-max-length=1000")?;
    let value = match (value.parse::<i64>(), value.parse::<bool>()) {
        (Ok(number), _) => number.into(),
        (_, Ok(flag)) => flag.into(),
        _ => value.into(),
    };
    Ok((key.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        perf: Perf,
    }

    fn parse(line: &str) -> Result<Perf, String> {
        let line = std::iter::once("perf").chain(line.split_whitespace());
        let perf = Line::try_parse_from(line).map_err(|error| error.to_string())?.perf;
        perf.check().map(|()| perf)
    }

    #[test]
    fn good_lines_are_taken_and_others_explained() {
        let check = |line: &str, problem: Option<&str>| match (parse(line), problem) {
            (Ok(_), None) => {}
            (Err(error), Some(problem)) => assert!(error.contains(problem), "{line}: {error}"),
            (outcome, _) => panic!("{line}: {:?}", outcome.err()),
        };
        check("", None);
        check("-x 2 -y 3 --queues 2 -z 0.5 -C 10 -c 5 -q 10 -A 10 -r 0.5", None);
        check("-t topic -e x -k a.b --binding-key a.#", None);
        check("--size 28", None);
        check("--size 27", Some("at least 28 bytes"));
        check("-x 0 -y 0", Some("nobody produces"));
        check("-q 5 -A 6", Some("more than --prefetch"));
        check("--rate 0", Some("above 0"));
        check("--queues 2", Some("no consumer"));
        check("--queues 2 -y 0", None);
        check("-z 0", Some("more than 0"));
        check("-z x", Some("a number of seconds"));
        check("-k a", Some("--exchange-type"));
        check("--uri amqps://x", Some("not supported"));
        check("--auto-ack --ack-every 5", Some("cannot be used with"));
    }

    #[test]
    fn queue_arguments_have_types() {
        let perf = parse("--queue-arg x-max-length=5 --queue-arg x-overflow=reject-publish --queue-arg x-flag=true");
        let expected =
            Table::new().with("x-max-length", 5i64).with("x-overflow", "reject-publish").with("x-flag", true);
        assert_eq!(perf.expect("a good line").queue_arguments(), expected);
    }
}
