//! `leveret ctl`: rabbitmqctl's commands for this broker.
//!
//! A command is a few requests to the management API and a text made of the answers. It talks to the broker of a data
//! directory over the Unix socket in it, whose owner may do everything, or to any other over HTTP with a user's name. The
//! program started as `rabbitmqctl`, `rabbitmq-diagnostics`, `rabbitmq-plugins` and so on behaves as that.
//!
//! ```text
//!   words --options--> Command --Session's methods--> requests --Api--> answers --format--> text and exit code
//! ```

pub mod api;
mod checks;
mod definitions;
pub mod format;
pub mod http;
mod listings;
mod node;
pub mod options;
mod parameters;
mod permissions;
pub mod plugins;
mod service;
pub mod session;
#[cfg(test)]
mod tests;
mod users;
mod vhosts;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, Parser};
use leveret_runtime as runtime;

use crate::config::DEFAULT_DATA_DIR;
use api::{Failure, exit};
use http::Client;
use listings::Listing;
use options::{Command, Ctl, Global, Plugins, Program};
use parameters::Whose;
use session::{Done, Session};
use vhosts::Metadata;

/// The socket's name in the data directory.
pub const SOCKET_NAME: &str = "control.sock";

/// Where packages put the data.
const PACKAGED_DATA_DIR: &str = "/var/lib/leveret";

/// How long a command may take if nothing is said: rabbitmqctl's default.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Between two tries to reach a broker that is being started.
const AWAIT_PAUSE: Duration = Duration::from_millis(50);

/// Runs the command that was given to `leveret ctl`.
pub fn main(options: Ctl) -> ExitCode {
    let ran = runtime::run(move || run_here(&options));
    finish(ran.unwrap_or_else(|error| Err(Failure::new(exit::SOFTWARE, format!("Error: {error}")))))
}

/// Runs as the program of that name, if it is one of rabbitmqctl's family.
pub fn main_as(program: &str, arguments: &[String]) -> Option<ExitCode> {
    match program {
        "rabbitmqctl"
        | "leveretctl"
        | "lavinmqctl"
        | "rabbitmq-diagnostics"
        | "rabbitmq-queues"
        | "rabbitmq-upgrade"
        | "rabbitmq-streams" => {
            Some(parse::<Program>(program, arguments).map_or_else(|code| code, |parsed| main(parsed.ctl)))
        }
        "rabbitmq-plugins" => Some(parse::<Plugins>(program, arguments).map_or_else(
            |code| code,
            |parsed| match plugins::run(&parsed.command, &parsed.global) {
                Ok(text) => {
                    print!("{text}");
                    ExitCode::SUCCESS
                }
                Err(failure) => finish(Err(failure)),
            },
        )),
        _ => None,
    }
}

/// As rabbitmqctl: what cannot be understood is 64.
fn parse<P: Parser>(program: &str, arguments: &[String]) -> Result<P, ExitCode> {
    let words = std::iter::once(program.to_owned()).chain(arguments.iter().cloned());
    P::try_parse_from(words).map_err(|error| {
        let _ = error.print();
        if error.use_stderr() { ExitCode::from(exit::USAGE) } else { ExitCode::SUCCESS }
    })
}

fn finish(done: Done) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(failure.code)
        }
    }
}

// ---- connecting

fn run_here(options: &Ctl) -> Done {
    let Ctl { command, global } = options;
    let (mut out, mut input) = (io::stdout(), io::stdin());
    if let Some(done) = run_alone(command) {
        return done;
    }
    let mut api = match command {
        Command::Wait { .. } | Command::AwaitStartup => await_broker(global)?,
        _ => connect(global)?,
    };
    let mut session = Session { api: &mut api, options: global, out: &mut out, input: &mut input };
    session.run(command)
}

/// Commands that need no broker.
fn run_alone(command: &Command) -> Option<Done> {
    match command {
        Command::Version => println!("{}", env!("CARGO_PKG_VERSION")),
        Command::TlsVersions => println!("tlsv1.3\ntlsv1.2"),
        Command::Autocomplete { shell } => {
            clap_complete::generate(*shell, &mut Program::command(), "rabbitmqctl", &mut io::stdout());
        }
        Command::CipherSuites { .. } => println!("{}", service::CIPHER_SUITES.join("\n")),
        Command::ForceBoot => {}
        _ => return service::refusal(command).map(Err),
    }
    Some(Ok(()))
}

/// Tries until the broker answers, or the command has taken too long: scripts wait before they have started it.
fn await_broker(options: &Global) -> Result<Client, Failure> {
    let limit = options.timeout.map_or(TIMEOUT, Duration::from_secs);
    let until = runtime::time::now() + limit;
    loop {
        match connect(options) {
            Err(failure) if failure.code == exit::UNAVAILABLE && runtime::time::now() < until => {
                runtime::sleep(AWAIT_PAUSE);
            }
            connected => return connected,
        }
    }
}

fn connect(options: &Global) -> Result<Client, Failure> {
    let timeout = Some(options.timeout.map_or(TIMEOUT, Duration::from_secs));
    if let Some(url) = &options.url {
        let address = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/');
        let password = options.password.clone().unwrap_or_else(|| "guest".into());
        return Client::remote(address, &options.user, &password, timeout).map_err(|error| {
            Failure::new(exit::UNAVAILABLE, format!("Error: unable to reach the broker at {address}: {error}"))
        });
    }
    let sockets = sockets(options.data_dir.as_deref());
    let mut last = None;
    for socket in &sockets {
        match Client::local(socket, timeout) {
            Ok(client) => return Ok(client),
            Err(error) => last = Some((socket, error)),
        }
    }
    Err(unreachable(last))
}

/// Where the broker's socket may be.
fn sockets(data_dir: Option<&Path>) -> Vec<PathBuf> {
    match data_dir {
        Some(dir) => vec![dir.join(SOCKET_NAME)],
        None => [DEFAULT_DATA_DIR, PACKAGED_DATA_DIR].iter().map(|dir| Path::new(dir).join(SOCKET_NAME)).collect(),
    }
}

fn unreachable(last: Option<(&PathBuf, io::Error)>) -> Failure {
    let tried = last.map_or(String::new(), |(socket, error)| format!(" ({}: {error})", socket.display()));
    let text = format!(
        "Error: unable to perform an operation on the broker: it cannot be reached{tried}.\n\n\
         Most common reasons for this are:\n\n \
         * The broker is not running: start it with 'leveret'\n \
         * Its data directory is another: name it with --data-dir or LEVERET_DATA_DIR\n \
         * It runs as another user: be that user or root\n \
         * It runs on another machine: use --url http://HOST:15672 with --user and --password"
    );
    Failure::new(exit::UNAVAILABLE, text)
}

// ---- which command is which method

impl Session<'_> {
    /// Runs one command.
    ///
    /// # Errors
    /// What rabbitmqctl would say, with its exit code.
    pub fn run(&mut self, command: &Command) -> Done {
        match command {
            Command::Status => self.status(),
            Command::Ping => self.ping(),
            Command::Stop { .. } | Command::Shutdown => self.stop(),
            Command::StopApp => self.stop_app(),
            Command::StartApp => self.start_app(),
            Command::Reset => self.reset(false),
            Command::ForceReset => self.reset(true),
            Command::Drain => self.drain(),
            Command::Revive => self.revive(),
            Command::SetVmMemoryHighWatermark { limit } => self.set_memory_limit(limit),
            Command::SetDiskFreeLimit { limit } => self.set_disk_limit(limit),
            Command::AwaitStartup | Command::Wait { .. } | Command::AwaitOnlineNodes { .. } => self.await_startup(),
            Command::Environment => self.environment(),
            Command::ClusterStatus => self.cluster_status(),
            Command::SetClusterName { name } => self.set_cluster_name(name),
            Command::SetLogLevel { level } => self.set_log_level(level),
            Command::Report => self.report(),
            Command::ListFeatureFlags => self.list_feature_flags(),
            Command::ListDeprecatedFeatures => self.list_deprecated_features(),
            Command::EnableFeatureFlag { name } => self.say(&format!("Enabling feature flag \"{name}\" ...")),
            Command::Listeners => self.listeners(),
            Command::Alarms => self.alarms(),
            Command::MemoryBreakdown => self.memory_breakdown(),
            Command::ServerVersion => self.server_version(),
            Command::ErlangVersion => self.erlang_version(),
            Command::LogLocation => self.log_location(),
            Command::ImportDefinitions { file, format, .. } => self.import_definitions(file, format),
            Command::ExportDefinitions { file, format } => self.export_definitions(file, format),
            Command::ExplainRoute { exchange, routing_key, headers } => {
                self.explain_route(exchange, routing_key, headers.as_deref())
            }
            Command::Doctor { queue } => self.doctor(queue.as_deref()),
            Command::Peek { queue, position } => self.peek(queue, *position),
            Command::QuorumStatus { queue } => self.replica_status(queue, "quorum"),
            Command::StreamStatus { queue, .. } => self.replica_status(queue, "stream"),
            Command::Rebalance { kind, .. } => self.rebalance(kind),
            Command::AwaitOnlineQuorumPlusOne | Command::AwaitOnlineSynchronizedMirror => self.await_quorum(),
            Command::PostUpgrade => self.post_upgrade(),
            Command::NodeHealthCheck => self.node_health_check(),
            Command::MessageSizeStats => self.message_size_stats(),
            _ => self.run_about_access(command),
        }
    }

    fn run_about_access(&mut self, command: &Command) -> Done {
        match command {
            Command::AddUser { name, password, pre_hashed_password } => {
                self.add_user(name, password.clone(), *pre_hashed_password)
            }
            Command::DeleteUser { name } => self.delete_user(name),
            Command::ChangePassword { name, password } => self.change_password(name, password.clone()),
            Command::ClearPassword { name } => self.clear_password(name),
            Command::AuthenticateUser { name, password } => self.authenticate_user(name, password.clone()),
            Command::SetUserTags { name, tags } => self.set_user_tags(name, tags),
            Command::ListUsers { columns } => self.list_users(columns),
            Command::HashPassword { password } => self.hash_password(password.clone()),
            Command::SetUserLimits { name, limits } => self.set_user_limits(name, limits),
            Command::ClearUserLimits { name, limit } => self.clear_user_limits(name, limit),
            Command::ListUserLimits { user, global } => self.list_user_limits(user.as_deref(), *global),
            Command::AddVhost { name, description, tags, default_queue_type } => {
                self.add_vhost(name, metadata(description, tags, default_queue_type))
            }
            Command::DeleteVhost { name } => self.delete_vhost(name),
            Command::ListVhosts { columns } => self.list_vhosts(columns),
            Command::UpdateVhostMetadata { name, description, tags, default_queue_type } => {
                self.update_vhost(name, metadata(description, tags, default_queue_type))
            }
            Command::SetVhostTags { name, tags } => {
                let tags = tags.join(",");
                self.update_vhost(name, Metadata { tags: Some(&tags), ..Metadata::default() })
            }
            Command::SetVhostLimits { limits } => self.set_vhost_limits(limits),
            Command::ClearVhostLimits => self.clear_vhost_limits(),
            Command::ListVhostLimits { global } => self.list_vhost_limits(*global),
            Command::RestartVhost => self.say("Virtual hosts do not fail one by one: nothing to restart"),
            Command::EnableVhostDeletionProtection { name } => self.protect_vhost(name, true),
            Command::DisableVhostDeletionProtection { name } => self.protect_vhost(name, false),
            Command::TraceOn => self.trace(true),
            Command::TraceOff => self.trace(false),
            Command::SetPermissions { user, configure, write, read } => {
                self.set_permissions(user, [configure, write, read])
            }
            Command::SetPermissionsGlobally { user, configure, write, read } => {
                self.set_permissions_globally(user, [configure, write, read])
            }
            Command::ClearPermissions { user } => self.clear_permissions(user),
            Command::ListPermissions => self.list_permissions(),
            Command::ListUserPermissions { user } => self.list_user_permissions(user),
            Command::SetTopicPermissions { user, exchange, write, read } => {
                self.set_topic_permissions(user, exchange, [write, read])
            }
            Command::ClearTopicPermissions { user, exchange } => {
                self.clear_topic_permissions(user, exchange.as_deref())
            }
            Command::ListTopicPermissions => self.list_topic_permissions(),
            Command::ListUserTopicPermissions { user } => self.list_user_topic_permissions(user),
            _ => self.run_about_objects(command),
        }
    }

    fn run_about_objects(&mut self, command: &Command) -> Done {
        match command {
            Command::SetPolicy(policy) => self.set_policy(Whose::Users, policy),
            Command::ClearPolicy { name } => self.clear_policy(Whose::Users, name),
            Command::ListPolicies => self.list_policies(Whose::Users),
            Command::SetOperatorPolicy(policy) => self.set_policy(Whose::Operators, policy),
            Command::ClearOperatorPolicy { name } => self.clear_policy(Whose::Operators, name),
            Command::ListOperatorPolicies => self.list_policies(Whose::Operators),
            Command::SetParameter { component, name, value } => self.set_parameter(component, name, value),
            Command::ClearParameter { component, name } => self.clear_parameter(component, name),
            Command::ListParameters => self.list_parameters(),
            Command::SetGlobalParameter { name, value } => self.set_global_parameter(name, value),
            Command::ClearGlobalParameter { name } => self.clear_global_parameter(name),
            Command::ListGlobalParameters => self.list_global_parameters(),
            Command::ListQueues { columns, offline: true, .. } => {
                let none: &[String] = &[]; // every queue of one node is online
                self.say("Listing offline queues ...")?;
                self.show_objects(&serde_json::json!(none), columns, |_, _| serde_json::Value::Null)
            }
            Command::ListQueues { columns, .. } => {
                let timeout = self.options.timeout.map_or(TIMEOUT.as_secs(), |seconds| seconds);
                self.say(&format!("Timeout: {timeout}.0 seconds ..."))?;
                self.list(Listing::Queues, columns)
            }
            Command::ListExchanges { columns } => self.list(Listing::Exchanges, columns),
            Command::ListBindings { columns } => self.list(Listing::Bindings, columns),
            Command::ListConnections { columns } => self.list(Listing::Connections, columns),
            Command::ListChannels { columns } => self.list(Listing::Channels, columns),
            Command::ListConsumers { columns } => self.list(Listing::Consumers, columns),
            Command::DeleteQueue { name, if_empty, if_unused } => self.delete_queue(name, *if_empty, *if_unused),
            Command::PurgeQueue { name } => self.purge_queue(name),
            Command::CloseConnection { connection, reason } => self.close_connection(connection, reason),
            Command::CloseAllConnections { global, reason } => self.close_all_connections(*global, reason),
            Command::CloseAllUserConnections { user, reason } => self.close_all_user_connections(user, reason),
            _ => self.run_check(command),
        }
    }

    fn run_check(&mut self, command: &Command) -> Done {
        match command {
            Command::CheckRunning => self.check_running(),
            Command::IsRunning => self.is_running(),
            Command::IsBooting => self.is_booting(),
            Command::CheckAlarms => self.check_alarms(false),
            Command::CheckLocalAlarms => self.check_alarms(true),
            Command::CheckPortListener { port } => self.check_port_listener(*port),
            Command::CheckPortConnectivity { address } => self.check_port_connectivity(address.as_deref()),
            Command::CheckProtocolListener { protocol } => self.check_protocol_listener(protocol),
            Command::CheckVirtualHosts => self.check_virtual_hosts(),
            Command::CheckCertificateExpiration { within, unit } => self.check_certificate_expiration(*within, unit),
            Command::CheckIfNodeIsQuorumCritical => self.check_quorum(),
            Command::CheckIfNodeIsMirrorSyncCritical => self.check_mirrors(),
            Command::Version | Command::TlsVersions | Command::Autocomplete { .. } | Command::CipherSuites { .. } => {
                run_alone(command).unwrap_or(Ok(()))
            }
            other if service::refusal(other).is_some() || matches!(other, Command::ForceBoot) => {
                run_alone(other).unwrap_or(Ok(()))
            }
            other => Err(Failure::new(exit::SOFTWARE, format!("Error: {other:?} is not handled"))),
        }
    }
}

fn metadata<'a>(
    description: &'a Option<String>,
    tags: &'a Option<String>,
    default_queue_type: &'a Option<String>,
) -> Metadata<'a> {
    Metadata {
        description: description.as_deref(),
        tags: tags.as_deref(),
        default_queue_type: default_queue_type.as_deref(),
    }
}
