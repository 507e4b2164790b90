//! What an AMQP client could do, done for HTTP: the same checks, the same refusals, without a connection.

use std::rc::Rc;
use std::sync::Arc;

use leveret_amqp::reply::ReplyCode;
use leveret_core::error::{Resource, ResourceKind};
use leveret_core::message::Message;
use leveret_core::queue::Settlement;
use leveret_core::topology::{QueueRecord, clean_name};
use leveret_core::{Error, Name, Seq, VhostId};
use leveret_management::port::{Actor, Afterwards, Command, GotMessage, Outcome, Properties, Refusal};
use leveret_runtime as runtime;

use super::asker::Asker;
use crate::frontend::amqp::service;
use crate::frontend::amqp::trace::Origin;
use crate::shard::address::{QueueAddress, Reply};
use crate::shard::administration::{NO_CONNECTION, NotDone, ask_owner};
use crate::shard::metadata::{Action, Ends};
use crate::shard::queues::{Command as Ask, Seqs};
use crate::shard::{Shard, shard_number};

pub(super) fn execute(shard: &Rc<Shard>, actor: &Actor, command: Command) -> Result<Outcome, Refusal> {
    let run = Run { shard, vhost: actor.vhost, user: &actor.user };
    match command {
        Command::DeclareExchange { name, kind, durable, auto_delete, internal, arguments } => {
            let is_new = run.exchange_is_missing(&name);
            let passive = false;
            run.ask_owner(Action::DeclareExchange { name, kind, passive, durable, auto_delete, internal, arguments })?;
            Ok(Outcome::Done { is_new })
        }
        Command::DeleteExchange { name, if_unused } => run.done(Action::DeleteExchange { name, if_unused }),
        Command::DeclareQueue { name, durable, auto_delete, arguments } => {
            let mut random = [0; 16];
            runtime::random::fill(&mut random);
            let (passive, exclusive) = (false, false);
            let shard = run.any_shard();
            let action =
                Action::DeclareQueue { name, passive, durable, exclusive, auto_delete, arguments, shard, random };
            shard_reply(run.ask_owner(action)?)
        }
        Command::DeleteQueue { name, if_unused, if_empty } => run.delete_queue(&name, if_unused, if_empty),
        Command::Purge { name } => run.purge(&name),
        Command::Bind { source, destination, key, arguments } => {
            run.done(Action::Bind(Ends { source, destination, key, arguments }))
        }
        Command::Unbind { source, destination, key, arguments } => {
            run.done(Action::Unbind { source, destination, key, arguments })
        }
        Command::Publish { exchange, routing_key, properties, body } => {
            run.publish(&exchange, &routing_key, &properties, &body)
        }
        Command::Get { queue, count, then: Afterwards::Peek } => run.peek(&queue, count),
        Command::Get { queue, count, then } => run.get(&queue, count, then),
        Command::Move { from, to, count } => run.move_messages(&from, &to, count),
    }
}

/// Messages that [`Run::move_messages`] takes before it waits for the other queue.
const MOVED_AT_ONCE: usize = 200;

/// Messages that were taken and are not settled yet.
type Taken = (Vec<Seq>, Vec<Arc<Message>>);

fn shard_reply(reply: Reply) -> Result<Outcome, Refusal> {
    let is_new = matches!(reply, Reply::Queue(_, true));
    Ok(Outcome::Done { is_new })
}

struct Run<'a> {
    shard: &'a Rc<Shard>,
    vhost: VhostId,
    user: &'a str,
}

impl Run<'_> {
    fn vhost_name(&self) -> Result<Name, Refusal> {
        let topology = self.shard.topology.borrow();
        let vhost = topology.vhost(self.vhost).map_err(|error| service::refusal(&error))?;
        Ok(vhost.name().clone())
    }

    fn ask_owner(&self, action: Action) -> Result<Reply, Refusal> {
        ask_owner(&self.vhost_name()?, action).map_err(|error| not_done(&error))
    }

    fn done(&self, action: Action) -> Result<Outcome, Refusal> {
        self.ask_owner(action).map(|_| Outcome::Done { is_new: true })
    }

    fn exchange_is_missing(&self, name: &str) -> bool {
        let topology = self.shard.topology.borrow();
        topology.vhost(self.vhost).is_ok_and(|vhost| vhost.exchange(&clean_name(name)).is_none())
    }

    /// Queues that no connection declares are spread.
    fn any_shard(&self) -> leveret_core::ShardId {
        shard_number(runtime::random::u64() as usize % self.shard.count())
    }

    fn queue(&self, name: &str) -> Result<Arc<QueueRecord>, Refusal> {
        let topology = self.shard.topology.borrow();
        let record = topology.queue(self.vhost, name, NO_CONNECTION);
        record.cloned().map_err(|error| service::refusal(&error))
    }

    /// Whoever publishes and gets here, for the firehose.
    fn with_origin(&self, f: impl FnOnce(&Origin<'_>)) {
        let vhost_name = self.vhost_name().unwrap_or_else(|_| "".into());
        let (shard, vhost) = (self.shard, self.vhost);
        f(&Origin { shard, vhost, vhost_name: &vhost_name, user: self.user, connection: "", channel: 0 });
    }

    fn gone(&self, name: &Name) -> Refusal {
        let vhost = self.vhost_name().unwrap_or_else(|_| "".into());
        service::refusal(&Error::NotFound(Resource { kind: ResourceKind::Queue, vhost, name: name.clone() }))
    }

    fn delete_queue(&self, name: &str, if_unused: bool, if_empty: bool) -> Result<Outcome, Refusal> {
        let record = self.queue(name)?;
        let delete = |ticket| Ask::Delete { if_unused, if_empty, ticket };
        let reply = Asker::new(self.shard).ask(QueueAddress::of(&record), delete);
        reply.accepted().map_err(|error| service::refusal(&error))?;
        self.done(Action::QueueEnded { queue: record.id, reply: Reply::Done })
    }

    fn purge(&self, name: &str) -> Result<Outcome, Refusal> {
        let record = self.queue(name)?;
        match Asker::new(self.shard).ask(QueueAddress::of(&record), |ticket| Ask::Purge { ticket }) {
            Reply::Gone => Err(self.gone(&record.name)),
            _ => Ok(Outcome::Done { is_new: true }),
        }
    }

    // ---- messages

    fn publish(
        &self,
        exchange: &str,
        routing_key: &str,
        properties: &Properties,
        body: &[u8],
    ) -> Result<Outcome, Refusal> {
        if body.len() as u64 > self.shard.config.limits.max_message_size {
            let (size, limit) = (body.len(), self.shard.config.limits.max_message_size);
            let text = format!("PRECONDITION_FAILED - message size {size} is larger than configured max size {limit}");
            return Err(Refusal { code: ReplyCode::PreconditionFailed.code(), text });
        }
        let checked = self.shard.topology.borrow().check_publish(self.vhost, exchange);
        checked.map_err(|error| service::refusal(&error))?;
        let (raw, expiration_ms) = service::encode(properties)?;
        let mut builder = Message::builder(exchange, routing_key, &raw, body.len());
        builder
            .body(body)
            .persistent(properties.delivery_mode == Some(2))
            .priority(properties.priority.unwrap_or(0))
            .expiration_ms(expiration_ms);
        let message = builder.build();
        let (destinations, aside) = self.shard.find(self.vhost, exchange, &[], &message, false);
        let queues: Vec<_> = destinations.iter().map(|it| QueueAddress { shard: it.shard, queue: it.queue }).collect();
        self.shard.tally.exchange(self.vhost, exchange).add(queues.len() as u64);
        if self.shard.is_traced(self.vhost) {
            self.with_origin(|origin| origin.trace_publish(&message, &destinations));
        }
        let accepted = Asker::new(self.shard).publish(&queues, &message);
        self.shard.set_aside(self.vhost, &aside, &message);
        Ok(Outcome::Published { queues: queues.len() + aside.delayed.len(), accepted })
    }

    fn get(&self, name: &str, count: usize, then: Afterwards) -> Result<Outcome, Refusal> {
        let record = self.queue(name)?;
        let (queue, asker) = (QueueAddress::of(&record), Asker::new(self.shard));
        let (mut messages, mut seqs): (Vec<GotMessage>, Vec<Seq>) = Default::default();
        while messages.len() < count {
            match asker.ask(queue, |ticket| Ask::Get { no_ack: false, ticket }) {
                Reply::Got(Some(got)) => {
                    seqs.push(got.delivery.seq);
                    if self.shard.is_traced(self.vhost) {
                        let (message, redelivered) = (&got.delivery.message, got.delivery.redelivered);
                        self.with_origin(|origin| origin.trace_delivery(record.id, message, redelivered));
                    }
                    messages.push(show(&got.delivery.message, got.delivery.redelivered, got.remaining));
                }
                Reply::Got(None) => break,
                Reply::Refused(error) => {
                    self.settle(queue, seqs, Afterwards::Requeue);
                    return Err(service::refusal(&error));
                }
                _ => return Err(self.gone(&record.name)),
            }
        }
        self.settle(queue, seqs, then);
        Ok(Outcome::Got(messages))
    }

    /// In batches, so that a batch costs one sync of the disk.
    fn move_messages(&self, from: &str, to: &str, count: usize) -> Result<Outcome, Refusal> {
        let record = self.queue(from)?;
        let (queue, asker) = (QueueAddress::of(&record), Asker::new(self.shard));
        let mut moved = 0;
        while moved < count {
            let target = QueueAddress::of(&*self.queue(to)?);
            let (seqs, messages) = self.take(&asker, &record, MOVED_AT_ONCE.min(count - moved))?;
            if seqs.is_empty() {
                break;
            }
            let refused = asker.publish_all(target, &messages);
            let (kept, gone): (Vec<_>, Vec<_>) = seqs.into_iter().zip(0..).partition(|(_, at)| refused.contains(at));
            moved += gone.len();
            let only = |seqs: Vec<(Seq, u64)>| seqs.into_iter().map(|(seq, _)| seq).collect();
            self.settle(queue, only(gone), Afterwards::Ack);
            self.settle(queue, only(kept), Afterwards::Requeue);
            if !refused.is_empty() {
                return Ok(Outcome::Moved { count: moved, refused: true });
            }
        }
        Ok(Outcome::Moved { count: moved, refused: false })
    }

    /// Takes up to `count` messages, which wait to be settled.
    fn take(&self, asker: &Asker, record: &QueueRecord, count: usize) -> Result<Taken, Refusal> {
        let queue = QueueAddress::of(record);
        let mut taken = Taken::default();
        while taken.0.len() < count {
            match asker.ask(queue, |ticket| Ask::Get { no_ack: false, ticket }) {
                Reply::Got(Some(got)) => {
                    taken.0.push(got.delivery.seq);
                    taken.1.push(got.delivery.message.clone());
                }
                Reply::Got(None) => break,
                Reply::Refused(error) => {
                    self.settle(queue, taken.0, Afterwards::Requeue);
                    return Err(service::refusal(&error));
                }
                _ => return Err(self.gone(&record.name)),
            }
        }
        Ok(taken)
    }

    fn settle(&self, queue: QueueAddress, mut seqs: Vec<Seq>, then: Afterwards) {
        if seqs.is_empty() {
            return;
        }
        seqs.sort_unstable();
        let seqs = Seqs::Many(seqs);
        let command = match then {
            Afterwards::Ack => Ask::Settle { seqs, settlement: Settlement::Ack },
            Afterwards::Reject => Ask::Settle { seqs, settlement: Settlement::Reject },
            Afterwards::Requeue | Afterwards::Peek => Ask::Requeue { seqs },
        };
        self.shard.read_clock();
        self.shard.command(queue, command);
    }

    fn peek(&self, name: &str, count: usize) -> Result<Outcome, Refusal> {
        let record = self.queue(name)?;
        let id = record.id;
        let look = move || {
            let (ready, messages) = Shard::current().first_messages(id, count)?;
            let remaining = (0..ready).rev();
            Some(messages.into_iter().zip(remaining).collect::<Vec<_>>())
        };
        let home = runtime::shards().nth(usize::from(record.shard.0)).unwrap_or_else(runtime::shard_id);
        let found = runtime::call(home, look).ok().flatten().ok_or_else(|| self.gone(&record.name))?;
        Ok(Outcome::Got(found.iter().map(|(message, remaining)| show(message, false, *remaining)).collect()))
    }
}

fn show(message: &Message, redelivered: bool, remaining: u64) -> GotMessage {
    GotMessage {
        redelivered,
        exchange: message.exchange_name().to_owned(),
        routing_key: message.routing_key_text().to_owned(),
        remaining,
        properties: service::decode(message),
        body: message.body().to_vec(),
    }
}

fn not_done(error: &NotDone) -> Refusal {
    match error {
        NotDone::Declaration(error) => service::refusal(error),
        NotDone::NoVhost => service::refusal(&Error::NoVhost),
        other => Refusal { code: ReplyCode::InternalError.code(), text: other.to_string() },
    }
}
