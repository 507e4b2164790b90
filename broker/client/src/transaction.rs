//! Transactions of a channel: publishes and settlements that are held back until they are committed together.

use leveret_amqp::method::tx;

use crate::channel::Channel;
use crate::error::Error;

impl Channel {
    /// Makes the channel transactional, for the rest of its life.
    ///
    /// # Errors
    /// 406 on a channel in confirm mode.
    pub fn tx_select(&self) -> Result<(), Error> {
        self.line.call(&tx::Select {}).map(drop)
    }

    /// Does what was held back, and begins the next transaction.
    ///
    /// # Errors
    /// 406 on a channel that is not transactional.
    pub fn tx_commit(&self) -> Result<(), Error> {
        self.line.call(&tx::Commit {}).map(drop)
    }

    /// Forgets what was held back, and begins the next transaction. Deliveries stay with their consumers.
    ///
    /// # Errors
    /// As [`Channel::tx_commit`].
    pub fn tx_rollback(&self) -> Result<(), Error> {
        self.line.call(&tx::Rollback {}).map(drop)
    }
}
