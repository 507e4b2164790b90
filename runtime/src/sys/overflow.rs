//! Turns a stack overflow into a sentence that names the coroutine, then aborts.
//!
//! std's own SIGSEGV handler knows only the guards of threads, so without this a coroutine that runs over its stack dies
//! as "Segmentation fault". One handler is installed per process, on the alternate stack that std gives every thread;
//! it looks the fault address up among the watched arenas, prints and aborts, and passes every other fault on to the
//! handler that was there before. It never tries to go on: frames that were not unwound cannot be abandoned soundly.

use std::mem::MaybeUninit;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::coroutine::current;

/// Arenas that the handler knows. A process has a few dozen; one that finds no place here only loses the sentence.
const ARENAS_MAX: usize = 1024;

/// Where stacks lie. `base` is zero when the place is free; the other fields are written before it and read after it.
struct Arena {
    base: AtomicUsize,
    len: AtomicUsize,
    slot_size: AtomicUsize,
    guard: AtomicUsize,
}

static ARENAS: [Arena; ARENAS_MAX] = [const {
    Arena {
        base: AtomicUsize::new(0),
        len: AtomicUsize::new(0),
        slot_size: AtomicUsize::new(0),
        guard: AtomicUsize::new(0),
    }
}; ARENAS_MAX];

/// Marks a place that is being filled in.
const CLAIMED: usize = 1;

/// Watches an arena of slots of `slot_size` bytes, the lowest `guard` bytes of each being its guard.
pub(crate) fn watch(base: usize, len: usize, slot_size: usize, guard: usize) {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(install);
    for place in &ARENAS {
        if place.base.compare_exchange(0, CLAIMED, Ordering::Acquire, Ordering::Relaxed).is_ok() {
            place.len.store(len, Ordering::Relaxed);
            place.slot_size.store(slot_size, Ordering::Relaxed);
            place.guard.store(guard, Ordering::Relaxed);
            place.base.store(base, Ordering::Release);
            return;
        }
    }
}

/// Forgets the arena at `base`, which is about to be unmapped.
pub(crate) fn unwatch(base: usize) {
    for place in &ARENAS {
        if place.base.compare_exchange(base, 0, Ordering::Release, Ordering::Relaxed).is_ok() {
            return;
        }
    }
}

/// The usable part of the watched stack that holds `address`, lowest address first; `None` in a guard and elsewhere.
pub(crate) fn stack_around(address: usize) -> Option<std::ops::Range<usize>> {
    find_arena(address, |base, slot, guard| {
        let low = address - (address - base) % slot;
        (address >= low + guard).then_some(low + guard..low + slot)
    })
}

/// The usable size of the stack whose guard holds `address`, if one does.
fn overflowed_stack(address: usize) -> Option<usize> {
    find_arena(address, |base, slot, guard| ((address - base) % slot < guard).then_some(slot - guard))
}

/// Gives base, slot size and guard size of the arena around `address` to `f`.
fn find_arena<T>(address: usize, f: impl Fn(usize, usize, usize) -> Option<T>) -> Option<T> {
    ARENAS.iter().find_map(|place| {
        let base = place.base.load(Ordering::Acquire);
        if base <= CLAIMED || address < base || address - base >= place.len.load(Ordering::Relaxed) {
            return None;
        }
        let (slot, guard) = (place.slot_size.load(Ordering::Relaxed), place.guard.load(Ordering::Relaxed));
        f(base, slot, guard)
    })
}

static PREVIOUS_ACTION: AtomicUsize = AtomicUsize::new(0);

fn install() {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    let mut previous = MaybeUninit::<libc::sigaction>::zeroed();
    let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = on_fault;
    // SAFETY: an all-zero sigaction is a valid value of that plain C struct.
    let new = unsafe { action.assume_init_mut() };
    new.sa_sigaction = handler as libc::sighandler_t;
    new.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: both pointers are valid for the call; the handler is async-signal-safe (see `on_fault`).
    let done = unsafe { libc::sigaction(libc::SIGSEGV, action.as_ptr(), previous.as_mut_ptr()) };
    if done == 0 {
        // SAFETY: sigaction filled it in.
        let previous = unsafe { previous.assume_init() };
        PREVIOUS_ACTION.store(Box::into_raw(Box::new(previous)) as usize, Ordering::Release);
    }
}

/// Async-signal-safe: it reads atomics and thread-locals without lazy initialisers, writes with `write(2)`, and aborts.
extern "C" fn on_fault(signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: with SA_SIGINFO the kernel passes a valid siginfo.
    let info = unsafe { &*info };
    // SAFETY: for SIGSEGV the address field is the one that is set.
    let address = unsafe { info.si_addr() } as usize;
    let Some(size) = overflowed_stack(address) else { return pass_on(signal) };
    say(b"\nleveret-runtime: coroutine '");
    current::with_name(|name| say(name.as_bytes()));
    say(b"' has overflowed its stack of ");
    let mut digits = [0u8; 20];
    say(decimal(size / 1024, &mut digits));
    say(b" KiB; give it more with Builder::stack_size, or run the deep part with fewer frames\n");
    // SAFETY: always allowed; nothing of this process must run on after an overflow.
    unsafe { libc::abort() }
}

/// Puts the previous handler back: the faulting instruction runs again and meets it.
fn pass_on(signal: libc::c_int) {
    let previous = PREVIOUS_ACTION.load(Ordering::Acquire) as *const libc::sigaction;
    if previous.is_null() {
        // SAFETY: setting the default action is always allowed.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    } else {
        // SAFETY: the pointer is a leaked box that nobody changes.
        unsafe { libc::sigaction(signal, previous, std::ptr::null_mut()) };
    }
}

fn say(text: &[u8]) {
    // SAFETY: the slice is valid for its length; write(2) is async-signal-safe.
    let _ = unsafe { libc::write(2, text.as_ptr().cast(), text.len()) };
}

fn decimal(mut value: usize, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            return &digits[at..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_guards_of_watched_arenas_count_as_overflow() {
        let (base, slot, guard) = (1 << 60, 4096 * 20, 4096 * 16);
        watch(base, slot * 3, slot, guard);
        assert_eq!(overflowed_stack(base), Some(4096 * 4));
        assert_eq!(overflowed_stack(base + guard - 1), Some(4096 * 4));
        assert_eq!(overflowed_stack(base + guard), None);
        assert_eq!(overflowed_stack(base + slot * 2 + 5), Some(4096 * 4));
        assert_eq!(overflowed_stack(base + slot * 3), None);
        assert_eq!(overflowed_stack(base - 1), None);
        assert_eq!(stack_around(base + slot + guard), Some(base + slot + guard..base + slot * 2));
        assert_eq!(stack_around(base + slot - 1), Some(base + guard..base + slot));
        assert_eq!(stack_around(base + slot + guard - 1), None);
        assert_eq!(stack_around(base + slot * 3), None);
        unwatch(base);
        assert_eq!(overflowed_stack(base), None);
    }

    #[test]
    fn numbers_print_in_decimal() {
        let mut digits = [0u8; 20];
        assert_eq!(decimal(0, &mut digits), b"0");
        let mut digits = [0u8; 20];
        assert_eq!(decimal(usize::MAX, &mut digits), usize::MAX.to_string().as_bytes());
    }
}
