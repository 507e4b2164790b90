//! What shards send each other.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use leveret_core::message::Message;
use leveret_core::queue::Delivery;
use leveret_core::{ConnectionId, ConsumerId, Name, QueueId, ShardId, VhostId};
use leveret_runtime as runtime;
use runtime::mailbox::channel::{Receiver, Sender};

use super::address::{ChannelAddress, ChannelKey, QueueAddress, Reply, Ticket};
use super::alarm::Alarms;
use super::flow::Mark;
use super::metadata::Request;
use super::queues::Command;
use super::quota::Quota;
use super::replication::Change;
use super::stored::Who;
use super::stored::relay::RELAY;
use super::{OWNER, Shard};

/// What is handled in a turn, in bytes of messages: what they led to goes out, and connections come in between, before more is.
const TURN_COST: usize = 256 * 1024;

/// What an item counts besides a message that is in it.
const ITEM_COST: usize = 64;

/// One item.
#[derive(Debug)]
pub enum Mail {
    /// For a queue of the receiving shard.
    Queue(QueueId, Command),
    /// A delivery to a consumer of the receiving shard.
    Deliver {
        /// The consumer's channel.
        channel: ChannelKey,
        /// Where the message came from.
        queue: QueueAddress,
        /// The consumer.
        consumer: ConsumerId,
        /// The message.
        delivery: Box<Delivery>,
    },
    /// A message for a channel's reply consumer.
    DeliverReply(ChannelKey, Arc<Message>),
    /// A consumer that its queue has dropped.
    Cancelled(ChannelKey, ConsumerId),
    /// An answer.
    Reply(ChannelKey, u64, Box<Reply>),
    /// A publish was taken (or refused).
    Confirm(ChannelKey, u64, bool),
    /// For shard 0: so many bytes of messages are on that shard.
    Held(ShardId, u64),
    /// From shard 0: what is short.
    Alarms(Alarms),
    /// For the owner of the topology: an exchange wants to keep this message.
    Keep(ShardId, VhostId, Name, Arc<Message>),
    /// For the owner of the topology.
    Request(Box<Request>),
    /// From the owner: change the replica, then say so.
    Apply(u64, Arc<[Change]>),
    /// To the owner: that shard has applied the changes up to that number.
    Applied(ShardId, u64),
    /// To the owner: what that shard has of something that is limited from now on.
    Counted(ShardId, Quota, u64),
    /// To the owner: that shard has one fewer of each.
    Vacated(ShardId, Vec<Quota>),
    /// Answered like a publish, when everything before it is on disk.
    WhenDurable(ChannelAddress, u64),
    /// Comes back when everything before it was handled.
    Mark(Mark),
    /// A mark of that connection has come back from that shard, for so much.
    Returned(ShardId, ConnectionId, u64),
    /// Dropped when everything before it was handled.
    Fence(Sender<()>),
}

/// Outgoing mail, piled up during a turn.
pub struct Post {
    senders: Vec<Sender<Mail>>,
    piles: Vec<RefCell<Vec<Mail>>>,
    /// Whether any pile holds something.
    waiting: Cell<bool>,
}

impl Post {
    pub(super) fn new(senders: Vec<Sender<Mail>>) -> Post {
        let piles = senders.iter().map(|_| RefCell::default()).collect();
        Post { senders, piles, waiting: Cell::new(false) }
    }

    pub(super) fn shard_count(&self) -> usize {
        self.senders.len()
    }

    pub(super) fn send(&self, to: ShardId, mail: Mail) {
        self.piles[usize::from(to.0)].borrow_mut().push(mail);
        self.waiting.set(true);
    }

    pub(super) fn flush(&self) {
        if self.waiting.replace(false) {
            for (pile, sender) in self.piles.iter().zip(&self.senders) {
                sender.send_batch(&mut pile.borrow_mut());
            }
        }
    }
}

/// The coroutine that handles a shard's mail until the program ends.
///
/// Where there is more than a turn's, credit for consumers goes first: it says that their sockets have taken what they were
/// given, and it would be a pity to let a queue grow because that lies behind publishes to it.
pub fn serve(shard: &Rc<Shard>, receiver: &Receiver<Mail>) {
    let (mut fresh, mut waiting) = (Vec::new(), VecDeque::new());
    loop {
        if waiting.is_empty() {
            let Ok(true) = receiver.receive_batch(&mut fresh) else { return };
            waiting = VecDeque::from(std::mem::take(&mut fresh));
        } else {
            runtime::next_turn();
            receiver.try_receive_batch(&mut fresh);
        }
        shard.read_clock();
        fresh.extract_if(.., |mail| mail.is_credit()).for_each(|mail| shard.handle(mail));
        waiting.extend(fresh.drain(..));
        let mut left = TURN_COST;
        while left > 0
            && let Some(mail) = waiting.pop_front()
        {
            left = left.saturating_sub(mail.cost());
            shard.handle(mail);
        }
        if waiting.is_empty() {
            fresh = Vec::from(std::mem::take(&mut waiting)); // which keeps the capacity
        }
    }
}

impl Mail {
    /// What it counts of a turn.
    fn cost(&self) -> usize {
        match self {
            Mail::Queue(_, Command::Publish { message, .. }) => ITEM_COST + message.size(),
            _ => ITEM_COST,
        }
    }

    fn is_credit(&self) -> bool {
        matches!(self, Mail::Queue(_, Command::Credit { .. }))
    }
}

impl Shard {
    fn handle(self: &Rc<Self>, mail: Mail) {
        match mail {
            Mail::Queue(queue, command) => self.command_here(queue, command),
            Mail::Deliver { channel, queue, consumer, delivery } => match self.channel(channel) {
                Some(channel) => channel.deliver(queue, consumer, delivery.parcel()),
                // The channel closed while the message was on its way: as if it had never left the queue.
                None => self.command(queue, Command::Decline { consumer, seq: delivery.seq }),
            },
            Mail::DeliverReply(key, message) => self.with_channel(key, |channel| channel.deliver_reply(&message)),
            Mail::Cancelled(key, consumer) => self.with_channel(key, |channel| channel.cancelled(consumer)),
            Mail::Reply(key, number, reply) => self.with_channel(key, |channel| channel.reply(number, *reply)),
            Mail::Confirm(RELAY, number, _) => self.relayed(number),
            Mail::Confirm(key, number, accepted) => self.with_channel(key, |channel| channel.confirm(number, accepted)),
            Mail::Held(shard, bytes) => self.note_held(shard, bytes),
            Mail::Alarms(alarms) => self.note_alarms(alarms),
            Mail::Keep(shard, vhost, exchange, message) => self.keep_of(shard, vhost, exchange, message),
            Mail::Request(request) => self.serve_request(*request),
            Mail::Apply(number, changes) => {
                changes.iter().for_each(|change| drop(self.apply(change)));
                self.send(OWNER, Mail::Applied(self.id, number));
            }
            Mail::Applied(shard, number) => self.note_applied(shard, number),
            Mail::Counted(shard, quota, count) => self.note_counted(shard, quota, count),
            Mail::Vacated(shard, quotas) => self.note_vacated(shard, &quotas),
            Mail::WhenDurable(channel, number) => self.tell_when_durable(self.id, channel, number),
            Mail::Mark(mark) => self.note_mark(mark),
            Mail::Returned(shard, connection, cost) => self.note_returned(shard, connection, cost),
            Mail::Fence(fence) => drop(fence),
        }
    }

    /// Has a shard confirm `number` to a channel when all that it was told from here is on its disk.
    pub fn tell_when_durable(&self, shard: ShardId, channel: ChannelAddress, number: u64) {
        match shard == self.id {
            true => self.stored.wait(Who::At(channel), number),
            false => self.send(shard, Mail::WhenDurable(channel, number)),
        }
    }

    /// Sends `fence` behind everything that is on its way from here to other shards.
    pub(crate) fn send_fences(&self, fence: &Sender<()>) {
        (0..self.count()).map(|shard| ShardId(shard as u16)).filter(|shard| *shard != self.id).for_each(|shard| {
            self.send(shard, Mail::Fence(fence.clone()));
        });
    }

    fn with_channel(&self, key: ChannelKey, f: impl FnOnce(Rc<dyn super::Subscriber>)) {
        if let Some(channel) = self.channel(key) {
            f(channel);
        }
    }

    /// Answers a question, wherever it came from.
    pub fn answer(&self, ticket: Ticket, reply: Reply) {
        let key = ticket.channel.key;
        if ticket.channel.shard == self.id {
            self.with_channel(key, |channel| channel.reply(ticket.number, reply));
        } else {
            self.send(ticket.channel.shard, Mail::Reply(key, ticket.number, Box::new(reply)));
        }
    }
}
