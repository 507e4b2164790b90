//! Stored messages that die here and live on in queues of other shards: they stay in the store until they are stored there,
//! so that a crash between the two loses none. (It may double one.)

use std::cell::{Cell, RefCell};

use leveret_core::{FastMap, QueueId, Seq};

use crate::shard::Shard;
use crate::shard::address::{ChannelAddress, ChannelKey};

/// Stands for the shard itself where a channel's address is asked for. Channels count up from 0.
pub const RELAY: ChannelKey = ChannelKey(u64::MAX);

/// What is on its way to other shards.
#[derive(Default)]
pub struct Relays {
    last: Cell<u64>,
    pending: RefCell<FastMap<u64, Pending>>,
}

struct Pending {
    /// Queues of other shards that have not answered.
    missing: usize,
    /// What to settle when all have: known once the queue has said so.
    place: Option<(QueueId, Seq)>,
}

impl Relays {
    /// A message is about to go to so many queues of other shards; answers under which number they answer.
    pub(in crate::shard) fn begin(&self, queues: usize) -> u64 {
        let number = self.last.get() + 1;
        self.last.set(number);
        self.pending.borrow_mut().insert(number, Pending { missing: queues, place: None });
        number
    }

    /// The dead message was stored in that place; it is settled there once all have answered.
    pub(in crate::shard) fn settle_after(&self, number: u64, queue: QueueId, seq: Seq) {
        if let Some(pending) = self.pending.borrow_mut().get_mut(&number) {
            pending.place = Some((queue, seq));
        }
    }

    /// Places in which dead messages still are, because not every queue has answered.
    pub(super) fn places(&self) -> Vec<(QueueId, Seq)> {
        self.pending.borrow().values().filter_map(|it| it.place).collect()
    }

    /// A queue has answered; the place to settle, if that was the last one.
    fn answered(&self, number: u64) -> Option<(QueueId, Seq)> {
        let mut pending = self.pending.borrow_mut();
        let it = pending.get_mut(&number)?;
        it.missing -= 1;
        if it.missing > 0 {
            return None;
        }
        pending.remove(&number)?.place
    }
}

impl Shard {
    /// The address under which queues of other shards answer to this shard itself.
    pub(in crate::shard) fn relay_address(&self) -> ChannelAddress {
        ChannelAddress { shard: self.id, key: RELAY }
    }

    /// A queue of another shard has a dead message from here, on disk if it stores it.
    pub(in crate::shard) fn relayed(&self, number: u64) {
        if let Some((queue, seq)) = self.stored.relays.answered(number) {
            self.stored.settle(queue, seq, seq);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_message_has_its_place_until_the_last_queue_answers() {
        let (relays, place) = (Relays::default(), (QueueId(3), Seq(7)));
        let number = relays.begin(2);
        assert_eq!(relays.places(), []);
        relays.settle_after(number, place.0, place.1);
        assert_eq!(relays.places(), [place]);
        assert_eq!((relays.answered(number), relays.places()), (None, vec![place]));
        assert_eq!((relays.answered(number), relays.places()), (Some(place), vec![]));
    }
}
