//! One shard of the broker: its queues, its replica of the topology, its channels, and its mail to the other shards.
//!
//! Everything here belongs to one thread and is changed by plain calls that never wait; what is not on this shard is
//! reached by mail, which is collected during a turn and handed over at its end.
//!
//! ```text
//!   channel --Command--> queue (own shard: a call; else: mail) --Effect--> channel (own shard: a call; else: mail)
//!   channel --Request--> owner of the topology (shard 0) --Apply--> every shard --Applied--> owner --Reply--> channel
//! ```

pub mod address;
pub mod administration;
pub mod alarm;
mod apply;
pub mod delays;
pub mod editor;
pub mod events;
pub mod flow;
pub mod history;
pub mod logins;
pub mod mail;
pub mod metadata;
pub mod queues;
pub mod quota;
pub mod replication;
mod republish;
pub mod stored;
pub mod strangers;
pub mod tally;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use leveret_core::access::Access;
use leveret_core::topology::{Router, Topology};
use leveret_core::{ConnectionId, ConsumerId, FastMap, Name, ShardId, Time, VhostId};
use leveret_management::port::{ChannelState, ConnectionState};
use leveret_runtime as runtime;

use crate::config::Config;
use address::{ChannelKey, Subscriber};
use alarm::Watch;
use delays::Delays;
use editor::Editor;
use flow::Flow;
use history::Histories;
use logins::Logins;
use mail::{Mail, Post};
use queues::Queues;
use quota::Quotas;
use replication::Owner;
use stored::Stored;
use strangers::Strangers;
use tally::Tally;

/// The owner of the topology.
pub const OWNER: ShardId = ShardId(0);

/// Something that collects output during a turn and writes it at the turn's end.
pub trait AtTurnEnd {
    /// Writes what was collected. Called once for each time that it was listed; must not wait.
    fn at_turn_end(self: Rc<Self>);
}

/// A connection, as its shard sees it.
pub trait Client {
    /// Looks after heartbeats; called every [`TICK`]. Must not wait.
    fn tick(self: Rc<Self>);
    /// Asks the client to go because the broker stops, and cuts it off if it does not. Must not wait.
    fn shut_down(self: Rc<Self>);
    /// Asks the client to go for another reason (320, "connection forced"). Must not wait.
    fn force_close(self: Rc<Self>, reason: &str);
    /// Who has logged in.
    fn user(&self) -> Option<Name>;
    /// What has been opened.
    fn vhost(&self) -> Option<VhostId>;
    /// Memory or disk have become short, or suffice again. Must not wait.
    fn alarms_changed(&self);
    /// Another shard has handled publishes of it, of that cost. Must not wait.
    fn credit_came_back(&self, by: ShardId, cost: u64);
    /// What operators see of it. Must not wait.
    fn inspect(&self) -> Inspection;
}

/// A connection as operators see it.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// Itself.
    pub connection: ConnectionState,
    /// Its open channels.
    pub channels: Vec<ChannelState>,
    /// Publishes on its confirming channels.
    pub received_confirm: u64,
}

/// How often connections look after their heartbeats: a fraction of the shortest interval's half.
pub const TICK: Duration = Duration::from_millis(250);

/// See the module's description.
pub struct Shard {
    /// Its number.
    pub id: ShardId,
    /// What the program was started with.
    pub config: Arc<Config>,
    /// This shard's copy of the topology; on shard 0 the owner's.
    pub topology: RefCell<Topology>,
    /// This shard's copy of users, permissions, policies and limits.
    access: RefCell<Arc<Access>>,
    /// Virtual hosts whose messages are copied to `amq.rabbitmq.trace`.
    traced: RefCell<Vec<VhostId>>,
    is_any_traced: Cell<bool>,
    logins: Logins,
    /// Who came here over AMQP and has not logged in.
    pub strangers: Rc<Strangers>,
    /// The same over HTTP; on shard 0.
    pub http_strangers: Rc<Strangers>,
    quotas: Quotas,
    /// Routes this shard's publishes.
    pub router: RefCell<Router>,
    /// The queues that live here.
    pub queues: Queues,
    /// This shard's end of the durable log.
    pub stored: Stored,
    /// Messages of this shard's publishers that wait.
    pub delays: Delays,
    /// Messages for bindings to come; on shard 0.
    pub histories: Histories,
    /// What is short, and what this shard has of it.
    pub watch: Watch,
    /// What happened here.
    pub tally: Tally,
    owner: Owner,
    flow: Flow,
    post: Post,
    channels: RefCell<FastMap<ChannelKey, Rc<dyn Subscriber>>>,
    clients: RefCell<FastMap<ConnectionId, Rc<dyn Client>>>,
    turn_end: RefCell<Vec<Rc<dyn AtTurnEnd>>>,
    /// The front-end's, which knows what properties are.
    pub(crate) editor: Editor,
    last_number: Cell<u64>,
    started: Instant,
    /// Milliseconds from 1970 to `started`.
    epoch_ms: u64,
    now: Cell<Time>,
}

thread_local! {
    /// The broker's shards on this thread, by number: one on the real driver, all of them on the simulated one.
    static SHARDS: RefCell<Vec<Option<Rc<Shard>>>> = const { RefCell::new(Vec::new()) };
}

impl Shard {
    /// The shard that the caller runs on.
    ///
    /// # Panics
    /// Before [`Shard::install`] ran there.
    pub fn current() -> Rc<Shard> {
        let index = runtime::shard_id().index();
        SHARDS.with_borrow(|shards| shards.get(index).cloned().flatten()).expect("boot installs every shard first")
    }

    /// Makes the broker's part of the current runtime shard.
    pub fn install(
        config: Arc<Config>,
        senders: Vec<runtime::mailbox::channel::Sender<Mail>>,
        editor: Editor,
    ) -> Rc<Shard> {
        let index = runtime::shard_id().index();
        let since_1970 = runtime::time::system_now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let epoch_ms = u64::try_from(since_1970.as_millis()).unwrap_or(0);
        let strangers = Strangers::new("AMQP", &config, senders.len());
        let http_strangers = Strangers::new("HTTP", &config, 1);
        let shard = Rc::new(Shard {
            id: shard_number(index),
            config,
            topology: RefCell::new(Topology::new()),
            access: RefCell::default(),
            traced: RefCell::default(),
            is_any_traced: Cell::new(false),
            logins: Logins::default(),
            strangers,
            http_strangers,
            quotas: Quotas::default(),
            router: RefCell::new(Router::seeded(runtime::random::u64())),
            queues: Queues::default(),
            stored: Stored::default(),
            delays: Delays::default(),
            histories: Histories::default(),
            watch: Watch::default(),
            tally: Tally::default(),
            owner: Owner::default(),
            flow: Flow::default(),
            post: Post::new(senders),
            channels: RefCell::default(),
            clients: RefCell::default(),
            turn_end: RefCell::default(),
            editor,
            last_number: Cell::new(0),
            started: runtime::time::now(),
            epoch_ms,
            now: Cell::new(Time(epoch_ms)),
        });
        SHARDS.with_borrow_mut(|shards| {
            shards.resize_with(shards.len().max(index + 1), || None);
            shards[index] = Some(shard.clone());
        });
        let at_end = Rc::downgrade(&shard);
        runtime::on_turn_end(move || {
            if let Some(shard) = at_end.upgrade() {
                shard.end_turn();
            }
        });
        shard
    }

    /// Forgets the current runtime shard's part, so that its connections and queues can go.
    pub fn uninstall() {
        let index = runtime::shard_id().index();
        let shard = SHARDS.with_borrow_mut(|shards| shards.get_mut(index).and_then(Option::take));
        if let Some(shard) = shard {
            shard.stored.detach();
            shard.queues.clear();
            shard.channels.borrow_mut().clear();
            shard.clients.borrow_mut().clear();
        }
    }

    /// How many shards the broker has.
    pub fn count(&self) -> usize {
        self.post.shard_count()
    }

    /// A number that no other thing of any shard has.
    pub fn next_number(&self) -> u64 {
        let number = self.last_number.get() + 1;
        self.last_number.set(number);
        u64::from(self.id.0) << 48 | number
    }

    /// A fresh connection's number.
    pub fn next_connection(&self) -> ConnectionId {
        ConnectionId(self.next_number())
    }

    /// A fresh consumer's number.
    pub fn next_consumer(&self) -> ConsumerId {
        ConsumerId(self.next_number())
    }

    // ---- channels

    /// Makes a channel reachable from queues.
    pub fn add_channel(&self, channel: Rc<dyn Subscriber>) {
        self.channels.borrow_mut().insert(channel.key(), channel);
    }

    /// Makes it unreachable: what still comes for it goes back.
    pub fn remove_channel(&self, key: ChannelKey) {
        self.channels.borrow_mut().remove(&key);
    }

    /// The channel of that key, if it is still there.
    pub fn channel(&self, key: ChannelKey) -> Option<Rc<dyn Subscriber>> {
        self.channels.borrow().get(&key).cloned()
    }

    // ---- connections

    /// Lists a connection until [`Shard::remove_client`].
    pub fn add_client(&self, id: ConnectionId, client: Rc<dyn Client>) {
        self.clients.borrow_mut().insert(id, client);
    }

    /// The connection has ended.
    pub fn remove_client(&self, id: ConnectionId) {
        let client = self.clients.borrow_mut().remove(&id);
        drop(client); // not under the borrow
    }

    /// How many connections there are.
    pub fn client_count(&self) -> usize {
        self.clients.borrow().len()
    }

    /// The connection of that number.
    pub fn client(&self, id: ConnectionId) -> Option<Rc<dyn Client>> {
        self.clients.borrow().get(&id).cloned()
    }

    /// The connections as of now, oldest first.
    pub fn clients(&self) -> Vec<Rc<dyn Client>> {
        let clients = self.clients.borrow();
        let mut clients: Vec<_> = clients.iter().map(|(id, client)| (*id, client.clone())).collect();
        clients.sort_unstable_by_key(|(id, _)| *id);
        clients.into_iter().map(|(_, client)| client).collect()
    }

    /// The coroutine that lets connections look after their heartbeats, and tells what this shard holds, until the program ends.
    pub fn tick_for_ever(self: &Rc<Self>) {
        loop {
            runtime::sleep(TICK);
            self.clients().into_iter().for_each(|client| client.tick());
            self.report_held();
            self.keep_within_memory();
        }
    }

    /// Asks every connection to go.
    pub fn shut_down_clients(&self) {
        self.clients().into_iter().for_each(|client| client.shut_down());
    }

    /// Panics unless nobody is here and nothing is under way; for tests.
    #[cfg(test)]
    fn assert_at_rest(&self) {
        assert!(self.channels.borrow().is_empty(), "no channel is left");
        assert!(self.clients.borrow().is_empty(), "no connection is left");
        assert!(self.turn_end.borrow().is_empty());
        self.owner.assert_at_rest();
        self.quotas.assert_at_rest();
        self.flow.assert_at_rest();
        self.queues.assert_at_rest();
    }

    // ---- turns

    /// Has `item` write its output at the end of this turn.
    pub fn at_turn_end(&self, item: Rc<dyn AtTurnEnd>) {
        self.turn_end.borrow_mut().push(item);
    }

    fn end_turn(self: &Rc<Self>) {
        self.release_durable();
        // A channel's confirms make its connection's output due in the same turn.
        while !self.turn_end.borrow().is_empty() {
            let items = std::mem::take(&mut *self.turn_end.borrow_mut());
            items.into_iter().for_each(|item| item.at_turn_end());
        }
        self.stored.flush();
        self.send_marks_back();
        self.post.flush();
    }

    /// Puts mail for another shard on the pile that goes out at the end of the turn.
    pub fn send(&self, to: ShardId, mail: Mail) {
        self.post.send(to, mail);
    }

    // ---- time

    /// Reads the clock; for whoever begins a batch of work.
    pub fn read_clock(&self) {
        let elapsed = runtime::time::now().saturating_duration_since(self.started);
        self.now.set(Time(self.epoch_ms).plus_ms(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)));
    }

    /// Milliseconds since 1970, as of the last [`Shard::read_clock`]: the wall clock of the start, advanced by the monotonic one,
    /// so that it never jumps.
    pub fn now(&self) -> Time {
        self.now.get()
    }
}

/// Ends the process because going on could lose or contradict what clients were told.
pub fn stop_process(reason: &str) -> ! {
    log::error!("{reason}: the broker stops");
    if runtime::sim::is_simulated() {
        loop {
            runtime::sleep(FOR_EVER); // the simulation's process goes on without this broker
        }
    }
    eprintln!("leveret: {reason}: the broker stops");
    std::process::exit(EXIT_FATAL);
}

/// Longer than any simulation.
const FOR_EVER: Duration = Duration::from_secs(1 << 32);

/// The exit code of [`stop_process`]: an input or output error, as in sysexits.h.
const EXIT_FATAL: i32 = 74;

/// A runtime shard's number as the core writes it.
pub fn shard_number(index: usize) -> ShardId {
    ShardId(u16::try_from(index).expect("the runtime has at most 1,024 shards"))
}
