//! Every key of the configuration file: what it does here, or why it does nothing, or what to use instead.
//!
//! The names are RabbitMQ's, so that an existing file is accepted. In a pattern `*` stands for one word of the key (a
//! number, a name) and a final `**` for any further words.

use std::path::PathBuf;

use leveret_core::access::Tag;
use leveret_core::access::password::Algorithm;

use super::value::{self, InvalidValue, address, boolean, limit, milliseconds, minutes, number, share, size, timeout};
use super::{CertificateUser, Config, Confirm, LogFormat, Mechanism, NameKind};

/// What is known of a key.
pub struct Key {
    /// Which keys are meant.
    pub pattern: &'static str,
    /// What happens to them.
    pub effect: Effect,
}

/// See [`Key`].
pub enum Effect {
    /// It acts.
    Set {
        /// Changes the configuration; gets the words that stand at the pattern's stars, and the value.
        set: Set,
        /// The value in force.
        show: fn(&Config) -> String,
    },
    /// It is taken and does nothing; the text says why that is fine.
    Ignored(&'static str),
    /// It asks for something that is not there; the text says what to do.
    Unsupported(&'static str),
}

/// See [`Effect::Set`].
pub type Set = fn(&mut Config, &[&str], &str) -> Result<(), InvalidValue>;

/// Forgets a list's defaults.
pub type Empty = fn(&mut Config);

/// Lists that a file replaces as a whole: the first key of the prefix empties them.
pub static LISTS: &[(&str, Empty)] = &[
    ("listeners.tcp", |config| config.amqp.clear()),
    ("listeners.ssl", |config| config.amqps.clear()),
    ("default_user_tags", |config| config.first_start.tags.clear()),
    ("ssl_options.versions", |config| (config.tls.tls12, config.tls.tls13) = (false, false)),
    ("auth_mechanisms", |config| config.mechanisms.clear()),
];

const fn acts(pattern: &'static str, set: Set, show: fn(&Config) -> String) -> Key {
    Key { pattern, effect: Effect::Set { set, show } }
}

const fn ignored(pattern: &'static str, why: &'static str) -> Key {
    Key { pattern, effect: Effect::Ignored(why) }
}

const fn unsupported(pattern: &'static str, instead: &'static str) -> Key {
    Key { pattern, effect: Effect::Unsupported(instead) }
}

macro_rules! none_only {
    ($field:ident) => {
        |config: &mut Config, _: &[&str], text: &str| match text {
            "none" => {
                config.$field.clear();
                Ok(())
            }
            _ => Err(InvalidValue { expected: "none; name a port with a key such as listeners.tcp.default" }),
        }
    };
}
const ONE_NODE: &str = "there is one node";
const NO_ERLANG: &str = "it is about the Erlang machine";
const OWN_STORE: &str = "it is about RabbitMQ's own files";
const OUR_MEANS: &str = "this broker's own means are always on";

/// All keys; the first pattern that fits counts.
pub static KEYS: &[Key] = &[
    // ---- where to listen
    acts("listeners.tcp", none_only!(amqp), |config| list(&config.amqp)),
    acts("listeners.tcp.*", |config, _, text| add(&mut config.amqp, address(text)?), |config| list(&config.amqp)),
    acts("listeners.ssl", none_only!(amqps), |config| list(&config.amqps)),
    acts("listeners.ssl.*", |config, _, text| add(&mut config.amqps, address(text)?), |config| list(&config.amqps)),
    acts("management.tcp.port", |config, _, text| port(&mut config.http, text), |config| list(&config.http)),
    acts(
        "management.tcp.ip",
        |config, _, text| ip(&mut config.http, super::HTTP_PORT, text),
        |config| list(&config.http),
    ),
    acts("management.ssl.port", |config, _, text| port(&mut config.https, text), |config| list(&config.https)),
    acts(
        "management.ssl.ip",
        |config, _, text| ip(&mut config.https, super::HTTPS_PORT, text),
        |config| list(&config.https),
    ),
    acts(
        "prometheus.tcp.port",
        |config, _, text| port(&mut config.prometheus, text),
        |config| list(&config.prometheus),
    ),
    acts(
        "prometheus.tcp.ip",
        |config, _, text| ip(&mut config.prometheus, super::PROMETHEUS_PORT, text),
        |config| list(&config.prometheus),
    ),
    acts(
        "proxy_protocol",
        |config, _, text| put(&mut config.proxy_protocol, boolean(text)?),
        |config| config.proxy_protocol.to_string(),
    ),
    // ---- this broker's own
    acts("shards", |config, _, text| put(&mut config.shards, number(text)?), |config| config.shards.to_string()),
    acts(
        "data_dir",
        |config, _, text| put(&mut config.data_dir, text.into()),
        |config| config.data_dir.display().to_string(),
    ),
    acts("node_name", |config, _, text| put(&mut config.node_name, text.into()), |config| config.node_name.clone()),
    acts(
        "confirm",
        |config, _, text| put(&mut config.confirm, confirm(text)?),
        |config| {
            let word = match config.confirm {
                Confirm::Synced => "synced",
                Confirm::Written => "written",
            };
            word.into()
        },
    ),
    acts(
        "cluster_name",
        |config, _, text| put(&mut config.cluster_name, Some(text.into())),
        |config| config.cluster_name.clone().unwrap_or_else(|| config.node_name.clone()),
    ),
    // ---- limits
    acts(
        "frame_max",
        |config, _, text| put(&mut config.limits.frame_max, frame_size(text)?),
        |config| config.limits.frame_max.to_string(),
    ),
    acts(
        "initial_frame_max",
        |config, _, text| put(&mut config.limits.initial_frame_max, frame_size(text)?),
        |config| config.limits.initial_frame_max.to_string(),
    ),
    acts(
        "channel_max",
        |config, _, text| put(&mut config.limits.channel_max, number(text)?),
        |config| config.limits.channel_max.to_string(),
    ),
    acts(
        "heartbeat",
        |config, _, text| put(&mut config.limits.heartbeat, number(text)?),
        |config| config.limits.heartbeat.to_string(),
    ),
    acts(
        "handshake_timeout",
        |config, _, text| put(&mut config.limits.handshake_timeout, milliseconds(text)?),
        |config| config.limits.handshake_timeout.as_millis().to_string(),
    ),
    acts(
        "max_message_size",
        |config, _, text| put(&mut config.limits.max_message_size, body_size(text)?),
        |config| config.limits.max_message_size.to_string(),
    ),
    acts(
        "consumer_timeout",
        |config, _, text| put(&mut config.limits.consumer_timeout, timeout(text)?),
        |config| config.limits.consumer_timeout.map_or("infinity".into(), |limit| limit.as_millis().to_string()),
    ),
    acts(
        "consumer_max_per_channel",
        |config, _, text| put(&mut config.limits.consumer_max_per_channel, limit(text)?),
        |config| or_infinity(config.limits.consumer_max_per_channel),
    ),
    acts(
        "connection_max",
        |config, _, text| put(&mut config.limits.connection_max, limit(text)?),
        |config| or_infinity(config.limits.connection_max),
    ),
    acts(
        "max_connections",
        |config, _, text| put(&mut config.limits.connection_max, limit(text)?),
        |config| or_infinity(config.limits.connection_max),
    ),
    acts(
        "unauthenticated_connection_max",
        |config, _, text| put(&mut config.limits.unauthenticated_connection_max, limit(text)?),
        |config| or_infinity(config.limits.unauthenticated_connection_max),
    ),
    acts(
        "unauthenticated_connection_max_per_address",
        |config, _, text| put(&mut config.limits.unauthenticated_connection_max_per_address, limit(text)?),
        |config| or_infinity(config.limits.unauthenticated_connection_max_per_address),
    ),
    acts(
        "channel_max_per_node",
        |config, _, text| put(&mut config.limits.channel_max_per_node, limit(text)?),
        |config| or_infinity(config.limits.channel_max_per_node),
    ),
    acts(
        "vhost_max",
        |config, _, text| put(&mut config.limits.vhost_max, limit(text)?),
        |config| or_infinity(config.limits.vhost_max),
    ),
    acts(
        "cluster_queue_limit",
        |config, _, text| put(&mut config.limits.queue_max, limit(text)?),
        |config| or_infinity(config.limits.queue_max),
    ),
    acts(
        "cluster_exchange_limit",
        |config, _, text| put(&mut config.limits.exchange_max, limit(text)?),
        |config| or_infinity(config.limits.exchange_max),
    ),
    // ---- alarms
    acts(
        "vm_memory_high_watermark.relative",
        |config, _, text| put(&mut config.alarms.memory_high_watermark, share(text)?),
        |config| config.alarms.memory_high_watermark.to_string(),
    ),
    acts(
        "vm_memory_high_watermark.absolute",
        |config, _, text| put(&mut config.alarms.memory_high_watermark, value::Amount::Absolute(size(text)?)),
        |config| config.alarms.memory_high_watermark.to_string(),
    ),
    acts(
        "total_memory_available_override_value",
        |config, _, text| put(&mut config.alarms.total_memory, Some(size(text)?)),
        |config| config.alarms.total_memory.map_or("the machine's".into(), |bytes| bytes.to_string()),
    ),
    acts(
        "disk_free_limit.absolute",
        |config, _, text| put(&mut config.alarms.disk_free_limit, value::Amount::Absolute(size(text)?)),
        |config| config.alarms.disk_free_limit.to_string(),
    ),
    acts(
        "disk_free_limit.relative",
        |config, _, text| put(&mut config.alarms.disk_free_limit, share(text)?),
        |config| config.alarms.disk_free_limit.to_string(),
    ),
    ignored("vm_memory_calculation_strategy", "memory is counted as the kernel counts it"),
    ignored("vm_memory_high_watermark_paging_ratio", OWN_STORE),
    ignored("memory_monitor_interval", OUR_MEANS),
    // ---- the very first start
    acts(
        "default_user",
        |config, _, text| put(&mut config.first_start.user, text.into()),
        |config| config.first_start.user.clone(),
    ),
    acts("default_pass", |config, _, text| put(&mut config.first_start.password, text.into()), |_| "(hidden)".into()),
    acts(
        "default_vhost",
        |config, _, text| put(&mut config.first_start.vhost, text.into()),
        |config| config.first_start.vhost.clone(),
    ),
    acts("default_user_tags.*", default_tag, |config| {
        let words: Vec<&str> = config.first_start.tags.iter().map(|tag| tag.as_str()).collect();
        words.join(" ")
    }),
    acts(
        "default_permissions.configure",
        |config, _, text| permission(config, 0, text),
        |config| config.first_start.permissions[0].clone(),
    ),
    acts(
        "default_permissions.write",
        |config, _, text| permission(config, 1, text),
        |config| config.first_start.permissions[1].clone(),
    ),
    acts(
        "default_permissions.read",
        |config, _, text| permission(config, 2, text),
        |config| config.first_start.permissions[2].clone(),
    ),
    unsupported("default_users.**", "put the users into a definitions file and name it in load_definitions"),
    unsupported("default_limits.**", "set limits with 'leveret ctl set_vhost_limits' or in a definitions file"),
    unsupported("default_policies.**", "put operator policies into a definitions file and name it in load_definitions"),
    acts("loopback_users", no_loopback_users, loopback_users),
    acts("loopback_users.*", loopback_user, loopback_users),
    acts("load_definitions", |config, _, text| add(&mut config.load_definitions, text.into()), definitions),
    acts("management.load_definitions", |config, _, text| add(&mut config.load_definitions, text.into()), definitions),
    acts("definitions.local.path", |config, _, text| add(&mut config.load_definitions, text.into()), definitions),
    acts("definitions.import_backend", definitions_backend, |_| "local_filesystem".into()),
    unsupported("definitions.https.**", "fetch the file with your own tool and name it in load_definitions"),
    acts(
        "definitions.skip_if_unchanged",
        |config, _, text| put(&mut config.skip_unchanged_definitions, boolean(text)?),
        |config| config.skip_unchanged_definitions.to_string(),
    ),
    ignored("definitions.hashing.algorithm", "SHA-256 is always used"),
    // ---- TLS
    acts(
        "ssl_options.certfile",
        |config, _, text| put(&mut config.tls.certificate, Some(text.into())),
        |config| path(config.tls.certificate.as_ref()),
    ),
    acts(
        "ssl_options.keyfile",
        |config, _, text| put(&mut config.tls.key, Some(text.into())),
        |config| path(config.tls.key.as_ref()),
    ),
    acts(
        "ssl_options.cacertfile",
        |config, _, text| put(&mut config.tls.authorities, Some(text.into())),
        |config| path(config.tls.authorities.as_ref()),
    ),
    acts(
        "ssl_options.verify",
        |config, _, text| put(&mut config.tls.verify_peer, verify(text)?),
        |config| {
            if config.tls.verify_peer { "verify_peer".into() } else { "verify_none".into() }
        },
    ),
    acts(
        "ssl_options.fail_if_no_peer_cert",
        |config, _, text| put(&mut config.tls.require_certificate, boolean(text)?),
        |config| config.tls.require_certificate.to_string(),
    ),
    acts("ssl_options.versions.*", tls_version, |config| {
        match (config.tls.tls12, config.tls.tls13) {
            (true, true) => "tlsv1.2 tlsv1.3",
            (true, false) => "tlsv1.2",
            (false, true) => "tlsv1.3",
            (false, false) => "none",
        }
        .into()
    }),
    unsupported("ssl_options.password", "encrypted keys are not read: decrypt the key with 'openssl pkey'"),
    ignored("ssl_options.ciphers.*", "only today's strong cipher suites are offered"),
    ignored("ssl_options.**", "the TLS library's own defaults hold"),
    ignored("ssl_handshake_timeout", "handshake_timeout covers TLS too"),
    acts("ssl_cert_login_from", certificate_user, |config| {
        match config.tls.user_from {
            CertificateUser::DistinguishedName => "distinguished_name",
            CertificateUser::CommonName => "common_name",
            CertificateUser::AlternativeName => "subject_alternative_name",
        }
        .into()
    }),
    acts(
        "ssl_cert_login_san_type",
        |config, _, text| put(&mut config.tls.alternative_name.0, name_kind(text)?),
        |config| {
            match config.tls.alternative_name.0 {
                NameKind::Dns => "dns",
                NameKind::Ip => "ip",
                NameKind::Email => "email",
                NameKind::Uri => "uri",
            }
            .into()
        },
    ),
    acts(
        "ssl_cert_login_san_index",
        |config, _, text| put(&mut config.tls.alternative_name.1, number(text)?),
        |config| config.tls.alternative_name.1.to_string(),
    ),
    unsupported("management.ssl.**", "the HTTP listener uses the certificate of ssl_options"),
    unsupported("prometheus.ssl.**", "put a proxy that speaks TLS in front of the Prometheus port"),
    // ---- management and metrics
    acts(
        "management.path_prefix",
        |config, _, text| put(&mut config.management.path_prefix, text.into()),
        |config| config.management.path_prefix.clone(),
    ),
    acts(
        "management.http.max_body_size",
        |config, _, text| put(&mut config.management.max_body_size, size(text)?),
        |config| config.management.max_body_size.to_string(),
    ),
    acts(
        "management.cors.allow_origins.*",
        |config, _, text| add(&mut config.management.cors_allow_origins, text.into()),
        |config| config.management.cors_allow_origins.join(" "),
    ),
    acts(
        "management.login_session_timeout",
        |config, _, text| put(&mut config.management.login_session_timeout, minutes(text)?),
        |config| (config.management.login_session_timeout.as_secs() / 60).to_string(),
    ),
    acts(
        "collect_statistics_interval",
        |config, _, text| put(&mut config.management.sample_interval, milliseconds(text)?),
        |config| config.management.sample_interval.as_millis().to_string(),
    ),
    ignored("management.rates_mode", OUR_MEANS),
    ignored("management.disable_stats", OUR_MEANS),
    ignored("management_agent.**", OUR_MEANS),
    ignored("management.sample_retention_policies.**", OUR_MEANS),
    ignored("management.csp.**", "the web UI has a strict policy of its own"),
    ignored("management.hsts.**", "let the proxy that speaks TLS send it"),
    unsupported("management.**", "this part of the management plugin is not there"),
    ignored("collect_statistics", OUR_MEANS),
    acts(
        "prometheus.path",
        |config, _, text| put(&mut config.metrics.path, metrics_path(text)?),
        |config| config.metrics.path.clone(),
    ),
    acts(
        "prometheus.return_per_object_metrics",
        |config, _, text| put(&mut config.metrics.per_object, boolean(text)?),
        |config| config.metrics.per_object.to_string(),
    ),
    acts(
        "prometheus.authentication.enabled",
        |config, _, text| put(&mut config.metrics.authentication, boolean(text)?),
        |config| config.metrics.authentication.to_string(),
    ),
    // ---- the log
    acts("log.console.level", |config, _, text| log_level(config, "", text), |config| config.log.filter.clone()),
    acts("log.default.level", |config, _, text| log_level(config, "", text), |config| config.log.filter.clone()),
    acts("log.level", |config, _, text| log_level(config, "", text), |config| config.log.filter.clone()),
    acts(
        "log.connection.level",
        |config, _, text| log_level(config, "leveret::frontend", text),
        |config| config.log.filter.clone(),
    ),
    acts(
        "log.channel.level",
        |config, _, text| log_level(config, "leveret::frontend::amqp::channel", text),
        |config| config.log.filter.clone(),
    ),
    acts(
        "log.queue.level",
        |config, _, text| log_level(config, "leveret::shard", text),
        |config| config.log.filter.clone(),
    ),
    acts(
        "log.console.formatter",
        |config, _, text| put(&mut config.log.format, log_format(text)?),
        |config| match config.log.format {
            LogFormat::Text => "plaintext".into(),
            LogFormat::Json => "json".into(),
        },
    ),
    ignored("log.console", "the log goes to standard error"),
    ignored("log.dir", "the log goes to standard error; let the service manager keep it"),
    ignored("log.file", "the log goes to standard error; let the service manager keep it"),
    ignored("log.file.**", "the log goes to standard error; let the service manager keep it"),
    unsupported("log.**", "the log goes to standard error only"),
    // ---- how to log in
    acts("auth_mechanisms.*", mechanism, |config| {
        config.mechanisms.iter().map(|it| it.as_str()).collect::<Vec<_>>().join(" ")
    }),
    acts("auth_backends.*", auth_backend, |_| "internal".into()),
    unsupported("auth_backends.*.*", "only the internal user database is there"),
    unsupported("auth_http.**", "only the internal user database is there"),
    unsupported("auth_ldap.**", "only the internal user database is there"),
    unsupported("auth_oauth2.**", "only the internal user database is there"),
    ignored("auth_cache.**", OUR_MEANS),
    unsupported("anonymous_login_user", "give clients a user of their own"),
    unsupported("anonymous_login_pass", "give clients a user of their own"),
    acts(
        "password_hashing_module",
        |config, _, text| put(&mut config.password_algorithm, Some(algorithm(text)?)),
        |config| config.password_algorithm.unwrap_or_default().as_str().into(),
    ),
    unsupported("credential_validator.**", "any password is taken; check it before you set it"),
    // ---- sockets
    ignored("tcp_listen_options.**", "the kernel's defaults hold, with TCP_NODELAY set"),
    ignored("num_acceptors.**", OUR_MEANS),
    ignored("reverse_dns_lookups", "peers are shown by address"),
    ignored("socket_writer.**", OUR_MEANS),
    // ---- queues
    acts(
        "default_queue_type",
        |config, _, text| put(&mut config.default_queue_type, queue_type(text)?),
        |config| config.default_queue_type.clone().unwrap_or_else(|| "classic".into()),
    ),
    ignored("queue_leader_locator", ONE_NODE),
    ignored("queue_master_locator", ONE_NODE),
    ignored("quorum_queue.**", ONE_NODE),
    ignored("raft.**", ONE_NODE),
    ignored("stream.**", "streams have limits by their arguments and policies"),
    ignored("classic_queue.**", OWN_STORE),
    ignored("queue_index_embed_msgs_below", OWN_STORE),
    ignored("queue_index_max_journal_entries", OWN_STORE),
    ignored("msg_store_**", OWN_STORE),
    ignored("lazy_queue_explicit_gc_run_operation_threshold", OWN_STORE),
    ignored("mirroring_**", ONE_NODE),
    ignored("mnesia_table_loading_**", OWN_STORE),
    ignored("deprecated_features.permit.*", "what RabbitMQ deprecates is permitted"),
    ignored("delegate_count", NO_ERLANG),
    ignored("background_gc_**", NO_ERLANG),
    ignored("erlang.**", NO_ERLANG),
    ignored("distribution.**", NO_ERLANG),
    ignored("vm.**", NO_ERLANG),
    // ---- clusters and plugins
    acts(
        "event_exchange.vhost",
        |config, _, text| put(&mut config.event_vhost, Some(text.into())),
        |config| config.event_vhost.clone().unwrap_or_else(|| "none".into()),
    ),
    ignored("event_exchange.protocol", "events are AMQP 0-9-1 messages"),
    ignored("cluster_partition_handling", ONE_NODE),
    ignored("cluster_partition_handling.**", ONE_NODE),
    ignored("cluster_keepalive_interval", ONE_NODE),
    ignored("cluster_tags.*", ONE_NODE),
    ignored("node_tags.*", ONE_NODE),
    ignored("net_ticktime", ONE_NODE),
    ignored("cluster_formation.**", ONE_NODE),
    unsupported("mqtt.**", "this broker speaks AMQP 0-9-1 only"),
    unsupported("stomp.**", "this broker speaks AMQP 0-9-1 only"),
    unsupported("web_mqtt.**", "this broker speaks AMQP 0-9-1 only"),
    unsupported("web_stomp.**", "this broker speaks AMQP 0-9-1 only"),
    unsupported("amqp1_0.**", "this broker speaks AMQP 0-9-1 only"),
    unsupported("message_interceptors.**", "let publishers set the header"),
    ignored("trace_vhosts.**", "switch tracing on with 'leveret ctl trace_on'"),
];

// ---- setters that several keys share

fn put<T>(place: &mut T, value: T) -> Result<(), InvalidValue> {
    *place = value;
    Ok(())
}

fn add<T>(list: &mut Vec<T>, value: T) -> Result<(), InvalidValue> {
    list.push(value);
    Ok(())
}

fn port(addresses: &mut Vec<std::net::SocketAddr>, text: &str) -> Result<(), InvalidValue> {
    let port = number(text)?;
    match addresses.first_mut() {
        Some(address) => address.set_port(port),
        None => addresses.push(super::everywhere(port)),
    }
    Ok(())
}

fn ip(addresses: &mut Vec<std::net::SocketAddr>, default_port: u16, text: &str) -> Result<(), InvalidValue> {
    let ip = text.parse().map_err(|_| InvalidValue { expected: "an IP address, such as 127.0.0.1" })?;
    match addresses.first_mut() {
        Some(address) => address.set_ip(ip),
        None => addresses.push(std::net::SocketAddr::new(ip, default_port)),
    }
    Ok(())
}

fn confirm(text: &str) -> Result<Confirm, InvalidValue> {
    match text {
        "synced" => Ok(Confirm::Synced),
        "written" => Ok(Confirm::Written),
        _ => Err(InvalidValue { expected: "synced or written" }),
    }
}

fn metrics_path(text: &str) -> Result<String, InvalidValue> {
    match text.starts_with('/') && text.len() > 1 {
        true => Ok(text.to_owned()),
        false => Err(InvalidValue { expected: "a path such as /metrics" }),
    }
}

/// RabbitMQ takes the names of its modules too. Classic is what there is without the key, so that it leaves no mark on queues.
fn queue_type(text: &str) -> Result<Option<String>, InvalidValue> {
    match text.strip_prefix("rabbit_").and_then(|text| text.strip_suffix("_queue")).unwrap_or(text) {
        "classic" => Ok(None),
        known @ ("quorum" | "stream") => Ok(Some(known.to_owned())),
        _ => Err(InvalidValue { expected: "classic, quorum or stream" }),
    }
}

fn frame_size(text: &str) -> Result<u32, InvalidValue> {
    const SIZE_MIN: u32 = 4096;
    match number(text)? {
        size if size == 0 || size >= SIZE_MIN => Ok(size),
        _ => Err(InvalidValue { expected: "at least 4096, or 0 for no limit" }),
    }
}

fn body_size(text: &str) -> Result<u64, InvalidValue> {
    match size(text)? {
        bytes @ 1..=leveret_amqp::server::BODY_SIZE_CEILING => Ok(bytes),
        _ => Err(InvalidValue { expected: "from 1 byte to 512 MiB" }),
    }
}

fn default_tag(config: &mut Config, stars: &[&str], text: &str) -> Result<(), InvalidValue> {
    let word = stars.first().copied().unwrap_or_default();
    if boolean(text)? {
        config.first_start.tags.push(Tag::parse(word));
    }
    Ok(())
}

fn permission(config: &mut Config, index: usize, text: &str) -> Result<(), InvalidValue> {
    leveret_core::access::pattern::Pattern::new(text).map_err(|_| InvalidValue { expected: "a regular expression" })?;
    put(&mut config.first_start.permissions[index], text.into())
}

fn no_loopback_users(config: &mut Config, _: &[&str], text: &str) -> Result<(), InvalidValue> {
    match text {
        "none" => put(&mut config.loopback_users, Default::default()),
        _ => Err(InvalidValue { expected: "none; name a user with a key such as loopback_users.guest = true" }),
    }
}

fn loopback_user(config: &mut Config, stars: &[&str], text: &str) -> Result<(), InvalidValue> {
    let user = stars.first().copied().unwrap_or_default();
    match boolean(text)? {
        true => config.loopback_users.insert(user.into()),
        false => config.loopback_users.remove(user),
    };
    Ok(())
}

fn definitions_backend(_: &mut Config, _: &[&str], text: &str) -> Result<(), InvalidValue> {
    match text {
        "local_filesystem" => Ok(()),
        _ => Err(InvalidValue { expected: "local_filesystem" }),
    }
}

fn verify(text: &str) -> Result<bool, InvalidValue> {
    match text {
        "verify_peer" => Ok(true),
        "verify_none" => Ok(false),
        _ => Err(InvalidValue { expected: "verify_peer or verify_none" }),
    }
}

fn certificate_user(config: &mut Config, _: &[&str], text: &str) -> Result<(), InvalidValue> {
    let user_from = match text {
        "distinguished_name" => CertificateUser::DistinguishedName,
        "common_name" => CertificateUser::CommonName,
        "subject_alternative_name" | "subject_alt_name" => CertificateUser::AlternativeName,
        _ => return Err(InvalidValue { expected: "distinguished_name, common_name or subject_alternative_name" }),
    };
    put(&mut config.tls.user_from, user_from)
}

fn name_kind(text: &str) -> Result<NameKind, InvalidValue> {
    match text {
        "dns" => Ok(NameKind::Dns),
        "ip" => Ok(NameKind::Ip),
        "email" => Ok(NameKind::Email),
        "uri" => Ok(NameKind::Uri),
        _ => Err(InvalidValue { expected: "dns, ip, email or uri" }),
    }
}

fn mechanism(config: &mut Config, _: &[&str], text: &str) -> Result<(), InvalidValue> {
    let found = Mechanism::ALL.into_iter().find(|it| it.as_str() == text);
    config.mechanisms.insert(found.ok_or(InvalidValue { expected: "PLAIN, AMQPLAIN or EXTERNAL" })?);
    Ok(())
}

/// RabbitMQ's names of modules, and ours. MD5 is for old definitions only.
fn algorithm(text: &str) -> Result<Algorithm, InvalidValue> {
    let expected =
        "leveret_password_hashing_argon2id, rabbit_password_hashing_sha256 or rabbit_password_hashing_sha512";
    Algorithm::parse(text).filter(|it| *it != Algorithm::Md5).ok_or(InvalidValue { expected })
}

fn tls_version(config: &mut Config, _: &[&str], text: &str) -> Result<(), InvalidValue> {
    match text {
        "tlsv1.3" => put(&mut config.tls.tls13, true),
        "tlsv1.2" => put(&mut config.tls.tls12, true),
        _ => Err(InvalidValue { expected: "tlsv1.2 or tlsv1.3: older versions are not secure" }),
    }
}

fn log_level(config: &mut Config, module: &str, text: &str) -> Result<(), InvalidValue> {
    let level = value::level(text)?.as_str();
    let filters = config.log.filter.split(',').filter(|filter| match filter.split_once('=') {
        Some((other, _)) => other != module,
        None => !module.is_empty(),
    });
    let own = if module.is_empty() { level.to_owned() } else { format!("{module}={level}") };
    config.log.filter = filters.chain([own.as_str()]).collect::<Vec<_>>().join(",");
    Ok(())
}

fn log_format(text: &str) -> Result<LogFormat, InvalidValue> {
    match text {
        "plaintext" | "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(InvalidValue { expected: "plaintext or json" }),
    }
}

fn auth_backend(_: &mut Config, _: &[&str], text: &str) -> Result<(), InvalidValue> {
    match text {
        "internal" | "rabbit_auth_backend_internal" => Ok(()),
        _ => Err(InvalidValue { expected: "internal: other sources of users are not there" }),
    }
}

// ---- how values are shown

fn list(addresses: &[std::net::SocketAddr]) -> String {
    let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    if texts.is_empty() { "none".into() } else { texts.join(" ") }
}

fn or_infinity(limit: Option<u64>) -> String {
    limit.map_or("infinity".into(), |limit| limit.to_string())
}

fn path(path: Option<&PathBuf>) -> String {
    path.map_or("none".into(), |path| path.display().to_string())
}

fn loopback_users(config: &Config) -> String {
    let users: Vec<&str> = config.loopback_users.iter().map(String::as_str).collect();
    if users.is_empty() { "none".into() } else { users.join(" ") }
}

fn definitions(config: &Config) -> String {
    let paths: Vec<String> = config.load_definitions.iter().map(|path| path.display().to_string()).collect();
    if paths.is_empty() { "none".into() } else { paths.join(" ") }
}
