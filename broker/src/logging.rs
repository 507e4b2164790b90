//! The log: lines for people or JSON objects on standard error, with a filter that can be exchanged while the program runs.

use std::fmt::Write as _;
use std::io::Write;
use std::sync::OnceLock;

use arc_swap::ArcSwap;
use env_logger::{Builder, Logger};
use log::{Log, Metadata, Record, SetLoggerError};

use crate::config::{self, LogFormat};

/// A logger behind a pointer that can be exchanged.
struct Exchangeable {
    current: ArcSwap<Logger>,
    format: LogFormat,
}

static LOGGER: OnceLock<Exchangeable> = OnceLock::new();

impl Log for Exchangeable {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.current.load().enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        self.current.load().log(record);
    }

    fn flush(&self) {
        self.current.load().flush();
    }
}

/// Begins to log. To be called once.
///
/// # Errors
/// Somebody else logs already.
pub fn start(options: &config::Log) -> Result<(), SetLoggerError> {
    let logger = build(&options.filter, options.format);
    let level = logger.filter();
    let logger = LOGGER.get_or_init(|| Exchangeable { current: ArcSwap::from_pointee(logger), format: options.format });
    log::set_logger(logger)?;
    log::set_max_level(level);
    Ok(())
}

/// Exchanges the filter, such as `info` or `info,leveret::frontend=debug`.
pub fn set_filter(filter: &str) {
    let Some(logger) = LOGGER.get() else { return };
    let next = build(filter, logger.format);
    let level = next.filter();
    logger.current.store(next.into());
    log::set_max_level(level);
}

fn build(filter: &str, format: LogFormat) -> Logger {
    let mut builder = Builder::new();
    builder.parse_filters(filter).format_timestamp_millis();
    if format == LogFormat::Json {
        builder.format(|out, record| {
            let time = out.timestamp_millis().to_string();
            writeln!(out, "{}", as_json(&time, record))
        });
    }
    builder.build()
}

/// The fields that RabbitMQ's JSON formatter writes too, and the module.
fn as_json(time: &str, record: &Record<'_>) -> String {
    let mut message = String::new();
    let _ = write!(message, "{}", record.args()); // a String takes everything
    serde_json::json!({
        "time": time,
        "level": record.level().as_str().to_ascii_lowercase(),
        "msg": message,
        "module": record.target(),
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_json_line_is_one_object_whatever_the_message() {
        let text = "user 'a\"b\n\u{1b}[2J'";
        let arguments = format_args!("{text}");
        let record = Record::builder().args(arguments).level(log::Level::Warn).target("leveret::x").build();
        let line = as_json("2026-11-23T00:00:00.000Z", &record);
        assert!(!line.contains('\n'));
        let value: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(value["msg"], text);
        assert_eq!((&value["level"], &value["module"]), (&"warn".into(), &"leveret::x".into()));
    }
}
