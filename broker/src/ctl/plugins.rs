//! `rabbitmq-plugins`: here everything is built in, so its commands say so and succeed.

use super::api::{Failure, exit};
use super::options::{Global, PluginCommand};

/// RabbitMQ's plugins that have a counterpart in this program, which is always on.
pub const BUILT_IN: &[&str] = &[
    "rabbitmq_auth_mechanism_ssl",
    "rabbitmq_consistent_hash_exchange",
    "rabbitmq_delayed_message_exchange",
    "rabbitmq_event_exchange",
    "rabbitmq_management",
    "rabbitmq_management_agent",
    "rabbitmq_prometheus",
    "rabbitmq_random_exchange",
    "rabbitmq_recent_history_exchange",
    "rabbitmq_web_dispatch",
];

/// Plugins that exist for RabbitMQ and have no counterpart.
const ABSENT: &[&str] = &[
    "rabbitmq_amqp1_0",
    "rabbitmq_auth_backend_cache",
    "rabbitmq_auth_backend_http",
    "rabbitmq_auth_backend_ldap",
    "rabbitmq_auth_backend_oauth2",
    "rabbitmq_federation",
    "rabbitmq_federation_management",
    "rabbitmq_jms_topic_exchange",
    "rabbitmq_mqtt",
    "rabbitmq_peer_discovery_k8s",
    "rabbitmq_sharding",
    "rabbitmq_shovel",
    "rabbitmq_shovel_management",
    "rabbitmq_stomp",
    "rabbitmq_stream",
    "rabbitmq_stream_management",
    "rabbitmq_top",
    "rabbitmq_tracing",
    "rabbitmq_trust_store",
    "rabbitmq_web_mqtt",
    "rabbitmq_web_stomp",
];

/// What a command prints.
///
/// # Errors
/// A plugin that nobody knows, or that has no counterpart here.
pub fn run(command: &PluginCommand, options: &Global) -> Result<String, Failure> {
    let banner = |text: &str| if options.quiet || options.silent { String::new() } else { format!("{text}\n") };
    match command {
        PluginCommand::List { pattern, enabled, explicitly_enabled, minimal } => {
            let pattern = pattern.as_deref().unwrap_or(".*");
            list(pattern, *enabled || *explicitly_enabled, *minimal, &banner)
        }
        PluginCommand::Enable { plugins, all, .. } => {
            let plugins: Vec<&str> =
                if *all { BUILT_IN.to_vec() } else { plugins.iter().map(String::as_str).collect() };
            require_built_in(&plugins)?;
            let list = plugins.join("\n");
            let mut text =
                format!("{}{list}\nThese are built in and always on: nothing to do.\n", banner("Enabling plugins:"));
            if plugins.contains(&"rabbitmq_event_exchange") {
                text.push_str(
                    "For events set event_exchange.vhost in the configuration, such as to /, and start again.\n",
                );
            }
            Ok(text)
        }
        PluginCommand::Disable { plugins, .. } => {
            let list = plugins.join("\n");
            Ok(format!("{}{list}\nWhat is built in stays: nothing to do.\n", banner("Disabling plugins:")))
        }
        PluginCommand::Set { plugins, .. } => {
            require_built_in(&plugins.iter().map(String::as_str).collect::<Vec<_>>())?;
            Ok("What is built in is always on: nothing to do.\n".into())
        }
        PluginCommand::IsEnabled { plugins } => is_enabled(plugins, &banner),
        PluginCommand::Directories => Ok("There are no plugin files: everything is in this program.\n".into()),
    }
}

fn require_built_in(plugins: &[&str]) -> Result<(), Failure> {
    if let Some(unknown) = plugins.iter().find(|plugin| !BUILT_IN.contains(plugin) && !ABSENT.contains(plugin)) {
        return Err(Failure::new(exit::SOFTWARE, format!("Error:\n{{:plugins_not_found, [:{unknown}]}}")));
    }
    match plugins.iter().find(|plugin| !BUILT_IN.contains(plugin)) {
        Some(absent) => {
            let text = format!("Error:\n{absent} has no counterpart here; 'rabbitmq-plugins list' shows what has");
            Err(Failure::new(exit::SOFTWARE, text))
        }
        None => Ok(()),
    }
}

fn is_enabled(plugins: &[String], banner: &dyn Fn(&str) -> String) -> Result<String, Failure> {
    let list = plugins.join(", ");
    let absent: Vec<&str> = plugins.iter().map(String::as_str).filter(|plugin| !BUILT_IN.contains(plugin)).collect();
    let asking = banner(&format!("Asking if {list} is enabled..."));
    match absent.as_slice() {
        [] => Ok(format!("{asking}Plugin {list} is enabled\n")),
        absent => Err(Failure::new(exit::UNAVAILABLE, format!("Error:\nPlugin {} is not enabled", absent.join(", ")))),
    }
}

fn list(pattern: &str, enabled: bool, minimal: bool, banner: &dyn Fn(&str) -> String) -> Result<String, Failure> {
    let pattern_used = regex::Regex::new(pattern)
        .map_err(|error| Failure::new(exit::USAGE, format!("Error: {pattern} is not a regular expression: {error}")))?;
    let absent = if enabled { &[] } else { ABSENT };
    let mut names: Vec<&str> =
        BUILT_IN.iter().chain(absent).copied().filter(|name| pattern_used.is_match(name)).collect();
    names.sort_unstable();
    if minimal {
        return Ok(names.iter().map(|name| format!("{name}\n")).collect());
    }
    let mut text = banner(&format!("Listing plugins with pattern \"{pattern}\" ..."));
    text.push_str(&banner(" Configured: E = explicitly enabled; e = implicitly enabled\n | Status: * = running\n |/"));
    let width = names.iter().map(|name| name.len()).max().unwrap_or(0);
    for name in names {
        let mark = if BUILT_IN.contains(&name) { "[E*]" } else { "[  ]" };
        text.push_str(&format!("{mark} {name:width$} {}\n", env!("CARGO_PKG_VERSION")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enable(plugin: &str) -> Result<String, u8> {
        let command = PluginCommand::Enable { plugins: vec![plugin.into()], all: false, offline: false, online: false };
        run(&command, &Global::default()).map_err(|failure| failure.code)
    }

    #[test]
    fn the_tutorials_plugin_can_be_enabled_and_others_say_why_not() {
        assert!(enable("rabbitmq_management").expect("built in").contains("rabbitmq_management\n"));
        for absent in ["rabbitmq_mqtt", "rabbitmq_jms_topic_exchange"] {
            assert_eq!(enable(absent), Err(exit::SOFTWARE), "{absent}");
        }
        assert_eq!(enable("nonsense"), Err(exit::SOFTWARE));
    }

    #[test]
    fn lists() {
        let list = |pattern: &str, enabled| {
            let command = PluginCommand::List {
                pattern: Some(pattern.into()),
                enabled,
                explicitly_enabled: false,
                minimal: true,
            };
            run(&command, &Global::default()).expect("a pattern")
        };
        assert_eq!(list("^rabbitmq_man.*t$", true), "rabbitmq_management\nrabbitmq_management_agent\n");
        assert_eq!(list("mqtt", true), "");
        assert_eq!(list("_mqtt$", false), "rabbitmq_mqtt\nrabbitmq_web_mqtt\n");
    }
}
