//! What shards send each other.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use leveret_core::message::Message;
use leveret_core::queue::Delivery;
use leveret_core::{ConsumerId, Name, QueueId, ShardId, VhostId};
use leveret_runtime as runtime;
use runtime::mailbox::channel::{Receiver, Sender};

use super::address::{ChannelKey, QueueAddress, Reply, Ticket};
use super::alarm::Alarms;
use super::metadata::Request;
use super::queues::Command;
use super::quota::Quota;
use super::replication::Change;
use super::stored::relay::RELAY;
use super::{OWNER, Shard};

/// Mail that a shard has not taken yet, above which publishers to it wait.
const CONGESTED: usize = 64 * 1024;

/// Items handled before connections come in between again.
const MAIL_PER_TURN: usize = 4096;

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
    Keep(VhostId, Name, Arc<Message>),
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
}

/// Outgoing mail, piled up during a turn.
pub struct Post {
    senders: Vec<Sender<Mail>>,
    piles: Vec<RefCell<Vec<Mail>>>,
    /// Whether any pile holds something.
    waiting: Cell<bool>,
    /// By receiver.
    congested: Vec<Cell<bool>>,
}

impl Post {
    pub(super) fn new(senders: Vec<Sender<Mail>>) -> Post {
        let piles = senders.iter().map(|_| RefCell::default()).collect();
        let congested = senders.iter().map(|_| Cell::new(false)).collect();
        Post { senders, piles, waiting: Cell::new(false), congested }
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
            for ((pile, sender), congested) in self.piles.iter().zip(&self.senders).zip(&self.congested) {
                sender.send_batch(&mut pile.borrow_mut());
                congested.set(sender.len() > CONGESTED);
            }
        }
    }

    #[inline]
    pub(super) fn is_congested(&self, to: ShardId) -> bool {
        let at = usize::from(to.0);
        let Some(congested) = self.congested.get(at).filter(|it| it.get()) else { return false };
        congested.set(self.senders[at].len() > CONGESTED);
        congested.get()
    }
}

/// The coroutine that handles a shard's mail until the program ends.
pub fn serve(shard: &Rc<Shard>, receiver: &Receiver<Mail>) {
    let mut batch = Vec::new();
    while let Ok(true) = receiver.receive_batch(&mut batch) {
        for (index, mail) in batch.drain(..).enumerate() {
            if index % MAIL_PER_TURN == 0 {
                if index > 0 {
                    runtime::yield_now();
                }
                shard.read_clock();
            }
            shard.handle(mail);
        }
    }
}

impl Shard {
    fn handle(self: &Rc<Self>, mail: Mail) {
        match mail {
            Mail::Queue(queue, command) => self.command_here(queue, command),
            Mail::Deliver { channel, queue, consumer, delivery } => match self.channel(channel) {
                Some(channel) => channel.deliver(queue, consumer, *delivery),
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
            Mail::Keep(vhost, exchange, message) => self.keep_for_later(vhost, exchange, message),
            Mail::Request(request) => self.serve_request(*request),
            Mail::Apply(number, changes) => {
                changes.iter().for_each(|change| drop(self.apply(change)));
                self.send(OWNER, Mail::Applied(self.id, number));
            }
            Mail::Applied(shard, number) => self.note_applied(shard, number),
            Mail::Counted(shard, quota, count) => self.note_counted(shard, quota, count),
            Mail::Vacated(shard, quotas) => self.note_vacated(shard, &quotas),
        }
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
