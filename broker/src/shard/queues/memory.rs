//! What the queues of a shard keep in memory, and which of them have more elsewhere.

use std::rc::Rc;

use leveret_core::queue::Windows;
use leveret_core::{QueueId, Seq};

use super::{Home, Queues};
use crate::shard::Shard;
use crate::shard::stored::spill::Spill;

/// Messages freed before others come in between.
const FREE_PER_TURN: usize = 4096;

impl Queues {
    /// The scratch file that has the message of that place.
    pub(super) fn spill_at(&self, id: QueueId, place: Seq) -> Option<Rc<Spill>> {
        self.homes.borrow().get(&id)?.spills.range(..=place).next_back().map(|(_, spill)| spill.clone())
    }

    /// Has queues keep less in memory, if together they have more than `budget`, and more if they have less.
    pub(in crate::shard) fn adapt_windows(&self, full: Windows, min: u64, budget: u64, may_spill: bool) -> bool {
        let homes = self.homes.borrow();
        let weights = homes.values().map(|home| home.queue.weight()).filter(|weight| *weight > 2 * min);
        let (count, sum) = weights.fold((0u64, 0u64), |(count, sum), weight| (count + 1, sum + weight));
        drop(homes);
        let is_short = sum > budget;
        let share = (budget / count.max(1) / 2).clamp(min.min(full.head), full.head);
        let size = if is_short { share } else { full.head };
        let windows = Windows { head: size, tail: size, may_spill: may_spill && is_short, ..full };
        if self.windows.get() != Some(windows) {
            self.set_windows(Some(windows));
        }
        is_short
    }

    /// Queues that have more in memory than these bytes, by number.
    pub(in crate::shard) fn ids_heavier_than(&self, weight: u64) -> Vec<QueueId> {
        let homes = self.homes.borrow();
        let heavy = homes.iter().filter(|(_, home)| home.queue.weight() > weight);
        let mut ids: Vec<QueueId> = heavy.map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids
    }

    /// Queues that have messages that are not in memory, by number.
    pub(in crate::shard) fn ids_with_away(&self) -> Vec<QueueId> {
        let homes = self.homes.borrow();
        let away = homes.iter().filter(|(_, home)| home.queue.away_count() > 0);
        let mut ids: Vec<QueueId> = away.map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids
    }
}

impl Shard {
    /// The coroutine that frees what purged and deleted queues have left, until the program ends.
    pub fn free_for_ever(self: &Rc<Self>) {
        loop {
            self.queues.has_remains.clear();
            if self.queues.remains.borrow().is_empty() {
                self.queues.has_remains.wait();
            }
            self.queues.remains.borrow_mut().free(FREE_PER_TURN);
            leveret_runtime::yield_now();
        }
    }
}

/// Drops the scratch files whose messages are all back, or gone.
pub(super) fn forget_spills(home: &mut Home, first: Seq, through: Seq) {
    let Home { queue, spills, .. } = home;
    if spills.is_empty() {
        return;
    }
    let before = spills.range(..first).next_back().map(|(at, _)| *at);
    let over = spills.range(before.unwrap_or(first)..=through.max(first));
    let done: Vec<Seq> = over.filter(|(at, spill)| !queue.is_away(**at, spill.last)).map(|(at, _)| *at).collect();
    done.iter().for_each(|at| drop(spills.remove(at)));
}
