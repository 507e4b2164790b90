//! tx: publishes and settlements that wait for commit.

use std::borrow::Cow;
use std::rc::Rc;

use leveret_amqp::error::ProtocolError;
use leveret_amqp::method::tx;
use leveret_amqp::properties::Properties;
use leveret_amqp::server::Publish;
use leveret_core::transaction::{Outcome as Fate, Transaction};

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
        let (publishes, settlements) = match &mut *self.mode.borrow_mut() {
            Mode::Transactional(transaction) => transaction.commit(),
            _ => return Err(not_transactional()),
        };
        let mut done = Ok(());
        for publish in &publishes {
            done = done.and(self.route_and_hand_out(publish));
        }
        for (delivery, fate) in settlements {
            self.settle_one(delivery, fate);
        }
        self.resume_paused();
        done?;
        self.send(&tx::CommitOk {});
        Ok(())
    }

    pub(super) fn tx_rollback(&self) -> Outcome {
        match &mut *self.mode.borrow_mut() {
            Mode::Transactional(transaction) => transaction.rollback(&mut self.ledger.borrow_mut()),
            _ => return Err(not_transactional()),
        }
        self.send(&tx::RollbackOk {});
        Ok(())
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
