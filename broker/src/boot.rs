//! Starting and stopping: shards first, then listeners, then one line that says so; and all of it backwards.

use std::io::{self, Write};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use leveret_core::access::Command;
use leveret_core::value::Value;
use leveret_management::port::{self, Service};
use leveret_runtime as runtime;
use leveret_store::tools::RESCUED;
use leveret_store::{Options as StoreOptions, Store};
use runtime::mailbox::channel::{Receiver, Sender, channel};
use runtime::signal::{Signal, Signals};
use runtime::{Runtime, ShardId};

use crate::config::{Config, Confirm, LogFiles, Tls};
use crate::first_start;
use crate::frontend::amqp::editor::EDITOR;
use crate::frontend::http::control::Control;
use crate::frontend::http::definitions;
use crate::frontend::http::listener::Http;
use crate::gate::Gate;
use crate::metadata::{self, Metadata, Op, Recovered, lock_data_dir};
use crate::shard::administration::administer;
use crate::shard::mail::{self, Mail};
use crate::shard::stored::doubt::{self, Doubts};
use crate::shard::{OWNER, Shard};
use crate::transport::certificates::Certificates;

/// The global parameter that identifies the cluster.
const CLUSTER_ID: &str = "internal_cluster_id";

/// The folder of the durable log in the data directory.
const STORE_NAME: &str = "messages";

/// How often the store looks after what waits for room.
const STORE_TICK: Duration = Duration::from_secs(1);

/// Mail that a closing connection leads to, one item after the other: a delivery, and its way back.
const MAIL_HOPS: usize = 3;

/// How long a stop waits for mail between shards.
const MAIL_WAIT_MAX: Duration = Duration::from_secs(10);

/// What the size of a log file is rounded up to if messages of the greatest size need more than the configured one.
const LOG_SIZE_UNIT: u64 = 1024 * 1024;

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
    let (metadata, is_new) = start_broker(config)?;
    Shard::current().store_together(|| definitions::load(config))?;
    if is_new && Shard::current().access().users().len() == 0 {
        first_start::begin(&config.first_start, config.password_algorithm).map_err(io::Error::other)?;
    }
    name_cluster()?;
    bind_store(config, &metadata)?;
    if let Some(vhost) = &config.event_vhost
        && let Err(error) = Shard::current().declare_event_exchange(vhost)
    {
        log::error!("event_exchange.vhost = {vhost}: {error}; there are no events");
    }
    let gate = Rc::new(Gate::open(config)?);
    let http = Http::start(config, &gate)?;
    let control = Control::start(config, http.api(), gate.clone())?;
    say_ready(config, http.listeners());
    tell_manager(&format!("READY=1\nSTATUS=serving with {} shards", config.shards));
    let (certificates, tls) = (gate.certificates().cloned(), config.tls.clone());
    spawn_named("signals", move || serve_requests(&requests, certificates.as_deref(), &tls));
    let stop_asked = control.stop.clone();
    spawn_named("stop signals", move || {
        if let Ok(signal) = signals.recv() {
            log::info!("{signal}: closing connections");
        }
        stop_asked.set();
    });
    control.stop.wait();
    tell_manager("STOPPING=1\nSTATUS=closing connections");
    http.stop();
    stop(&gate);
    Ok(())
}

/// Gives the cluster an identity that lasts, by RabbitMQ's name for it; monitoring joins by it.
fn name_cluster() -> io::Result<()> {
    let access = Shard::current().access();
    if access.global_parameters().any(|(name, _)| &**name == CLUSTER_ID) {
        return Ok(());
    }
    let mut random = [0; 16];
    runtime::random::fill(&mut random);
    let value = Value::str(&format!("rabbitmq-cluster-id-{}", URL_SAFE_NO_PAD.encode(random)));
    let put = Command::PutGlobalParameter { name: CLUSTER_ID.into(), value };
    administer(vec![put]).map(drop).map_err(io::Error::other)
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

/// Brings back what is stored, on every shard; says whether nothing was, because the broker starts for the first time.
fn start_broker(config: &Arc<Config>) -> io::Result<(Metadata, bool)> {
    let (metadata, entries) = Metadata::open(&config.data_dir)?;
    let recovered = Recovered::from_entries(entries.as_deref().unwrap_or_default(), config.shards)?;
    start_shards(config, &Arc::new(recovered))?;
    let owner = Shard::current();
    owner.attach_metadata(metadata.clone());
    spawn_named("metadata", move || owner.store_for_ever());
    open_store(config, &metadata, entries.is_none())?;
    Ok((metadata, entries.is_none()))
}

// ---- messages

/// Opens the durable log, and brings its messages back on every shard. Messages without any metadata are refused: their queues
/// are not unknown, but lost.
fn open_store(config: &Config, metadata: &Metadata, is_metadata_new: bool) -> io::Result<()> {
    let options = store_options(config);
    let (store, recovered) = Store::open(&config.data_dir.join(STORE_NAME), options).map_err(io::Error::other)?;
    if is_metadata_new && recovered.queues.iter().any(|queue| queue.count > 0) {
        return Err(io::Error::other(format!(
            "{} is missing or empty, but there are messages in {}: put a copy of it in its place, or rescue them with \
             `leveret store salvage` and choose another directory with --data-dir",
            config.data_dir.join(metadata::FILE_NAME).display(),
            config.data_dir.join(STORE_NAME).display()
        )));
    }
    belong_together(&config.data_dir, metadata.store()?, store.number())?;
    let recovered = Arc::new(recovered);
    let doubts = Arc::new(Doubts::take(&config.data_dir)?);
    // From here on, since a start on a full disk waits for room too.
    let ticking = store.clone();
    spawn_named("store clock", move || {
        loop {
            runtime::sleep(STORE_TICK);
            ticking.tick();
        }
    });
    let mut count = 0;
    for shard in runtime::shards() {
        let (store, recovered) = (store.clone(), recovered.clone());
        let attached = runtime::call(shard, move || Shard::current().attach_store(store, &recovered));
        let attached = attached.map_err(|error| io::Error::other(format!("a shard did not recover: {error}")))?;
        count += attached.map_err(io::Error::other)?;
    }
    for shard in runtime::shards() {
        let (recovered, doubts) = (recovered.clone(), doubts.clone());
        let resumed = runtime::call(shard, move || Shard::current().resume_restored(&recovered, &doubts));
        resumed.map_err(|error| io::Error::other(format!("a shard did not recover: {error}")))?;
    }
    for shard in runtime::shards() {
        let read = runtime::call(shard, || Shard::current().read_fronts());
        read.map_err(|error| io::Error::other(format!("a shard did not read its queues: {error}")))?;
    }
    if count > 0 {
        log::info!("{count} stored messages are back in their queues");
    }
    Ok(())
}

/// Metadata know the store whose queues they speak of: with another one, or a new one in the place of one that is missing, messages
/// would be dropped as if nobody knew their queues. What was rescued may take the place of what it was rescued from.
fn belong_together(data_dir: &Path, known: Option<u64>, store: u64) -> io::Result<()> {
    let messages = data_dir.join(STORE_NAME);
    let rescued = messages.join(RESCUED);
    if known.is_none_or(|known| known == store) || runtime::fs::exists(&rescued)? {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "{} does not have the messages of the queues in {}: it was missing, or is another broker's. Put the right one in its \
         place, or what `leveret store salvage` makes of it; to do without those messages, make an empty file {}",
        messages.display(),
        data_dir.join(metadata::FILE_NAME).display(),
        rescued.display()
    )))
}

/// From now on this is the store that the metadata speak of.
fn bind_store(config: &Config, metadata: &Metadata) -> io::Result<()> {
    let Some(store) = Shard::current().stored.store() else { return Ok(()) };
    if metadata.store()? != Some(store.number()) {
        metadata.commit(vec![Op::Store(store.number())])?;
    }
    let messages = config.data_dir.join(STORE_NAME);
    let rescued = messages.join(RESCUED);
    if runtime::fs::exists(&rescued)? {
        runtime::fs::remove_file(&rescued)?;
        runtime::fs::sync_dir(&messages)?;
    }
    Ok(())
}

fn store_options(config: &Config) -> StoreOptions {
    let LogFiles { log_file_size, count, segment_size, record_margin } = config.log_files;
    let needed = config.limits.max_message_size.saturating_add(2 * record_margin);
    let enough = match needed <= u64::from(log_file_size) {
        true => log_file_size,
        false => u32::try_from(needed.next_multiple_of(LOG_SIZE_UNIT)).unwrap_or(u32::MAX),
    };
    StoreOptions {
        log_file_size: enough,
        log_files: count,
        segment_size,
        confirm: match config.confirm {
            Confirm::Synced => leveret_store::Confirm::Synced,
            Confirm::Written => leveret_store::Confirm::Written,
        },
        on_event: Arc::new(note_store_event),
        ..StoreOptions::default()
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

/// Everything that was confirmed is on disk anyway; this also saves the next start the reading of the log.
fn close_store(data_dir: &Path) {
    let store = Shard::current().stored.store();
    for shard in runtime::shards() {
        let _ = runtime::call(shard, || Shard::current().stored.flush());
    }
    let doubts = runtime::shards().filter_map(|shard| runtime::call(shard, || Shard::current().doubts()).ok());
    let doubts: Vec<_> = doubts.flatten().collect();
    let closed = store.map(|store| store.close().map_err(io::Error::other));
    let marked = closed.map(|closed| closed.and_then(|()| doubt::write(data_dir, &doubts)));
    if let Some(Err(error)) = marked {
        log::warn!("the store did not close: {error}");
    }
}

/// Waits until the shards have handled the mail on its way, and what that led to: a delivery that arrives where its channel
/// has just closed goes back to its queue, which notes that it was delivered.
fn wait_for_mail() {
    if runtime::timeout(MAIL_WAIT_MAX, || (0..MAIL_HOPS).for_each(|_| wait_for_fences())).is_err() {
        log::warn!("a shard has not handled its mail within {MAIL_WAIT_MAX:?}; the broker stops all the same");
    }
}

fn wait_for_fences() {
    let (sender, receiver) = channel();
    for shard in runtime::shards() {
        let sender = sender.clone();
        let _ = runtime::call(shard, move || Shard::current().send_fences(&sender));
    }
    drop(sender);
    let _ = receiver.receive_batch(&mut Vec::new()); // there is never an item: it ends when every fence is dropped
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
    MAILBOXES.with_borrow_mut(|mailboxes| {
        mailboxes.retain(|(shard, _)| *shard != runtime::shard_id()); // of a start that a simulated power cut has ended
        mailboxes.push((runtime::shard_id(), receiver));
    });
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
    let flow_shard = expiry_shard.clone();
    spawn_named("flow", move || flow_shard.let_go_for_ever());
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

/// Tells systemd, where it asked to be told (`Type=notify`).
fn tell_manager(lines: &str) {
    if let Err(error) = runtime::process::notify(lines) {
        log::warn!("the service manager was not told: {error}");
    }
}

// ---- stopping

/// Sends the clients away, and closes the store.
fn stop(gate: &Gate) {
    gate.shut(Service::Stopped);
    wait_for_mail();
    Shard::current().wait_until_stored();
    close_store(&Shard::current().config.data_dir.clone());
    for shard in runtime::shards() {
        let _ = runtime::call(shard, Shard::uninstall);
    }
}
