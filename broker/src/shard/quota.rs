//! How many connections and channels users and virtual hosts have, where that is limited.
//!
//! Every shard counts its own. Where there is a limit, the owner's shard knows the counts of all, and whoever opens another one
//! asks it first:
//!
//! ```text
//!   limit set     -> every shard: Counted(what it has) ---+
//!   open, limited -> Occupy ------------------------------+--> owner: adds up, compares, adds one --> Done or Full
//!   close, limited -> Vacated ----------------------------+
//! ```
//!
//! All of it is mail of one shard to the owner, in order, so that nothing is counted twice or missed: what is open when a limit
//! is set is in the count that the shard sends then, what is opened later asks. Without limits nobody asks anybody.

use std::cell::RefCell;
use std::rc::Rc;

use leveret_core::access::limit::{LimitReached, UserLimit, VhostLimit};
use leveret_core::{FastMap, Name, ShardId};

use super::mail::Mail;
use super::{OWNER, Shard};

/// Something that may be limited.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Quota {
    /// All connections.
    NodeConnections,
    /// Connections to a virtual host.
    VhostConnections(Name),
    /// A user's connections.
    UserConnections(Name),
    /// All channels.
    NodeChannels,
    /// A user's channels.
    UserChannels(Name),
}

impl Quota {
    /// What a connection counts as, in the order in which RabbitMQ asks.
    pub fn of_connection(user: &Name, vhost: &Name) -> Vec<Quota> {
        vec![Quota::NodeConnections, Quota::VhostConnections(vhost.clone()), Quota::UserConnections(user.clone())]
    }

    /// What a channel counts as.
    pub fn of_channel(user: &Name) -> Vec<Quota> {
        vec![Quota::NodeChannels, Quota::UserChannels(user.clone())]
    }
}

/// Counts of one shard, and on the owner's shard those of all.
#[derive(Default)]
pub struct Quotas {
    here: RefCell<FastMap<Quota, u64>>,
    everywhere: RefCell<FastMap<Quota, FastMap<ShardId, u64>>>,
}

impl Quotas {
    fn add_here(&self, quota: &Quota) {
        *self.here.borrow_mut().entry(quota.clone()).or_default() += 1;
    }

    fn remove_here(&self, quota: &Quota) {
        let mut here = self.here.borrow_mut();
        let Some(count) = here.get_mut(quota) else { return };
        *count -= 1;
        if *count == 0 {
            here.remove(quota);
        }
    }

    /// Panics if anything is counted; for tests.
    #[cfg(test)]
    pub(super) fn assert_at_rest(&self) {
        assert!(self.here.borrow().is_empty(), "nothing is open");
    }
}

impl Shard {
    /// Counts one more of each, and says whether the owner must be asked: then the answer decides, and if it refuses,
    /// [`Shard::vacate_unasked`] takes it back.
    #[must_use]
    pub fn occupy(&self, quotas: &[Quota]) -> bool {
        quotas.iter().for_each(|quota| self.quotas.add_here(quota));
        quotas.iter().any(|quota| self.limit_of(quota).is_some())
    }

    /// The owner has refused what was counted here.
    pub fn vacate_unasked(&self, quotas: &[Quota]) {
        quotas.iter().for_each(|quota| self.quotas.remove_here(quota));
    }

    /// One fewer of each.
    pub fn vacate(self: &Rc<Self>, quotas: Vec<Quota>) {
        self.vacate_unasked(&quotas);
        let limited: Vec<_> = quotas.into_iter().filter(|quota| self.limit_of(quota).is_some()).collect();
        if limited.is_empty() {
            return;
        }
        match self.id {
            OWNER => self.note_vacated(self.id, &limited),
            _ => self.send(OWNER, Mail::Vacated(self.id, limited)),
        }
    }

    /// Tells the owner what this shard has of what is limited now.
    pub(super) fn report_quotas(self: &Rc<Self>, quotas: Vec<Quota>) {
        for quota in quotas {
            if self.limit_of(&quota).is_none() {
                if self.id == OWNER {
                    self.quotas.everywhere.borrow_mut().remove(&quota);
                }
                continue;
            }
            let count = self.quotas.here.borrow().get(&quota).copied().unwrap_or(0);
            match self.id {
                OWNER => self.note_counted(self.id, quota, count),
                _ => self.send(OWNER, Mail::Counted(self.id, quota, count)),
            }
        }
    }

    /// What a shard had of something at the moment when it was limited.
    pub(super) fn note_counted(&self, shard: ShardId, quota: Quota, count: u64) {
        self.quotas.everywhere.borrow_mut().entry(quota).or_default().insert(shard, count);
    }

    /// A shard has fewer of these.
    pub(super) fn note_vacated(&self, shard: ShardId, quotas: &[Quota]) {
        let mut everywhere = self.quotas.everywhere.borrow_mut();
        for quota in quotas {
            if let Some(count) = everywhere.get_mut(quota).and_then(|counts| counts.get_mut(&shard)) {
                *count = count.saturating_sub(1);
            }
        }
    }

    /// Whether there may be one more of each; if so, counts it. On the owner's shard.
    pub(super) fn check_quotas(&self, shard: ShardId, user: &Name, quotas: &[Quota]) -> Result<(), LimitReached> {
        let mut everywhere = self.quotas.everywhere.borrow_mut();
        for quota in quotas {
            let count: u64 = everywhere.get(quota).map_or(0, |counts| counts.values().sum());
            match self.limit_of(quota) {
                Some(limit) if count >= limit => return Err(self.reached(quota, user, limit)),
                _ => {}
            }
        }
        for quota in quotas.iter().filter(|quota| self.limit_of(quota).is_some()) {
            *everywhere.entry(quota.clone()).or_default().entry(shard).or_default() += 1;
        }
        Ok(())
    }

    fn limit_of(&self, quota: &Quota) -> Option<u64> {
        let access = self.access.borrow();
        match quota {
            Quota::NodeConnections => self.config.limits.connection_max,
            Quota::NodeChannels => self.config.limits.channel_max_per_node,
            Quota::VhostConnections(vhost) => access.vhost(vhost)?.limits.of(VhostLimit::MaxConnections),
            Quota::UserConnections(user) => access.user(user)?.limits.of(UserLimit::MaxConnections),
            Quota::UserChannels(user) => access.user(user)?.limits.of(UserLimit::MaxChannels),
        }
    }

    fn reached(&self, quota: &Quota, user: &Name, limit: u64) -> LimitReached {
        let user = user.clone();
        match quota {
            Quota::NodeConnections => LimitReached::NodeConnections { limit },
            Quota::VhostConnections(vhost) => LimitReached::VhostConnections { vhost: vhost.clone(), user, limit },
            Quota::UserConnections(_) => LimitReached::UserConnections { user, limit },
            Quota::NodeChannels => LimitReached::NodeChannels { node: (*self.config.node_name).into(), limit },
            Quota::UserChannels(_) => LimitReached::UserChannels { user, limit },
        }
    }
}
