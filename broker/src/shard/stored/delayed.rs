//! Delayed messages in the store. Each shard has a queue there for those that wait with it, whose number no queue of clients has;
//! the time beside a message is when it is due.
//!
//! ```text
//!   virtual host's length u16 | exchange's length u16 | virtual host | exchange | the record that a queue would keep
//! ```
//!
//! A start takes nothing of it into memory but a few words a message, and does that while clients come already. What is left of
//! shards that are not there any more is looked after by those that are.

use std::rc::Rc;
use std::sync::Arc;

use leveret_core::message::Message;
use leveret_core::{FastMap, Name, QueueId, Seq, ShardId, Time, VhostId};
use leveret_runtime as runtime;
use leveret_store::{
    Attributes, Message as Kept, QueueState, ReadLimits, Reference, Seq as StoredSeq, SeqRange, Store,
};

use super::record::{self, Malformed};
use super::recovery::RecoveryError;
use super::{Stored, key};
use crate::shard::delays::Place;
use crate::shard::{Shard, stop_process};

/// Numbers from here on are those of delayed messages; of the rest the shard's.
const FIRST: u64 = 1 << 63;

/// Messages that are looked at before others come in between.
const PER_TURN: usize = 128;

/// The queue in the store of a shard's delayed messages.
pub fn queue_of(shard: ShardId) -> QueueId {
    QueueId(FIRST | u64::from(shard.0))
}

/// Which of `count` shards looks after it, if it is such a queue.
pub(super) fn keeper_of(queue: QueueId, count: usize) -> Option<ShardId> {
    let shard = queue.0.checked_sub(FIRST)? % count.max(1) as u64;
    u16::try_from(shard).ok().map(ShardId)
}

impl Stored {
    /// A message waits at an exchange until `due`.
    pub(in crate::shard) fn note_delayed(
        &self,
        message: &Message,
        place: Place,
        due: Time,
        vhost: &str,
        exchange: &str,
    ) {
        let mut ends = self.ends.borrow_mut();
        let Some(ends) = ends.as_mut() else { return };
        let (front, mut head) = (front(vhost, exchange), Vec::new());
        record::write_head(message, &mut head);
        let head_size = front.len() + head.len() + message.properties().len();
        let attributes = Attributes::NONE.with_expiry_ms(Some(due.0)).with_head_size(head_size);
        let reference = Reference { queue: key(place.queue), seq: StoredSeq(place.seq.0), attributes };
        ends.write_open();
        ends.add(|writer| writer.publish(&[&front, &head, message.properties(), message.body()], &[reference]));
    }
}

impl Shard {
    /// Takes note of what the store has of delayed messages, if this shard looks after them; [`Shard::load_delayed`] looks at them.
    pub(super) fn restore_delayed(&self, keeper: ShardId, queue: QueueId, state: &QueueState) {
        let last = state.lanes.iter().map(|lane| Seq(lane.last.0)).max();
        if let (Some(last), true) = (last, keeper == self.id) {
            self.delays.expect(queue, last, queue == queue_of(self.id));
        }
    }

    /// Brings back what was delayed before the start; what is overdue is published. Does not wait for the disk.
    pub(super) fn load_delayed(self: &Rc<Self>) {
        if !self.delays.is_loading() {
            return;
        }
        let shard = self.clone();
        drop(runtime::spawn(move || match shard.load_all_delayed() {
            Ok(()) | Err(RecoveryError::Store(leveret_store::Error::Closed)) => shard.delays.loaded(),
            Err(error) => stop_process(&format!("a delayed message cannot be read back: {error}")),
        }));
    }

    fn load_all_delayed(&self) -> Result<(), RecoveryError> {
        let store = self.stored.store().ok_or(leveret_store::Error::Closed)?;
        for (queue, last) in self.delays.expected() {
            let mut next = Seq(0);
            while next <= last {
                let kept = read(&store, queue, next, last)?;
                let Some(newest) = kept.last() else { break };
                next = Seq(newest.seq.0 + 1);
                for (index, message) in kept.iter().enumerate() {
                    if index % PER_TURN == PER_TURN - 1 {
                        runtime::yield_now();
                    }
                    self.restore_one_delayed(queue, message).map_err(malformed_in(queue, message))?;
                }
            }
        }
        Ok(())
    }

    fn restore_one_delayed(&self, queue: QueueId, message: &Kept) -> Result<(), Malformed> {
        let place = Place { queue, seq: Seq(message.seq.0), size: message.body.len() as u64 };
        let (vhost, exchange, _) = split(&message.body)?;
        let due = Time(message.attributes.expiry_ms().unwrap_or(0));
        match self.waiting_place(vhost, exchange) {
            Some((vhost, exchange)) if !self.delays.was_forgotten(vhost, &exchange) => {
                self.delays.restore(vhost, exchange, place, due);
            }
            _ => self.stored.settle(place.queue, place.seq, place.seq), // its exchange has gone
        }
        Ok(())
    }

    /// A durable exchange that delays messages.
    fn waiting_place(&self, vhost: &str, exchange: &str) -> Option<(VhostId, Name)> {
        let id = self.topology.borrow().vhost_id(vhost)?;
        Some((id, self.keeps_delayed(id, exchange)?.1))
    }

    /// Reads messages back. Those that the disk has harmed are missing.
    pub(in crate::shard) fn read_delayed(
        &self,
        mut places: Vec<Place>,
    ) -> Result<FastMap<(QueueId, Seq), Arc<Message>>, RecoveryError> {
        let mut found = FastMap::default();
        if places.is_empty() {
            return Ok(found);
        }
        let (store, (position, progress)) =
            self.stored.store().zip(self.stored.now_durable_at()).ok_or(leveret_store::Error::Closed)?;
        if progress.value() < position.0 {
            progress.wait(position.0).map_err(|_| leveret_store::Error::Closed)?;
        }
        places.sort_unstable_by_key(|place| (place.queue, place.seq));
        for neighbours in places.chunk_by(|one, next| one.queue == next.queue && one.seq.0 + 1 == next.seq.0) {
            let (Some(first), Some(last)) = (neighbours.first(), neighbours.last()) else { continue };
            let mut next = first.seq;
            while next <= last.seq {
                let kept = read(&store, first.queue, next, last.seq)?;
                let Some(newest) = kept.last() else { break };
                next = Seq(newest.seq.0 + 1);
                for message in &kept {
                    let made = split(&message.body).and_then(|(_, _, record)| self.made_of(record));
                    found.insert((first.queue, Seq(message.seq.0)), made.map_err(malformed_in(first.queue, message))?);
                }
            }
        }
        Ok(found)
    }
}

fn read(store: &Store, queue: QueueId, first: Seq, last: Seq) -> Result<Vec<Kept>, leveret_store::Error> {
    let range = SeqRange { first: StoredSeq(first.0), last: StoredSeq(last.0) };
    store.read(key(queue), range, ReadLimits::default())
}

fn malformed_in(queue: QueueId, message: &Kept) -> impl FnOnce(Malformed) -> RecoveryError + use<> {
    let seq = message.seq;
    move |malformed| RecoveryError::Message { queue: key(queue), seq, malformed }
}

/// What stands before the record. Names of virtual hosts and exchanges are shorter than 64 KiB; one that is not would match nothing.
fn front(vhost: &str, exchange: &str) -> Vec<u8> {
    let names = [vhost, exchange].map(|name| if name.len() > usize::from(u16::MAX) { "" } else { name });
    let mut front = Vec::with_capacity(4 + names[0].len() + names[1].len());
    for name in names {
        front.extend(u16::try_from(name.len()).unwrap_or(0).to_le_bytes());
    }
    names.iter().for_each(|name| front.extend_from_slice(name.as_bytes()));
    front
}

/// Virtual host, exchange and the record.
fn split(bytes: &[u8]) -> Result<(&str, &str, &[u8]), Malformed> {
    let (&[v0, v1, e0, e1], rest) = bytes.split_first_chunk::<4>().ok_or(Malformed::Short)?;
    let cut = |rest: &'_ [u8], length: [u8; 2]| rest.len().checked_sub(usize::from(u16::from_le_bytes(length)));
    let mut parts = rest;
    let mut take = |length: [u8; 2]| -> Result<&str, Malformed> {
        let left = cut(parts, length).ok_or(Malformed::Short)?;
        let (name, rest) = parts.split_at(parts.len() - left);
        parts = rest;
        std::str::from_utf8(name).map_err(|_| Malformed::Name)
    };
    let (vhost, exchange) = (take([v0, v1])?, take([e0, e1])?);
    Ok((vhost, exchange, parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_before_the_record_is_read() {
        for (vhost, exchange, record) in [("/", "later", &b"record"[..]), ("", "", b""), ("größe", "x", b"\0")] {
            let bytes = [&front(vhost, exchange), record].concat();
            assert_eq!(split(&bytes), Ok((vhost, exchange, record)));
            for length in 0..bytes.len() - record.len() {
                assert!(matches!(split(&bytes[..length]), Err(Malformed::Short)));
            }
        }
        assert_eq!(front("ab", "c"), b"\x02\0\x01\0abc");
        assert_eq!(split(b"\x01\0\0\0\xFFrecord"), Err(Malformed::Name));
    }

    #[test]
    fn shards_that_are_there_look_after_those_that_are_not() {
        let check =
            |shard, count, expected| assert_eq!(keeper_of(queue_of(ShardId(shard)), count), Some(ShardId(expected)));
        check(0, 1, 0);
        check(3, 5, 3);
        check(3, 2, 1);
        assert_eq!(keeper_of(QueueId(3), 2), None);
    }
}
