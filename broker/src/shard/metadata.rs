//! The topology's owner and its replicas.
//!
//! Shard 0 checks every request against its own copy, applies the change and sends it to all others; the asker gets its
//! answer only when every shard has switched, so that "declare here, publish there" works whatever shards "here" and
//! "there" are on. Mail between two shards keeps its order, so replicas go through the same states.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use leveret_core::topology::{
    Applied, Bind, BindingEnd, Declared, ExchangeDeclare, QueueDeclare, QueueRecord, TopologyChange,
};
use leveret_core::value::Arguments;
use leveret_core::{ConnectionId, Error, FastMap, Name, QueueId, ShardId, VhostId};

use super::address::{QueueAddress, Reply, Ticket};
use super::mail::Mail;
use super::{OWNER, Shard};

/// What a connection asks of the owner. The fields are those of the AMQP methods.
#[derive(Debug)]
pub struct Request {
    /// Who waits for the answer; nobody, for what shards ask by themselves.
    pub ticket: Option<Ticket>,
    /// In which virtual host.
    pub vhost: VhostId,
    /// For which connection.
    pub connection: ConnectionId,
    /// What.
    pub action: Action,
}

/// See [`Request`].
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are those of the AMQP methods")]
pub enum Action {
    DeclareExchange {
        name: Name,
        kind: Name,
        passive: bool,
        durable: bool,
        auto_delete: bool,
        internal: bool,
        arguments: Arguments,
    },
    DeleteExchange {
        name: Name,
        if_unused: bool,
    },
    DeclareQueue {
        name: Name,
        passive: bool,
        durable: bool,
        exclusive: bool,
        auto_delete: bool,
        arguments: Arguments,
        /// Where to put it, if it is new.
        shard: ShardId,
        /// Makes a server-made name.
        random: [u8; 16],
    },
    Bind {
        source: Name,
        destination: BindingEnd,
        key: Name,
        arguments: Arguments,
    },
    Unbind {
        source: Name,
        destination: BindingEnd,
        key: Name,
        arguments: Arguments,
    },
    /// A queue ended by itself or was deleted on its shard; the answer, if one is due, is the given one.
    QueueEnded {
        queue: QueueId,
        reply: Reply,
    },
    /// A connection ended: its exclusive queues go.
    ConnectionEnded,
}

/// Changes on their way to the replicas. Used on shard 0 only.
#[derive(Default)]
pub struct Owner {
    last: Cell<u64>,
    pending: RefCell<FastMap<u64, Pending>>,
}

struct Pending {
    /// Replicas that have not applied it yet.
    missing: usize,
    answers: Vec<(Ticket, Reply)>,
}

#[cfg(test)]
impl Owner {
    /// Panics if a change is under way.
    pub(super) fn assert_at_rest(&self) {
        assert!(self.pending.borrow().is_empty(), "every change was applied everywhere");
    }
}

impl Shard {
    /// Asks the owner; the answer comes to the request's ticket.
    pub fn request(self: &Rc<Self>, request: Request) {
        if self.id == OWNER {
            self.serve_request(request);
        } else {
            self.send(OWNER, Mail::Request(Box::new(request)));
        }
    }

    pub(super) fn serve_request(self: &Rc<Self>, request: Request) {
        debug_assert_eq!(self.id, OWNER, "requests are for the owner");
        let ticket = request.ticket;
        match self.check(request) {
            Ok((changes, reply)) => self.publish_changes(changes, ticket.map(|ticket| (ticket, reply))),
            Err(error) => {
                if let Some(ticket) = ticket {
                    self.answer(ticket, Reply::Refused(error));
                }
            }
        }
    }

    fn check(&self, request: Request) -> Result<(Vec<TopologyChange>, Reply), Error> {
        let Request { vhost, connection, action, .. } = request;
        let topology = self.topology.borrow();
        let done = |change: Option<TopologyChange>| Ok((change.into_iter().collect(), Reply::Done));
        match action {
            Action::DeclareExchange { name, kind, passive, durable, auto_delete, internal, arguments } => {
                let (name, kind) = (&*name, &*kind);
                let declare = ExchangeDeclare { vhost, name, kind, passive, durable, auto_delete, internal, arguments };
                match topology.declare_exchange(&declare)? {
                    Declared::Existing(_) => done(None),
                    Declared::New(_, change) => done(Some(change)),
                }
            }
            Action::DeleteExchange { name, if_unused } => done(topology.delete_exchange(vhost, &name, if_unused)?),
            Action::DeclareQueue { name, passive, durable, exclusive, auto_delete, arguments, shard, random } => {
                let name = &*name;
                let declare = QueueDeclare {
                    vhost,
                    name,
                    passive,
                    durable,
                    exclusive,
                    auto_delete,
                    arguments,
                    connection,
                    shard,
                    random,
                };
                Ok(match topology.declare_queue(&declare)? {
                    Declared::Existing(record) => (Vec::new(), Reply::Queue(record, false)),
                    Declared::New(record, change) => (vec![change], Reply::Queue(record, true)),
                })
            }
            Action::Bind { source, destination, key, arguments } => {
                done(topology.bind(&Bind { vhost, source: &source, destination, key: &key, arguments, connection })?)
            }
            Action::Unbind { source, destination, key, arguments } => done(topology.unbind(&Bind {
                vhost,
                source: &source,
                destination,
                key: &key,
                arguments,
                connection,
            })?),
            Action::QueueEnded { queue, reply } => {
                Ok((topology.queue_ended(vhost, queue).into_iter().collect(), reply))
            }
            Action::ConnectionEnded => {
                let queues = topology.exclusive_queues(connection);
                let changes = queues.iter().filter_map(|(vhost, queue)| topology.queue_ended(*vhost, *queue));
                Ok((changes.collect(), Reply::Done))
            }
        }
    }

    /// Applies changes here and sends them to all; the answer goes out when all have applied the last one, also if that is
    /// somebody else's: who declares what another is declaring must not be told that it is there before it is.
    fn publish_changes(self: &Rc<Self>, changes: Vec<TopologyChange>, mut answer: Option<(Ticket, Reply)>) {
        let others = self.count() - 1;
        let last = changes.len();
        for (index, change) in (1..).zip(changes) {
            let change = Arc::new(change);
            self.apply(&change);
            if others == 0 {
                continue;
            }
            let number = self.owner.last.get() + 1;
            self.owner.last.set(number);
            let answers = if index == last { answer.take().into_iter().collect() } else { Vec::new() };
            self.owner.pending.borrow_mut().insert(number, Pending { missing: others, answers });
            for shard in 1..=others {
                self.send(super::shard_number(shard), Mail::Apply(number, change.clone()));
            }
        }
        let Some((ticket, reply)) = answer else { return };
        match self.owner.pending.borrow_mut().get_mut(&self.owner.last.get()) {
            Some(change) => change.answers.push((ticket, reply)),
            None => self.answer(ticket, reply),
        }
    }

    pub(super) fn note_applied(&self, number: u64) {
        let mut pending = self.owner.pending.borrow_mut();
        let Some(change) = pending.get_mut(&number) else { return };
        change.missing -= 1;
        if change.missing > 0 {
            return;
        }
        let answers = pending.remove(&number).map(|change| change.answers).unwrap_or_default();
        drop(pending);
        for (ticket, reply) in answers {
            self.answer(ticket, reply);
        }
    }

    /// Changes this shard's copy and the queues that live here.
    pub(super) fn apply(self: &Rc<Self>, change: &TopologyChange) {
        let ended = match change {
            TopologyChange::QueueDeleted { vhost, name } => self.queue_here(*vhost, name),
            _ => None,
        };
        let applied: Applied = self.topology.borrow_mut().apply(change);
        if let TopologyChange::QueueDeclared { vhost, record } = change {
            self.queue_declared(*vhost, record);
        }
        self.update_histories(change, &applied);
        let removed = applied.queues_removed.iter().filter(|record| record.shard == self.id).map(|record| record.id);
        for queue in ended.into_iter().chain(removed) {
            self.end_queue(queue);
        }
    }

    /// Makes a queue that is to live on this shard, and does what was asked of it before this shard had heard of it.
    fn queue_declared(self: &Rc<Self>, vhost: VhostId, record: &Arc<QueueRecord>) {
        let topology = self.topology.borrow();
        // Applying it may have done nothing: the name was taken, and then that queue lives on.
        if record.shard == self.id
            && let Ok(host) = topology.vhost(vhost)
            && host.queue(&record.name).is_some_and(|current| current.id == record.id)
        {
            self.queues.add(host.name(), vhost, record, self.now());
        }
        drop(topology);
        for command in self.queues.note_declared(record.id) {
            self.command_here(record.id, command);
        }
    }

    /// The queue of that name, if it lives on this shard.
    fn queue_here(&self, vhost: VhostId, name: &str) -> Option<QueueId> {
        let topology = self.topology.borrow();
        let record = topology.vhost(vhost).ok()?.queue(name)?;
        (QueueAddress::of(record).shard == self.id).then_some(record.id)
    }
}
