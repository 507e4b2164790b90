//! tx: publishes and settlements that wait for commit.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;

use leveret_amqp::error::ProtocolError;
use leveret_amqp::method::tx;
use leveret_amqp::properties::Properties;
use leveret_amqp::server::Publish;
use leveret_core::ShardId;
use leveret_core::transaction::{Outcome as Fate, Transaction};
use leveret_runtime::sync::Event;

use super::channel::{Channel, Mode, Outcome};
use super::publish::precondition;

/// A publish held until commit. It was checked when it was made.
pub(super) type Held = Publish<'static>;

/// Takes a publish out of the input that it was read from.
pub(super) fn hold(publish: &Publish<'_>) -> Held {
    let owned = |text: &str| Cow::Owned(text.to_owned());
    let properties = Properties::parse(publish.properties.raw()).map(Properties::into_owned);
    Publish {
        channel: publish.channel,
        exchange: owned(&publish.exchange),
        routing_key: owned(&publish.routing_key),
        mandatory: publish.mandatory,
        immediate: publish.immediate,
        properties: properties.expect("they were parsed when the message came in"),
        body: Cow::Owned(publish.body.to_vec()),
    }
}

/// What a held publish takes besides its text and body.
const HELD_OVERHEAD: u64 = 256;

/// What a publish occupies while it is held, about.
pub(super) fn held_bytes(publish: &Publish<'_>) -> u64 {
    let text = publish.exchange.len() + publish.routing_key.len() + publish.properties.raw().len();
    (text + publish.body.len()) as u64 + HELD_OVERHEAD
}

/// A commit under way: what its queues have answered. Their answers come by mail, or at once.
#[derive(Default)]
pub(super) struct Commit {
    is_running: Cell<bool>,
    missing: Cell<u64>,
    rejected: Cell<bool>,
    heard: Event,
}

impl Commit {
    fn begin(&self) {
        self.rejected.set(false);
        self.is_running.set(true);
    }

    /// A queue of another shard will answer; to what number, if a commit is under way.
    pub(super) fn expect_answer(&self) -> Option<u64> {
        self.is_running.get().then(|| {
            self.missing.set(self.missing.get() + 1);
            0
        })
    }

    /// A queue of this shard has answered.
    pub(super) fn heard(&self, accepted: bool) {
        self.rejected.set(self.rejected.get() | !accepted);
    }

    /// A queue of another shard has answered.
    pub(super) fn heard_from_afar(&self, accepted: bool) {
        self.heard(accepted);
        self.missing.set(self.missing.get().saturating_sub(1));
        self.heard.set();
    }

    /// Waits for all answers; whether every queue took everything.
    fn finish(&self) -> bool {
        self.is_running.set(false);
        while self.missing.get() > 0 {
            self.heard.clear();
            self.heard.wait();
        }
        !self.rejected.get()
    }
}

impl Channel {
    pub(super) fn tx_select(&self) -> Outcome {
        let mut mode = self.mode.borrow_mut();
        match &*mode {
            Mode::Plain => *mode = Mode::Transactional(Transaction::new()),
            Mode::Transactional(_) => {} // "idempotent"
            Mode::Confirming(_) => return Err(precondition(format_args!("cannot switch from confirm to tx mode"))),
        }
        drop(mode);
        self.send(&tx::SelectOk {});
        Ok(())
    }

    /// "commit: publishes delivered to their queues, then acks in the order given." All of it is carried out, also if an
    /// exchange has gone since: the deliveries are out of the ledger, and would else never be settled.
    pub(super) fn tx_commit(self: &Rc<Self>) -> Outcome {
        let (bytes, publishes, settlements) = match &mut *self.mode.borrow_mut() {
            Mode::Transactional(transaction) => {
                let bytes = transaction.held_bytes();
                let (publishes, settlements) = transaction.commit();
                (bytes, publishes, settlements)
            }
            _ => return Err(not_transactional()),
        };
        let mut done = Ok(());
        self.commit.begin();
        for publish in publishes {
            done = done.and(self.route_and_hand_out(&publish));
        }
        self.link.shard.watch.transaction_ended(bytes);
        let mut shards = BTreeSet::from([self.link.shard.id]);
        for (delivery, fate) in settlements {
            shards.insert(delivery.shard);
            self.settle_one(delivery, fate);
        }
        self.resume_paused();
        shards.into_iter().for_each(|shard| self.expect_disk(shard));
        let taken = self.commit.finish();
        done?;
        if !taken {
            return Err(precondition(format_args!("partial tx completion"))); // "a reject-publish overflow inside a commit"
        }
        self.send(&tx::CommitOk {});
        Ok(())
    }

    /// Has the commit wait until what a shard has done for it is on disk: settlements have no answer of their own.
    fn expect_disk(self: &Rc<Self>, shard: ShardId) {
        let here = &self.link.shard;
        if here.stored.is_attached()
            && let Some(number) = self.commit.expect_answer()
        {
            here.tell_when_durable(shard, self.address(), number);
        }
    }

    pub(super) fn tx_rollback(&self) -> Outcome {
        match &mut *self.mode.borrow_mut() {
            Mode::Transactional(transaction) => self.roll_back(transaction),
            _ => return Err(not_transactional()),
        }
        self.send(&tx::RollbackOk {});
        Ok(())
    }

    /// Undoes what is held.
    pub(super) fn roll_back(&self, transaction: &mut Transaction<Held>) {
        self.link.shard.watch.transaction_ended(transaction.held_bytes());
        transaction.rollback(&mut self.ledger.borrow_mut());
    }

    /// Holds a settlement if a transaction is open; says whether it did.
    pub(super) fn hold_settlement(&self, tag: u64, multiple: bool, fate: Fate) -> Result<bool, ProtocolError> {
        let Mode::Transactional(transaction) = &mut *self.mode.borrow_mut() else { return Ok(false) };
        let held = transaction.settle(&mut self.ledger.borrow_mut(), tag, multiple, fate);
        held.map(|()| true).map_err(|error| super::errors::explain(&error))
    }
}

fn not_transactional() -> ProtocolError {
    precondition(format_args!("channel is not transactional"))
}
