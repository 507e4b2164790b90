//! Starting and stopping: shards first, then listeners, then one line that says so; and all of it backwards.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use leveret_management::port;
use leveret_runtime as runtime;
use leveret_store::{Options as StoreOptions, Store};
use runtime::mailbox::channel::{Receiver, Sender, channel};
use runtime::signal::{Signal, Signals};
use runtime::{Runtime, ShardId};

use crate::config::{Config, Confirm, Tls};
use crate::first_start;
use crate::frontend::amqp::editor::EDITOR;
use crate::frontend::amqp::listener::{Listener, Wrapping, settings};
use crate::frontend::http::control::Control;
use crate::frontend::http::listener::Http;
use crate::metadata::{Metadata, Recovered, lock_data_dir};
use crate::shard::mail::{self, Mail};
use crate::shard::{OWNER, Shard};
use crate::transport::certificates::Certificates;

/// How long clients may take to say close-ok when the broker stops.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// The folder of the durable log in the data directory.
const STORE_NAME: &str = "messages";

/// The file in the data directory that says that the broker has stopped by itself.
const CLEAN_NAME: &str = "messages.clean";

/// How often the store looks after what waits for room.
const STORE_TICK: Duration = Duration::from_secs(1);

/// Bytes that a record may have besides a message's body: names, properties (at most a frame), references.
const RECORD_MARGIN: u64 = 1024 * 1024;

/// The exit code when the disk has failed.
const EXIT_DISK_FAILED: i32 = 74;

/// A password's digest takes 19 MiB for a moment, on any of the runtime's threads.
const LARGE_ALLOCATION: usize = 4 * 1024 * 1024;

/// A shard that has not looked at its sockets for so long is worth a line in the log.
const STALL_LIMIT: Duration = Duration::from_secs(1);

/// Runs the broker until SIGINT or SIGTERM.
///
/// # Errors
/// An address that cannot be listened on, a data directory that cannot be made, a number of shards out of range.
pub fn serve(config: Config) -> io::Result<()> {
    runtime::map_allocations_above(LARGE_ALLOCATION);
    let runtime = Runtime::builder().shards(config.shards).watchdog(STALL_LIMIT).build()?;
    let _ = runtime::raise_descriptor_limit();
    let config = Arc::new(config);
    runtime.run(move || run(&config)).map_err(io::Error::other)?
}

/// The main coroutine.
pub(crate) fn run(config: &Arc<Config>) -> io::Result<()> {
    if !runtime::sim::is_simulated() {
        // In a simulation the order of a hash table must follow from the seed, and the key is the process's.
        leveret_core::key_hashes([runtime::random::u64(), runtime::random::u64()]);
    }
    let signals = Signals::new([Signal::Interrupt, Signal::Terminate])?;
    let requests = Signals::new([Signal::Quit, Signal::Hangup])?;
    let _lock = lock_data_dir(&config.data_dir)?;
    let is_new = start_broker(config)?;
    Shard::current().store_together(|| Http::load_definitions(config))?;
    if is_new && Shard::current().access().users().len() == 0 {
        first_start::begin(&config.first_start).map_err(io::Error::other)?;
    }
    let listeners = listen(config)?;
    let http = Http::start(config, listeners.addresses(), listeners.certificates.as_ref())?;
    let control = Control::start(config, http.api())?;
    say_ready(config, http.listeners());
    let (certificates, tls) = (listeners.certificates.clone(), config.tls.clone());
    spawn_named("signals", move || serve_requests(&requests, certificates.as_deref(), &tls));
    let stop_asked = control.stop.clone();
    spawn_named("stop signals", move || {
        if let Ok(signal) = signals.recv() {
            log::info!("{signal}: closing connections");
        }
        stop_asked.set();
    });
    control.stop.wait();
    http.stop();
    stop(listeners.amqp.into_iter().chain(listeners.amqps).collect());
    Ok(())
}

/// SIGQUIT: who is there and what does everybody wait for. SIGHUP: read certificates again.
fn serve_requests(signals: &Signals, certificates: Option<&Certificates>, tls: &Tls) {
    while let Ok(signal) = signals.recv() {
        match (signal, certificates) {
            (Signal::Quit, _) => eprint!("{}", runtime::dump()),
            (_, Some(certificates)) => match certificates.reload(tls) {
                Ok(()) => log::info!("{signal}: certificates read again; other settings need a restart"),
                Err(error) => log::error!("{signal}: certificates stay as they are: {error}"),
            },
            (_, None) => log::info!("{signal}: there is nothing to reload without TLS; settings need a restart"),
        }
    }
}

/// Listeners of AMQP, over TLS or not.
struct Listeners {
    amqp: Vec<Listener>,
    amqps: Vec<Listener>,
    certificates: Option<Arc<Certificates>>,
}

impl Listeners {
    /// Where they listen.
    fn addresses(&self) -> Vec<port::Listener> {
        let address = |protocol| move |listener: &Listener| port::Listener { protocol, addr: listener.local_addr() };
        self.amqp.iter().map(address("amqp")).chain(self.amqps.iter().map(address("amqp/ssl"))).collect()
    }
}

fn listen(config: &Arc<Config>) -> io::Result<Listeners> {
    let settings = settings(&config.limits);
    let bind = |addresses: &[SocketAddr], tls: Option<Arc<Certificates>>| {
        let wrapping = Wrapping { proxy: config.proxy_protocol, tls };
        addresses
            .iter()
            .map(|addr| Listener::bind(*addr, settings.clone(), wrapping.clone()))
            .collect::<io::Result<_>>()
    };
    let certificates = match config.amqps.is_empty() && config.https.is_empty() {
        true => None,
        false => Some(Arc::new(Certificates::load(&config.tls).map_err(io::Error::other)?)),
    };
    Ok(Listeners { amqp: bind(&config.amqp, None)?, amqps: bind(&config.amqps, certificates.clone())?, certificates })
}

/// Brings back what is stored, on every shard; says whether nothing was, because the broker starts for the first time.
fn start_broker(config: &Arc<Config>) -> io::Result<bool> {
    let (metadata, entries) = Metadata::open(&config.data_dir)?;
    let recovered = Recovered::from_entries(entries.as_deref().unwrap_or_default(), config.shards)?;
    start_shards(config, &Arc::new(recovered))?;
    let owner = Shard::current();
    owner.attach_metadata(metadata);
    spawn_named("metadata", move || owner.store_for_ever());
    open_store(config)?;
    Ok(entries.is_none())
}

// ---- messages

/// Opens the durable log, and brings its messages back on every shard.
fn open_store(config: &Config) -> io::Result<()> {
    let options = store_options(config);
    let (store, recovered) = Store::open(&config.data_dir.join(STORE_NAME), options).map_err(io::Error::other)?;
    let (fits, needed) = (store.writer().batch_size_max() as u64, config.limits.max_message_size + RECORD_MARGIN);
    if fits < needed {
        return Err(io::Error::other(format!(
            "this data directory was made for messages of at most {} bytes: set max_message_size to that or less",
            fits - RECORD_MARGIN.min(fits)
        )));
    }
    let recovered = Arc::new(recovered);
    let after_crash = !take_clean_mark(&config.data_dir)?;
    let mut count = 0;
    for shard in runtime::shards() {
        let (store, recovered) = (store.clone(), recovered.clone());
        let attached = runtime::call(shard, move || Shard::current().attach_store(store, &recovered, after_crash));
        let attached = attached.map_err(|error| io::Error::other(format!("a shard did not recover: {error}")))?;
        count += attached.map_err(io::Error::other)?;
    }
    if count > 0 {
        log::info!("{count} stored messages are back in their queues");
    }
    spawn_named("store clock", move || {
        loop {
            runtime::sleep(STORE_TICK);
            store.tick();
        }
    });
    Ok(())
}

fn store_options(config: &Config) -> StoreOptions {
    let defaults = StoreOptions::default();
    let needed = config.limits.max_message_size.saturating_add(2 * RECORD_MARGIN).next_multiple_of(1024 * 1024);
    StoreOptions {
        log_file_size: defaults.log_file_size.max(u32::try_from(needed).unwrap_or(u32::MAX)),
        confirm: match config.confirm {
            Confirm::Synced => leveret_store::Confirm::Synced,
            Confirm::Written => leveret_store::Confirm::Written,
        },
        on_event: Arc::new(note_store_event),
        ..defaults
    }
}

/// Runs on a thread of the store.
fn note_store_event(event: leveret_store::Event) {
    match event {
        leveret_store::Event::Failed { reason } => {
            // "A failed sync is never retried": what is on the disk is not known, and the next start finds out.
            log::error!(
                "the disk failed, and the broker stops so that nothing is confirmed that is not there: {reason}"
            );
            if !runtime::sim::is_simulated() {
                std::process::exit(EXIT_DISK_FAILED);
            }
        }
        leveret_store::Event::Blocked { reason } => log::error!("the disk is full: {reason}"),
        leveret_store::Event::Unblocked => log::info!("the disk has room again"),
    }
}

/// Whether the broker stopped by itself last time. From now on it has not, until it does again.
fn take_clean_mark(data_dir: &Path) -> io::Result<bool> {
    match runtime::fs::remove_file(data_dir.join(CLEAN_NAME)) {
        Ok(()) => runtime::fs::sync_dir(data_dir).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Everything that was confirmed is on disk anyway; this also saves the next start the reading of the log.
fn close_store(data_dir: &Path) {
    let store = Shard::current().stored.store();
    for shard in runtime::shards() {
        let _ = runtime::call(shard, || Shard::current().stored.flush());
    }
    let closed = store.map(|store| store.close().map_err(io::Error::other));
    let marked = closed.map(|closed| closed.and_then(|()| runtime::fs::write(data_dir.join(CLEAN_NAME), Vec::new())));
    if let Some(Err(error)) = marked {
        log::warn!("the store did not close: {error}");
    }
}

// ---- shards

/// Makes the broker's part of every shard, with mail between them and the same state on each.
pub(crate) fn start_shards(config: &Arc<Config>, recovered: &Arc<Recovered>) -> io::Result<()> {
    let failed = |error: runtime::JoinError| io::Error::other(format!("a shard did not start: {error}"));
    let mut senders = Vec::new();
    for shard in runtime::shards() {
        senders.push(runtime::call(shard, open_mailbox).map_err(failed)?);
    }
    for shard in runtime::shards() {
        let (config, senders, recovered) = (config.clone(), senders.clone(), recovered.clone());
        runtime::call(shard, move || start_shard(config, senders, &recovered)).map_err(failed)?;
    }
    Ok(())
}

thread_local! {
    /// Receivers that wait for their shard to start. (By shard, since simulated shards share a thread.)
    static MAILBOXES: std::cell::RefCell<Vec<(ShardId, Receiver<Mail>)>> = const { std::cell::RefCell::new(Vec::new()) };
}

fn open_mailbox() -> Sender<Mail> {
    let (sender, receiver) = channel();
    MAILBOXES.with_borrow_mut(|mailboxes| mailboxes.push((runtime::shard_id(), receiver)));
    sender
}

fn start_shard(config: Arc<Config>, senders: Vec<Sender<Mail>>, recovered: &Recovered) {
    let id = runtime::shard_id();
    let receiver = MAILBOXES.with_borrow_mut(|mailboxes| {
        let at = mailboxes.iter().position(|(shard, _)| *shard == id).expect("its mailbox was opened before");
        mailboxes.swap_remove(at).1
    });
    let shard = Shard::install(config, senders, EDITOR);
    shard.recover(recovered);
    let (mail_shard, tick_shard, delay_shard, expiry_shard) = (shard.clone(), shard.clone(), shard.clone(), shard);
    spawn_named("mail", move || mail::serve(&mail_shard, &receiver));
    spawn_named("heartbeats", move || tick_shard.tick_for_ever());
    if expiry_shard.id == OWNER {
        let watch_shard = expiry_shard.clone();
        spawn_named("alarms", move || watch_shard.watch_for_ever());
    }
    let free_shard = expiry_shard.clone();
    spawn_named("remains", move || free_shard.free_for_ever());
    spawn_named("delays", move || delay_shard.delay_for_ever());
    spawn_named("expiry", move || expiry_shard.expire_for_ever());
}

fn spawn_named(name: &str, f: impl FnOnce() + 'static) {
    let spawned = runtime::Builder::new().name(name).spawn(f);
    drop(spawned.unwrap_or_else(|error| panic!("no stack for coroutine '{name}': {error}")));
}

// ---- the ready line

fn say_ready(config: &Config, listeners: &[port::Listener]) {
    let name = |it: &port::Listener| match it.protocol {
        "amqp/ssl" => "amqps",
        "http/prometheus" => "prometheus",
        other => other,
    };
    let addresses: Vec<String> = listeners
        .chunk_by(|a, b| a.protocol == b.protocol)
        .filter_map(|run| {
            let addresses: String = run.iter().map(|it| format!(" {}", it.addr)).collect();
            run.first().map(|first| format!("{}{addresses}", name(first)))
        })
        .collect();
    let (version, shards, addresses) = (env!("CARGO_PKG_VERSION"), config.shards, addresses.join(", "));
    let plural = if shards == 1 { "" } else { "s" };
    let mut out = io::stdout().lock();
    // A closed stdout is no reason not to serve.
    let _ = writeln!(
        out,
        "leveret {version} ready: {addresses} ({shards} shard{plural}, data directory {})",
        config.data_dir.display()
    );
    let _ = out.flush();
}

// ---- stopping

/// Accepts no more, closes every connection with 320, and waits until they are gone, or as long as [`SHUTDOWN_TIMEOUT`].
fn stop(listeners: Vec<Listener>) {
    let stopping: Vec<_> =
        listeners.into_iter().map(|listener| runtime::spawn(move || listener.stop(SHUTDOWN_TIMEOUT))).collect();
    runtime::yield_now(); // so that nobody is accepted after this
    for shard in runtime::shards() {
        let _ = runtime::call(shard, || Shard::current().shut_down_clients());
    }
    let killed: usize = runtime::join_all(stopping).into_iter().flatten().sum();
    if killed > 0 {
        log::warn!("{killed} clients did not answer connection.close within {SHUTDOWN_TIMEOUT:?} and were cut off");
    }
    Shard::current().wait_until_stored();
    close_store(&Shard::current().config.data_dir.clone());
    for shard in runtime::shards() {
        let _ = runtime::call(shard, Shard::uninstall);
    }
}
