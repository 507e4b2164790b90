//! What connections ask of the topology's owner.
//!
//! Shard 0 checks every request against its own copy, applies the change and sends it to all others and to the disk; the asker
//! gets its answer only when every shard has switched, so that "declare here, publish there" works whatever shards "here" and
//! "there" are on, and when what is durable is on disk. How changes get there is told in [`super::replication`].

use std::rc::Rc;

use leveret_core::access::Access;
use leveret_core::error::{Resource, ResourceKind};
use leveret_core::topology::{
    Bind, BindingEnd, Declared, ExchangeDeclare, QueueDeclare, Topology, TopologyChange, clean_name,
};
use leveret_core::value::{Arguments, Value};
use leveret_core::{ConnectionId, Error, Name, QueueId, ShardId, VhostId};

use super::address::{Reply, Ticket};
use super::mail::Mail;
use super::quota::Quota;
use super::replication::{Answer, Change};
use super::{OWNER, Shard};

/// The argument that says what type a queue is of.
const QUEUE_TYPE: &str = "x-queue-type";

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
    Bind(Ends),
    /// Those of one channel that came together, in order, up to the first that is refused.
    BindAll(Vec<Ends>),
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
    /// A connection or a channel opens where there are limits.
    Occupy {
        /// Where it opens.
        shard: ShardId,
        user: Name,
        quotas: Vec<Quota>,
    },
}

/// A binding that is to be.
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are those of the AMQP methods")]
pub struct Ends {
    pub source: Name,
    pub destination: BindingEnd,
    pub key: Name,
    pub arguments: Arguments,
}

/// What a request comes to.
pub(super) struct Checked {
    pub(super) changes: Vec<Change>,
    pub(super) reply: Reply,
    /// The answer says that something is there that survives a restart.
    pub(super) is_durable: bool,
}

impl Checked {
    fn new(change: Option<TopologyChange>, reply: Reply, is_durable: bool) -> Checked {
        Checked { changes: change.into_iter().map(Change::Topology).collect(), reply, is_durable }
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
        if let Action::BindAll(binds) = request.action {
            return self.bind_all(ticket, request.vhost, request.connection, binds);
        }
        match self.check(request) {
            Ok(Checked { changes, reply, is_durable }) => {
                let answer = ticket.map(|ticket| Answer::Channel(ticket, reply));
                self.publish_changes(changes, answer, is_durable);
            }
            Err(error) => {
                if let Some(ticket) = ticket {
                    self.answer(ticket, Reply::Refused(error));
                }
            }
        }
    }

    /// Makes one binding after the other; one answer for all of them, when they are in force everywhere and on disk.
    fn bind_all(self: &Rc<Self>, ticket: Option<Ticket>, vhost: VhostId, connection: ConnectionId, binds: Vec<Ends>) {
        let (mut changes, mut bound, mut refused) = (Vec::new(), 0, None);
        for Ends { source, destination, key, arguments } in binds {
            let bind = Bind { vhost, source: &source, destination, key: &key, arguments, connection };
            let checked = self.topology.borrow().bind(&bind);
            match checked {
                Ok(change) => {
                    let change = change.map(Change::Topology);
                    change.iter().for_each(|change| _ = self.apply_and_store(std::slice::from_ref(change)));
                    changes.extend(change);
                    bound += 1;
                }
                Err(error) => {
                    refused = Some(error);
                    break;
                }
            }
        }
        let answer = ticket.map(|ticket| Answer::Channel(ticket, Reply::Bound(bound, refused)));
        self.spread(changes, answer, true);
    }

    pub(super) fn check(&self, request: Request) -> Result<Checked, Error> {
        let Request { vhost, connection, action, .. } = request;
        let topology = self.topology.borrow();
        // Whether what is there already is durable, or its removal not stored yet, is not asked: then the answer waits for the
        // disk without need.
        let done = |change: Option<TopologyChange>| Ok(Checked::new(change, Reply::Done, true));
        match action {
            Action::DeclareExchange { name, kind, passive, durable, auto_delete, internal, arguments } => {
                let (name, kind) = (&*name, &*kind);
                let declare = ExchangeDeclare { vhost, name, kind, passive, durable, auto_delete, internal, arguments };
                Ok(match topology.declare_exchange(&declare)? {
                    Declared::Existing(record) => Checked::new(None, Reply::Done, record.durable),
                    Declared::New(_, change) => Checked::new(Some(change), Reply::Done, durable),
                })
            }
            Action::DeleteExchange { name, if_unused } => done(topology.delete_exchange(vhost, &name, if_unused)?),
            Action::DeclareQueue { name, passive, durable, exclusive, auto_delete, arguments, shard, random } => {
                let name = &*name;
                let mut declare = QueueDeclare {
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
                let fallback = self.config.default_queue_type.as_deref();
                default_queue_type(&topology, &self.access.borrow(), fallback, &mut declare);
                Ok(match topology.declare_queue(&declare)? {
                    Declared::Existing(record) => {
                        let is_durable = record.durable;
                        Checked::new(None, Reply::Queue(record, false), is_durable)
                    }
                    Declared::New(record, change) => {
                        self.check_queue_max(&topology, vhost, &record.name)?;
                        Checked::new(Some(change), Reply::Queue(record, true), false)
                    }
                })
            }
            Action::Bind(Ends { source, destination, key, arguments }) => {
                done(topology.bind(&Bind { vhost, source: &source, destination, key: &key, arguments, connection })?)
            }
            Action::BindAll(_) => Ok(Checked::new(None, Reply::Bound(0, None), false)), // done before, each checked by itself
            Action::Unbind { source, destination, key, arguments } => done(topology.unbind(&Bind {
                vhost,
                source: &source,
                destination,
                key: &key,
                arguments,
                connection,
            })?),
            Action::QueueEnded { queue, reply } => Ok(Checked::new(topology.queue_ended(vhost, queue), reply, false)),
            Action::Occupy { shard, user, quotas } => {
                let reply = self.check_quotas(shard, &user, &quotas).map_or_else(Reply::Full, |()| Reply::Done);
                Ok(Checked::new(None, reply, false))
            }
            Action::ConnectionEnded => {
                let queues = topology.exclusive_queues(connection);
                let changes = queues.iter().filter_map(|(vhost, queue)| topology.queue_ended(*vhost, *queue));
                let changes = changes.map(Change::Topology).collect();
                Ok(Checked { changes, reply: Reply::Done, is_durable: false })
            }
        }
    }
}

impl Shard {
    fn check_queue_max(&self, topology: &Topology, vhost: VhostId, name: &Name) -> Result<(), Error> {
        let Some(limit) = self.config.limits.queue_max else { return Ok(()) };
        let count: usize = topology.vhosts().map(|(_, host)| host.queues().len()).sum();
        if (count as u64) < limit {
            return Ok(());
        }
        let (kind, vhost) = (ResourceKind::Queue, topology.vhost(vhost)?.name().clone());
        Err(Error::ClusterQueueLimit { queue: Resource { kind, vhost, name: name.clone() }, limit })
    }
}

/// "When x-queue-type is absent: the vhost's default_queue_type", else the configured one (`fallback`), "if that type allows the combination; the chosen type is
/// written into the stored arguments." A queue that is there keeps the type that it has.
fn default_queue_type(topology: &Topology, access: &Access, fallback: Option<&str>, declare: &mut QueueDeclare<'_>) {
    if declare.passive || declare.name.is_empty() || declare.arguments.get(QUEUE_TYPE).is_some() {
        return;
    }
    let Ok(host) = topology.vhost(declare.vhost) else { return };
    let of_vhost = access.vhost(host.name()).and_then(|vhost| vhost.settings.default_queue_type.as_deref());
    let Some(default) = of_vhost.or(fallback) else { return };
    let chosen = match host.queue(&clean_name(declare.name)) {
        Some(current) => current.arguments.get(QUEUE_TYPE).cloned(),
        None if default == "classic" => Some(Value::str(default)),
        None => (declare.durable && !declare.exclusive && !declare.auto_delete).then(|| Value::str(default)),
    };
    if let Some(chosen) = chosen {
        declare.arguments.push(QUEUE_TYPE, chosen);
    }
}
