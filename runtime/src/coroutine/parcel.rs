//! What a coroutine carries: before its start its body, after its end its outcome, in one place of its entry.
//!
//! A coroutine has either a body or an outcome, never both, and most are a few words: kept in place they cost no
//! allocation, and a coroutine's entry can be used again for another one. What is larger goes into a box. The types are
//! known to whoever spawns and to whoever joins, not to the scheduler in between, so the parcel knows only how to drop
//! what is in it.

use std::cell::{Cell, UnsafeCell};
use std::mem::MaybeUninit;

/// What is larger, or aligned more strictly, is boxed.
const ROOM_BYTES: usize = 64;

#[repr(C, align(16))]
struct Room(MaybeUninit<[u8; ROOM_BYTES]>);

/// Room for one value whose type only its user knows.
pub(crate) struct Parcel {
    room: UnsafeCell<Room>,
    /// Drops what is in the room, at its address; `None` while it is empty.
    discard: Cell<Option<unsafe fn(*mut u8)>>,
}

/// Whether a `V` lies in the room itself.
const fn fits<V>() -> bool {
    size_of::<V>() <= ROOM_BYTES && align_of::<V>() <= align_of::<Room>()
}

impl Parcel {
    pub(crate) fn new() -> Parcel {
        Parcel { room: UnsafeCell::new(Room(MaybeUninit::uninit())), discard: Cell::new(None) }
    }

    /// Puts a value in.
    ///
    /// # Panics
    /// When there is one already.
    #[inline]
    pub(crate) fn put<V>(&self, value: V) {
        assert!(self.discard.get().is_none(), "a parcel holds one value");
        match fits::<V>() {
            // SAFETY: it fits, and the room is empty.
            true => unsafe { self.write(value) },
            // SAFETY: a box fits, and the room is empty.
            false => unsafe { self.write(Box::new(value)) },
        }
    }

    /// # Safety
    /// - An `S` fits, and the room is empty.
    #[inline]
    unsafe fn write<S>(&self, stored: S) {
        // SAFETY: the room is large enough and aligned for an `S`, and nothing is in it that would have to be dropped.
        unsafe { self.room.get().cast::<S>().write(stored) };
        self.discard.set(Some(|room| {
            // SAFETY: it is called once, with the room's address, while the `S` is there.
            unsafe { room.cast::<S>().drop_in_place() }
        }));
    }

    /// Takes the value out, if there is one.
    ///
    /// # Safety
    /// - What was put in last is a `V`.
    #[inline]
    pub(crate) unsafe fn take<V>(&self) -> Option<V> {
        self.discard.take()?;
        Some(match fits::<V>() {
            // SAFETY: a `V` is there, says the caller, and since nobody drops it now it moves out.
            true => unsafe { self.room.get().cast::<V>().read() },
            // SAFETY: as above; `put` has boxed it.
            false => *unsafe { self.room.get().cast::<Box<V>>().read() },
        })
    }

    /// Whether nothing is in it.
    pub(super) fn is_empty(&self) -> bool {
        self.discard.get().is_none()
    }

    /// Drops the value, if there is one. Its destructor may panic; the parcel is empty all the same.
    pub(crate) fn clear(&self) {
        if let Some(discard) = self.discard.take() {
            // SAFETY: there is a value of the type that `discard` was made for, and from now on nobody else drops it.
            unsafe { discard(self.room.get().cast()) };
        }
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    #[repr(align(32))]
    struct Strict(Rc<()>);

    /// A value taken out is whole and dropped once; one that stays is dropped with the parcel, once.
    fn check<V>(make: impl Fn(Rc<()>) -> V, kept: impl Fn(&V) -> &Rc<()>) {
        let alive = Rc::new(());
        let parcel = Parcel::new();
        for _ in 0..2 {
            parcel.put(make(alive.clone()));
            // SAFETY: a `V` was put in.
            let value = unsafe { parcel.take::<V>() }.expect("it is there");
            assert!(Rc::ptr_eq(kept(&value), &alive));
            // SAFETY: as above.
            assert!(unsafe { parcel.take::<V>() }.is_none());
            drop(value);
            assert_eq!(Rc::strong_count(&alive), 1);
        }
        parcel.put(make(alive.clone()));
        parcel.clear();
        parcel.clear();
        assert_eq!(Rc::strong_count(&alive), 1);
        parcel.put(make(alive.clone()));
        drop(parcel);
        assert_eq!(Rc::strong_count(&alive), 1);
    }

    #[test]
    fn values_of_any_size_and_alignment_are_dropped_once() {
        check(|alive| alive, |value| value);
        check(|alive| (alive, [7u64; ROOM_BYTES / 8 - 1]), |value| &value.0);
        check(|alive| (alive, [7u64; ROOM_BYTES / 8]), |value| &value.0);
        check(|alive| (alive, [7u8; 4096]), |value| &value.0);
        check(Strict, |value| &value.0);
        let parcel = Parcel::new();
        parcel.put(());
        // SAFETY: a unit was put in.
        assert_eq!(unsafe { parcel.take::<()>() }, Some(()));
    }

    #[test]
    #[should_panic(expected = "a parcel holds one value")]
    fn a_value_is_not_overwritten() {
        let parcel = Parcel::new();
        parcel.put(1);
        parcel.put(2);
    }
}
