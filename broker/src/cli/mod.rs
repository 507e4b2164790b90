//! The command line: one program with sub-commands, each in a file of its own.

pub mod config;
pub mod detach;
pub mod man;
pub mod program;
pub mod self_test;
pub mod serve;
pub mod shovel;
pub mod store;

use clap::{Parser, Subcommand};

use crate::ctl::options::Ctl;
use crate::perf::Perf;
use config::Config;
use man::{Completion, Man};
use self_test::SelfTest;
use serve::Serve;
use shovel::Shovel;
use store::Store;

/// The version, and in release builds the commit.
const VERSION: &str = env!("LEVERET_VERSION");

/// A message broker that every RabbitMQ user can switch to without touching their code.
#[derive(Debug, Parser)]
#[command(name = "leveret", version = VERSION, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
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
  leveret shovel --from amqp://u:p@old.example --queue orders    messages from another broker
  leveret self-test                        does it work on this machine?
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
    /// Move messages from a queue of one broker to a queue of another; none is lost
    Shovel(Box<Shovel>),
    /// See whether this program works on this machine, with a broker of its own that is killed and started again
    SelfTest(SelfTest),
    /// Print the manual page, or write all of them into a directory
    Man(Man),
    /// Print what a shell needs to complete commands and options
    Completion(Completion),
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
