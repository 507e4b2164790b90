//! How a program ends: with success, or with what went wrong on stderr.

use std::fmt::Display;

/// Ends the process when there was an error: prints it, and exits with 1.
pub fn end(outcome: Result<(), impl Display>) {
    if let Err(error) = outcome {
        eprintln!("{error}");
        std::process::exit(1);
    }
}
