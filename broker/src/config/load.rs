//! Putting a [`Config`] together from its layers: files, then the environment, then the command line; later ones win.
//!
//! Pure but for [`read`], which runs on the runtime like everything that touches files.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use leveret_runtime as runtime;

use super::Config;
use super::file::{self, FILE_SIZE_MAX, SyntaxErrorKind};
use super::find;
use super::keys::{Effect, LISTS};
use super::value::InvalidValue;

/// Where configuration is looked for if nothing is said; what is not there is no error.
pub const DEFAULT_PATHS: [&str; 2] = ["/etc/leveret/leveret.conf", "/etc/leveret/conf.d"];

/// Environment variables and the keys that they stand for; later ones win. The first are those of RabbitMQ's container image.
const VARIABLES: &[(&str, &str)] = &[
    ("RABBITMQ_DEFAULT_USER", "default_user"),
    ("RABBITMQ_DEFAULT_PASS", "default_pass"),
    ("RABBITMQ_DEFAULT_VHOST", "default_vhost"),
    ("RABBITMQ_NODE_PORT", "listeners.tcp.default"),
    ("RABBITMQ_NODENAME", "node_name"),
    ("LEVERET_DEFAULT_USER", "default_user"),
    ("LEVERET_DEFAULT_PASS", "default_pass"),
    ("LEVERET_DEFAULT_VHOST", "default_vhost"),
    ("LEVERET_NODE_PORT", "listeners.tcp.default"),
    ("LEVERET_NODE_NAME", "node_name"),
    ("LEVERET_SHARDS", "shards"),
    ("LEVERET_DATA_DIR", "data_dir"),
    ("LEVERET_CONFIRM", "confirm"),
    ("LEVERET_LOG_LEVEL", "log.level"),
];

/// Environment variables that name a configuration file or directory, the strongest first.
pub const PATH_VARIABLES: [&str; 4] =
    ["LEVERET_CONFIG_FILE", "LEVERET_CONFIG_FILES", "RABBITMQ_CONFIG_FILE", "RABBITMQ_CONFIG_FILES"];

/// Where a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Source {
    File { path: PathBuf, line: usize },
    Environment(&'static str),
    CommandLine,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::File { path, line } => write!(f, "{}:{line}", path.display()),
            Source::Environment(name) => f.write_str(name),
            Source::CommandLine => f.write_str("command line"),
        }
    }
}

/// A key with its value, and where it was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Dotted words.
    pub key: String,
    /// As written.
    pub value: String,
    /// Where.
    pub source: Source,
}

/// Something about the configuration that its author should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// Where.
    pub source: Source,
    /// What.
    pub kind: ComplaintKind,
}

/// See [`Complaint`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "Display says it")]
pub enum ComplaintKind {
    Syntax(SyntaxErrorKind),
    Value { key: String, error: InvalidValue },
    Unknown { key: String, near: Option<&'static str> },
    Ignored { key: String, why: &'static str },
    Unsupported { key: String, instead: &'static str },
}

impl Complaint {
    /// Whether the broker must not start with it; `strict` makes unknown and unsupported keys errors, as in RabbitMQ.
    pub fn is_error(&self, strict: bool) -> bool {
        match self.kind {
            ComplaintKind::Syntax(_) | ComplaintKind::Value { .. } => true,
            ComplaintKind::Unknown { .. } | ComplaintKind::Unsupported { .. } => strict,
            ComplaintKind::Ignored { .. } => false,
        }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.source)?;
        match &self.kind {
            ComplaintKind::Syntax(error) => error.fmt(f),
            ComplaintKind::Value { key, error } => write!(f, "{key}: {error}"),
            ComplaintKind::Unknown { key, near: Some(near) } => {
                write!(f, "{key} is not a key of this broker; did you mean {near}?")
            }
            ComplaintKind::Unknown { key, near: None } => {
                write!(f, "{key} is not a key of this broker; take the line out")
            }
            ComplaintKind::Ignored { key, why } => write!(f, "{key} has no effect here: {why}"),
            ComplaintKind::Unsupported { key, instead } => write!(f, "{key} is not supported: {instead}"),
        }
    }
}

/// The configuration, who said what of it, and what is to be told to its author.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What is in force.
    pub config: Config,
    /// Where each key that was said comes from.
    pub sources: BTreeMap<String, Source>,
    /// In the order of the settings.
    pub complaints: Vec<Complaint>,
}

/// Applies settings to `config`, the strongest last.
pub fn apply(mut config: Config, settings: Vec<Setting>) -> Loaded {
    let mut complaints = Vec::new();
    let mut order: Vec<String> = Vec::new();
    let mut strongest: BTreeMap<String, Setting> = BTreeMap::new();
    for setting in settings {
        if !strongest.contains_key(&setting.key) {
            order.push(setting.key.clone());
        }
        strongest.insert(setting.key.clone(), setting);
    }
    empty_lists(&mut config, &strongest);
    for key in &order {
        let Some(setting) = strongest.get(key) else { continue };
        if let Err(kind) = apply_one(&mut config, setting) {
            complaints.push(Complaint { source: setting.source.clone(), kind });
        }
    }
    let sources = strongest.into_iter().map(|(key, setting)| (key, setting.source)).collect();
    Loaded { config, sources, complaints }
}

fn empty_lists(config: &mut Config, settings: &BTreeMap<String, Setting>) {
    for (prefix, empty) in LISTS {
        let is_of_list = |key: &String| key.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.'));
        if settings.keys().any(is_of_list) {
            empty(config);
        }
    }
}

fn apply_one(config: &mut Config, setting: &Setting) -> Result<(), ComplaintKind> {
    let key = setting.key.clone();
    match find::find(&setting.key) {
        None => Err(ComplaintKind::Unknown { near: find::suggest(&key), key }),
        Some((known, stars)) => match &known.effect {
            Effect::Set { set, .. } => {
                set(config, &stars, &setting.value).map_err(|error| ComplaintKind::Value { key, error })
            }
            Effect::Ignored(why) => Err(ComplaintKind::Ignored { key, why }),
            Effect::Unsupported(instead) => Err(ComplaintKind::Unsupported { key, instead }),
        },
    }
}

/// The settings of one file.
pub fn settings_of_file(path: &Path, text: &str) -> (Vec<Setting>, Vec<Complaint>) {
    let source = |line| Source::File { path: path.to_owned(), line };
    let (settings, errors) = file::parse(text);
    let settings = settings.into_iter().map(|setting| Setting {
        key: setting.key.into(),
        value: setting.value.into(),
        source: source(setting.line),
    });
    let complaints = errors
        .into_iter()
        .map(|error| Complaint { source: source(error.line), kind: ComplaintKind::Syntax(error.kind) });
    (settings.collect(), complaints.collect())
}

/// The settings of the environment, which `variable` looks up.
pub fn settings_of_environment(variable: impl Fn(&str) -> Option<String>) -> Vec<Setting> {
    let said = |(name, key): &(&'static str, &str)| {
        variable(name).map(|value| Setting { key: (*key).into(), value, source: Source::Environment(name) })
    };
    VARIABLES.iter().filter_map(said).collect()
}

/// `KEY=VALUE` of the command line; `None` without an equals sign.
pub fn setting_of_argument(text: &str) -> Option<Setting> {
    let (key, value) = text.split_once('=')?;
    Some(Setting { key: key.trim().into(), value: value.trim().into(), source: Source::CommandLine })
}

/// Reads a file, or the `*.conf` files of a directory in the order of their names. Runs on the runtime.
///
/// # Errors
/// It cannot be read, or is larger than [`FILE_SIZE_MAX`]; the text names it.
pub fn read(path: &Path) -> io::Result<Vec<(PathBuf, String)>> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("cannot read {}: {error}", path.display()));
    if !runtime::fs::metadata(path).map_err(named)?.is_dir() {
        return Ok(vec![(path.to_owned(), read_one(path)?)]);
    }
    let entries = runtime::fs::read_dir(path).map_err(named)?;
    let mut paths: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path().to_owned()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "conf"));
    paths.sort();
    paths.into_iter().map(|path| read_one(&path).map(|text| (path, text))).collect()
}

fn read_one(path: &Path) -> io::Result<String> {
    let text = runtime::fs::read_to_string(path)
        .map_err(|error| io::Error::new(error.kind(), format!("cannot read {}: {error}", path.display())))?;
    if text.len() > FILE_SIZE_MAX {
        let text = format!("{} is larger than {FILE_SIZE_MAX} bytes: is it a configuration file?", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::default_amqp;
    use crate::config::value::Amount;

    fn load(text: &str) -> Loaded {
        let (settings, errors) = settings_of_file(Path::new("a.conf"), text);
        let base = Config { amqp: vec![default_amqp()], ..Config::default() };
        let mut loaded = apply(base, settings);
        loaded.complaints.splice(0..0, errors);
        loaded
    }

    fn complaints(text: &str) -> Vec<String> {
        load(text).complaints.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_tutorials_and_the_manuals_files_act() {
        let text = "\
            ## a comment\n\
            listeners.tcp.default = 5673\n\
            listeners.tcp.local = 127.0.0.1:5674\n\
            loopback_users.guest = false\n\
            default_user = admin\n\
            default_pass = 'secret#1'\n\
            default_user_tags.monitoring = true\n\
            vm_memory_high_watermark.relative = 0.4\n\
            disk_free_limit.absolute = 2GB\n\
            management.tcp.port = 8080\n\
            management.tcp.ip = 127.0.0.1\n\
            log.console.level = warning\n\
            log.connection.level = debug\n\
            consumer_timeout = 3600000\n";
        let Loaded { config, complaints, sources } = load(text);
        assert_eq!(complaints, []);
        assert_eq!(config.amqp, ["[::]:5673".parse().unwrap(), "127.0.0.1:5674".parse().unwrap()]);
        assert_eq!(config.http, ["127.0.0.1:8080".parse().unwrap()]);
        assert!(config.loopback_users.is_empty());
        assert_eq!((config.first_start.user.as_str(), config.first_start.password.as_str()), ("admin", "secret#1"));
        assert_eq!(config.first_start.tags, [leveret_core::access::Tag::Monitoring]);
        assert_eq!(config.alarms.memory_high_watermark, Amount::Relative(0.4));
        assert_eq!(config.alarms.disk_free_limit, Amount::Absolute(2_000_000_000));
        assert_eq!(config.log.filter, "warn,leveret::frontend=debug");
        assert_eq!(sources["default_user"].to_string(), "a.conf:5");
        assert!(!format!("{config:?}").contains("secret"), "the password is not shown");
    }

    #[test]
    fn each_complaint_says_where_and_what_to_do() {
        let check = |line, expected: &str| assert_eq!(complaints(line), [expected], "{line}");
        check("oops", "a.conf:1: expected 'key = value', found no '='");
        check("heartbeat = often", "a.conf:1: heartbeat: expected a whole number within its key's range");
        check("frame_max = 100", "a.conf:1: frame_max: expected at least 4096, or 0 for no limit");
        check("hartbeat = 5", "a.conf:1: hartbeat is not a key of this broker; did you mean heartbeat?");
        check("a.b.c = 5", "a.conf:1: a.b.c is not a key of this broker; take the line out");
        check("net_ticktime = 60", "a.conf:1: net_ticktime has no effect here: there is one node");
        check("mqtt.vhost = /", "a.conf:1: mqtt.vhost is not supported: this broker speaks AMQP 0-9-1 only");
        check(
            "tcp_listen_options.linger.on = true",
            "a.conf:1: tcp_listen_options.linger.on has no effect here: the kernel's defaults hold, with TCP_NODELAY set",
        );
        check(
            "ssl_options.versions.1 = tlsv1.1",
            "a.conf:1: ssl_options.versions.1: expected tlsv1.2 or tlsv1.3: older versions are not secure",
        );
    }

    #[test]
    fn strictness() {
        let errors = |text, strict| load(text).complaints.iter().filter(|complaint| complaint.is_error(strict)).count();
        let text = "oops\nheartbeat = x\nunknown_thing = 1\nmqtt.vhost = /\nnet_ticktime = 60";
        assert_eq!((errors(text, false), errors(text, true)), (2, 4));
    }

    #[test]
    fn later_layers_win_and_lists_are_replaced_as_a_whole() {
        let file =
            settings_of_file(Path::new("a.conf"), "listeners.tcp.default = 5673\nheartbeat = 10\nheartbeat = 20").0;
        let environment = settings_of_environment(|name| match name {
            "RABBITMQ_NODE_PORT" => Some("5674".into()),
            "RABBITMQ_DEFAULT_USER" => Some("from rabbit".into()),
            "LEVERET_DEFAULT_USER" => Some("from leveret".into()),
            _ => None,
        });
        let arguments = setting_of_argument("frame_max = 4096");
        let base = Config { amqp: vec![default_amqp()], ..Config::default() };
        let loaded = apply(base, file.into_iter().chain(environment).chain(arguments).collect());
        assert_eq!(loaded.config.amqp, ["[::]:5674".parse().unwrap()]);
        assert_eq!(loaded.config.limits.heartbeat, 20);
        assert_eq!(loaded.config.limits.frame_max, 4096);
        assert_eq!(loaded.config.first_start.user, "from leveret");
        assert_eq!(loaded.sources["listeners.tcp.default"], Source::Environment("RABBITMQ_NODE_PORT"));
        assert_eq!(loaded.complaints, []);
    }

    #[test]
    fn no_listener_at_all_can_be_asked_for() {
        assert!(load("listeners.tcp = none").config.amqp.is_empty());
        assert_eq!(load("listeners.ssl.default = 5671").config.amqp, [default_amqp()]);
    }
}
