//! A consumer: reads the stamps, enters them in the ledger, acknowledges.

use std::rc::Rc;
use std::time::Duration;

use leveret_client::{self as client, Channel, Connection, ConsumeOptions, Delivery, Error};

use super::ledger::{Order, Source};
use super::producer::epoch_nanos;
use super::stamp::Stamp;
use super::{Failure, Run, while_doing};

/// A consumer that is connected and gets deliveries.
pub(super) struct Consumer {
    run: Rc<Run>,
    index: u32,
    queue: usize,
    connection: Connection,
    channel: Channel,
    deliveries: client::Consumer,
    order: Order,
    /// Deliveries that are not acknowledged, and the tag of the last.
    unacked: u32,
    last_tag: u64,
}

impl Consumer {
    pub(super) fn start(run: &Rc<Run>, index: u32) -> Result<Consumer, Failure> {
        let open = || -> Result<Consumer, Error> {
            let connection = Connection::open(&run.options.connection(&format!("perf consumer {index}")))?;
            let channel = connection.open_channel()?;
            if run.options.prefetch > 0 {
                channel.qos(run.options.prefetch, false)?;
            }
            let queue = run.topology.own_queue(index);
            let options = ConsumeOptions { no_ack: run.options.auto_ack, ..ConsumeOptions::default() };
            let deliveries = channel.consume(&run.topology.queues[queue], &options)?;
            let (run, order) = (run.clone(), Order::default());
            Ok(Consumer { run, index, queue, connection, channel, deliveries, order, unacked: 0, last_tag: 0 })
        };
        open().map_err(while_doing(format_args!("connecting consumer {index}")))
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Consumes until the connection is closed.
    pub(super) fn run(mut self) {
        if let Err(error) = self.consume()
            && !self.run.is_over.get()
        {
            self.run.fail(while_doing(format_args!("consumer {}", self.index))(error));
        }
    }

    fn consume(&mut self) -> Result<(), Error> {
        loop {
            let delivery = match self.deliveries.try_next()? {
                Some(delivery) => delivery,
                None => {
                    self.ack()?; // nothing more is there: what is not a full batch must not wait
                    match self.deliveries.next() {
                        Some(delivery) => delivery?,
                        None => return Ok(()),
                    }
                }
            };
            self.take(&delivery)?;
        }
    }

    fn take(&mut self, delivery: &Delivery) -> Result<(), Error> {
        self.record(delivery);
        if self.run.options.auto_ack {
            return Ok(());
        }
        self.unacked += 1;
        self.last_tag = delivery.delivery_tag();
        if self.unacked >= self.run.options.ack_every { self.ack() } else { Ok(()) }
    }

    fn ack(&mut self) -> Result<(), Error> {
        match std::mem::take(&mut self.unacked) {
            0 => Ok(()),
            count => self.channel.ack(self.last_tag, count > 1),
        }
    }

    fn record(&mut self, delivery: &Delivery) {
        let stamp = Stamp::read(delivery.body());
        let is_ours = |stamp: &Stamp| self.run.options.producers == 0 || stamp.run == self.run.id;
        let mut ledger = self.run.ledger.borrow_mut();
        let Some(stamp) = stamp.filter(is_ours) else {
            ledger.tally.foreign += 1;
            return;
        };
        let source = Source { run: stamp.run, producer: stamp.producer };
        ledger.record(self.queue, source, stamp.sequence, delivery.redelivered(), &mut self.order);
        let latency = Duration::from_nanos(epoch_nanos().saturating_sub(stamp.sent));
        self.run.meter.borrow_mut().received_after(latency);
    }
}
