//! The command line.

use std::time::Duration;

use clap::{Args, Parser, Subcommand};

/// Answers every connection with the bytes that it sends.
///
/// One coroutine serves each connection. SIGINT and SIGTERM stop accepting, let the connections finish and end the
/// program; SIGQUIT (Ctrl-\) prints every coroutine with what it waits for, and goes on.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) serve: ServeOptions,
}

const EXAMPLES: &str = "\
Examples:
  echo-server                                    listen on 127.0.0.1:7000; try it with `nc 127.0.0.1 7000`
  echo-server --listen '[::]:7000' --shards 4    four threads, each with its share of the connections
  echo-server --upper --stats 1                  answer in upper case, print figures every second
  echo-server load --connections 100             put a hundred connections' load on it and check the answers";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Puts load on an echo server, checks every byte that comes back, and reports latencies
    Load(LoadOptions),
}

#[derive(Debug, Args)]
pub(crate) struct ServeOptions {
    /// Address and port to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7000")]
    pub(crate) listen: String,
    /// Threads; each connection stays with the one that has the fewest when it comes
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) shards: u16,
    /// The most connections at a time; further ones wait in the kernel's queue [default: as many as descriptors allow]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_connections: Option<u32>,
    /// Close a connection that sends nothing for so long [default: never]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) idle: Option<Duration>,
    /// Answer in upper case (ASCII letters)
    #[arg(long)]
    pub(crate) upper: bool,
    /// Print nothing but warnings, errors and what was asked for
    #[arg(long)]
    pub(crate) quiet: bool,
    /// Print connections, requests and bytes every so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) stats: Option<Duration>,
    /// How long connections may take to finish after SIGINT or SIGTERM; a second signal ends them at once
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub(crate) drain: Duration,
}

#[derive(Debug, Args)]
#[command(after_help = LOAD_EXAMPLES)]
pub(crate) struct LoadOptions {
    /// The server's address
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7000")]
    pub(crate) addr: String,
    /// Connections, each with a coroutine of its own
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) connections: u32,
    /// Bytes of a request
    #[arg(long, value_name = "BYTES", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=16 << 20))]
    pub(crate) size: u32,
    /// Requests that a connection sends ahead of the answers
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(crate) depth: u32,
    /// For how long
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub(crate) seconds: Duration,
    /// No progress line
    #[arg(long)]
    pub(crate) quiet: bool,
}

const LOAD_EXAMPLES: &str = "\
Examples:
  echo-server load                                      a hundred connections for five seconds
  echo-server load --connections 1 --seconds 2          the latency of an idle server
  echo-server load --size 16384 --depth 16              large requests, sixteen ahead
The exit code is 1 if an answer was wrong or a connection failed.";

/// A positive number of seconds, such as `0.5`.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds, such as 5 or 0.5, was expected".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("the time must be positive".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Options, String> {
        Options::try_parse_from(line.split_whitespace()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_definition_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn defaults_are_the_documented_ones() {
        let serve = parse("echo-server").unwrap().serve;
        assert_eq!((serve.listen.as_str(), serve.shards, serve.max_connections), ("127.0.0.1:7000", 1, None));
        assert_eq!((serve.upper, serve.quiet, serve.stats), (false, false, None));
        let Some(Command::Load(load)) = parse("echo-server load").unwrap().command else {
            panic!("load was asked for")
        };
        assert_eq!((load.connections, load.size, load.depth), (100, 64, 1));
        assert_eq!(load.seconds, Duration::from_secs(5));
    }

    #[test]
    fn values_are_checked_where_they_are_given() {
        let check = |line: &str, expected: &str| {
            let error = parse(line).unwrap_err();
            assert!(error.contains(expected), "{line}: {error}");
        };
        check("echo-server --shards 0", "not in 1..=1024");
        check("echo-server --max-connections 0", "not in 1..");
        check("echo-server --stats 0", "positive");
        check("echo-server --stats -1", "unexpected");
        check("echo-server --drain soon", "a number of seconds");
        check("echo-server load --size 0", "not in 1..");
        check("echo-server load --depth 65537", "not in 1..=65536");
        check("echo-server --upper load", "cannot be used with");
        assert_eq!(parse("echo-server --stats 0.5").unwrap().serve.stats, Some(Duration::from_millis(500)));
    }
}
