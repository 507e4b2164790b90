//! A producer: stamps, publishes, keeps its pace and its window of confirms.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::{Instant, UNIX_EPOCH};

use leveret_client::{BasicProperties, Channel, Connection, Error, Outcome, PERSISTENT, Properties};
use leveret_runtime::{sleep_until, time};

use super::pace::Pace;
use super::stamp::Stamp;
use super::{Failure, Published, Run, while_doing};

/// A producer that is connected.
pub(super) struct Producer {
    run: Rc<Run>,
    index: u32,
    connection: Connection,
    channel: Channel,
    waiting: Rc<RefCell<Waiting>>,
}

/// When the messages were sent that are not confirmed yet. Sequence `n` is the message with publish number `n + 1`.
#[derive(Default)]
struct Waiting {
    /// Sequence of the front of `sent`.
    first: u64,
    sent: VecDeque<Option<Instant>>,
    refused: BTreeSet<u64>,
}

impl Producer {
    pub(super) fn start(run: &Rc<Run>, index: u32) -> Result<Producer, Failure> {
        let open = || -> Result<Producer, Error> {
            let connection = Connection::open(&run.options.connection(&format!("perf producer {index}")))?;
            let channel = connection.open_channel()?;
            let producer = Producer { run: run.clone(), index, connection, channel, waiting: Rc::default() };
            producer.ask_for_confirms()?;
            Ok(producer)
        };
        open().map_err(while_doing(format_args!("connecting producer {index}")))
    }

    fn ask_for_confirms(&self) -> Result<(), Error> {
        if self.run.options.confirm.is_none() {
            return Ok(());
        }
        let (run, waiting) = (self.run.clone(), self.waiting.clone());
        self.channel.on_confirm(move |number, outcome| {
            let sent = waiting.borrow_mut().settle(number - 1, outcome);
            if let Some(sent) = sent {
                run.meter.borrow_mut().confirmed(time::now().saturating_duration_since(sent), outcome);
            }
        });
        self.channel.confirm_select()
    }

    /// Publishes until it is enough, and waits for the confirms.
    pub(super) fn run(self) -> Published {
        let mut count = 0;
        let outcome = self.publish(&mut count).and_then(|()| self.finish());
        if let Err(error) = outcome {
            self.run.fail(while_doing(format_args!("producer {}", self.index))(error));
        }
        Published { count, refused: std::mem::take(&mut self.waiting.borrow_mut().refused) }
    }

    fn publish(&self, count: &mut u64) -> Result<(), Error> {
        let options = &self.run.options;
        let (pace, start) = (options.rate.map(Pace::new), time::now());
        let properties = properties(options.persistent);
        let mut body = vec![0; options.size];
        while !self.run.stopping.is_set() && options.count.is_none_or(|limit| *count < limit) {
            if let Some(pace) = pace
                && !self.wait_until_due(start, pace, *count)
            {
                return Ok(());
            }
            if let Some(limit) = options.confirm {
                self.channel.wait_for_confirms_below(limit as usize)?;
                self.waiting.borrow_mut().sent.push_back(Some(time::now()));
            }
            let stamp = Stamp { run: self.run.id, producer: self.index, sequence: *count, sent: epoch_nanos() };
            stamp.write(&mut body);
            *count += 1;
            self.run.meter.borrow_mut().published();
            self.send(&properties, &body)?;
        }
        Ok(())
    }

    fn send(&self, properties: &Properties<'_>, body: &[u8]) -> Result<(), Error> {
        let topology = &self.run.topology;
        let key = topology.routing_key(self.index);
        if !self.run.options.mandatory {
            return self.channel.publish(&topology.exchange, key, properties, body).map(drop);
        }
        self.channel.publish_mandatory(&topology.exchange, key, properties, body)?;
        self.take_returned();
        Ok(())
    }

    /// False when the run was stopped meanwhile.
    fn wait_until_due(&self, start: Instant, pace: Pace, sequence: u64) -> bool {
        let Some(due) = start.checked_add(pace.due(sequence)) else { return false };
        let now = time::now();
        if due <= now {
            return true;
        }
        if due - now < self.run.options.interval {
            sleep_until(due);
            return true;
        }
        !self.run.stopping.wait_timeout(due - now)
    }

    fn finish(&self) -> Result<(), Error> {
        if self.run.options.confirm.is_some() {
            self.channel.wait_for_confirms()?;
        } else {
            self.channel.qos(0, false)?; // its answer comes after everything published was taken
        }
        self.take_returned();
        self.connection.close()
    }

    fn take_returned(&self) {
        while let Some(returned) = self.channel.take_returned() {
            self.run.meter.borrow_mut().returned();
            if let Some(stamp) = Stamp::read(returned.message.body()) {
                self.waiting.borrow_mut().refused.insert(stamp.sequence);
            }
        }
    }
}

impl Waiting {
    /// When the message was sent, if it still waited.
    fn settle(&mut self, sequence: u64, outcome: Outcome) -> Option<Instant> {
        if outcome == Outcome::Nacked {
            self.refused.insert(sequence);
        }
        let at = usize::try_from(sequence.checked_sub(self.first)?).ok()?;
        let sent = self.sent.get_mut(at)?.take();
        while self.sent.front() == Some(&None) {
            self.sent.pop_front();
            self.first += 1;
        }
        sent
    }
}

fn properties(persistent: bool) -> Properties<'static> {
    BasicProperties { delivery_mode: persistent.then_some(PERSISTENT), ..BasicProperties::default() }.encode()
}

/// Nanoseconds since the epoch.
pub(super) fn epoch_nanos() -> u64 {
    let since = time::system_now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confirms_find_their_messages_in_any_order() {
        leveret_runtime::run(|| {
            let now = time::now();
            let mut waiting = Waiting { sent: [Some(now); 4].into(), ..Waiting::default() };
            assert_eq!(waiting.settle(2, Outcome::Acked), Some(now));
            assert_eq!(waiting.settle(2, Outcome::Acked), None);
            assert_eq!(waiting.settle(0, Outcome::Nacked), Some(now));
            assert_eq!(waiting.settle(1, Outcome::Acked), Some(now));
            assert_eq!((waiting.first, waiting.sent.len()), (3, 1));
            assert_eq!(waiting.settle(9, Outcome::Acked), None);
            assert_eq!(waiting.refused, BTreeSet::from([0]));
        })
        .expect("no deadlock");
    }
}
