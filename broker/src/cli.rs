//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, DEFAULT_DATA_DIR, default_amqp};
use crate::perf::Perf;

/// A message broker that every RabbitMQ user can switch to without touching their code.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do; `serve` if nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

const EXAMPLES: &str = "\
Examples:
  leveret                                  serve on port 5672 of every address
  leveret --amqp 127.0.0.1:5672            this machine only
  leveret --amqp 127.0.0.1:0 --shards 2    a free port, two threads
  leveret perf --duration 10               load on the broker of this machine; see leveret perf --help

Log in as guest with password guest, from this machine. Stop with Ctrl-C or SIGTERM: connections are closed with
320 CONNECTION_FORCED, as RabbitMQ does.";

/// A sub-command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the broker in the foreground (the default)
    Serve(Serve),
    /// Put load on a broker, measure it, and check that no message is lost
    Perf(Box<Perf>),
}

/// Options of `serve`.
#[derive(Args, Clone, Debug)]
pub struct Serve {
    /// Where to listen for AMQP, such as 127.0.0.1:5672 or [::]:5672; may be given several times
    #[arg(long, value_name = "ADDR")]
    amqp: Vec<SocketAddr>,
    /// How many threads serve connections and queues [default: one a processor]
    #[arg(long, value_name = "N")]
    shards: Option<usize>,
    /// Where the broker keeps its data
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA_DIR)]
    data_dir: PathBuf,
    /// What to log: off, error, warn, info, debug, trace, or filters such as leveret::frontend=debug
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log: String,
}

impl Cli {
    /// What to do, whether the word was given or not.
    pub fn into_command(self) -> Command {
        self.command.unwrap_or(Command::Serve(self.serve))
    }
}

impl Serve {
    /// What to log.
    pub fn log_filter(&self) -> &str {
        &self.log
    }

    /// The configuration that they stand for.
    pub fn config(&self) -> Config {
        let amqp = if self.amqp.is_empty() { vec![default_amqp()] } else { self.amqp.clone() };
        let shards = self.shards.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, Into::into));
        Config { amqp, shards, data_dir: self.data_dir.clone(), ..Config::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(arguments: &[&str]) -> Config {
        let words = std::iter::once("leveret").chain(arguments.iter().copied());
        match Cli::try_parse_from(words).expect("good arguments").into_command() {
            Command::Serve(serve) => serve.config(),
            other => panic!("not serve: {other:?}"),
        }
    }

    #[test]
    fn serve_is_the_default() {
        assert_eq!(config(&["--shards", "3"]), config(&["serve", "--shards", "3"]));
        assert_eq!(config(&["--shards", "3"]).shards, 3);
    }

    #[test]
    fn several_addresses_may_be_given() {
        let amqp = config(&["--amqp", "127.0.0.1:1", "--amqp", "[::1]:2"]).amqp;
        assert_eq!(amqp, ["127.0.0.1:1".parse().unwrap(), "[::1]:2".parse().unwrap()]);
        assert_eq!(config(&[]).amqp, [default_amqp()]);
    }

    #[test]
    fn the_definition_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
