//! Asking every shard a question that its scheduler answers between two coroutines.
//!
//! The question is mail, so it is answered even where no coroutine can run; only a shard whose thread is held (by a coroutine
//! that computes, or that made a call which blocks the thread) does not answer. Such a shard is reported by the name of
//! that coroutine, as the watchdog would.

use std::fmt;
use std::time::Duration;

use crate::mailbox::{Mail, channel};
use crate::offload::offload;
use crate::runtime::Shared;
use crate::sys::interrupt;

/// How long a shard may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// What a shard has said.
#[derive(Debug)]
pub(crate) enum Answer<T> {
    Came(T),
    /// It has ended.
    Ended,
    /// It is held, by the coroutine of this name if that could be told.
    Held(Option<String>),
}

impl<T> Answer<T> {
    pub(crate) fn came(&self) -> Option<&T> {
        match self {
            Answer::Came(value) => Some(value),
            Answer::Ended | Answer::Held(_) => None,
        }
    }
}

impl<T> fmt::Display for Answer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Came(_) => f.write_str("has answered"),
            Answer::Ended => f.write_str("has ended"),
            Answer::Held(holder) => {
                let holder = holder.as_deref().unwrap_or("(unknown)");
                write!(
                    f,
                    "does not answer: coroutine '{holder}' holds it; give blocking work to offload, and let long \
                     computations yield"
                )
            }
        }
    }
}

/// Has every shard of a runtime, which need not be the caller's, run `question` on its scheduler's stack; waits for the answers.
///
/// # Panics
/// Outside of a coroutine, and while the stack unwinds.
pub(crate) fn ask<T: Send + 'static>(shared: &Shared, question: fn() -> T) -> Vec<Answer<T>> {
    let pending = shared.inboxes.iter().map(|inbox| {
        let (sender, receiver) = channel::channel();
        inbox.post(Mail::Run(Box::new(move || drop(sender.send(question())))));
        receiver
    });
    let pending = pending.collect::<Vec<_>>();
    let answers = pending.iter().enumerate().map(|(shard, receiver)| {
        let mut answer = Vec::new();
        match receiver.receive_batch_timeout(&mut answer, ANSWER_TIMEOUT) {
            Some(true) => answer.pop().map_or(Answer::Ended, Answer::Came),
            Some(false) => Answer::Ended,
            None => Answer::Held(holder(shared, shard)),
        }
    });
    answers.collect()
}

/// The coroutine that a shard's thread runs.
fn holder(shared: &Shared, shard: usize) -> Option<String> {
    let thread = shared.pulses[shard].thread();
    offload(move || interrupt::running_coroutine(thread))
}
