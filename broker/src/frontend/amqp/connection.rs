//! One client's connection: the coroutine that reads, the protocol machine, and the life of its channels.
//!
//! Bytes are read into a buffer that the shard lends, so that an idle connection owns none; only a frame that is not
//! complete yet is kept.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use leveret_amqp::error::ProtocolError;
use leveret_amqp::frame::write_heartbeat;
use leveret_amqp::method::Method;
use leveret_amqp::method::connection::{Open, StartOk, UpdateSecret};
use leveret_amqp::reply::ReplyCode;
use leveret_amqp::server::{Connection as Machine, Event, Negotiated, Publish, Reach, Settings};
use leveret_amqp::table::RawTable;
use leveret_core::value::Value;
use leveret_core::{ConnectionId, FastMap, Name, ShardId, VhostId};
use leveret_management::port::Tls;
use leveret_runtime as runtime;
use runtime::sync::Event as Flag;

use super::channel::{Channel, Link};
use super::errors::explain_limit;
use super::heartbeat::{Due, Heartbeat};
use super::listener::Guest;
use super::login::{self, Refusal};
use super::output::Output;
use super::overdue;
use super::rights::Granted;
use super::values::arguments;
use crate::shard::address::Reply;
use crate::shard::flow::Outflow;
use crate::shard::metadata::Action;
use crate::shard::quota::Quota;
use crate::shard::strangers::Place;
use crate::shard::{Client, Inspection, Shard};
use crate::transport::Transport;
use crate::transport::tls::TlsStream;

/// How long a refused or unintelligible client may read why before the socket is closed.
const FAREWELL: Duration = Duration::from_secs(3);

/// The longest wait for close-ok; a shorter heartbeat interval shortens it.
const CLOSE_OK_TIMEOUT: Duration = Duration::from_secs(30);

/// How often a connection looks whether the disk has caught up.
const CONGESTION_LOOK: Duration = Duration::from_millis(1);

/// How often a connection that is blocked looks whether its client is still there.
const BLOCKED_LOOK: Duration = Duration::from_secs(1);

/// The longest beginning of a frame that is copied in front of what comes next, so that the shard's buffer serves as long
/// as frames are small beside it. A longer one is completed in a buffer of its own.
const KEPT_MAX: usize = 8 * 1024;

/// Binds that are carried out together. They hold up the owner's shard for a few microseconds each.
const BINDS_MAX: usize = 256;

/// Bytes to read at least when a frame is incomplete.
const READ_MIN: usize = 16 * 1024;

/// Why a connection ended. What its client did or suffered is in the log; this only stops the coroutine.
enum Ended {
    /// In good order, or as the protocol asks: nothing is left to say.
    Closed,
    /// The client asked, and close-ok is on its way: the socket is the client's to close.
    Agreed,
    /// The socket failed or ended without a close.
    Lost(io::Error),
    /// Turned away: the socket stays open for [`FAREWELL`].
    Refused,
}

/// The client went without a close.
fn lost() -> Ended {
    Ended::Lost(io::Error::new(io::ErrorKind::UnexpectedEof, "client unexpectedly closed TCP connection"))
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Ended {
        Ended::Lost(error)
    }
}

/// See the module's description.
pub(super) struct Connection {
    pub(super) id: ConnectionId,
    pub(super) shard: Rc<Shard>,
    pub(super) stream: Rc<Transport>,
    pub(super) peer: SocketAddr,
    pub(super) output: Rc<Output>,
    pub(super) machine: RefCell<Machine>,
    pub(super) user: RefCell<Option<Name>>,
    /// Among those who have not logged in.
    place: Cell<Option<Place>>,
    pub(super) link: RefCell<Option<Rc<Link>>>,
    pub(super) channels: RefCell<FastMap<u16, Rc<Channel>>>,
    /// Used last: publishes mostly come on one channel.
    pub(super) recent: RefCell<Option<Rc<Channel>>>,
    pub(super) heartbeat: Cell<Option<Heartbeat>>,
    pub(super) received: Cell<bool>,
    /// Bytes read since the start, and in how many reads.
    pub(super) received_total: Cell<(u64, u64)>,
    /// As sent with the login, and how it was made.
    pub(super) client_properties: RefCell<Box<[u8]>>,
    pub(super) mechanism: RefCell<Name>,
    /// What was agreed, if it is encrypted.
    pub(super) tls: Option<Arc<Tls>>,
    /// Milliseconds since 1970.
    pub(super) connected_at_ms: u64,
    /// What it has on its way to other shards.
    pub(super) outflow: Rc<Outflow>,
    /// Set when other shards have handled enough of that.
    has_credit: Flag,
    /// It does not read at the moment, by its own choice: silence is not the client's fault.
    pub(super) is_paused: Cell<bool>,
    /// Set when memory or disk have become short, or suffice again.
    pub(super) alarms_changed: Flag,
    /// When to look next for deliveries that were not acknowledged in time.
    next_overdue_look: Cell<Option<Instant>>,
    /// When the socket is shut down, if the client has not closed it by then.
    pub(super) cut_off_at: Cell<Option<Instant>>,
    pub(super) has_cleaned_up: Cell<bool>,
}

/// Serves one client until it goes.
pub(super) fn serve(guest: Guest, settings: Arc<Settings>) {
    let Guest { transport: stream, peer, place } = guest;
    let shard = Shard::current();
    if let Err(error) = stream.set_nodelay(true) {
        return log::debug!("connection {peer}: {error}");
    }
    let tls = stream.tls().and_then(TlsStream::agreed).map(Arc::new);
    shard.read_clock();
    shard.tally.connections_opened.add(1);
    let connection = Rc::new(Connection {
        id: shard.next_connection(),
        output: Output::new(shard.clone(), stream.clone()),
        shard: shard.clone(),
        stream,
        peer,
        machine: RefCell::new(Machine::new(settings)),
        user: RefCell::default(),
        place: Cell::new(Some(place)),
        link: RefCell::default(),
        channels: RefCell::default(),
        recent: RefCell::default(),
        heartbeat: Cell::new(None),
        received: Cell::new(false),
        received_total: Cell::new((0, 0)),
        client_properties: RefCell::default(),
        mechanism: RefCell::new("".into()),
        tls,
        connected_at_ms: shard.now().0,
        outflow: Rc::default(),
        has_credit: Flag::new(),
        is_paused: Cell::new(false),
        alarms_changed: Flag::new(),
        next_overdue_look: Cell::new(None),
        cut_off_at: Cell::new(None),
        has_cleaned_up: Cell::new(false),
    });
    shard.add_client(connection.id, connection.clone());
    let _listed = Listed(&connection);
    connection.run();
}

/// Takes the connection off its shard's list, whatever ends it. A kill or a panic has left the cleaning up to a coroutine
/// that may wait.
struct Listed<'a>(&'a Rc<Connection>);

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        let connection = self.0.clone();
        connection.shard.remove_client(connection.id);
        connection.shard.tally.connections_closed.add(1);
        connection.tell("connection.closed", |event| event.text("name", &connection.name()));
        connection.output.abandon();
        if !connection.has_cleaned_up.get() {
            // Without memory for a stack its queues keep what it held: nobody is left to tell.
            let _ = runtime::Builder::new().name("clean up").spawn(move || connection.clean_up());
        }
    }
}

impl Connection {
    fn run(self: &Rc<Self>) {
        let mut pending = Vec::new();
        let handshake = runtime::timeout(self.shard.config.limits.handshake_timeout, || {
            self.read_while(&mut pending, |machine| !machine.is_running() && !machine.is_closing())
        });
        let ended = match handshake {
            Ok(Ok(())) => self.read_while(&mut pending, |_| true).err(),
            Ok(Err(ended)) => Some(ended),
            Err(_) => Some(Ended::Lost(io::Error::new(io::ErrorKind::TimedOut, "the handshake took too long"))),
        };
        self.clean_up();
        self.has_cleaned_up.set(true);
        self.heartbeat.set(None);
        self.finish(ended.unwrap_or(Ended::Closed));
    }

    fn finish(&self, ended: Ended) {
        match ended {
            Ended::Closed => {
                log::debug!("connection {}: closed", self.peer);
                let _ = runtime::timeout(FAREWELL, || self.output.wait_until_written());
            }
            Ended::Lost(error) if !self.received.get() && self.user.borrow().is_none() => {
                log::debug!("connection {}: {error}", self.peer); // a health check, a port scan
            }
            Ended::Lost(error) => log::warn!("connection {}: lost: {error}", self.peer),
            Ended::Agreed => self.linger(self.patience()),
            Ended::Refused => self.linger(FAREWELL),
        }
    }

    /// Keeps the socket until the client closes it, so that it can read what was sent last; throws away what it sends.
    fn linger(&self, patience: Duration) {
        let _ = runtime::timeout(patience, || {
            self.output.wait_until_written();
            while matches!(self.stream.read_with(<[u8]>::len), Ok(1..)) {}
        });
    }

    // ---- reading

    /// Reads and handles what comes for as long as `wanted` says.
    fn read_while(self: &Rc<Self>, pending: &mut Vec<u8>, wanted: impl Fn(&Machine) -> bool) -> Result<(), Ended> {
        let mut kept = Vec::new();
        while wanted(&self.machine.borrow()) {
            self.wait_while_behind();
            if pending.len() <= KEPT_MAX {
                std::mem::swap(pending, &mut kept);
                pending.clear();
                self.stream.read_behind(&kept, |bytes| self.take(bytes, kept.len(), pending))??;
                if pending.is_empty() {
                    (*pending, kept) = (Vec::new(), Vec::new()); // an idle connection owns no buffer
                }
            } else {
                self.read_more(pending)?;
            }
        }
        Ok(())
    }

    /// Waits while the client, a shard that it publishes to, or the disk, has more of our output than it should.
    fn wait_while_behind(&self) {
        if !self.output.is_behind() && !self.outflow.is_held_up() && !self.shard.stored.is_behind() {
            return;
        }
        self.is_paused.set(true);
        self.output.wait_for_room();
        while self.outflow.is_held_up() {
            self.has_credit.clear();
            self.has_credit.wait();
        }
        while self.shard.stored.is_behind() {
            runtime::sleep(CONGESTION_LOOK);
        }
        self.is_paused.set(false);
        self.received.set(true); // what came meanwhile was not looked at
    }

    /// "A connection that publishes stops being read" while memory or disk are short (RabbitMQ). Ends when the client does.
    #[cold]
    fn wait_while_blocked(&self) -> Result<(), Ended> {
        let Some(reason) = self.shard.watch.alarms().reason() else { return Ok(()) };
        log::info!("connection {}: blocked, {reason}", self.peer);
        self.is_paused.set(true);
        self.reply(|machine, out| machine.block(reason, out));
        while self.shard.watch.alarms().any() {
            self.alarms_changed.clear();
            self.alarms_changed.wait_timeout(BLOCKED_LOOK);
            if self.stream.peer_closed() {
                return Err(lost());
            }
        }
        self.is_paused.set(false);
        self.received.set(true); // what came meanwhile was not looked at
        self.reply(|machine, out| machine.unblock(out));
        Ok(())
    }

    /// Handles what was read behind the first `kept` bytes; what is left of it waits in `pending`.
    fn take(self: &Rc<Self>, bytes: &[u8], kept: usize, pending: &mut Vec<u8>) -> Result<(), Ended> {
        self.note_received(bytes.len() - kept)?;
        let (done, _) = self.handle(bytes)?;
        pending.extend_from_slice(&bytes[done..]);
        Ok(())
    }

    /// Completes a frame of which a part is there.
    fn read_more(self: &Rc<Self>, pending: &mut Vec<u8>) -> Result<(), Ended> {
        let wanted = match self.handle(pending)? {
            (0, wanted) => wanted,
            (done, _) => {
                pending.drain(..done);
                return Ok(());
            }
        };
        let had = pending.len();
        pending.resize(wanted.max(had + READ_MIN), 0);
        let count = io::Read::read(&mut &*self.stream, &mut pending[had..]);
        pending.truncate(had + *count.as_ref().unwrap_or(&0));
        self.note_received(count?)?;
        let (done, _) = self.handle(pending)?;
        pending.drain(..done);
        if pending.is_empty() {
            *pending = Vec::new(); // an idle connection owns no buffer
        }
        Ok(())
    }

    fn note_received(&self, count: usize) -> Result<(), Ended> {
        if count == 0 {
            let closed = self.machine.borrow().is_closing();
            return Err(if closed { Ended::Closed } else { lost() });
        }
        self.received.set(true);
        let (bytes, reads) = self.received_total.get();
        self.received_total.set((bytes + count as u64, reads + 1));
        Ok(())
    }

    /// Handles all that is complete; answers how much that was, and how many bytes the next frame needs.
    fn handle(self: &Rc<Self>, input: &[u8]) -> Result<(usize, usize), Ended> {
        self.shard.read_clock();
        let mut done = 0;
        loop {
            let step = self.output.write(|out| self.machine.borrow_mut().receive(&input[done..], out));
            done += step.consumed;
            match step.event {
                Event::NeedInput { size } => return Ok((done, size)),
                Event::Publish(publish) => self.publish(&publish)?,
                Event::Method { channel, method: method @ (Method::QueueBind(_) | Method::ExchangeBind(_)) } => {
                    done += self.bind(channel, method, &input[done..]);
                }
                event => self.on_event(event)?,
            }
            if self.output.is_behind() || self.outflow.is_held_up() {
                self.wait_while_behind(); // a few bytes of requests may ask for gigabytes, or publish them
            }
        }
    }

    // ---- events

    fn on_event(self: &Rc<Self>, event: Event<'_>) -> Result<(), Ended> {
        match event {
            Event::NeedInput { .. } | Event::Greeted | Event::Heartbeat => {}
            Event::Publish(publish) => self.publish(&publish)?,
            Event::Stranger(stranger) => {
                log::warn!("connection {}: {stranger}", self.peer);
                return Err(Ended::Closed);
            }
            Event::Login(start) => self.log_in(&start)?,
            Event::LoginAgain(_) => return Err(Ended::Refused), // no mechanism of ours has a second round
            Event::Tuned(negotiated) => self.tune(negotiated),
            Event::Open(open) => self.open(&open),
            Event::UpdateSecret(update) => self.update_secret(&update),
            Event::ChannelOpen { channel } => self.open_channel(channel),
            Event::ChannelClose { channel, .. } => {
                self.close_channel(channel);
                self.reply(|machine, out| machine.channel_close_ok(channel, out));
            }
            Event::Method { channel, method } => {
                if let Some(open) = self.channel(channel)
                    && let Err(error) = open.handle(&method)
                {
                    self.refuse(channel, &error);
                }
            }
            Event::ChannelFault { channel, error } => {
                log::warn!("connection {}, channel {channel}: {error}", self.peer);
                self.close_channel(channel);
            }
            Event::ConnectionFault { channel, error } => {
                log::warn!("connection {}, channel {channel}: {error}", self.peer);
                self.after_close_sent();
            }
            Event::CloseRequested(_) => {
                self.clean_up();
                self.reply(|machine, out| machine.close_ok(out));
                return Err(Ended::Agreed);
            }
            Event::CloseOk => return Err(Ended::Closed),
        }
        Ok(())
    }

    #[inline]
    fn publish(self: &Rc<Self>, publish: &Publish<'_>) -> Result<(), Ended> {
        if self.shard.watch.alarms().any() {
            self.wait_while_blocked()?;
        }
        let Some(channel) = self.channel(publish.channel) else { return Ok(()) };
        if let Err(error) = channel.publish(publish) {
            self.refuse(publish.channel, &error);
        }
        Ok(())
    }

    /// Carries out a bind and those that come behind it in `input`; answers how many bytes those were.
    fn bind<'i>(self: &Rc<Self>, channel: u16, first: Method<'i>, input: &'i [u8]) -> usize {
        let (mut binds, mut done) = (vec![first], 0);
        while binds.len() < BINDS_MAX
            && let Some((next, size)) = self.machine.borrow().next_bind(&input[done..], channel)
        {
            binds.push(next);
            done += size;
        }
        if let Some(open) = self.channel(channel)
            && let Err(error) = open.handle_binds(&binds)
        {
            self.refuse(channel, &error);
        }
        done
    }

    fn reply<T>(&self, reply: impl FnOnce(&mut Machine, &mut Vec<u8>) -> T) -> T {
        self.output.write(|out| reply(&mut self.machine.borrow_mut(), out))
    }

    fn refuse(self: &Rc<Self>, channel: u16, error: &ProtocolError) {
        log::warn!("connection {}, channel {channel}: {error}", self.peer);
        match self.reply(|machine, out| machine.refuse(channel, error, out)) {
            Reach::Channel => self.close_channel(channel),
            Reach::Connection => self.after_close_sent(),
        }
    }

    // ---- the handshake

    fn log_in(&self, start: &StartOk<'_>) -> Result<(), Ended> {
        let certificate = self.stream.tls().and_then(TlsStream::peer_certificate);
        match login::check(&self.shard, start, self.peer, certificate.as_deref()) {
            Ok(user) => {
                log::debug!("connection {}: user '{user}' authenticated", self.peer);
                *self.user.borrow_mut() = Some(user);
                self.place.take();
                *self.client_properties.borrow_mut() = start.client_properties.as_bytes().into();
                *self.mechanism.borrow_mut() = start.mechanism.into();
                self.shard.tally.logins.add(1);
                let user = self.user.borrow().clone();
                self.tell_login("user.authentication.success", user.as_deref().unwrap_or_default(), None);
                self.reply(|machine, out| machine.accept_login(out));
                Ok(())
            }
            Err(refusal) => {
                self.shard.tally.failed_logins.add(1);
                *self.mechanism.borrow_mut() = start.mechanism.into();
                let why = if let Refusal::Login(why) = &refusal { why } else { "the response makes no sense" };
                self.tell_login("user.authentication.failure", &login::claimed_user(start), Some(why));
                match refusal {
                    Refusal::Login(why) => {
                        log::warn!("connection {}: {} login refused: {why}", self.peer, start.mechanism);
                        self.reply(|machine, out| machine.refuse_login(start.mechanism, out));
                    }
                    Refusal::Protocol(error) => {
                        // The text may have the response in it, and that a password.
                        log::warn!("connection {}: {} login makes no sense", self.peer, start.mechanism);
                        self.reply(|machine, out| machine.refuse(0, &error, out));
                    }
                }
                Err(Ended::Refused)
            }
        }
    }

    fn tell_login(&self, key: &'static str, user: &str, error: Option<&str>) {
        self.tell(key, |event| {
            let event = event.text("connection_name", &self.name()).text("name", user);
            error.into_iter().fold(event, |event, error| event.text("error", error))
        });
    }

    fn tune(&self, negotiated: Negotiated) {
        self.heartbeat.set(Heartbeat::new(negotiated.heartbeat, runtime::time::now()));
    }

    fn open(self: &Rc<Self>, open: &Open<'_>) {
        let vhost = self.shard.topology.borrow().vhost_id(open.virtual_host);
        let refuse = |text: std::fmt::Arguments<'_>| {
            self.refuse(0, &ProtocolError::new(ReplyCode::NotAllowed, text).blame(open));
        };
        let (Some(vhost), Some(user)) = (vhost, self.user.borrow().clone()) else {
            return refuse(format_args!("vhost {} not found", open.virtual_host));
        };
        let may_enter = self.shard.access().rights(&user, open.virtual_host).is_some();
        let machine = self.machine.borrow();
        let link = Link {
            shard: self.shard.clone(),
            output: self.output.clone(),
            connection: self.id,
            vhost,
            vhost_name: open.virtual_host.into(),
            user,
            name: self.name(),
            frame_max: machine.negotiated().frame_max,
            cancel_notify: machine.client_capabilities().consumer_cancel_notify,
            consumer_count: Rc::default(),
            granted: Granted::default(),
            counted: RefCell::default(),
            outflow: self.outflow.clone(),
            overdue_look: Cell::new(self.shard.config.limits.consumer_timeout.map(overdue::interval)),
        };
        drop(machine);
        let link = Rc::new(link);
        let (host, user) = (link.vhost_name.clone(), link.user.clone());
        let quotas = Quota::of_connection(&user, &host);
        if let Err(error) = ask_for_room(&link, &quotas) {
            return self.refuse(0, &error.blame(open));
        }
        link.counted.replace(quotas);
        if !may_enter {
            self.shard.vacate(link.counted.take());
            return refuse(format_args!("access to vhost '{host}' refused for user '{user}'"));
        }
        self.tell("connection.created", |event| {
            let negotiated = self.machine.borrow().negotiated();
            let properties = RawTable::parse(&self.client_properties.borrow()).map(|it| arguments(&it));
            event
                .text("name", &link.name)
                .text("user", &link.user)
                .text("vhost", &link.vhost_name)
                .number("connected_at", self.connected_at_ms)
                .number("timeout", negotiated.heartbeat.into())
                .number("frame_max", negotiated.frame_max.into())
                .number("channel_max", negotiated.channel_max.into())
                .with("client_properties", Value::Table(properties.unwrap_or_default()))
        });
        *self.link.borrow_mut() = Some(link);
        self.reply(|machine, out| machine.accept_open(out));
    }

    /// Whether the user still has access to the virtual host.
    fn may_stay(&self) -> bool {
        let link = self.link.borrow().clone();
        link.is_some_and(|link| self.shard.access().rights(&link.user, &link.vhost_name).is_some())
    }

    /// RabbitMQ's own users have passwords, which do not expire: whatever the new secret is, it changes nothing (backends with tokens would
    /// look at it). It is also the moment at which everything else about the user is looked at anew.
    fn update_secret(self: &Rc<Self>, update: &UpdateSecret<'_>) {
        if self.may_stay() {
            let channels: Vec<_> = self.channels.borrow().values().cloned().collect();
            channels.iter().for_each(|channel| channel.end_unreadable_consumers());
            self.reply(|machine, out| machine.accept_secret(out));
        } else {
            let text = "New secret was refused by one of the backends";
            self.refuse(0, &ProtocolError::new(ReplyCode::NotAllowed, text).blame(update));
        }
    }

    // ---- channels

    fn channel(&self, number: u16) -> Option<Rc<Channel>> {
        if let Some(recent) = &*self.recent.borrow()
            && recent.number == number
        {
            return Some(recent.clone());
        }
        let channel = self.channels.borrow().get(&number).cloned();
        *self.recent.borrow_mut() = channel.clone();
        channel
    }

    fn open_channel(self: &Rc<Self>, number: u16) {
        let Some(link) = self.link.borrow().clone() else { return };
        if let Err(error) = ask_for_room(&link, &Quota::of_channel(&link.user)) {
            return self.refuse(number, &error.blame_ids(20, 10));
        }
        let channel = Channel::open(link, number);
        self.channels.borrow_mut().insert(number, channel);
        self.reply(|machine, out| machine.accept_channel(number, out));
    }

    fn close_channel(&self, number: u16) {
        self.recent.replace(None);
        let channel = self.channels.borrow_mut().remove(&number);
        if let Some(channel) = channel {
            channel.close();
            self.shard.vacate(Quota::of_channel(&channel.link.user));
        }
    }

    /// Closes channels whose deliveries are not acknowledged in time. One that is carrying out a method has its turn later.
    fn look_for_overdue(self: &Rc<Self>, now: Instant) {
        let look = self.link.borrow().as_ref().and_then(|link| link.overdue_look.get());
        let Some(look) = look.filter(|_| self.next_overdue_look.get().is_none_or(|next| next <= now)) else { return };
        self.next_overdue_look.set(Some(now + look));
        self.shard.read_clock();
        let channels: Vec<_> = self.channels.borrow().values().filter(|channel| !channel.is_busy()).cloned().collect();
        for channel in channels {
            let Some(timeout) = channel.overdue(self.shard.now()) else { continue };
            let (connection, error) = (self.clone(), channel.overdue_error(timeout));
            // Closing may wait. Without memory for a stack it is tried again at the next look.
            let _ = runtime::Builder::new().name("overdue").spawn(move || {
                let is_there =
                    connection.channels.borrow().get(&channel.number).is_some_and(|it| Rc::ptr_eq(it, &channel));
                if is_there && !channel.is_busy() {
                    connection.refuse(channel.number, &error);
                }
            });
        }
    }

    // ---- the end

    /// Gives back all that the client holds: what its channels have not settled, its consumers, its exclusive queues.
    fn clean_up(&self) {
        self.recent.replace(None);
        let channels = self.channels.take();
        let mut channels: Vec<_> = channels.into_values().collect();
        channels.sort_unstable_by_key(|channel| channel.number);
        for channel in channels {
            channel.close();
            self.shard.vacate(Quota::of_channel(&channel.link.user));
        }
        let has_queues = !self.shard.topology.borrow().exclusive_queues(self.id).is_empty();
        let link = self.link.borrow().clone();
        if let Some(link) = &link {
            self.shard.vacate(link.counted.take());
        }
        if let Some(link) = link.filter(|_| has_queues) {
            // Questions are asked by channels: this one lives for one question.
            let asker = Channel::open(link, 0);
            let _ = asker.ask_owner(Action::ConnectionEnded);
            asker.close();
        }
    }

    /// connection.close is on its way: what the client holds goes back, and it has a while to say close-ok.
    fn after_close_sent(self: &Rc<Self>) {
        self.clean_up();
        self.cut_off_after(self.patience());
    }

    /// How long a closing client may take: "min(heartbeat, 30 s)", less if nothing it says could be understood.
    fn patience(&self) -> Duration {
        let interval = Duration::from_secs(self.machine.borrow().negotiated().heartbeat.into());
        match self.machine.borrow() {
            machine if machine.reads_no_more() && !machine.is_closed() => FAREWELL,
            _ if interval.is_zero() => CLOSE_OK_TIMEOUT,
            _ => interval.min(CLOSE_OK_TIMEOUT),
        }
    }

    /// Ends the socket later, if the client has not done so by then.
    fn cut_off_after(&self, patience: Duration) {
        let new = runtime::time::now() + patience;
        self.cut_off_at.set(Some(self.cut_off_at.get().map_or(new, |old| old.min(new))));
    }

    fn cut_off(&self) {
        self.heartbeat.set(None);
        self.cut_off_at.set(None);
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// Counts one more of each, if that is not too many. Asks, and so may wait, only where there are limits.
fn ask_for_room(link: &Rc<Link>, quotas: &[Quota]) -> Result<(), ProtocolError> {
    let shard = &link.shard;
    if !shard.occupy(quotas) {
        return Ok(());
    }
    // Questions are asked by channels: this one lives for one question.
    let asker = Channel::open(link.clone(), 0);
    let occupy = Action::Occupy { shard: shard.id, user: link.user.clone(), quotas: quotas.to_vec() };
    let answer = asker.ask_owner(occupy);
    asker.close();
    let refused = match answer {
        Ok(Reply::Full(reached)) => explain_limit(&reached),
        Ok(_) => return Ok(()),
        Err(error) => error,
    };
    shard.vacate_unasked(quotas);
    Err(refused)
}

impl Client for Connection {
    fn inspect(&self) -> Inspection {
        self.inspection()
    }

    fn tick(self: Rc<Self>) {
        let now = runtime::time::now();
        self.look_for_overdue(now);
        if self.cut_off_at.get().is_some_and(|at| at <= now) {
            return self.cut_off();
        }
        if self.output.is_stuck(now) {
            log::warn!("connection {}: the client does not read what it is sent", self.peer);
            return self.cut_off();
        }
        let Some(mut heartbeat) = self.heartbeat.get() else { return };
        let received = || self.received.replace(false) || self.is_paused.get();
        match heartbeat.look(now, || self.output.take_sent(), received) {
            Due::Nothing => {}
            Due::Send => self.output.write(write_heartbeat),
            Due::GiveUp => {
                log::warn!("connection {}: missed heartbeats from client", self.peer);
                return self.cut_off();
            }
        }
        self.heartbeat.set(Some(heartbeat));
    }

    fn alarms_changed(&self) {
        self.alarms_changed.set();
    }

    fn credit_came_back(&self, by: ShardId, cost: u64) {
        if self.shard.take_back(&self.outflow, by, cost) {
            self.has_credit.set();
        }
    }

    fn user(&self) -> Option<Name> {
        self.user.borrow().clone()
    }

    fn vhost(&self) -> Option<VhostId> {
        self.link.borrow().as_ref().map(|link| link.vhost)
    }

    fn shut_down(self: Rc<Self>) {
        self.force_close("broker forced connection closure with reason 'shutdown'");
    }

    fn force_close(self: Rc<Self>, text: &str) {
        let error = ProtocolError::new(ReplyCode::ConnectionForced, text);
        if self.machine.borrow().is_running() {
            self.reply(|machine, out| machine.close_connection(&error, out));
            self.cut_off_after(FAREWELL);
        } else {
            let _ = self.stream.shutdown(Shutdown::Both);
        }
    }
}
