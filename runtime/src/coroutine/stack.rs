//! Stacks for coroutines: pooled slots of one size in large reservations, each with a guard below it.
//!
//! ```text
//!   slot:  | guard (16 pages) | usable stack ............ base |   grows downwards
//! ```
//!
//! A slot goes back to the pool only after its function returned or was unwound (corosensei's `Coroutine` gives its
//! stack up at no other time). The free list is last-in first-out so that warm pages are used again. Beyond
//! [`WARM_STACKS_MAX`] free stacks, those that nobody has wanted for [`WARM_TIME`] give their pages back to the kernel:
//! many at once, since neighbours go with one call, and none that a wave of coroutines is about to use again.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use corosensei::stack::{Stack, StackPointer};

use super::current;
use crate::sys::memory::{PAGE, Reservation, lowest_resident};
use crate::sys::overflow;

/// Bytes of guard below every stack. Rust probes each page it skips, C code may not: sixteen pages catch that too.
const GUARD: usize = 16 * PAGE;

/// Free stacks that keep their pages however long nobody wants them.
const WARM_STACKS_MAX: usize = 1024;

/// How long the others keep theirs, at least; at most twice as long.
pub(crate) const WARM_TIME: Duration = Duration::from_secs(5);

/// Slots of the first reservation of a pool; each further one doubles, up to [`ARENA_SLOTS_MAX`].
const ARENA_SLOTS_MIN: usize = 64;
const ARENA_SLOTS_MAX: usize = 16_384;

/// The smallest stack: enough for a coroutine that logs one line.
pub(crate) const STACK_SIZE_MIN: usize = 16 * 1024;

/// All stacks of one size on one shard.
#[derive(Debug)]
pub(crate) struct StackPool {
    inner: RefCell<Inner>,
    stack_size: usize,
}

#[derive(Debug)]
struct Inner {
    arenas: Vec<Reservation>,
    /// Slots of the newest arena that were never used.
    fresh: std::ops::Range<usize>,
    free: Vec<Slot>,
    /// How many at the front of `free` have no pages.
    cold: usize,
    /// The fewest that were free since the last [`StackPool::cool`]: as many at the front were not wanted in all that time.
    fewest: usize,
    in_use: usize,
}

/// One slot of an arena. Not a `Copy` type: whoever holds it owns the memory.
#[derive(Debug)]
struct Slot {
    arena: u32,
    index: u32,
    /// Address of the slot's lowest byte, the guard's.
    low: usize,
}

/// A stack on loan from its pool, returned when dropped.
#[derive(Debug)]
pub(crate) struct PooledStack {
    slot: Option<Slot>,
    low: usize,
    base: usize,
    pool: Rc<StackPool>,
}

impl StackPool {
    /// What a wish for `bytes` comes to: whole pages, at least [`STACK_SIZE_MIN`]. What is beyond any address space stays so.
    pub(crate) fn rounded(bytes: usize) -> usize {
        const LARGEST: usize = usize::MAX / 2 / PAGE * PAGE;
        bytes.clamp(STACK_SIZE_MIN, LARGEST).next_multiple_of(PAGE)
    }

    /// A pool of stacks of `stack_size` usable bytes, [rounded](StackPool::rounded).
    pub(crate) fn new(stack_size: usize) -> Rc<StackPool> {
        let stack_size = StackPool::rounded(stack_size);
        let inner = Inner { arenas: Vec::new(), fresh: 0..0, free: Vec::new(), cold: 0, fewest: 0, in_use: 0 };
        Rc::new(StackPool { inner: RefCell::new(inner), stack_size })
    }

    /// Usable bytes of each stack.
    pub(crate) fn stack_size(&self) -> usize {
        self.stack_size
    }

    /// Stacks on loan.
    pub(crate) fn in_use(&self) -> usize {
        self.inner.borrow().in_use
    }

    /// The most stacks that were on loan at once: the free list is used before a fresh one is.
    pub(crate) fn most(&self) -> usize {
        let inner = self.inner.borrow();
        inner.in_use + inner.free.len()
    }

    /// The most bytes that one of its stacks was used to, in whole pages, as far as they are still in memory: a look at every
    /// page of all of them.
    pub(crate) fn deepest(&self) -> usize {
        let (inner, slot_size) = (self.inner.borrow(), self.slot_size());
        let newest = inner.arenas.len().saturating_sub(1);
        let depth = |low: usize| {
            let stack = low + GUARD..low + slot_size;
            stack.end - lowest_resident(stack.clone())
        };
        let slots = inner.arenas.iter().enumerate().flat_map(|(index, arena)| {
            let used = if index == newest { inner.fresh.start } else { arena.len() / slot_size };
            (0..used).map(move |slot| arena.base() + slot * slot_size)
        });
        slots.map(depth).max().unwrap_or(0)
    }

    /// Takes a stack. Fails when the kernel gives no more address space or guards.
    pub(crate) fn take(self: &Rc<Self>) -> io::Result<PooledStack> {
        let mut inner = self.inner.borrow_mut();
        let slot = match inner.reuse() {
            Some(slot) => slot,
            None => inner.fresh_slot(self.slot_size())?,
        };
        inner.in_use += 1;
        let (low, base) = (slot.low, slot.low + self.slot_size());
        Ok(PooledStack { slot: Some(slot), low, base, pool: self.clone() })
    }

    fn slot_size(&self) -> usize {
        GUARD + self.stack_size
    }

    /// Says whether more than a few free stacks have pages.
    fn put(&self, slot: Slot) -> bool {
        let mut inner = self.inner.borrow_mut();
        inner.in_use -= 1;
        inner.free.push(slot);
        inner.is_warm()
    }

    /// Has the stacks that nobody has wanted since the last call give their pages back, all but a few. Says whether there
    /// may be more to do later.
    pub(crate) fn cool(&self) -> bool {
        let (inner, slot_size) = (&mut *self.inner.borrow_mut(), self.slot_size());
        let idle = inner.cold..inner.fewest.saturating_sub(WARM_STACKS_MAX).max(inner.cold);
        inner.cold = idle.end;
        inner.fewest = inner.free.len();
        let idle = &mut inner.free[idle];
        idle.sort_unstable_by_key(|slot| slot.low);
        for run in idle.chunk_by(|slot, next| slot.arena == next.arena && slot.index + 1 == next.index) {
            let Some(first) = run.first() else { continue };
            let (offset, len) = (first.index as usize * slot_size, run.len() * slot_size);
            // SAFETY: the slots were returned, so their coroutines are over and nothing lives on the stacks; guards stay.
            unsafe { inner.arenas[first.arena as usize].discard(offset + GUARD, len - GUARD) };
        }
        inner.is_warm()
    }

    /// As [`StackPool::cool`], whether they were wanted or not.
    fn cool_now(&self) {
        let free = self.inner.borrow().free.len();
        self.inner.borrow_mut().fewest = free;
        self.cool();
    }
}

impl Inner {
    fn reuse(&mut self) -> Option<Slot> {
        let slot = self.free.pop()?;
        self.cold = self.cold.min(self.free.len());
        self.fewest = self.fewest.min(self.free.len());
        Some(slot)
    }

    fn is_warm(&self) -> bool {
        self.free.len() > self.cold + WARM_STACKS_MAX
    }

    fn fresh_slot(&mut self, slot_size: usize) -> io::Result<Slot> {
        if self.fresh.is_empty() {
            self.grow(slot_size)?;
        }
        let arena = self.arenas.len() - 1;
        let index = self.fresh.start;
        let reservation = &self.arenas[arena];
        // SAFETY: the slot has never been used and its guard bytes are never handed out.
        unsafe { reservation.install_guard(index * slot_size, GUARD) }?;
        self.fresh.start += 1;
        Ok(Slot { arena: arena as u32, index: index as u32, low: reservation.base() + index * slot_size })
    }

    fn grow(&mut self, slot_size: usize) -> io::Result<()> {
        let slots = (ARENA_SLOTS_MIN << self.arenas.len().min(16)).min(ARENA_SLOTS_MAX);
        let bytes = slots.checked_mul(slot_size).ok_or(io::ErrorKind::OutOfMemory)?;
        let arena = Reservation::new(bytes)?;
        overflow::watch(arena.base(), arena.len(), slot_size, GUARD);
        self.arenas.push(arena);
        self.fresh = 0..slots;
        Ok(())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        assert_eq!(self.in_use, 0, "a stack pool must outlive its stacks");
        for arena in &self.arenas {
            overflow::unwatch(arena.base());
        }
    }
}

impl Drop for PooledStack {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            let warm = self.pool.put(slot);
            if warm && !current::try_with(|shard| shard.cool_later()).unwrap_or(false) {
                self.pool.cool_now();
            }
        }
    }
}

// SAFETY: `base` and `limit` bound a slot that this value owns exclusively until it is dropped (the pool hands each
// slot out once, and `PooledStack` is not `Clone`); both are multiples of the page size; the lowest pages are a guard;
// the pool keeps the mapping alive through the `Rc`.
unsafe impl Stack for PooledStack {
    fn base(&self) -> StackPointer {
        StackPointer::new(self.base).expect("a mapping's address is not null")
    }

    fn limit(&self) -> StackPointer {
        StackPointer::new(self.low).expect("a mapping's address is not null")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_returned_stack_is_the_next_one_taken() {
        let pool = StackPool::new(1);
        assert_eq!(pool.stack_size(), STACK_SIZE_MIN);
        let first = pool.take().expect("a stack");
        let address = first.base;
        let second = pool.take().expect("a stack");
        assert_ne!(address, second.base);
        drop(first);
        assert_eq!(pool.take().expect("a stack").base, address);
        assert_eq!(pool.in_use(), 1);
        drop(second);
        assert_eq!(pool.in_use(), 0);
    }

    #[test]
    fn it_knows_how_many_were_on_loan_and_how_deep_they_were_used() {
        let pool = StackPool::new(32 * PAGE);
        assert_eq!((pool.most(), pool.deepest()), (0, 0));
        let (first, second) = (pool.take().expect("a stack"), pool.take().expect("a stack"));
        assert_eq!((pool.most(), pool.deepest()), (2, 0));
        drop((first, second));
        let again = pool.take().expect("a stack");
        corosensei::on_stack(again, || {
            let mut bytes = [0u8; 3 * PAGE];
            bytes.fill(1);
            std::hint::black_box(&bytes);
        });
        assert_eq!(pool.most(), 2);
        assert!((3 * PAGE..32 * PAGE).contains(&pool.deepest()), "{}", pool.deepest());
    }

    #[test]
    fn stacks_keep_their_pages_until_nobody_has_wanted_them_for_long() {
        const SPARE: usize = 8;
        let pool = StackPool::new(STACK_SIZE_MIN);
        let take = |count| (0..count).map(|_| pool.take().expect("a stack")).collect::<Vec<_>>();
        let give_back = |stacks: Vec<PooledStack>| {
            for mut stack in stacks {
                pool.put(stack.slot.take().expect("it is on loan")); // as if there were a shard that cools it later
            }
        };
        let stacks = take(WARM_STACKS_MAX + SPARE);
        for stack in &stacks {
            // SAFETY: the byte lies on a stack that is on loan to us.
            unsafe { ((stack.base - 1) as *mut u8).write(1) };
        }
        let tops: Vec<_> = stacks.iter().map(|stack| stack.base - PAGE..stack.base).collect();
        let warm = || tops.iter().filter(|top| lowest_resident((*top).clone()) < top.end).count();
        give_back(stacks);
        let check = |more, expected| assert_eq!((pool.cool(), warm()), (more, WARM_STACKS_MAX + expected));
        check(true, SPARE); // they were on loan a moment ago
        give_back(take(SPARE / 2)); // as many were wanted, the others not
        check(true, SPARE / 2);
        check(false, 0);
        drop(take(SPARE)); // no shard: at once
        check(false, 0);
    }

    #[test]
    fn pools_grow_past_one_arena_and_stacks_do_not_overlap() {
        let pool = StackPool::new(STACK_SIZE_MIN);
        let mut stacks: Vec<_> = (0..ARENA_SLOTS_MIN * 4).map(|_| pool.take().expect("a stack")).collect();
        stacks.sort_by_key(|stack| stack.low);
        assert!(stacks.windows(2).all(|pair| pair[0].base <= pair[1].low));
    }
}
