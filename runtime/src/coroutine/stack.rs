//! Stacks for coroutines: pooled slots of one size in large reservations, each with a guard below it.
//!
//! ```text
//!   slot:  | guard (16 pages) | usable stack ............ base |   grows downwards
//! ```
//!
//! A slot goes back to the pool only after its function returned or was unwound (corosensei's `Coroutine` gives its
//! stack up at no other time). The free list is last-in first-out so that warm pages are used again; beyond
//! [`WARM_STACKS_MAX`] free stacks the pages of a returned one are given back to the kernel.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use corosensei::stack::{Stack, StackPointer};

use crate::sys::memory::{PAGE, Reservation, lowest_resident};
use crate::sys::overflow;

/// Bytes of guard below every stack. Rust probes each page it skips, C code may not: sixteen pages catch that too.
const GUARD: usize = 16 * PAGE;

/// Free stacks that keep their pages.
const WARM_STACKS_MAX: usize = 1024;

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
        let inner = Inner { arenas: Vec::new(), fresh: 0..0, free: Vec::new(), in_use: 0 };
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
        let slot = match inner.free.pop() {
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

    fn put(&self, slot: Slot) {
        let mut inner = self.inner.borrow_mut();
        inner.in_use -= 1;
        if inner.free.len() >= WARM_STACKS_MAX {
            let offset = slot.index as usize * self.slot_size() + GUARD;
            // SAFETY: the slot was returned, so its coroutine is over and nothing lives on the stack.
            unsafe { inner.arenas[slot.arena as usize].discard(offset, self.stack_size) };
        }
        inner.free.push(slot);
    }
}

impl Inner {
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
            self.pool.put(slot);
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
    fn pools_grow_past_one_arena_and_stacks_do_not_overlap() {
        let pool = StackPool::new(STACK_SIZE_MIN);
        let mut stacks: Vec<_> = (0..ARENA_SLOTS_MIN * 4).map(|_| pool.take().expect("a stack")).collect();
        stacks.sort_by_key(|stack| stack.low);
        assert!(stacks.windows(2).all(|pair| pair[0].base <= pair[1].low));
    }
}
