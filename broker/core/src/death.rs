//! Dead-lettering's memory: which queues a message died in, how often and why.

use crate::ids::{Name, Time};

/// Why a message left a queue other than by being consumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeathReason {
    /// basic.reject or basic.nack without requeue.
    Rejected,
    /// Its time to live ran out.
    Expired,
    /// The queue's length limit.
    MaxLength,
    /// Requeued more often than the queue's delivery limit allows.
    DeliveryLimit,
}

impl DeathReason {
    /// The word in the `x-death` header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::MaxLength => "maxlen",
            Self::DeliveryLimit => "delivery_limit",
        }
    }
}

/// The deaths of one message.
#[derive(Clone, Debug, Default)]
pub struct DeathHistory {
    /// Most recent first; one for each (queue, reason).
    entries: Vec<Death>,
}

/// All deaths in one queue for one reason.
#[derive(Clone, Debug)]
pub struct Death {
    /// The queue it died in.
    pub queue: Name,
    /// Why.
    pub reason: DeathReason,
    /// How often.
    pub count: u64,
    /// When it first died there.
    pub first: Time,
}

impl DeathHistory {
    /// The entries, most recent first.
    pub fn entries(&self) -> &[Death] {
        &self.entries
    }
}
