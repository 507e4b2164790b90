//! Load on a broker that is about to go down: one publisher with confirms to a fan-out, consumers on some of its queues; and the
//! draining of all queues when it is back. The broker is an address, ours or another one.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use leveret_client::{
    BasicProperties, Connection, ConsumeOptions, Error, ExchangeOptions, Options, Outcome, PERSISTENT, QueueOptions,
    Table,
};
use leveret_runtime as runtime;
use runtime::sync::Event;

use crate::book::Book;

/// Unconfirmed publishes of a round at a time.
const WINDOW: usize = 200;

/// Queues bound to the fan-out, and one beside it that nobody consumes from.
const QUEUES: [&str; 4] = ["crash.0", "crash.1", "crash.2", "crash.kept"];

const FANOUT: &str = "crash.fanout";

/// What was promised, shared by the clients of a test.
pub(crate) type SharedBook = Rc<RefCell<Book>>;

/// A connection to the broker.
pub(crate) fn connect(address: SocketAddr) -> Result<Connection, Error> {
    Connection::open(&Options { host: address.ip().to_string(), port: address.port(), ..Options::default() })
}

/// Makes the exchange and the queues, where `arguments` says what kind of queues. They may be there already.
pub(crate) fn declare(address: SocketAddr, arguments: &Table) {
    let connection = connect(address).expect("a connection");
    let channel = connection.open_channel().expect("a channel");
    let durable = ExchangeOptions { durable: true, ..ExchangeOptions::default() };
    channel.exchange_declare(FANOUT, "fanout", &durable).expect("an exchange");
    for queue in QUEUES {
        let durable = QueueOptions { durable: true, arguments: arguments.clone(), ..QueueOptions::default() };
        channel.queue_declare(queue, &durable).expect("a queue");
        channel.queue_bind(queue, FANOUT, "", &Table::new()).expect("a binding");
    }
    connection.close().expect("open until now");
}

/// Publishes and consumes until so many are confirmed, and has the broker brought down in the middle of it.
pub(crate) fn round_of_load(address: SocketAddr, book: &SharedBook, confirms: u64, bring_down: impl FnOnce()) {
    let enough = Rc::new(Event::new());
    let connection = Rc::new(connect(address).expect("the broker is ready"));
    let publisher = {
        let (connection, book, enough) = (connection.clone(), book.clone(), enough.clone());
        runtime::spawn(move || {
            drop(publish_until_it_fails(&connection, &book, &enough, confirms));
            enough.set(); // the broker went down by itself
        })
    };
    let consumers: Vec<_> = QUEUES[..2]
        .iter()
        .map(|queue| {
            let (connection, book) = (connection.clone(), book.clone());
            runtime::spawn(move || drop(consume_until_it_fails(&connection, &book, queue)))
        })
        .collect();
    enough.wait();
    bring_down();
    publisher.join().expect("the publisher ends");
    consumers.into_iter().for_each(|consumer| consumer.join().expect("the consumer ends"));
}

fn publish_until_it_fails(
    connection: &Connection,
    book: &SharedBook,
    enough: &Rc<Event>,
    confirms: u64,
) -> Result<(), Error> {
    let channel = connection.open_channel()?;
    channel.confirm_select()?;
    let first = book.borrow().next();
    let (noted, reached, mut count) = (book.clone(), enough.clone(), 0);
    channel.on_confirm(move |number, outcome| {
        assert_eq!(outcome, Outcome::Acked, "nothing refuses a message here");
        noted.borrow_mut().confirm(first + number - 1);
        count += 1;
        if count == confirms {
            reached.set();
        }
    });
    let properties = BasicProperties { delivery_mode: Some(PERSISTENT), ..BasicProperties::default() }.encode();
    loop {
        channel.wait_for_confirms_below(WINDOW)?;
        let (_, body) = book.borrow_mut().publish();
        channel.publish(FANOUT, "", &properties, &body)?;
    }
}

/// Acknowledges two of three.
fn consume_until_it_fails(connection: &Connection, book: &SharedBook, queue: &'static str) -> Result<(), Error> {
    let channel = connection.open_channel()?;
    channel.qos(50, false)?;
    let mut consumer = channel.consume(queue, &ConsumeOptions::default())?;
    let mut held = Vec::new();
    while let Some(delivery) = consumer.next().transpose()? {
        let number = book.borrow_mut().deliver(queue, delivery.message().body());
        if number.is_multiple_of(3) && held.len() < 40 {
            held.push(delivery); // unsettled when the broker dies
            continue;
        }
        delivery.ack()?;
        book.borrow_mut().acknowledge(queue, number);
    }
    Ok(())
}

/// Takes everything out, in order.
pub(crate) fn drain(address: SocketAddr, book: &SharedBook) {
    let connection = connect(address).expect("the broker is ready");
    let channel = connection.open_channel().expect("a channel");
    for queue in QUEUES {
        let passive = QueueOptions { passive: true, ..QueueOptions::default() };
        let count = channel.queue_declare(queue, &passive).expect("the queue is there").message_count;
        let no_ack = ConsumeOptions { no_ack: true, ..ConsumeOptions::default() };
        let mut consumer = channel.consume(queue, &no_ack).expect("a consumer");
        for _ in 0..count {
            let delivery = consumer.next().expect("as many as were counted").expect("a delivery");
            book.borrow_mut().drain(queue, delivery.message().body());
        }
        consumer.cancel().expect("the consumer is there");
        assert!(channel.get(queue, true).expect("the queue is there").is_none(), "{queue} had as many as it said");
    }
    connection.close().expect("open until now");
}
