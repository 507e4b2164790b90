//! A TCP echo server on the Leveret runtime, and the load generator that checks it.
//!
//! `cargo run --release -p echo-server` listens on 127.0.0.1:7000. The code reads like one thread a connection: read,
//! write, until the peer is done. What makes it a server for ten thousand is underneath.

mod load;
mod logging;
mod options;
mod serve;

use std::process::ExitCode;

use clap::Parser;

use options::{Command, Options};

fn main() -> ExitCode {
    let options = Options::parse();
    logging::start();
    let ended = match options.command {
        Some(Command::Load(options)) => load::run(options),
        None => serve::run(options.serve),
    };
    ended.unwrap_or_else(|error| {
        eprintln!("echo-server: {error}");
        ExitCode::FAILURE
    })
}
