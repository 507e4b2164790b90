//! Messages that wait at `x-delayed-message` exchanges until their time has come.
//!
//! They wait on the shard of their publisher and are routed when they are due, with the bindings of that moment. They live
//! in memory only: a restart loses them. They count as held memory, so what clients can pile up here is bounded by the
//! memory alarm.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use leveret_core::message::Message;
use leveret_core::{Name, Time, VhostId};
use leveret_runtime as runtime;
use runtime::sync::Event;

use super::Shard;

/// Messages that become due at once and are published before connections come in between again.
const BATCH_MAX: usize = 256;

/// See the module's description.
#[derive(Default)]
pub struct Delays {
    /// In the order in which they become due; equal times in the order of arrival.
    waiting: RefCell<BTreeMap<(Time, u64), Delayed>>,
    arrivals: Cell<u64>,
    bytes: Cell<u64>,
    /// Set when an earlier one has come first.
    sooner: Event,
}

struct Delayed {
    vhost: VhostId,
    exchange: Name,
    message: Arc<Message>,
}

impl Delays {
    /// Has a message published to an exchange again at `due`.
    pub(super) fn add(&self, vhost: VhostId, exchange: Name, message: Arc<Message>, due: Time) {
        let arrival = self.arrivals.get();
        self.arrivals.set(arrival + 1);
        self.bytes.set(self.bytes.get() + message.size() as u64);
        let mut waiting = self.waiting.borrow_mut();
        waiting.insert((due, arrival), Delayed { vhost, exchange, message });
        if waiting.first_key_value().is_some_and(|(first, _)| *first == (due, arrival)) {
            self.sooner.set();
        }
    }

    /// An exchange is gone, and with it what waits there; without a name all of a virtual host.
    pub(super) fn forget(&self, vhost: VhostId, exchange: Option<&str>) {
        let is_gone = |it: &Delayed| it.vhost == vhost && exchange.is_none_or(|exchange| *it.exchange == *exchange);
        self.waiting.borrow_mut().retain(|_, delayed| !is_gone(delayed));
        self.bytes.set(self.waiting.borrow().values().map(|delayed| delayed.message.size() as u64).sum());
    }

    /// Bytes of the messages that wait.
    pub fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// Messages that wait at an exchange.
    pub fn count(&self, vhost: VhostId, exchange: &str) -> usize {
        let waiting = self.waiting.borrow();
        waiting.values().filter(|it| it.vhost == vhost && *it.exchange == *exchange).count()
    }

    fn first_due(&self) -> Option<Time> {
        self.waiting.borrow().first_key_value().map(|((due, _), _)| *due)
    }

    fn take_due(&self, now: Time) -> Option<Delayed> {
        let mut waiting = self.waiting.borrow_mut();
        let first = waiting.first_entry().filter(|first| first.key().0 <= now)?;
        let delayed = first.remove();
        self.bytes.set(self.bytes.get().saturating_sub(delayed.message.size() as u64));
        Some(delayed)
    }
}

impl Shard {
    /// The coroutine that publishes what is due, until the program ends.
    pub fn delay_for_ever(self: &Rc<Self>) {
        loop {
            self.delays.sooner.clear();
            match self.delays.first_due() {
                None => self.delays.sooner.wait(),
                Some(due) => {
                    self.read_clock();
                    match due.0.saturating_sub(self.now().0) {
                        0 => {
                            self.publish_due();
                            runtime::yield_now();
                        }
                        left => drop(self.delays.sooner.wait_timeout(Duration::from_millis(left))),
                    }
                }
            }
        }
    }

    fn publish_due(self: &Rc<Self>) {
        for _ in 0..BATCH_MAX {
            let Some(Delayed { vhost, exchange, message }) = self.delays.take_due(self.now()) else { return };
            self.republish(vhost, &exchange, &(self.editor.waited)(&message), true);
        }
    }
}
