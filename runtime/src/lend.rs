//! Buffers lent for the time of a read, so that an idle connection owns none.

use std::cell::RefCell;

use crate::coroutine::current;

/// Bytes of a lent buffer.
pub(crate) const BUFFER_SIZE: usize = 64 * 1024;

/// Free buffers kept by a shard. More are in use only while as many coroutines wait inside of their reading closures.
const BUFFERS_MAX: usize = 16;

#[derive(Default)]
pub(crate) struct Buffers {
    free: RefCell<Vec<Box<[u8]>>>,
}

impl Buffers {
    pub(crate) fn take(&self) -> Box<[u8]> {
        let free = self.free.borrow_mut().pop();
        free.unwrap_or_else(|| vec![0; BUFFER_SIZE].into_boxed_slice())
    }

    pub(crate) fn put(&self, buffer: Box<[u8]>) {
        let mut free = self.free.borrow_mut();
        if free.len() < BUFFERS_MAX {
            free.push(buffer);
        }
    }
}

/// A buffer on loan from the current shard.
pub(crate) struct Lent(Option<Box<[u8]>>);

impl Lent {
    pub(crate) fn take() -> Lent {
        Lent(Some(current::with(|shard| shard.buffers.take())))
    }

    #[inline]
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        self.0.as_mut().expect("present until dropped")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(buffer) = self.0.take() {
            current::try_with(|shard| shard.buffers.put(buffer));
        }
    }
}
