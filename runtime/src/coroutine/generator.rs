//! Generators: functions that give values one by one and stop in between, on a stack of their own.
//!
//! Explicit control flow beside the scheduler's: the resumer decides when the body runs. It suspends from any depth of
//! calls, since it has a stack and not a compiled state. A wait inside the body (a sleep, a socket) parks the
//! surrounding coroutine, as if the resumer had called it; other coroutines run meanwhile. Generators without waits work
//! outside of a runtime too.

use std::fmt;
use std::panic::resume_unwind;

use corosensei::CoroutineResult;

use super::nest::{Exit, Nested};

/// A body that takes an `I` and gives a `Y` each time it suspends, and an `R` when it ends.
///
/// ```
/// use leveret_runtime::{Generator, GeneratorState};
///
/// let mut running_sum = Generator::new(|yielder, first: u32| {
///     let mut sum = first;
///     while sum < 10 {
///         sum += yielder.suspend(sum);
///     }
///     "enough"
/// });
/// assert_eq!(running_sum.resume(4), GeneratorState::Yielded(4));
/// assert_eq!(running_sum.resume(5), GeneratorState::Yielded(9));
/// assert_eq!(running_sum.resume(6), GeneratorState::Complete("enough"));
/// ```
///
/// One without inputs is an iterator:
///
/// ```
/// use leveret_runtime::Generator;
///
/// let squares = Generator::new(|yielder, ()| (1..=3).for_each(|n| yielder.suspend(n * n)));
/// assert_eq!(squares.collect::<Vec<u32>>(), [1, 4, 9]);
/// ```
///
/// Dropped before its end, the body unwinds: its destructors run, as if `suspend` had panicked. Code that catches panics
/// in the body must pass on payloads it does not know; one that goes on suspending all the same is unwound again, and
/// after a hundred times the process aborts.
///
/// A `timeout` block around `suspend` counts while the body is suspended, but strikes only when a wait inside the body
/// finds it over; never the resumer.
pub struct Generator<I: 'static, Y: 'static, R: 'static> {
    /// `None` after the end: the stack goes back to its pool at once.
    nested: Option<Nested<I, Y, R>>,
}

/// What [`Generator::resume`] gives.
///
/// ```
/// use leveret_runtime::{Generator, GeneratorState};
/// let mut parser = Generator::new(|yielder, first: char| {
///     let mut word = String::from(first);
///     loop {
///         match yielder.suspend(()) { ' ' => return word, letter => word.push(letter) }
///     }
/// });
/// let word = "ack nack".chars().find_map(|letter| match parser.resume(letter) {
///     GeneratorState::Yielded(()) => None,
///     GeneratorState::Complete(word) => Some(word),
/// });
/// assert_eq!(word.as_deref(), Some("ack"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GeneratorState<Y, R> {
    /// The body suspended with this value.
    Yielded(Y),
    /// The body returned this.
    Complete(R),
}

/// Suspends the body that it was given to.
///
/// ```
/// use leveret_runtime::{Generator, Yielder};
/// fn walk(yielder: &Yielder<(), u32>, depth: u32) {
///     if depth > 0 {
///         walk(yielder, depth - 1);
///         yielder.suspend(depth); // from any depth of calls
///         walk(yielder, depth - 1);
///     }
/// }
/// let tree = Generator::new(|yielder, ()| walk(yielder, 3));
/// assert_eq!(tree.collect::<Vec<_>>(), [1, 2, 1, 3, 1, 2, 1]);
/// ```
pub struct Yielder<'a, I, Y> {
    exit: Exit<'a, I, Y>,
}

impl<I, Y> Yielder<'_, I, Y> {
    /// Gives `value` to whoever resumed the generator; returns the next input.
    ///
    /// ```
    /// use leveret_runtime::{Generator, GeneratorState};
    /// let mut longest = Generator::new(|yielder, first: &str| {
    ///     let mut most = first.len();
    ///     while most < 4 {
    ///         most = most.max(yielder.suspend(most).len()); // `suspend` gives what `resume` is called with next
    ///     }
    /// });
    /// assert_eq!(longest.resume("ack"), GeneratorState::Yielded(3));
    /// assert_eq!(longest.resume("nack"), GeneratorState::Complete(()));
    /// ```
    ///
    /// # Panics
    /// In a destructor while the stack unwinds; when called anywhere but in the generator's own body (a generator
    /// further in, a scoped coroutine).
    pub fn suspend(&self, value: Y) -> I {
        self.exit.suspend(value)
    }
}

impl<I: 'static, Y: 'static, R: 'static> Generator<I, Y, R> {
    /// A generator that runs `body` with the first input when it is first resumed.
    ///
    /// # Panics
    /// When the kernel gives no memory for a stack.
    pub fn new(body: impl FnOnce(&Yielder<'_, I, Y>, I) -> R + 'static) -> Generator<I, Y, R> {
        Generator::start(None, body)
    }

    /// As [`Generator::new`], with so many usable bytes of stack instead of the default (rounded up to pages).
    ///
    /// ```
    /// use leveret_runtime::{Generator, GeneratorState};
    /// let mut small = Generator::with_stack_size(16 * 1024, |yielder, n: u32| yielder.suspend(n + 1));
    /// assert_eq!(small.resume(1), GeneratorState::Yielded(2));
    /// assert_eq!(small.resume(7), GeneratorState::Complete(7));
    /// ```
    ///
    /// # Panics
    /// As [`Generator::new`].
    pub fn with_stack_size(
        bytes: usize,
        body: impl FnOnce(&Yielder<'_, I, Y>, I) -> R + 'static,
    ) -> Generator<I, Y, R> {
        Generator::start(Some(bytes), body)
    }

    fn start(size: Option<usize>, body: impl FnOnce(&Yielder<'_, I, Y>, I) -> R + 'static) -> Generator<I, Y, R> {
        Generator { nested: Some(Nested::new(size, move |exit, input| body(&Yielder { exit }, input))) }
    }

    /// Runs the body until it suspends or ends.
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::{Generator, sleep, timeout};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let mut slow: Generator<(), u32, ()> = Generator::new(|_, ()| sleep(Duration::from_secs(60)));
    /// let ended = timeout(Duration::from_secs(1), || slow.resume(()));
    /// assert!(ended.is_err()); // it unwound the body on its way to the timeout
    /// assert!(slow.is_complete());
    /// # }).unwrap();
    /// ```
    ///
    /// # Panics
    /// With the panic of the body, after which the generator has ended; and when it has ended before. A kill or an
    /// expired `timeout` that reaches a wait inside the body unwinds through here.
    pub fn resume(&mut self, input: I) -> GeneratorState<Y, R> {
        let nested = self.nested.as_mut().expect("a generator is not resumed after its end");
        match nested.resume(input) {
            CoroutineResult::Yield(value) => GeneratorState::Yielded(value),
            CoroutineResult::Return(ended) => {
                self.nested = None;
                match ended {
                    Ok(value) => GeneratorState::Complete(value),
                    Err(payload) => resume_unwind(payload),
                }
            }
        }
    }

    /// Whether the body has ended, by returning or by a panic.
    pub fn is_complete(&self) -> bool {
        self.nested.is_none()
    }
}

/// The values of a generator without inputs.
impl<Y: 'static> Iterator for Generator<(), Y, ()> {
    type Item = Y;

    fn next(&mut self) -> Option<Y> {
        if self.is_complete() {
            return None;
        }
        match self.resume(()) {
            GeneratorState::Yielded(value) => Some(value),
            GeneratorState::Complete(()) => None,
        }
    }
}

impl<Y: 'static> std::iter::FusedIterator for Generator<(), Y, ()> {}

impl<I: 'static, Y: 'static, R: 'static> fmt::Debug for Generator<I, Y, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generator").field("complete", &self.is_complete()).finish()
    }
}

#[cfg(test)]
mod tests;
