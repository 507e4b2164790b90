//! A channel: its consumers, its unsettled deliveries, its mode, and the questions it has asked.
//!
//! Methods come in by `Channel::handle` from the connection's coroutine, which may wait for another shard's answer;
//! deliveries, confirms and answers come in by [`Subscriber`] from queues and mail, which never wait.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use leveret_amqp::error::ProtocolError;
use leveret_amqp::frame::{DeliverHead, write_deliver, write_method};
use leveret_amqp::method::{Method, WireMethod, basic, confirm};
use leveret_amqp::reply::ReplyCode;
use leveret_core::confirms::{Confirm, Confirms};
use leveret_core::error::{Resource, ResourceKind};
use leveret_core::ledger::{Ledger, Unsettled};
use leveret_core::message::Message;
use leveret_core::queue::{Parcel, delivery_cost};
use leveret_core::topology::QueueRecord;
use leveret_core::transaction::Transaction;
use leveret_core::value::Arguments;
use leveret_core::{ConnectionId, ConsumerId, Error, FastMap, Name, Seq, VhostId};
use leveret_runtime::sync::Event;
use std::sync::Arc;

use super::editor;
use super::errors::explain;
use super::output::Output;
use super::overdue::Marks;
use super::publish::precondition;
use super::rights::Granted;
use super::transaction::{Commit, Held};
use crate::shard::address::{ChannelAddress, ChannelKey, QueueAddress, Reply, Subscriber, Ticket};
use crate::shard::events::Event as Told;
use crate::shard::flow::Outflow;
use crate::shard::metadata::{Action, Request};
use crate::shard::queues::Command;
use crate::shard::quota::Quota;
use crate::shard::tally::{ChannelTally, ExchangeTally};
use crate::shard::{AtTurnEnd, Shard};

/// Bytes of deliveries that may be on their way to one consumer's socket.
const WINDOW_MAX: u64 = 1024 * 1024;

/// The least that a consumer gets, however many its connection has. (A delivery may exceed it by one message.)
const WINDOW_MIN: u64 = 4 * 1024;

/// What the consumers of a connection share when they are too many for [`WINDOW_MAX`] each. They do not share strictly, since a
/// window is given out once: a thousand consumers come to six times this.
const WINDOW_SHARED: u64 = 8 * 1024 * 1024;

/// The window of the next consumer of a connection that has so many.
fn window(consumers: u64) -> u64 {
    (WINDOW_SHARED / (consumers + 1)).clamp(WINDOW_MIN, WINDOW_MAX)
}

/// What a method can fail with: the channel, or for hard codes the connection, closes with it.
pub(super) type Outcome = Result<(), ProtocolError>;

/// What all channels of a connection share, once its virtual host is open.
pub(super) struct Link {
    pub(super) shard: Rc<Shard>,
    pub(super) output: Rc<Output>,
    pub(super) connection: ConnectionId,
    pub(super) vhost: VhostId,
    pub(super) vhost_name: Name,
    pub(super) user: Name,
    /// The connection's name.
    pub(super) name: String,
    pub(super) frame_max: u32,
    /// The client wants basic.cancel when a consumer ends without its doing.
    pub(super) cancel_notify: bool,
    /// Its consumers.
    pub(super) consumer_count: Rc<Cell<u64>>,
    /// What its user may do.
    pub(super) granted: Granted,
    /// What the connection counts as, until it is counted no more.
    pub(super) counted: RefCell<Vec<Quota>>,
    /// What it has on its way to other shards.
    pub(super) outflow: Rc<Outflow>,
    /// How often to look for deliveries that were not acknowledged in time.
    pub(super) overdue_look: Cell<Option<Duration>>,
}

/// A consumer, as its channel knows it.
pub(super) struct Consumer {
    pub(super) id: ConsumerId,
    pub(super) tag: Box<str>,
    pub(super) queue: QueueAddress,
    pub(super) no_ack: bool,
    /// Bytes of deliveries that may be on their way to the socket.
    pub(super) window: u64,
    /// How long a delivery may stay unsettled.
    pub(super) timeout: Option<Duration>,
    /// That of its connection, which includes this one.
    count: Rc<Cell<u64>>,
    /// Cost of its deliveries that the socket has not taken.
    unsent: Cell<u64>,
    /// Cost of those that it has taken and that the queue has not been told of.
    sent: Cell<u64>,
    /// It declined a delivery and waits for room on the channel.
    pub(super) paused: Cell<bool>,
    /// What was asked for, as operators see it.
    pub(super) asked: RefCell<Asked>,
}

/// What basic.consume said beyond what the channel itself needs.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) exclusive: bool,
    pub(super) prefetch: u32,
    pub(super) arguments: Arguments,
}

impl Consumer {
    pub(super) fn new(
        id: ConsumerId,
        tag: &str,
        queue: QueueAddress,
        no_ack: bool,
        timeout: Option<Duration>,
        link: &Link,
    ) -> Rc<Consumer> {
        let count = link.consumer_count.clone();
        let window = window(count.get());
        count.set(count.get() + 1);
        let (unsent, sent, paused) = (Cell::new(0), Cell::new(0), Cell::new(false));
        Rc::new(Consumer {
            asked: RefCell::default(),
            id,
            tag: tag.into(),
            queue,
            no_ack,
            window,
            timeout,
            count,
            unsent,
            sent,
            paused,
        })
    }

    /// The socket has taken everything. The queue is told in parcels of a quarter of the window, by mail even where it is on
    /// this shard: it may answer with as many deliveries again, which belong to the next turn.
    pub(super) fn delivered(&self, shard: &Rc<Shard>) {
        let sent = self.sent.get() + self.unsent.take();
        self.sent.set(sent);
        if sent >= self.window / 4 {
            self.sent.set(0);
            shard.command_next_turn(self.queue, Command::Credit { consumer: self.id, bytes: sent });
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.count.set(self.count.get() - 1);
    }
}

/// How publishes and settlements take effect.
pub(super) enum Mode {
    /// At once, without an answer.
    Plain,
    /// Publishes are confirmed.
    Confirming(Confirms),
    /// Publishes and settlements wait for commit.
    Transactional(Transaction<Held>),
}

/// See the module's description.
pub(super) struct Channel {
    pub(super) link: Rc<Link>,
    pub(super) number: u16,
    key: ChannelKey,
    pub(super) ledger: RefCell<Ledger>,
    /// By tag, in use.
    pub(super) tags: RefCell<FastMap<Box<str>, Rc<Consumer>>>,
    /// By number, as deliveries name them.
    pub(super) consumers: RefCell<FastMap<ConsumerId, Rc<Consumer>>>,
    /// The one of them that was delivered to last.
    recent: RefCell<Option<Rc<Consumer>>>,
    /// Consumers that wait for room under the channel-wide prefetch.
    pub(super) paused: RefCell<Vec<Rc<Consumer>>>,
    /// For consumers that are started from now on; 0 is no limit.
    pub(super) prefetch: Cell<u32>,
    pub(super) mode: RefCell<Mode>,
    pub(super) commit: Commit,
    pub(super) marks: RefCell<Marks>,
    /// The queue that empty names mean.
    pub(super) last_queue: RefCell<Option<Name>>,
    /// Tag of the consumer of replies, if there is one.
    pub(super) reply_consumer: RefCell<Option<Box<str>>>,
    /// What requests carry as the address of that consumer.
    pub(super) reply_address: RefCell<Option<Box<str>>>,
    /// Written when the queue has taken the consumer, before anything that the queue sends it.
    pub(super) consume_ok: RefCell<Option<Box<str>>>,
    question: Cell<u64>,
    answer: RefCell<Option<Reply>>,
    answered: Event,
    closed: Cell<bool>,
    /// A method is being carried out: its answer goes out before news of cancelled consumers, as in RabbitMQ, where both
    /// are messages to the channel. (A client that deletes the queue it consumes from waits for delete-ok.)
    busy: Cell<bool>,
    /// Consumers whose end the client has not been told of.
    cancelled: RefCell<Vec<Rc<Consumer>>>,
    /// On the list of the turn's end, for confirms.
    listed: Cell<bool>,
    pub(super) settled: RefCell<Vec<Unsettled>>,
    pub(super) scratch: RefCell<super::publish::Scratch>,
    pub(super) tally: ChannelTally,
    /// Where the exchange of the last publish is counted: the next one mostly goes there too.
    pub(super) exchange_tally: RefCell<Option<(Box<str>, Rc<ExchangeTally>)>>,
}

impl Channel {
    /// Opens a channel and makes it reachable.
    pub(super) fn open(link: Rc<Link>, number: u16) -> Rc<Channel> {
        let key = ChannelKey(link.shard.next_number());
        let channel = Rc::new(Channel {
            link,
            number,
            key,
            ledger: RefCell::default(),
            tags: RefCell::default(),
            consumers: RefCell::default(),
            recent: RefCell::default(),
            paused: RefCell::default(),
            prefetch: Cell::new(0),
            mode: RefCell::new(Mode::Plain),
            commit: Commit::default(),
            marks: RefCell::default(),
            last_queue: RefCell::default(),
            reply_consumer: RefCell::default(),
            reply_address: RefCell::default(),
            consume_ok: RefCell::default(),
            question: Cell::new(0),
            answer: RefCell::default(),
            answered: Event::new(),
            closed: Cell::new(false),
            busy: Cell::new(false),
            cancelled: RefCell::default(),
            listed: Cell::new(false),
            settled: RefCell::default(),
            scratch: RefCell::default(),
            tally: ChannelTally::default(),
            exchange_tally: RefCell::default(),
        });
        channel.link.shard.tally.channels_opened.add(u64::from(number > 0));
        channel.tell("channel.created", |event| event);
        channel.link.shard.add_channel(channel.clone());
        channel
    }

    /// Tells who listens that something has happened to it. (Number 0 is no channel of the client's.)
    pub(super) fn tell(&self, key: &'static str, more: impl FnOnce(Told) -> Told) {
        if self.number == 0 {
            return;
        }
        let link = &self.link;
        link.shard.tell(|| {
            let name = format!("{} ({})", link.name, self.number);
            let event = Told::new(key).text("name", &name).number("number", self.number.into());
            more(event.text("connection", &link.name).text("user", &link.user).text("vhost", &link.vhost_name))
        });
    }

    /// Whether a method is being carried out.
    pub(super) fn is_busy(&self) -> bool {
        self.busy.get()
    }

    /// Does what a method asks. May wait.
    pub(super) fn handle(self: &Rc<Self>, method: &Method<'_>) -> Outcome {
        self.handle_by(|| self.execute(method))
    }

    /// Does what binds ask that came one behind the other. May wait.
    pub(super) fn handle_binds(self: &Rc<Self>, methods: &[Method<'_>]) -> Outcome {
        self.handle_by(|| self.bind(methods))
    }

    fn handle_by(&self, execute: impl FnOnce() -> Outcome) -> Outcome {
        self.busy.set(true);
        let done = execute();
        self.busy.set(false);
        if done.is_ok() {
            self.notify_cancelled();
        }
        done
    }

    fn execute(self: &Rc<Self>, method: &Method<'_>) -> Outcome {
        match method {
            Method::ExchangeDeclare(it) => self.exchange_declare(it),
            Method::ExchangeDelete(it) => self.exchange_delete(it),
            Method::ExchangeUnbind(it) => self.exchange_unbind(it),
            Method::QueueDeclare(it) => self.queue_declare(it),
            Method::QueueBind(_) | Method::ExchangeBind(_) => self.bind(std::slice::from_ref(method)),
            Method::QueueUnbind(it) => self.queue_unbind(it),
            Method::QueuePurge(it) => self.queue_purge(it),
            Method::QueueDelete(it) => self.queue_delete(it),
            Method::BasicQos(it) => self.qos(it),
            Method::BasicConsume(it) => self.consume(it),
            Method::BasicCancel(it) => self.cancel(it),
            Method::BasicGet(it) => self.get(it),
            Method::BasicAck(it) => self.ack(it),
            Method::BasicNack(it) => self.nack(it),
            Method::BasicReject(it) => self.reject(it),
            Method::BasicRecover(it) => self.recover(it),
            Method::BasicRecoverAsync(it) => self.recover_async(it),
            Method::ConfirmSelect(it) => self.confirm_select(it),
            Method::TxSelect(_) => self.tx_select(),
            Method::TxCommit(_) => self.tx_commit(),
            Method::TxRollback(_) => self.tx_rollback(),
            // Answers to our own basic.cancel; nothing to do.
            Method::BasicCancelOk(_) => Ok(()),
            _ => Err(ProtocolError::new(ReplyCode::CommandInvalid, "unimplemented method")),
        }
        .map_err(|error| blame(error, method))
    }

    /// Sends a method.
    pub(super) fn send(&self, method: &impl WireMethod) {
        self.link.output.write(|out| write_method(out, self.number, method));
    }

    /// Sends an answer, unless the client asked for none.
    pub(super) fn send_unless(&self, nowait: bool, method: &impl WireMethod) {
        if !nowait {
            self.send(method);
        }
    }

    fn confirm_select(&self, select: &confirm::Select) -> Outcome {
        let mut mode = self.mode.borrow_mut();
        match &*mode {
            Mode::Plain => *mode = Mode::Confirming(Confirms::new()),
            Mode::Confirming(_) => {} // "idempotent"
            Mode::Transactional(_) => return Err(precondition(format_args!("cannot switch from tx to confirm mode"))),
        }
        drop(mode);
        self.send_unless(select.nowait, &confirm::SelectOk {});
        Ok(())
    }

    // ---- questions

    pub(super) fn address(&self) -> ChannelAddress {
        ChannelAddress { shard: self.link.shard.id, key: self.key }
    }

    /// Asks a queue or the owner of the topology by `ask`, and waits for the answer.
    pub(super) fn ask(&self, ask: impl FnOnce(&Rc<Shard>, Ticket)) -> Result<Reply, ProtocolError> {
        let number = self.question.get() + 1;
        self.question.set(number);
        self.answer.replace(None);
        self.answered.clear();
        ask(&self.link.shard, Ticket { channel: self.address(), number });
        loop {
            if let Some(reply) = self.answer.take() {
                return reply.accepted().map_err(|error| explain(&error));
            }
            self.answered.wait();
            self.answered.clear();
        }
    }

    /// Asks a queue.
    pub(super) fn ask_queue(
        &self,
        queue: QueueAddress,
        command: impl FnOnce(Ticket) -> Command,
    ) -> Result<Reply, ProtocolError> {
        self.ask(|shard, ticket| shard.command(queue, command(ticket)))
    }

    /// Asks the owner of the topology.
    pub(super) fn ask_owner(&self, action: Action) -> Result<Reply, ProtocolError> {
        let (vhost, connection) = (self.link.vhost, self.link.connection);
        self.ask(|shard, ticket| shard.request(Request { ticket: Some(ticket), vhost, connection, action }))
    }

    /// The queue that `name` means on this channel, for use by this connection.
    pub(super) fn queue(&self, name: &str) -> Result<Arc<QueueRecord>, ProtocolError> {
        let name = self.queue_name(name)?;
        let topology = self.link.shard.topology.borrow();
        let record = topology.queue(self.link.vhost, &name, self.link.connection);
        record.cloned().map_err(|error| explain(&error))
    }

    /// "Empty queue name means the last queue declared on this channel."
    pub(super) fn queue_name(&self, name: &str) -> Result<Name, ProtocolError> {
        if !name.is_empty() {
            return Ok(leveret_core::topology::clean_name(name).into());
        }
        let last = self.last_queue.borrow().clone();
        last.ok_or_else(|| ProtocolError::new(ReplyCode::NotFound, "no previously declared queue"))
    }

    /// The error for a queue that went while it was asked.
    pub(super) fn gone(&self, name: &Name) -> ProtocolError {
        let (vhost, name) = (self.link.vhost_name.clone(), name.clone());
        explain(&Error::NotFound(Resource { kind: ResourceKind::Queue, vhost, name }))
    }

    // ---- the end

    /// Stops everything, and gives back to the queues what it holds. May wait.
    pub(super) fn close(&self) {
        if self.closed.replace(true) {
            return;
        }
        self.leave_counts();
        if let Mode::Transactional(transaction) = &mut *self.mode.borrow_mut() {
            self.roll_back(transaction);
        }
        let mut held = Vec::new();
        self.ledger.borrow_mut().drain(&mut held);
        let mut parts: FastMap<QueueAddress, (Vec<ConsumerId>, Vec<Seq>)> = FastMap::default();
        self.recent.replace(None);
        for consumer in self.consumers.take().into_values() {
            parts.entry(consumer.queue).or_default().0.push(consumer.id);
        }
        for Unsettled { queue, shard, seq, .. } in held {
            parts.entry(QueueAddress { shard, queue }).or_default().1.push(seq);
        }
        let mut parts: Vec<_> = parts.into_iter().collect();
        parts.sort_unstable_by_key(|(queue, _)| *queue);
        for (queue, (mut consumers, held)) in parts {
            consumers.sort_unstable();
            // The answer says that an auto-delete queue which ended by this is gone everywhere.
            let _ = self.ask_queue(queue, |ticket| Command::Release { consumers, held, ticket });
        }
        self.tags.borrow_mut().clear();
        self.paused.borrow_mut().clear();
        self.link.shard.remove_channel(self.key);
    }

    /// Has the confirms that became due written at the end of the turn.
    pub(super) fn list_confirms(self: &Rc<Self>) {
        if !self.listed.replace(true) {
            self.link.shard.at_turn_end(self.clone());
        }
    }
}

/// The error of a method, with its ids unless it names others.
pub(super) fn blame(error: ProtocolError, method: &Method<'_>) -> ProtocolError {
    match error.class_id {
        0 => error.blame_ids(method.class_id(), method.method_id()),
        _ => error,
    }
}

pub(super) fn not_implemented(what: &str) -> ProtocolError {
    ProtocolError::new(ReplyCode::NotImplemented, what)
}

impl AtTurnEnd for Channel {
    fn at_turn_end(self: Rc<Self>) {
        self.listed.set(false);
        if self.closed.get() {
            return; // "Do not send a confirm after channel.close was sent"
        }
        let Mode::Confirming(confirms) = &mut *self.mode.borrow_mut() else { return };
        let mut due = Vec::new();
        confirms.take(&mut due);
        for confirm in due {
            match confirm {
                Confirm::Ack { tag: delivery_tag, multiple } => self.send(&basic::Ack { delivery_tag, multiple }),
                Confirm::Nack { tag: delivery_tag, multiple } => {
                    self.send(&basic::Nack { delivery_tag, multiple, requeue: false });
                }
            }
        }
    }
}

impl Subscriber for Channel {
    fn key(&self) -> ChannelKey {
        self.key
    }

    fn deliver(&self, queue: QueueAddress, id: ConsumerId, delivery: Parcel<'_>) {
        if !self.make_recent(id) {
            return self.link.shard.command(queue, Command::Decline { consumer: id, seq: delivery.seq });
        }
        let Some(consumer) = &self.recent.borrow().clone() else { return };
        if !consumer.no_ack && (consumer.paused.get() || !self.ledger.borrow().has_room()) {
            return self.decline(consumer, &delivery);
        }
        let unsettled = Unsettled { queue: queue.queue, shard: queue.shard, seq: delivery.seq, consumer: Some(id) };
        let delivery_tag = match consumer.no_ack {
            true => self.ledger.borrow_mut().deliver_settled(),
            false => self.ledger.borrow_mut().deliver(unsettled),
        };
        match consumer.no_ack {
            true => self.tally.delivered_no_ack.add(1),
            false => self.tally.delivered.add(1),
        }
        self.tally.redelivered.add(u64::from(delivery.redelivered));
        let message = delivery.message;
        if self.is_traced() {
            self.origin().trace_delivery(queue.queue, message, delivery.redelivered);
        }
        match delivery.offset {
            None => {
                self.write_deliver(&consumer.tag, delivery_tag, delivery.redelivered, message, message.properties())
            }
            Some(offset) => {
                let properties = editor::with_offset(message, offset);
                self.write_deliver(&consumer.tag, delivery_tag, false, message, &properties);
            }
        }
        if consumer.unsent.replace(consumer.unsent.get() + delivery_cost(message)) == 0 {
            self.link.output.note(consumer);
        }
    }

    fn has_reply_address(&self, name: &str) -> bool {
        self.reply_consumer.borrow().is_some() && self.reply_address.borrow().as_deref() == Some(name)
    }

    fn deliver_reply(self: Rc<Self>, message: &Message) {
        if !self.has_reply_address(message.routing_key_text()) {
            return; // a guess, or an answer to a consumer of before
        }
        let Some(tag) = self.reply_consumer.borrow().clone() else { return };
        if !self.link.output.has_room_for_replies() {
            return log::warn!("a direct reply is dropped: the client does not read what it is sent");
        }
        let delivery_tag = self.ledger.borrow_mut().deliver_settled();
        self.write_deliver(&tag, delivery_tag, false, message, message.properties());
    }

    fn cancelled(self: Rc<Self>, id: ConsumerId) {
        let Some(consumer) = self.remove_consumer(id) else { return };
        self.tags.borrow_mut().remove(&consumer.tag);
        self.forget_paused(id);
        self.cancelled.borrow_mut().push(consumer);
        if !self.busy.get() {
            self.notify_cancelled();
        }
    }

    fn reply(self: Rc<Self>, number: u64, reply: Reply) {
        if number != self.question.get() {
            return; // nobody waits for it any more
        }
        let consume_ok = self.consume_ok.take();
        if let (Some(tag), Reply::Done) = (consume_ok, &reply) {
            self.send(&basic::ConsumeOk { consumer_tag: &tag });
        }
        self.answer.replace(Some(reply));
        self.answered.set();
    }

    fn confirm(self: Rc<Self>, number: u64, accepted: bool) {
        match &mut *self.mode.borrow_mut() {
            Mode::Plain => return,
            Mode::Transactional(_) => return self.commit.heard_from_afar(accepted),
            Mode::Confirming(confirms) if accepted => confirms.confirmed(number),
            Mode::Confirming(confirms) => confirms.rejected(number),
        }
        self.list_confirms();
    }
}

impl Channel {
    fn write_deliver(
        &self,
        consumer_tag: &str,
        delivery_tag: u64,
        redelivered: bool,
        message: &Message,
        properties: &[u8],
    ) {
        let head =
            DeliverHead { consumer_tag: consumer_tag.as_bytes(), delivery_tag, redelivered, names: message.names() };
        let (number, frame_max) = (self.number, self.link.frame_max);
        self.link.output.write(|out| {
            write_deliver(out, number, frame_max, &head, properties, message.body());
        });
    }

    /// Looks the consumer up, unless it was the last one already; `false` if it is not there (any more).
    #[inline]
    fn make_recent(&self, id: ConsumerId) -> bool {
        if self.closed.get() {
            return false;
        }
        if self.recent.borrow().as_ref().is_some_and(|recent| recent.id == id) {
            return true;
        }
        let consumer = self.consumers.borrow().get(&id).cloned();
        let is_there = consumer.is_some();
        self.recent.replace(consumer);
        is_there
    }

    /// Nothing is delivered to it any more.
    pub(super) fn remove_consumer(&self, id: ConsumerId) -> Option<Rc<Consumer>> {
        self.recent.replace(None);
        self.consumers.borrow_mut().remove(&id)
    }

    /// The channel-wide prefetch is used up: the message goes back, and the consumer waits for room.
    fn decline(&self, consumer: &Rc<Consumer>, delivery: &Parcel<'_>) {
        let (queue, id) = (consumer.queue, consumer.id);
        self.link.shard.command(queue, Command::Decline { consumer: id, seq: delivery.seq });
        let bytes = delivery_cost(delivery.message);
        self.link.shard.command(queue, Command::Credit { consumer: id, bytes });
        if !consumer.paused.replace(true) {
            self.paused.borrow_mut().push(consumer.clone());
        }
    }

    /// Tells the client which of its consumers ended without its doing.
    /// Tells who listens that a consumer is no more.
    pub(super) fn tell_consumer_gone(&self, consumer: &Consumer) {
        let topology = self.link.shard.topology.borrow();
        let record = topology.vhost(self.link.vhost).ok().and_then(|vhost| vhost.queue_by_id(consumer.queue.queue));
        let queue = record.map_or_else(|| "".into(), |record| record.name.clone());
        drop(topology);
        self.tell("consumer.deleted", |event| event.text("consumer_tag", &consumer.tag).text("queue", &queue));
    }

    fn notify_cancelled(&self) {
        for consumer in self.cancelled.take() {
            self.tell_consumer_gone(&consumer);
            if self.link.cancel_notify && !self.closed.get() {
                self.send(&basic::Cancel { consumer_tag: &consumer.tag, nowait: true });
            }
        }
    }

    /// A consumer went: it waits for nothing any more.
    pub(super) fn forget_paused(&self, id: ConsumerId) {
        self.paused.borrow_mut().retain(|consumer| consumer.id != id);
    }

    /// Lets consumers go on for which the channel-wide prefetch has room again.
    pub(super) fn resume_paused(&self) {
        if self.paused.borrow().is_empty() || !self.ledger.borrow().has_room() {
            return;
        }
        // Who is resumed may take the room at once: a thousand others need not be told just to decline again.
        let mut paused = VecDeque::from(self.paused.take());
        while self.ledger.borrow().has_room()
            && let Some(consumer) = paused.pop_front()
        {
            consumer.paused.set(false);
            self.link.shard.command(consumer.queue, Command::Resume { consumer: consumer.id });
        }
        paused.extend(self.paused.take());
        self.paused.replace(paused.into());
    }
}
