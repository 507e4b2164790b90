//! The broker as the management crate sees it: snapshots from every shard, commands to whoever carries them out.

use std::cell::Cell;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use leveret_core::access::password::{Algorithm, PasswordHash};
use leveret_core::access::{Access, Command as Administration, Outcome as Administered, Refused};
use leveret_core::queue::{ConsumerState, Queue};
use leveret_core::topology::{QueueRecord, Topology};
use leveret_core::{ConnectionId, FastMap, Name, QueueId, VhostId};
use leveret_management::port::{
    Actor, Broker, Certificates, ChannelCounts, ChannelState, Command, ConnectionState, ExchangeCounts, Facts, Machine,
    Outcome, QueueDetail, QueueState, Refusal, Service, Strangers, Totals,
};
use leveret_runtime as runtime;

use super::commands;
use super::machine::machine;
use crate::frontend::amqp::service;
use crate::shard::administration::{NotDone, administer};
use crate::shard::tally::add_counts;
use crate::shard::{self, Inspection, Shard};
use crate::transport::certificates::Certificates as Tls;

/// Queues that a shard looks at before others may run.
const SLICE: usize = 256;

/// See the module's description. Lives on shard 0.
pub(super) struct Adapter {
    shard: Rc<Shard>,
    facts: Facts,
    service: Rc<Cell<Service>>,
    tls: Option<Arc<Tls>>,
}

impl Adapter {
    pub(super) fn new(shard: Rc<Shard>, facts: Facts, service: Rc<Cell<Service>>, tls: Option<Arc<Tls>>) -> Adapter {
        Adapter { shard, facts, service, tls }
    }
}

/// Has every shard answer, all at the same time.
fn on_each<T: Send + 'static>(ask: impl Fn() -> T + Send + Clone + 'static) -> Vec<T> {
    let asked: Vec<_> = runtime::shards().map(|shard| runtime::spawn_on(shard, ask.clone())).collect();
    asked.into_iter().filter_map(|asked| asked.join().ok()).collect()
}

/// Whether a consumer could take a message now.
fn can_take(it: &ConsumerState) -> bool {
    let has_prefetch = it.spec.no_ack || it.spec.prefetch == 0 || it.unsettled < it.spec.prefetch;
    it.active && has_prefetch && !it.paused && it.window > 0
}

fn state(queue: &Queue) -> QueueState {
    QueueState {
        ready: queue.ready_count(),
        unsettled: queue.unsettled_count(),
        away: queue.away_count(),
        away_bytes: queue.away_bytes(),
        ready_bytes: queue.ready_bytes(),
        unsettled_bytes: queue.unsettled_bytes(),
        consumers: queue.consumer_count(),
        ready_consumers: queue.consumers().filter(can_take).count() as u64,
        head_timestamp: queue.ready().next().and_then(|(_, message)| service::timestamp(message)),
        counters: queue.counters(),
    }
}

/// The state of all queues of this shard, with pauses.
fn states_here() -> Vec<(QueueId, QueueState)> {
    let shard = Shard::current();
    let mut states = Vec::new();
    for (index, id) in shard.queues.ids().into_iter().enumerate() {
        if index % SLICE == SLICE - 1 {
            runtime::yield_now();
        }
        states.extend(shard.queues.look(id, |queue| (id, state(queue))));
    }
    states
}

fn inspections_here() -> Vec<Inspection> {
    Shard::current().clients().iter().map(|client| client.inspect()).collect()
}

/// What this shard's channels have done, by virtual host.
fn clients_here() -> FastMap<VhostId, ChannelCounts> {
    let shard = Shard::current();
    let mut sums = shard.tally.closed_by_vhost();
    let topology = shard.topology.borrow();
    for channel in inspections_here().iter().flat_map(|inspection| &inspection.channels) {
        if let Some(vhost) = topology.vhost_id(&channel.vhost) {
            add_counts(sums.entry(vhost).or_default(), &channel.counts);
        }
    }
    sums
}

/// One shard's part of the sums.
fn totals_here() -> Totals {
    let shard = Shard::current();
    let tally = &shard.tally;
    let strangers = |it: &shard::strangers::Strangers| Strangers { count: it.count(), refused: it.refused() };
    let mut totals = Totals {
        channels: tally.closed(),
        received_confirm: tally.received_confirm.get(),
        routed: 0,
        connections_opened: tally.connections_opened.get(),
        connections_closed: tally.connections_closed.get(),
        channels_opened: tally.channels_opened.get(),
        channels_closed: tally.channels_closed.get(),
        queues_declared: tally.queues_declared.get(),
        queues_created: tally.queues_created.get(),
        queues_deleted: tally.queues_deleted.get(),
        dead_lettered_expired: tally.dead_lettered_expired.get(),
        dead_lettered_rejected: tally.dead_lettered_rejected.get(),
        dead_lettered_maxlen: tally.dead_lettered_maxlen.get(),
        dead_lettered_delivery_limit: tally.dead_lettered_delivery_limit.get(),
        sizes: tally.sizes(),
        published_bytes: tally.published_bytes.get(),
        logins: tally.logins.get(),
        failed_logins: tally.failed_logins.get(),
        strangers: [strangers(&shard.strangers), strangers(&shard.http_strangers)],
    };
    for inspection in inspections_here() {
        totals.received_confirm += inspection.received_confirm;
        inspection.channels.iter().for_each(|channel| add_counts(&mut totals.channels, &channel.counts));
    }
    totals
}

fn add_totals(to: &mut Totals, it: &Totals) {
    add_counts(&mut to.channels, &it.channels);
    to.received_confirm += it.received_confirm;
    to.connections_opened += it.connections_opened;
    to.connections_closed += it.connections_closed;
    to.channels_opened += it.channels_opened;
    to.channels_closed += it.channels_closed;
    to.queues_declared += it.queues_declared;
    to.queues_created += it.queues_created;
    to.queues_deleted += it.queues_deleted;
    to.dead_lettered_expired += it.dead_lettered_expired;
    to.dead_lettered_rejected += it.dead_lettered_rejected;
    to.dead_lettered_maxlen += it.dead_lettered_maxlen;
    to.dead_lettered_delivery_limit += it.dead_lettered_delivery_limit;
    to.sizes.iter_mut().zip(it.sizes).for_each(|(to, it)| *to += it);
    to.published_bytes += it.published_bytes;
    to.logins += it.logins;
    to.failed_logins += it.failed_logins;
    for (to, it) in to.strangers.iter_mut().zip(it.strangers) {
        to.count += it.count;
        to.refused += it.refused;
    }
}

impl Broker for Adapter {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn now_ms(&self) -> u64 {
        self.shard.read_clock();
        self.shard.now().0
    }

    fn pause(&self) {
        runtime::yield_now();
    }

    fn service(&self) -> Service {
        self.service.get()
    }

    fn certificates(&self) -> Option<Certificates> {
        let expiry = self.tls.as_ref()?.expiry();
        let options = &self.shard.config.tls;
        let path = |path: &Option<PathBuf>| path.as_ref().map_or(String::new(), |path| path.display().to_string());
        let has_authorities = !expiry.authorities.is_empty();
        Some(Certificates {
            file: path(&options.certificate),
            ends: expiry.chain,
            authorities_file: if has_authorities { path(&options.authorities) } else { String::new() },
            authorities_end: expiry.authorities,
        })
    }

    fn machine(&self) -> Machine {
        machine(&self.shard)
    }

    fn read_topology(&self, read: &mut dyn FnMut(&Topology)) {
        read(&self.shard.topology.borrow());
    }

    fn queues(&self) -> FastMap<QueueId, QueueState> {
        on_each(states_here).into_iter().flatten().collect()
    }

    fn queue(&self, record: &QueueRecord) -> Option<QueueDetail> {
        let id = record.id;
        let look = move || {
            Shard::current()
                .queues
                .look(id, |queue| QueueDetail { state: state(queue), consumers: queue.consumers().collect() })
        };
        let home = runtime::shards().nth(usize::from(record.shard.0))?;
        runtime::call(home, look).ok().flatten()
    }

    fn connections(&self) -> Vec<ConnectionState> {
        on_each(inspections_here).into_iter().flatten().map(|it| it.connection).collect()
    }

    fn channels(&self) -> Vec<ChannelState> {
        on_each(inspections_here).into_iter().flatten().flat_map(|it| it.channels).collect()
    }

    fn exchanges(&self) -> FastMap<(VhostId, Name), ExchangeCounts> {
        let counts_here = || {
            let shard = Shard::current();
            let topology = shard.topology.borrow();
            let exists =
                |vhost: VhostId, name: &str| topology.vhost(vhost).is_ok_and(|vhost| vhost.exchange(name).is_some());
            shard.tally.exchanges(exists)
        };
        let mut sums: FastMap<(VhostId, Name), ExchangeCounts> = FastMap::default();
        for (key, counts) in on_each(counts_here).into_iter().flatten() {
            let sum = sums.entry(key).or_default();
            sum.published_in += counts.published_in;
            sum.published_out += counts.published_out;
        }
        sums
    }

    fn clients(&self) -> FastMap<VhostId, ChannelCounts> {
        let mut sums: FastMap<VhostId, ChannelCounts> = FastMap::default();
        for (vhost, counts) in on_each(clients_here).into_iter().flatten() {
            add_counts(sums.entry(vhost).or_default(), &counts);
        }
        sums
    }

    fn totals(&self) -> Totals {
        let mut sums = Totals::default();
        on_each(totals_here).iter().for_each(|totals| add_totals(&mut sums, totals));
        let channels = &sums.channels;
        sums.routed = channels.published.saturating_sub(channels.returned + channels.dropped);
        sums
    }

    fn execute(&self, actor: &Actor, command: Command) -> Result<Outcome, Refusal> {
        commands::execute(&self.shard, actor, command)
    }

    fn close_connection(&self, connection: ConnectionId, reason: &str) -> bool {
        let reason = reason.to_owned();
        let close = move || match Shard::current().client(connection) {
            Some(client) => {
                client.force_close(&reason);
                true
            }
            None => false,
        };
        on_each(close).contains(&true)
    }

    fn access(&self) -> Arc<Access> {
        self.shard.access()
    }

    fn administer(&self, command: Administration) -> Result<Administered, Refused> {
        match administer(vec![command]) {
            Ok(outcomes) => Ok(outcomes.into_iter().next().unwrap_or(Administered::Updated)),
            Err(NotDone::Refused(_, refused)) => Err(refused),
            Err(other) => Err(Refused::Validation(other.to_string().into())),
        }
    }

    fn log_in(&self, user: &str, password: &[u8], peer: SocketAddr) -> bool {
        self.shard.authenticate(user, password, peer.ip()).is_ok()
    }

    fn digest(&self, algorithm: Algorithm, password: &[u8]) -> PasswordHash {
        let mut salt = [0; 16];
        runtime::random::fill(&mut salt);
        let password = password.to_vec();
        runtime::offload(move || PasswordHash::create(algorithm, &password, salt))
    }
}
