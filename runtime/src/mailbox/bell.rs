//! The bell of a letter box: has a sleeping reader woken, once, and a busy one never.
//!
//! ```text
//!   sender:  puts a letter; rung = true;  was it asleep? then wake it
//!   reader:  rung? then rung = false and takes all letters;  asleep = true;  rung? then it is not asleep; else sleeps
//! ```
//!
//! Each side writes its own mark before it looks at the other's, so at least one of them sees that the other was there:
//! either the reader sees the mark and stays awake, or the sender sees it asleep and wakes it. Both must agree on the order of
//! these four steps, hence `SeqCst`. The kind of flag is a parameter so that a test can run every order of steps.

use std::sync::atomic::{AtomicBool, Ordering};

/// An atomic boolean.
pub(crate) trait Flag {
    fn load(&self, order: Ordering) -> bool;
    fn store(&self, value: bool, order: Ordering);
    fn swap(&self, value: bool, order: Ordering) -> bool;
}

impl Flag for AtomicBool {
    #[inline]
    fn load(&self, order: Ordering) -> bool {
        self.load(order)
    }

    #[inline]
    fn store(&self, value: bool, order: Ordering) {
        self.store(value, order);
    }

    #[inline]
    fn swap(&self, value: bool, order: Ordering) -> bool {
        self.swap(value, order)
    }
}

/// Many ring it, one listens.
#[derive(Debug, Default)]
pub(crate) struct Bell<F = AtomicBool> {
    /// There may be something to look at.
    rung: F,
    asleep: F,
}

impl<F: Flag> Bell<F> {
    /// Something is there to look at. Answers whether the reader sleeps: then the caller has to wake it.
    #[inline]
    #[must_use = "a reader that sleeps is to be woken by whoever rang"]
    pub(crate) fn ring(&self) -> bool {
        self.rung.store(true, Ordering::SeqCst);
        self.asleep.swap(false, Ordering::SeqCst)
    }

    /// Whether it rang since this was last asked. The reader asks before it looks.
    #[inline]
    pub(crate) fn heard(&self) -> bool {
        // A look costs less than a swap; what it misses is found before the reader sleeps.
        self.rung.load(Ordering::Relaxed) && self.rung.swap(false, Ordering::SeqCst)
    }

    /// Whether it rang and that was not heard yet.
    #[inline]
    pub(crate) fn has_rung(&self) -> bool {
        self.rung.load(Ordering::SeqCst)
    }

    /// The reader itself sets whether there is still something to look at. (In a simulation, where nobody else runs.)
    pub(crate) fn set(&self, rung: bool) {
        self.rung.store(rung, Ordering::SeqCst);
    }

    /// The reader is about to sleep. False if the bell rang meanwhile: then it must not.
    #[inline]
    pub(crate) fn fall_asleep(&self) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        if self.rung.load(Ordering::SeqCst) {
            self.asleep.store(false, Ordering::SeqCst);
            return false;
        }
        true
    }

    /// The reader runs again.
    #[inline]
    pub(crate) fn awake(&self) {
        self.asleep.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    //! Every order of steps that shuttle can think of, with two senders: a reader that sleeps for ever while letters wait is a
    //! deadlock, which shuttle reports. Wrong bells, which it must find, show that it looks.

    use shuttle::sync::{Arc, Condvar, Mutex};

    use super::*;

    const SENDERS: usize = 2;
    const LETTERS: usize = 2;
    const SCHEDULES: usize = 2_000;

    impl Flag for shuttle::sync::atomic::AtomicBool {
        fn load(&self, order: Ordering) -> bool {
            self.load(order)
        }

        fn store(&self, value: bool, order: Ordering) {
            self.store(value, order);
        }

        fn swap(&self, value: bool, order: Ordering) -> bool {
            self.swap(value, order)
        }
    }

    type TestBell = Bell<shuttle::sync::atomic::AtomicBool>;

    /// The steps that a wrong bell gets wrong.
    #[derive(Clone, Copy, PartialEq)]
    enum Kind {
        Right,
        /// Goes to sleep without looking again.
        SleepsAtOnce,
        /// Looks whether the reader sleeps before it marks the bell.
        LooksFirst,
        /// Takes the letters before it takes the mark.
        TakesFirst,
    }

    /// What mio's waker does: a wake-up counts even if it comes before the wait.
    #[derive(Default)]
    struct Waker {
        woken: Mutex<bool>,
        changed: Condvar,
    }

    impl Waker {
        fn wake(&self) {
            *self.woken.lock().unwrap() = true;
            self.changed.notify_one();
        }

        fn wait(&self) {
            let mut woken = self.woken.lock().unwrap();
            while !*woken {
                woken = self.changed.wait(woken).unwrap();
            }
            *woken = false;
        }
    }

    #[derive(Default)]
    struct Inbox {
        letters: Mutex<Vec<usize>>,
        bell: TestBell,
        waker: Waker,
    }

    impl Inbox {
        fn post(&self, kind: Kind, letter: usize) {
            self.letters.lock().unwrap().push(letter);
            let sleeps = match kind {
                Kind::LooksFirst => {
                    let sleeps = self.bell.asleep.swap(false, Ordering::SeqCst);
                    self.bell.rung.store(true, Ordering::SeqCst);
                    sleeps
                }
                _ => self.bell.ring(),
            };
            if sleeps {
                self.waker.wake();
            }
        }

        fn take(&self, kind: Kind) -> Vec<usize> {
            match kind {
                Kind::TakesFirst => {
                    let taken = std::mem::take(&mut *self.letters.lock().unwrap());
                    self.bell.heard();
                    taken
                }
                _ if self.bell.heard() => std::mem::take(&mut *self.letters.lock().unwrap()),
                _ => Vec::new(),
            }
        }

        fn sleep(&self, kind: Kind) {
            let sleeps = match kind {
                Kind::SleepsAtOnce => {
                    self.bell.asleep.store(true, Ordering::SeqCst);
                    true
                }
                _ => self.bell.fall_asleep(),
            };
            if sleeps {
                self.waker.wait();
                self.bell.awake();
            }
        }
    }

    /// Every letter arrives, each sender's in order.
    fn all_arrive(kind: Kind) {
        let inbox = Arc::new(Inbox::default());
        let sender = |sender: usize| {
            let inbox = inbox.clone();
            shuttle::thread::spawn(move || (0..LETTERS).for_each(|n| inbox.post(kind, sender * LETTERS + n)))
        };
        let senders: Vec<_> = (0..SENDERS).map(sender).collect();
        let mut taken = Vec::new();
        while taken.len() < SENDERS * LETTERS {
            match inbox.take(kind) {
                letters if letters.is_empty() => inbox.sleep(kind),
                letters => taken.extend(letters),
            }
        }
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        for sender in 0..SENDERS {
            let own: Vec<_> = taken.iter().filter(|&&letter| letter / LETTERS == sender).collect();
            assert!(own.is_sorted(), "{taken:?}");
        }
    }

    #[test]
    fn no_order_of_steps_loses_a_wake_up() {
        shuttle::check_random(|| all_arrive(Kind::Right), SCHEDULES);
        shuttle::check_pct(|| all_arrive(Kind::Right), SCHEDULES, 3);
    }

    /// Whether shuttle finds that a bell is wrong.
    fn is_found(kind: Kind) -> bool {
        let found = std::panic::catch_unwind(|| {
            shuttle::check_random(move || all_arrive(kind), SCHEDULES);
            shuttle::check_pct(move || all_arrive(kind), SCHEDULES, 3);
        });
        found.is_err()
    }

    #[test]
    fn wrong_bells_are_found() {
        assert!(is_found(Kind::SleepsAtOnce));
        assert!(is_found(Kind::LooksFirst));
        assert!(is_found(Kind::TakesFirst));
    }
}
