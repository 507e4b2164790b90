//! Buffers lent for the time of a read, so that an idle connection owns none.

use std::cell::{Cell, RefCell};

use crate::coroutine::current;

/// Bytes of a lent buffer.
pub(crate) const BUFFER_SIZE: usize = 64 * 1024;

/// Free buffers kept by a shard. More are in use only while as many coroutines wait inside of their reading closures.
const BUFFERS_MAX: usize = 16;

#[derive(Default)]
pub(crate) struct Buffers {
    /// The one that came back last, warm in the cache; the hot path needs no other.
    last: Cell<Option<Box<[u8]>>>,
    free: RefCell<Vec<Box<[u8]>>>,
}

impl Buffers {
    #[inline]
    fn take(&self) -> Box<[u8]> {
        self.last.take().unwrap_or_else(|| self.take_another())
    }

    #[inline]
    fn put(&self, buffer: Box<[u8]>) {
        if let Some(older) = self.last.replace(Some(buffer)) {
            self.put_away(older);
        }
    }

    #[inline(never)]
    fn take_another(&self) -> Box<[u8]> {
        let free = self.free.borrow_mut().pop();
        free.unwrap_or_else(|| vec![0; BUFFER_SIZE].into_boxed_slice())
    }

    #[inline(never)]
    fn put_away(&self, buffer: Box<[u8]>) {
        let mut free = self.free.borrow_mut();
        if free.len() < BUFFERS_MAX {
            free.push(buffer);
        }
    }
}

/// A buffer on loan from the current shard.
pub(crate) struct Lent(Option<Box<[u8]>>);

impl Lent {
    #[inline]
    pub(crate) fn take() -> Lent {
        Lent(Some(current::with(|shard| shard.buffers.take())))
    }

    #[inline]
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        self.0.as_mut().expect("present until dropped")
    }
}

impl Drop for Lent {
    #[inline]
    fn drop(&mut self) {
        if let Some(buffer) = self.0.take() {
            current::try_with(|shard| shard.buffers.put(buffer));
        }
    }
}
