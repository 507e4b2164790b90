//! What operators ask, from any coroutine on any shard: of the HTTP API, of `ctl`, of imported definitions.
//!
//! The call is made on the owner's shard and answers when the change is in force everywhere and on disk.

use std::fmt;
use std::rc::Rc;

use leveret_core::access::{Access, Command, Outcome, Refused};
use leveret_core::{ConnectionId, Error};
use leveret_runtime as runtime;
use runtime::sync::Event;

use super::Shard;
use super::address::Reply;
use super::metadata::{Action, Request};
use super::replication::{Answer, Change};

/// Who declares without a connection. Nothing is ever exclusive to it.
pub const NO_CONNECTION: ConnectionId = ConnectionId(0);

/// Why commands were not carried out; none of them was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotDone {
    /// The command with this index (from 0) was refused.
    Refused(usize, Refused),
    /// The virtual host of a declaration is not there.
    NoVhost,
    /// A declaration was refused.
    Declaration(Error),
    /// The broker is ending.
    Stopping,
}

impl fmt::Display for NotDone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(_, refused) => refused.fmt(f),
            Self::NoVhost => f.write_str("vhost not found"),
            Self::Declaration(error) => error.fmt(f),
            Self::Stopping => f.write_str("the broker is ending"),
        }
    }
}

impl std::error::Error for NotDone {}

/// Carries out commands in order, all or none.
///
/// # Errors
/// See [`NotDone`].
pub fn administer(commands: Vec<Command>) -> Result<Vec<Outcome>, NotDone> {
    on_owner(move |owner| owner.administer_here(&commands))
}

/// Asks the owner of the topology, as a channel would, but without a connection.
///
/// # Errors
/// See [`NotDone`].
pub fn ask_owner(vhost: &str, action: Action) -> Result<Reply, NotDone> {
    let vhost = vhost.to_owned();
    on_owner(move |owner| owner.ask_here(&vhost, action))
}

fn on_owner<T: Send + 'static>(
    f: impl FnOnce(&Rc<Shard>) -> Result<T, NotDone> + Send + 'static,
) -> Result<T, NotDone> {
    let owner = runtime::shards().next().ok_or(NotDone::Stopping)?;
    runtime::call(owner, move || f(&Shard::current())).unwrap_or(Err(NotDone::Stopping))
}

impl Shard {
    fn administer_here(self: &Rc<Self>, commands: &[Command]) -> Result<Vec<Outcome>, NotDone> {
        let (mut trial, mut changes, mut outcomes) = ((*self.access()).clone(), Vec::new(), Vec::new());
        for (index, command) in commands.iter().enumerate() {
            let decision = trial.check(command).map_err(|refused| NotDone::Refused(index, refused))?;
            decision.changes.iter().for_each(|change| trial.apply(change));
            changes.extend(decision.changes);
            outcomes.push(decision.outcome);
            self.check_vhost_limit(&trial, command).map_err(|refused| NotDone::Refused(index, refused))?;
        }
        self.publish_and_wait(changes.into_iter().map(Change::Access).collect(), true);
        Ok(outcomes)
    }

    fn check_vhost_limit(&self, after: &Access, command: &Command) -> Result<(), Refused> {
        match (command, self.config.limits.vhost_max) {
            (Command::PutVhost { name, .. }, Some(limit))
                if after.vhosts().len() as u64 > limit && self.access.borrow().vhost(name).is_none() =>
            {
                Err(Refused::VhostLimit { name: name.clone(), limit })
            }
            _ => Ok(()),
        }
    }

    fn ask_here(self: &Rc<Self>, vhost: &str, action: Action) -> Result<Reply, NotDone> {
        let vhost = self.topology.borrow().vhost_id(vhost).ok_or(NotDone::NoVhost)?;
        let request = Request { ticket: None, vhost, connection: NO_CONNECTION, action };
        let checked = self.check(request).map_err(NotDone::Declaration)?;
        self.publish_and_wait(checked.changes, checked.is_durable);
        Ok(checked.reply)
    }

    pub(super) fn publish_and_wait(self: &Rc<Self>, changes: Vec<Change>, is_durable: bool) {
        let done = Rc::new(Event::new());
        self.publish_changes(changes, Some(Answer::Waker(done.clone())), is_durable);
        done.wait();
    }
}
