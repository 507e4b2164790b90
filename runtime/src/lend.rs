//! Buffers lent for the time of a read, so that an idle connection owns none.

use std::cell::{Cell, RefCell};

use crate::coroutine::current;
use crate::shard::Shard;

/// Bytes of a lent buffer.
pub(crate) const BUFFER_SIZE: usize = 64 * 1024;

/// Free buffers kept by a shard. More are in use only while as many coroutines wait inside of their reading closures.
const BUFFERS_MAX: usize = 16;

type Buffer = [u8; BUFFER_SIZE];

#[derive(Default)]
pub(crate) struct Buffers {
    /// The one that came back last, warm in the cache; the hot path needs no other.
    last: Cell<Option<Box<Buffer>>>,
    free: RefCell<Vec<Box<Buffer>>>,
}

impl Buffers {
    #[inline]
    fn take(&self) -> Box<Buffer> {
        self.last.take().unwrap_or_else(|| self.take_another())
    }

    #[inline]
    fn put(&self, buffer: Box<Buffer>) {
        if let Some(older) = self.last.replace(Some(buffer)) {
            self.put_away(older);
        }
    }

    #[inline(never)]
    fn take_another(&self) -> Box<Buffer> {
        let free = self.free.borrow_mut().pop();
        free.unwrap_or_else(|| vec![0; BUFFER_SIZE].try_into().expect("it has the size of a buffer"))
    }

    #[inline(never)]
    fn put_away(&self, buffer: Box<Buffer>) {
        let mut free = self.free.borrow_mut();
        if free.len() < BUFFERS_MAX {
            free.push(buffer);
        }
    }
}

/// A buffer on loan from the current shard.
pub(crate) struct Lent(Option<Box<Buffer>>);

impl Lent {
    #[inline]
    pub(crate) fn take(shard: &Shard) -> Lent {
        Lent(Some(shard.buffers.take()))
    }

    #[inline]
    pub(crate) fn bytes(&mut self) -> &mut [u8; BUFFER_SIZE] {
        self.0.as_deref_mut().expect("present until dropped")
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
