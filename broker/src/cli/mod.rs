//! The command line: one program with sub-commands, each in a file of its own.

pub mod config;
pub mod detach;
pub mod program;
pub mod serve;
pub mod store;

use clap::{Parser, Subcommand};

use crate::ctl::options::Ctl;
use crate::perf::Perf;
use config::Config;
use serve::Serve;
use store::Store;

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
  leveret --config leveret.conf            with a configuration file, in the format of rabbitmq.conf
  leveret config check leveret.conf        what of that file acts, and what does not
  leveret ctl list_queues                  rabbitmqctl's commands; a link named rabbitmqctl to this program does the same
  leveret perf --duration 10               load on the broker of this machine; see leveret perf --help

Log in as guest with password guest, from this machine. Stop with Ctrl-C or SIGTERM: connections are closed with
320 CONNECTION_FORCED, as RabbitMQ does.";

/// A sub-command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the broker in the foreground (the default)
    Serve(Box<Serve>),
    /// Put load on a broker, measure it, and check that no message is lost
    Perf(Box<Perf>),
    /// Administer a running broker, with rabbitmqctl's commands
    Ctl(Box<Ctl>),
    /// Check or show the configuration
    Config(Config),
    /// Check, print or rescue stored messages, while no broker runs
    Store(Store),
}

impl Cli {
    /// What to do, whether the word was given or not.
    pub fn into_command(self) -> Command {
        self.command.unwrap_or_else(|| Command::Serve(Box::new(self.serve)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
