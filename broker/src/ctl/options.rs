//! The command line of `leveret ctl`: rabbitmqctl's commands, words and options.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::format::Format;

/// Administer a running broker, with rabbitmqctl's commands and options
#[derive(Args, Clone, Debug)]
#[command(subcommand_value_name = "COMMAND", subcommand_help_heading = "Commands")]
pub struct Ctl {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
    /// Options of all commands
    #[command(flatten)]
    pub global: Global,
}

/// The same as a program of its own: `rabbitmqctl`, `leveretctl`, `lavinmqctl`, `rabbitmq-diagnostics` and so on.
#[derive(Debug, Parser)]
#[command(name = "rabbitmqctl", version, disable_version_flag = true)]
pub struct Program {
    /// See there.
    #[command(flatten)]
    pub ctl: Ctl,
}

/// Options of all commands.
#[derive(Args, Clone, Debug, Default)]
pub struct Global {
    /// The node, as NAME@HOST: only its host counts, and only with --url or for messages
    #[arg(short, long, global = true, value_name = "NODE")]
    pub node: Option<String>,
    /// The data directory of the broker to talk to [default: ./leveret-data, then /var/lib/leveret]
    #[arg(long, global = true, value_name = "DIR", env = "LEVERET_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Talk to the HTTP API of another machine, such as `http://broker.example:15672`
    #[arg(long, global = true, value_name = "URL")]
    pub url: Option<String>,
    /// User for --url
    #[arg(long, global = true, value_name = "NAME", default_value = "guest")]
    pub user: String,
    /// Password for --url
    #[arg(long, global = true, value_name = "PASSWORD", env = "LEVERET_PASSWORD", hide_env_values = true)]
    pub password: Option<String>,
    /// The virtual host
    #[arg(short = 'p', long, global = true, value_name = "VHOST", default_value = "/")]
    pub vhost: String,
    /// No line that says what is being done
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Neither that line nor the names of columns
    #[arg(short, long, global = true)]
    pub silent: bool,
    /// How long to wait, in seconds
    #[arg(short, long, global = true, value_name = "SECONDS")]
    pub timeout: Option<u64>,
    /// How tables look
    #[arg(long, global = true, value_name = "FORMAT", default_value = "table")]
    pub formatter: Format,
    /// No names of columns
    #[arg(long, global = true)]
    pub no_table_headers: bool,
    /// Say what would be done, and do nothing
    #[arg(long, global = true)]
    pub dry_run: bool,
    /// Accepted for rabbitmqctl's sake: there is no cookie
    #[arg(long, global = true, value_name = "COOKIE", hide = true)]
    pub erlang_cookie: Option<String>,
    /// Accepted for rabbitmqctl's sake
    #[arg(short, long, global = true, hide = true)]
    pub longnames: bool,
}

/// The commands. Their words and arguments are rabbitmqctl's.
#[derive(Clone, Debug, Subcommand)]
#[command(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the arguments are rabbitmqctl's")]
pub enum Command {
    // ---- the node
    /// Show the node's state, figures and listeners
    Status,
    /// Check that the broker answers
    Ping,
    /// Stop the broker and wait until it has ended
    Stop { pid_file: Option<PathBuf> },
    /// Stop the broker and wait until it has ended
    Shutdown,
    /// Send all AMQP clients away and let nobody in; the HTTP API stays
    StopApp,
    /// Let AMQP clients in again
    StartApp,
    /// Forget everything, after stop_app: virtual hosts with their messages, users, parameters
    Reset,
    /// The same as reset: there are no other nodes to ask
    ForceReset,
    /// Before maintenance: send all AMQP clients away and let nobody in
    Drain,
    /// After maintenance: let AMQP clients in again
    Revive,
    /// Wait until the broker answers, also if it is not started yet
    AwaitStartup,
    /// Wait until the broker answers, also if it is not started yet
    Wait {
        pid_file: Option<PathBuf>,
        #[arg(short = 'P', long)]
        pid: Option<u32>,
    },
    /// Show this program's version
    Version,
    /// Show the configuration in force
    Environment,
    /// Show the cluster, which is one node
    ClusterStatus,
    /// Name the cluster
    SetClusterName { name: String },
    /// Wait for nodes: this one is enough
    AwaitOnlineNodes { count: u32 },
    /// Set what is logged from now on
    SetLogLevel { level: String },
    /// Log files are the service manager's: nothing to rotate
    RotateLogs,
    /// Set the memory limit: a share such as 0.5, or 'absolute' and a size
    SetVmMemoryHighWatermark { limit: Vec<String> },
    /// Set the limit of free disk space: a size, or 'mem_relative' and a share of the memory
    SetDiskFreeLimit { limit: Vec<String> },
    /// Clusters are not there: this broker is one node
    #[command(hide = true)]
    JoinCluster { words: Vec<String> },
    /// Clusters are not there: this broker is one node
    #[command(hide = true)]
    ForgetClusterNode { words: Vec<String> },
    /// Clusters are not there: this broker is one node
    #[command(hide = true)]
    RenameClusterNode { words: Vec<String> },
    /// Nothing to do: a single node waits for nobody
    #[command(hide = true)]
    ForceBoot,
    /// Everything that helps to judge the state, one report after the other
    Report,
    // ---- users
    /// Add a user; without a password it is read from standard input
    AddUser {
        name: String,
        password: Option<String>,
        /// The password is a salted hash, in base64
        #[arg(long)]
        pre_hashed_password: bool,
    },
    /// Remove a user, and close its connections
    DeleteUser { name: String },
    /// Give a user another password
    ChangePassword { name: String, password: Option<String> },
    /// Take a user's password away: it can no longer log in by one
    ClearPassword { name: String },
    /// Check a password
    AuthenticateUser { name: String, password: Option<String> },
    /// Set a user's tags: administrator, monitoring, policymaker, management, or none at all
    SetUserTags { name: String, tags: Vec<String> },
    /// List users and their tags
    ListUsers { columns: Vec<String> },
    /// Hash a password as definitions have it
    HashPassword { password: Option<String> },
    /// Limit a user's connections and channels, in JSON
    SetUserLimits { name: String, limits: String },
    /// Lift one limit, or all
    ClearUserLimits { name: String, limit: String },
    /// List limits of users
    ListUserLimits {
        #[arg(long)]
        user: Option<String>,
        #[arg(long)]
        global: bool,
    },
    // ---- virtual hosts
    /// Add a virtual host
    AddVhost {
        name: String,
        #[arg(long)]
        description: Option<String>,
        #[arg(long)]
        tags: Option<String>,
        #[arg(long)]
        default_queue_type: Option<String>,
    },
    /// Remove a virtual host with everything in it
    DeleteVhost { name: String },
    /// List virtual hosts
    ListVhosts { columns: Vec<String> },
    /// Change a virtual host's description, tags or default queue type
    UpdateVhostMetadata {
        name: String,
        #[arg(long)]
        description: Option<String>,
        #[arg(long)]
        tags: Option<String>,
        #[arg(long)]
        default_queue_type: Option<String>,
    },
    /// Set a virtual host's tags
    SetVhostTags { name: String, tags: Vec<String> },
    /// Limit a virtual host's connections and queues, in JSON
    SetVhostLimits { limits: String },
    /// Lift a virtual host's limits
    ClearVhostLimits,
    /// List limits of virtual hosts
    ListVhostLimits {
        #[arg(long)]
        global: bool,
    },
    /// Nothing to do: virtual hosts do not fail one by one
    RestartVhost,
    /// Keep a virtual host from being deleted
    EnableVhostDeletionProtection { name: String },
    /// Allow a virtual host to be deleted
    DisableVhostDeletionProtection { name: String },
    /// Copy all messages of a virtual host to amq.rabbitmq.trace
    TraceOn,
    /// Copy no more
    TraceOff,
    // ---- permissions
    /// Allow a user what three regular expressions match
    SetPermissions { user: String, configure: String, write: String, read: String },
    /// Allow it in every virtual host
    SetPermissionsGlobally { user: String, configure: String, write: String, read: String },
    /// Take a user's access to the virtual host away
    ClearPermissions { user: String },
    /// List permissions of a virtual host
    ListPermissions,
    /// List a user's permissions
    ListUserPermissions { user: String },
    /// Restrict routing keys on a topic exchange
    SetTopicPermissions { user: String, exchange: String, write: String, read: String },
    /// Lift the restriction
    ClearTopicPermissions { user: String, exchange: Option<String> },
    /// List restrictions of routing keys
    ListTopicPermissions,
    /// List a user's restrictions of routing keys
    ListUserTopicPermissions { user: String },
    // ---- policies and parameters
    /// Set a policy
    SetPolicy(Policy),
    /// Remove a policy
    ClearPolicy { name: String },
    /// List policies
    ListPolicies,
    /// Set an operator policy
    SetOperatorPolicy(Policy),
    /// Remove an operator policy
    ClearOperatorPolicy { name: String },
    /// List operator policies
    ListOperatorPolicies,
    /// Set a runtime parameter
    SetParameter { component: String, name: String, value: String },
    /// Remove a runtime parameter
    ClearParameter { component: String, name: String },
    /// List runtime parameters
    ListParameters,
    /// Set a global runtime parameter
    SetGlobalParameter { name: String, value: String },
    /// Remove a global runtime parameter
    ClearGlobalParameter { name: String },
    /// List global runtime parameters
    ListGlobalParameters,
    // ---- what there is
    /// List queues; columns such as name, messages, consumers, policy, arguments
    ListQueues {
        columns: Vec<String>,
        #[arg(long)]
        online: bool,
        #[arg(long)]
        offline: bool,
        #[arg(long)]
        local: bool,
    },
    /// List exchanges
    ListExchanges { columns: Vec<String> },
    /// List bindings
    ListBindings { columns: Vec<String> },
    /// List connections
    ListConnections { columns: Vec<String> },
    /// List channels
    ListChannels { columns: Vec<String> },
    /// List consumers
    ListConsumers { columns: Vec<String> },
    /// Delete a queue
    DeleteQueue {
        name: String,
        #[arg(short = 'e', long)]
        if_empty: bool,
        #[arg(short = 'u', long)]
        if_unused: bool,
    },
    /// Throw a queue's messages away
    PurgeQueue { name: String },
    /// Close a connection, by its name or by list_connections' pid
    CloseConnection { connection: String, reason: Vec<String> },
    /// Close all connections, or those of --vhost
    CloseAllConnections {
        #[arg(long)]
        global: bool,
        reason: Vec<String>,
    },
    /// Close all connections of a user
    CloseAllUserConnections { user: String, reason: Vec<String> },
    /// Say where a message would go, and why not elsewhere
    #[command(visible_alias = "explain-route")]
    ExplainRoute {
        exchange: String,
        #[arg(default_value = "")]
        routing_key: String,
        /// Headers of the message, in JSON
        #[arg(long)]
        headers: Option<String>,
    },
    /// Say why a queue does not move, and what helps
    Doctor { queue: Option<String> },
    // ---- definitions
    /// Import definitions from a JSON file, or standard input
    ImportDefinitions {
        #[arg(default_value = "-")]
        file: PathBuf,
        #[arg(long, default_value = "json")]
        format: String,
        #[arg(long)]
        skip_if_unchanged: bool,
    },
    /// Export definitions to a JSON file, or standard output
    ExportDefinitions {
        #[arg(default_value = "-")]
        file: PathBuf,
        #[arg(long, default_value = "json")]
        format: String,
    },
    // ---- what scripts for upgrades call
    /// Nothing to do: all features are on
    EnableFeatureFlag { name: String },
    /// List features, which are all on
    ListFeatureFlags,
    /// List deprecated features in use
    ListDeprecatedFeatures,
    // ---- health checks
    /// Check that the broker is fully started
    CheckRunning,
    /// Check that no alarm is on
    CheckAlarms,
    /// Check that no alarm of this node is on
    CheckLocalAlarms,
    /// Check that a port is listened on
    CheckPortListener { port: u16 },
    /// Check that every listener accepts connections
    CheckPortConnectivity {
        #[arg(long)]
        address: Option<String>,
    },
    /// Check that a protocol is listened for
    CheckProtocolListener { protocol: String },
    /// Check that all virtual hosts run
    CheckVirtualHosts,
    /// Check that no certificate expires soon
    CheckCertificateExpiration {
        #[arg(long, default_value = "4")]
        within: u32,
        #[arg(long, default_value = "weeks")]
        unit: String,
    },
    /// Check that the node may be stopped without a queue losing its majority
    CheckIfNodeIsQuorumCritical,
    /// The same for mirrored queues, which are not there
    CheckIfNodeIsMirrorSyncCritical,
    /// Check the node as a whole
    NodeHealthCheck,
    /// Show messages by size
    MessageSizeStats,
    /// List the TLS cipher suites that are offered
    CipherSuites {
        #[arg(long, default_value = "openssl")]
        format: String,
        #[arg(long)]
        all: bool,
    },
    /// The log goes to standard error: read it where it is kept
    LogTail {
        #[arg(short = 'N', long)]
        number: Option<u64>,
    },
    /// Bind a queue to amq.rabbitmq.event instead
    ConsumeEventStream {
        #[arg(short, long)]
        duration: Option<u64>,
        #[arg(long)]
        pattern: Option<String>,
    },
    // ---- queues with replicas
    /// Show a message of a queue without taking it; the first has the position 1
    Peek { queue: String, position: usize },
    /// Show the state of a quorum queue's replicas
    QuorumStatus { queue: String },
    /// Show the state of a stream's replicas
    StreamStatus {
        queue: String,
        #[arg(long)]
        tracking: bool,
    },
    /// Spread leaders over the nodes, of which there is one
    Rebalance {
        #[arg(default_value = "all")]
        kind: String,
        #[arg(long)]
        vhost_pattern: Option<String>,
        #[arg(long)]
        queue_pattern: Option<String>,
    },
    /// Clusters are not there: this broker is one node
    #[command(hide = true)]
    Grow { words: Vec<String> },
    /// Clusters are not there: this broker is one node
    #[command(hide = true)]
    Shrink { words: Vec<String> },
    /// Clusters are not there: this broker is one node
    #[command(hide = true)]
    AddMember { words: Vec<String> },
    /// Clusters are not there: this broker is one node
    #[command(hide = true)]
    DeleteMember { words: Vec<String> },
    /// Nothing to wait for: there is one node
    AwaitOnlineQuorumPlusOne,
    /// Nothing to wait for: there is one node
    AwaitOnlineSynchronizedMirror,
    /// Nothing to do after an upgrade
    PostUpgrade,
    /// Say whether the broker is fully started
    IsRunning,
    /// Say whether the broker is starting
    IsBooting,
    /// List listeners
    Listeners,
    /// List alarms
    Alarms,
    /// Show what memory is used
    MemoryBreakdown,
    /// Show the version that clients see
    ServerVersion,
    /// Show the version that stands for Erlang's
    ErlangVersion,
    /// Show where the log goes
    LogLocation,
    /// List TLS versions
    TlsVersions,
    /// Complete commands in a shell: bash, zsh, fish
    Autocomplete {
        #[arg(default_value = "bash")]
        shell: clap_complete::Shell,
    },
    /// Evaluating Erlang is not possible
    #[command(hide = true)]
    Eval { code: Vec<String> },
    /// Evaluating Erlang is not possible
    #[command(hide = true)]
    EvalFile { file: PathBuf },
    /// Running Elixir is not possible
    #[command(hide = true)]
    Exec { code: Vec<String> },
    /// Values in the configuration are not encrypted
    #[command(hide = true)]
    Encode { words: Vec<String> },
    /// Values in the configuration are not encrypted
    #[command(hide = true)]
    Decode { words: Vec<String> },
    /// Values in the configuration are not encrypted
    #[command(hide = true)]
    ListCiphers,
    /// Values in the configuration are not encrypted
    #[command(hide = true)]
    ListHashes,
}

/// Arguments of `set_policy` and `set_operator_policy`.
#[derive(Args, Clone, Debug)]
pub struct Policy {
    /// Its name
    pub name: String,
    /// Which names it is for, a regular expression
    pub pattern: String,
    /// What it sets, in JSON
    pub definition: String,
    /// The highest priority counts
    #[arg(long, default_value = "0", allow_negative_numbers = true)]
    pub priority: i64,
    /// queues, exchanges or all
    #[arg(long, default_value = "all")]
    pub apply_to: String,
}

/// The command line of `rabbitmq-plugins`.
#[derive(Debug, Parser)]
#[command(name = "rabbitmq-plugins")]
pub struct Plugins {
    /// What to do
    #[command(subcommand)]
    pub command: PluginCommand,
    /// Options of all commands
    #[command(flatten)]
    pub global: Global,
}

/// Everything is built in: these commands succeed for the names of RabbitMQ's plugins that have a counterpart here.
#[derive(Clone, Debug, Subcommand)]
#[command(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the arguments are those of rabbitmq-plugins")]
pub enum PluginCommand {
    /// List plugins
    List {
        pattern: Option<String>,
        #[arg(short = 'e', long)]
        enabled: bool,
        #[arg(short = 'E', long)]
        explicitly_enabled: bool,
        #[arg(short = 'm', long)]
        minimal: bool,
    },
    /// Enable plugins
    Enable {
        plugins: Vec<String>,
        #[arg(long)]
        all: bool,
        #[arg(long)]
        offline: bool,
        #[arg(long)]
        online: bool,
    },
    /// Disable plugins: what is built in stays
    Disable {
        plugins: Vec<String>,
        #[arg(long)]
        all: bool,
        #[arg(long)]
        offline: bool,
        #[arg(long)]
        online: bool,
    },
    /// Enable these plugins only
    Set {
        plugins: Vec<String>,
        #[arg(long)]
        offline: bool,
        #[arg(long)]
        online: bool,
    },
    /// Say whether plugins are enabled
    IsEnabled { plugins: Vec<String> },
    /// Show where plugins lie
    Directories,
}
