//! The `leveret` program.

use std::process::ExitCode;

use clap::Parser;
use leveret::boot;
use leveret::cli::Cli;

fn main() -> ExitCode {
    let serve = Cli::parse().serve();
    env_logger::Builder::new().parse_filters(serve.log_filter()).format_timestamp_millis().init();
    match boot::serve(serve.config()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("leveret: {error}");
            ExitCode::FAILURE
        }
    }
}
