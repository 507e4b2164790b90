//! Every call into libc that needs `unsafe`, behind safe or narrowly unsafe functions.
//!
//! The rest of the runtime speaks to the kernel through std, mio and socket2; what is left is memory for stacks and the
//! handler that turns a stack overflow into a sentence.
#![allow(unsafe_code)]

pub(crate) mod epoll;
pub(crate) mod file;
pub(crate) mod interrupt;
pub(crate) mod limits;
pub(crate) mod memory;
pub(crate) mod overflow;
pub(crate) mod pidfd;
pub(crate) mod poll;
pub(crate) mod random;
pub(crate) mod socket;
