//! Asking another thread which coroutine it runs, by a signal that only that thread can answer.
//!
//! SIGURG is ignored by default and hardly used, so a stray one harms nobody (Go's runtime chose it for the same reason).

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use crate::coroutine::current;

/// Bytes of a name that are told.
const NAME_MAX: usize = 200;

/// How long an answer may take: a thread that is not scheduled at all cannot answer.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(200);

const IDLE: u8 = 0;
const ASKED: u8 = 1;
const ANSWERED: u8 = 2;

/// One question at a time in the whole process.
static QUESTION: Mutex<()> = Mutex::new(());
static STATE: AtomicU8 = AtomicU8::new(IDLE);
static NAME: [AtomicU8; NAME_MAX] = [const { AtomicU8::new(0) }; NAME_MAX];
static NAME_SIZE: AtomicUsize = AtomicUsize::new(0);

/// The kernel's number of the calling thread.
pub(crate) fn thread_number() -> i32 {
    // SAFETY: gettid has no preconditions and cannot fail.
    unsafe { libc::gettid() }
}

/// The name of the coroutine that `thread` of this process runs; `None` if it does not answer.
pub(crate) fn running_coroutine(thread: i32) -> Option<String> {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(install);
    let _one = QUESTION.lock().unwrap_or_else(PoisonError::into_inner);
    STATE.store(ASKED, Ordering::Release);
    let process = std::process::id() as libc::pid_t;
    // SAFETY: a signal whose handler is ours and async-signal-safe; for a thread that is gone the call only fails.
    let sent = unsafe { libc::syscall(libc::SYS_tgkill, process, thread, libc::SIGURG) };
    let asked = Instant::now();
    while sent == 0 && STATE.load(Ordering::Acquire) != ANSWERED && asked.elapsed() < ANSWER_TIMEOUT {
        std::thread::sleep(Duration::from_millis(1));
    }
    if STATE.swap(IDLE, Ordering::AcqRel) != ANSWERED {
        return None;
    }
    let size = NAME_SIZE.load(Ordering::Relaxed).min(NAME_MAX);
    let bytes: Vec<u8> = NAME[..size].iter().map(|byte| byte.load(Ordering::Relaxed)).collect();
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn install() {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    let handler: extern "C" fn(libc::c_int) = on_question;
    // SAFETY: an all-zero sigaction is a valid value of that plain C struct.
    let new = unsafe { action.assume_init_mut() };
    new.sa_sigaction = handler as libc::sighandler_t;
    new.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
    // SAFETY: the pointer is valid for the call, and the handler is async-signal-safe (see there).
    unsafe { libc::sigaction(libc::SIGURG, action.as_ptr(), std::ptr::null_mut()) };
}

/// Async-signal-safe: atomics, and thread-locals without lazy initialisers; `with_name` allocates nothing.
extern "C" fn on_question(_signal: libc::c_int) {
    if STATE.load(Ordering::Acquire) != ASKED {
        return;
    }
    current::with_name(|name| {
        let size = name.len().min(NAME_MAX);
        for (place, byte) in NAME.iter().zip(name.bytes().take(size)) {
            place.store(byte, Ordering::Relaxed);
        }
        NAME_SIZE.store(size, Ordering::Relaxed);
    });
    // Another thread cannot have answered: the signal went to this one alone.
    STATE.store(ANSWERED, Ordering::Release);
}
