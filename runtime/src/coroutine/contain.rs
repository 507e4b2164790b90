//! Where panics of foreign destructors and loggers end: between a coroutine's last function, or a shard that ends, and the
//! scheduler, which must not unwind.
//!
//! What a panic leaves is foreign as well: the payload's destructor may panic, with a payload of the same kind. A few of them
//! are dropped, and the rest is leaked: whoever makes such payloads for ever would otherwise hold the shard for ever.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::join::{JoinError, outcome, panic_message};

/// Payloads of one panic that are dropped, each the one with which the last one's destructor panicked; the next is leaked.
const PAYLOADS_DROPPED_MAX: usize = 8;

/// Runs what may drop foreign values; `say` logs the message of its panic. A kill or the end of a timeout that strikes in
/// `f` ends here without a word.
pub(crate) fn contain<T>(f: impl FnOnce() -> T, say: impl FnOnce(&str)) -> Option<T> {
    match outcome(catch_unwind(AssertUnwindSafe(f))) {
        Ok(value) => return Some(value),
        Err(JoinError::Panicked(payload)) => {
            quietly(|| say(panic_message(payload.as_ref()).unwrap_or("(no message)")));
            discard(payload);
        }
        Err(JoinError::Killed | JoinError::Unwinding) => {}
    }
    None
}

/// Calls the logger, which is foreign code: one that panics has had its chance.
pub(crate) fn quietly(say: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(say)) {
        discard(payload);
    }
}

/// Drops a panic's payload. Never panics.
pub(crate) fn discard(mut payload: Box<dyn Any + Send>) {
    for _ in 0..PAYLOADS_DROPPED_MAX {
        match catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            Ok(()) => return,
            Err(next) => payload = next,
        }
    }
    Box::leak(payload);
}

#[cfg(test)]
mod tests {
    use std::panic::panic_any;
    use std::sync::Arc;

    use super::*;

    /// Counts its drops, each of which panics with another one while there are `left`.
    struct Chain {
        left: usize,
        alive: Arc<()>,
    }

    impl Drop for Chain {
        fn drop(&mut self) {
            if let Some(left) = self.left.checked_sub(1) {
                panic_any(Chain { left, alive: self.alive.clone() });
            }
        }
    }

    /// Payloads that are still there, of a panic whose payload is followed by so many.
    fn leaked_of(left: usize) -> usize {
        let alive = Arc::new(());
        discard(Box::new(Chain { left, alive: alive.clone() }));
        Arc::strong_count(&alive) - 1
    }

    #[test]
    fn payloads_are_dropped_up_to_the_limit_and_the_next_is_leaked() {
        assert_eq!(leaked_of(0), 0);
        assert_eq!(leaked_of(PAYLOADS_DROPPED_MAX - 1), 0);
        assert_eq!(leaked_of(PAYLOADS_DROPPED_MAX), 1);
        assert_eq!(leaked_of(PAYLOADS_DROPPED_MAX + 5), 1);
    }

    #[test]
    fn the_value_comes_through_and_the_message_is_said() {
        assert_eq!(contain(|| 7, |_| unreachable!("nothing panics")), Some(7));
        let mut said = String::new();
        assert_eq!(contain(|| panic!("on purpose"), |text| said.push_str(text)), None::<()>);
        assert_eq!(said, "on purpose");
    }
}
