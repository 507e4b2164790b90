//! One deep call on a large stack, for coroutines whose own is small.
//!
//! The call is made on the same coroutine: it may wait, be killed or panic, and borrow from its caller, as any call. Only
//! the stack pointer moves: frames are linked, so a backtrace goes on through both stacks.

use super::nest::take_stack;

/// Calls `f` on a stack of at least `size` usable bytes (rounded up to pages), taken from the shard's pool for the time of
/// the call: for deep recursion, or a library that wants more than the coroutine has. Only the pages that are touched cost
/// memory. Outside of a runtime it works too.
///
/// A kill or an expired `timeout` unwinds out of it as out of any call.
///
/// ```
/// fn depth(n: u64) -> u64 {
///     if n == 0 { 0 } else { 1 + std::hint::black_box(depth(n - 1)) }
/// }
/// # leveret_runtime::run(|| {
/// assert_eq!(leveret_runtime::on_big_stack(64 << 20, || depth(100_000)), 100_000);
/// # }).unwrap();
/// ```
///
/// # Panics
/// With the panic of `f`; when the kernel gives no address space for the stack.
pub fn on_big_stack<T>(size: usize, f: impl FnOnce() -> T) -> T {
    let stack = take_stack(Some(size)).unwrap_or_else(|error| panic!("no stack of {size} bytes: {error}"));
    corosensei::on_stack(stack, f)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Builder, run, sleep, spawn, timeout, yield_now};

    const BIG: usize = 32 << 20;

    /// Touches 4 KiB a level.
    fn dive(levels: usize) -> usize {
        let page = std::hint::black_box([levels as u8; 4096]);
        let below = if levels == 0 { 0 } else { dive(levels - 1) };
        below + usize::from(page[levels % 4096] == levels as u8)
    }

    #[test]
    fn it_is_as_deep_as_asked_for_and_borrows() {
        run(|| {
            let small = Builder::new().stack_size(16 * 1024);
            let deep = small.spawn(|| {
                let mut reached = 0;
                on_big_stack(BIG, || reached = dive(1000));
                reached
            });
            assert_eq!(deep.unwrap().join().unwrap(), 1001);
        })
        .unwrap();
        assert_eq!(on_big_stack(BIG, || dive(1000)), 1001); // outside of a runtime
    }

    #[test]
    fn it_may_wait_and_others_run_meanwhile() {
        run(|| {
            let waits = spawn(|| {
                on_big_stack(BIG, || {
                    on_big_stack(BIG, yield_now);
                    sleep(Duration::from_millis(1));
                    7
                })
            });
            let other = spawn(|| 8);
            assert_eq!((other.join().unwrap(), waits.join().unwrap()), (8, 7));
        })
        .unwrap();
    }

    #[test]
    fn kills_timeouts_and_panics_come_out_of_it() {
        struct Noted<'a>(&'a std::cell::Cell<bool>);
        impl Drop for Noted<'_> {
            fn drop(&mut self) {
                self.0.set(true);
            }
        }
        run(|| {
            let dropped = std::cell::Cell::new(false);
            let long = Duration::from_secs(60);
            let ended = timeout(Duration::from_millis(1), || {
                on_big_stack(BIG, || {
                    let _noted = Noted(&dropped);
                    sleep(long);
                })
            });
            assert!(ended.is_err() && dropped.get());
            let victim = spawn(move || on_big_stack(BIG, || sleep(long)));
            yield_now();
            victim.kill();
            assert!(matches!(victim.join(), Err(crate::JoinError::Killed)));
            let panics = spawn(|| on_big_stack(BIG, || panic!("deep down")));
            assert_eq!(panics.join().unwrap_err().message(), Some("deep down"));
        })
        .unwrap();
    }
}
