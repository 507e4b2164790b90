//! Exchanges, queues and bindings.

use leveret_amqp::method::{exchange, queue};
use leveret_amqp::table::Table;

use crate::channel::{Arguments, Channel, check_names};
use crate::error::Error;
use crate::port::{Reply, Value};

/// How a queue is declared. The default is transient, shared, and stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueueOptions {
    /// Only check that it exists; the others do not matter then.
    pub passive: bool,
    /// It survives a restart of the server.
    pub durable: bool,
    /// Only this connection uses it, and it goes with the connection.
    pub exclusive: bool,
    /// It goes with its last consumer.
    pub auto_delete: bool,
    /// Such as `x-max-length`.
    pub arguments: Table,
}

/// What the server says of a queue that was declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueInfo {
    /// Its name; the server's invention if none was given.
    pub name: String,
    /// Messages that are ready.
    pub message_count: u32,
    /// Its consumers.
    pub consumer_count: u32,
}

/// How an exchange is declared. The default is transient and stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExchangeOptions {
    /// Only check that it exists.
    pub passive: bool,
    /// It survives a restart of the server.
    pub durable: bool,
    /// It goes with its last binding.
    pub auto_delete: bool,
    /// Clients may not publish to it.
    pub internal: bool,
    /// Such as `alternate-exchange`.
    pub arguments: Table,
}

impl Channel {
    /// Makes a queue, or checks that there is one just like this. An empty name asks the server for one.
    ///
    /// # Errors
    /// 406 when it exists and differs, 405 when it is another connection's own, 404 when it is not there and `passive`.
    pub fn queue_declare(&self, name: &str, options: &QueueOptions) -> Result<QueueInfo, Error> {
        check_names(&[name])?;
        let arguments = Arguments::new(&options.arguments);
        let reply = self.line.call(&queue::Declare {
            queue: name,
            passive: options.passive,
            durable: options.durable,
            exclusive: options.exclusive,
            auto_delete: options.auto_delete,
            nowait: false,
            arguments: arguments.raw()?,
        })?;
        match reply.value {
            Value::Declared { queue, message_count, consumer_count } => {
                Ok(QueueInfo { name: queue, message_count, consumer_count })
            }
            _ => Err(Error::UnexpectedReply { request: "queue.declare", reply: reply.name }),
        }
    }

    /// Binds a queue to an exchange. What is published there with a key that matches goes into the queue.
    ///
    /// # Errors
    /// 404 when either is not there.
    pub fn queue_bind(&self, queue: &str, exchange: &str, routing_key: &str, arguments: &Table) -> Result<(), Error> {
        check_names(&[queue, exchange, routing_key])?;
        let arguments = Arguments::new(arguments);
        let arguments = arguments.raw()?;
        self.line.call(&queue::Bind { queue, exchange, routing_key, nowait: false, arguments }).map(drop)
    }

    /// Undoes a binding; no error when there is none.
    ///
    /// # Errors
    /// Why the channel is over.
    pub fn queue_unbind(&self, queue: &str, exchange: &str, routing_key: &str, arguments: &Table) -> Result<(), Error> {
        check_names(&[queue, exchange, routing_key])?;
        let arguments = Arguments::new(arguments);
        self.line.call(&queue::Unbind { queue, exchange, routing_key, arguments: arguments.raw()? }).map(drop)
    }

    /// Removes the messages that are ready; answers how many those were.
    ///
    /// # Errors
    /// 404 when there is no such queue.
    pub fn queue_purge(&self, queue: &str) -> Result<u32, Error> {
        check_names(&[queue])?;
        count(&self.line.call(&queue::Purge { queue, nowait: false })?)
    }

    /// Deletes a queue; answers how many messages were in it. No error when it is not there.
    ///
    /// # Errors
    /// 406 when it has consumers and `if_unused`, or has messages and `if_empty`.
    pub fn queue_delete(&self, queue: &str, if_unused: bool, if_empty: bool) -> Result<u32, Error> {
        check_names(&[queue])?;
        count(&self.line.call(&queue::Delete { queue, if_unused, if_empty, nowait: false })?)
    }

    /// Makes an exchange of a kind (`direct`, `fanout`, `topic`, `headers`), or checks that there is one just like this.
    ///
    /// # Errors
    /// 406 when it exists and differs, 404 when it is not there and `passive`, 503 for an unknown kind.
    pub fn exchange_declare(&self, name: &str, kind: &str, options: &ExchangeOptions) -> Result<(), Error> {
        check_names(&[name, kind])?;
        let arguments = Arguments::new(&options.arguments);
        let declare = exchange::Declare {
            exchange: name,
            kind,
            passive: options.passive,
            durable: options.durable,
            auto_delete: options.auto_delete,
            internal: options.internal,
            nowait: false,
            arguments: arguments.raw()?,
        };
        self.line.call(&declare).map(drop)
    }

    /// Deletes an exchange. No error when it is not there.
    ///
    /// # Errors
    /// 406 when it has bindings and `if_unused`.
    pub fn exchange_delete(&self, exchange: &str, if_unused: bool) -> Result<(), Error> {
        check_names(&[exchange])?;
        self.line.call(&exchange::Delete { exchange, if_unused, nowait: false }).map(drop)
    }

    /// Binds an exchange to another one: messages flow from `source` to `destination`. RabbitMQ's addition.
    ///
    /// # Errors
    /// 404 when either is not there.
    pub fn exchange_bind(
        &self,
        destination: &str,
        source: &str,
        routing_key: &str,
        arguments: &Table,
    ) -> Result<(), Error> {
        check_names(&[destination, source, routing_key])?;
        let arguments = Arguments::new(arguments);
        let arguments = arguments.raw()?;
        self.line.call(&exchange::Bind { destination, source, routing_key, nowait: false, arguments }).map(drop)
    }

    /// Undoes a binding between exchanges; no error when there is none.
    ///
    /// # Errors
    /// Why the channel is over.
    pub fn exchange_unbind(
        &self,
        destination: &str,
        source: &str,
        routing_key: &str,
        arguments: &Table,
    ) -> Result<(), Error> {
        check_names(&[destination, source, routing_key])?;
        let arguments = Arguments::new(arguments);
        let arguments = arguments.raw()?;
        self.line.call(&exchange::Unbind { destination, source, routing_key, nowait: false, arguments }).map(drop)
    }
}

fn count(reply: &Reply) -> Result<u32, Error> {
    match reply.value {
        Value::Count(count) => Ok(count),
        _ => Err(Error::UnexpectedReply { request: "queue.purge or queue.delete", reply: reply.name }),
    }
}
