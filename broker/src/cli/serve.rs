//! Options of `serve`, and the configuration that they stand for.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::Args;
use leveret_runtime::Runtime;

use crate::config::load::{self, DEFAULT_PATHS, Loaded, PATH_VARIABLES, Setting};
use crate::config::{Config, HTTP_PORT, PROMETHEUS_PORT, default_amqp, everywhere};

/// Options of `serve`.
#[derive(Args, Clone, Debug, Default)]
pub struct Serve {
    /// Where to listen for AMQP, such as 127.0.0.1:5672 or [::]:5672; may be given several times
    #[arg(long, value_name = "ADDR")]
    amqp: Vec<SocketAddr>,
    /// Where to serve the HTTP API and the web UI, or off [default: port 15672 of every address]
    #[arg(long, value_name = "ADDR|off", value_parser = parse_listen)]
    http: Option<Listen>,
    /// Where to answer Prometheus, or off [default: port 15692 of every address]
    #[arg(long, value_name = "ADDR|off", value_parser = parse_listen)]
    prometheus: Option<Listen>,
    /// How many threads serve connections and queues [default: one a processor]
    #[arg(long, value_name = "N")]
    shards: Option<usize>,
    /// Where the broker keeps its data [default: ./leveret-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// A configuration file in the format of rabbitmq.conf, or a directory of *.conf files; may be given several times
    #[arg(long, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// A line of the configuration file, such as --set heartbeat=30; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_setting)]
    set: Vec<Setting>,
    /// Refuse to start with a configuration key that is unknown or not supported
    #[arg(long)]
    strict: bool,
    /// Go on in the background, and return when ready; the log goes to leveret.log in the data directory
    #[arg(long)]
    detached: bool,
    /// What to log: off, error, warn, info, debug, trace, or filters such as leveret::frontend=debug [default: info]
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,
}

/// An address to listen on, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listen {
    Off,
    At(SocketAddr),
}

fn parse_listen(text: &str) -> Result<Listen, String> {
    match text {
        "off" => Ok(Listen::Off),
        _ => text.parse().map(Listen::At).map_err(|_| "expected an address such as 127.0.0.1:15672, or off".into()),
    }
}

fn parse_setting(text: &str) -> Result<Setting, String> {
    load::setting_of_argument(text).ok_or_else(|| "expected KEY=VALUE, such as heartbeat=30".into())
}

impl Listen {
    fn addresses(self) -> Vec<SocketAddr> {
        match self {
            Listen::Off => Vec::new(),
            Listen::At(address) => vec![address],
        }
    }
}

impl Serve {
    /// The options of somebody who names configuration files only.
    pub(super) fn with_files(config: Vec<PathBuf>) -> Serve {
        Serve { config, ..Serve::default() }
    }

    /// Whether the broker is to go on in the background.
    pub fn is_detached(&self) -> bool {
        self.detached
    }

    /// Whether keys that are unknown or not supported are errors.
    pub fn is_strict(&self) -> bool {
        self.strict
    }

    /// Reads the files, the environment (which `variable` looks up) and these options. To be called outside the runtime: it
    /// starts one of its own for reading.
    ///
    /// # Errors
    /// A file that was named cannot be read.
    pub fn load(&self, variable: impl Fn(&str) -> Option<String>) -> io::Result<Loaded> {
        let paths = self.paths(&variable);
        let files = if paths.is_empty() {
            Vec::new()
        } else {
            Runtime::builder().shards(1).build()?.run(move || read_all(&paths)).map_err(io::Error::other)??
        };
        Ok(self.layers(&files, variable))
    }

    /// The files to read: those that were named must be there.
    fn paths(&self, variable: impl Fn(&str) -> Option<String>) -> Vec<(PathBuf, bool)> {
        if !self.config.is_empty() {
            return self.config.iter().map(|path| (path.clone(), true)).collect();
        }
        let named: Vec<_> = PATH_VARIABLES.into_iter().filter_map(variable).map(|path| (path.into(), true)).collect();
        if named.is_empty() { DEFAULT_PATHS.map(|path| (path.into(), false)).into() } else { named }
    }

    /// The configuration of these files, this environment and these options. Pure but for the machine's processors.
    fn layers(&self, files: &[(PathBuf, String)], variable: impl Fn(&str) -> Option<String>) -> Loaded {
        let mut settings = Vec::new();
        let mut complaints = Vec::new();
        for (path, text) in files {
            let (more, errors) = load::settings_of_file(path, text);
            settings.extend(more);
            complaints.extend(errors);
        }
        settings.extend(load::settings_of_environment(variable));
        settings.extend(self.set.iter().cloned());
        let mut loaded = load::apply(base(), settings);
        complaints.append(&mut loaded.complaints);
        loaded.complaints = complaints;
        self.override_options(&mut loaded.config);
        loaded.config.files = files.iter().map(|(path, _)| path.clone()).collect();
        loaded
    }

    fn override_options(&self, config: &mut Config) {
        if !self.amqp.is_empty() {
            config.amqp.clone_from(&self.amqp);
        }
        if let Some(http) = self.http {
            config.http = http.addresses();
        }
        if let Some(prometheus) = self.prometheus {
            config.prometheus = prometheus.addresses();
        }
        if let Some(shards) = self.shards {
            config.shards = shards;
        }
        if let Some(data_dir) = &self.data_dir {
            config.data_dir.clone_from(data_dir);
        }
        if let Some(log) = &self.log {
            config.log.filter.clone_from(log);
        }
    }
}

/// What holds if nobody says anything.
fn base() -> Config {
    Config {
        amqp: vec![default_amqp()],
        http: vec![everywhere(HTTP_PORT)],
        prometheus: vec![everywhere(PROMETHEUS_PORT)],
        shards: std::thread::available_parallelism().map_or(1, Into::into),
        ..Config::default()
    }
}

fn read_all(paths: &[(PathBuf, bool)]) -> io::Result<Vec<(PathBuf, String)>> {
    let mut files = Vec::new();
    for (path, must_exist) in paths {
        match load::read(path) {
            Ok(more) => files.extend(more),
            Err(error) if !must_exist && error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(files)
}

/// Whether an address is one that nobody asked for, so that it may be taken by somebody else.
pub fn is_default(address: &SocketAddr, port: u16) -> bool {
    address.ip() == IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED) && address.port() == port
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn config(arguments: &[&str]) -> Config {
        let words = std::iter::once("leveret").chain(arguments.iter().copied());
        match Cli::try_parse_from(words).expect("good arguments").into_command() {
            Command::Serve(serve) => {
                let file = (PathBuf::from("a.conf"), "heartbeat = 10\nshards = 7\nlisteners.tcp.1 = 1\n".to_owned());
                serve.layers(&[file], |name| (name == "LEVERET_DATA_DIR").then(|| "from/environment".into())).config
            }
            other => panic!("not serve: {other:?}"),
        }
    }

    #[test]
    fn serve_is_the_default() {
        assert_eq!(config(&["--shards", "3"]), config(&["serve", "--shards", "3"]));
        assert_eq!(config(&["--shards", "3"]).shards, 3);
    }

    #[test]
    fn options_win_over_the_environment_and_that_over_files() {
        let plain = config(&[]);
        assert_eq!((plain.shards, plain.limits.heartbeat, plain.data_dir), (7, 10, PathBuf::from("from/environment")));
        assert_eq!(config(&["--data-dir", "here"]).data_dir, PathBuf::from("here"));
        assert_eq!(config(&["--set", "heartbeat=5"]).limits.heartbeat, 5);
        assert_eq!(config(&["--log", "debug"]).log.filter, "debug");
    }

    #[test]
    fn addresses() {
        let amqp = config(&["--amqp", "127.0.0.1:1", "--amqp", "[::1]:2"]).amqp;
        assert_eq!(amqp, ["127.0.0.1:1".parse().unwrap(), "[::1]:2".parse().unwrap()]);
        assert_eq!(config(&[]).amqp, [everywhere(1)]);
        assert_eq!(config(&["--http", "off", "--prometheus", "127.0.0.1:3"]).http, []);
        assert_eq!(config(&["--prometheus", "127.0.0.1:3"]).prometheus, ["127.0.0.1:3".parse().unwrap()]);
        assert_eq!(config(&[]).http, [everywhere(HTTP_PORT)]);
    }

    #[test]
    fn files_that_were_named_are_read_instead_of_the_usual_ones() {
        let none = |_: &str| None;
        assert_eq!(Serve::default().paths(none), DEFAULT_PATHS.map(|path| (path.into(), false)));
        assert_eq!(Serve::with_files(vec!["x".into()]).paths(none), [("x".into(), true)]);
        let environment = |name: &str| (name == "RABBITMQ_CONFIG_FILE").then(|| "y".to_owned());
        assert_eq!(Serve::default().paths(environment), [("y".into(), true)]);
    }
}
