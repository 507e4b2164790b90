//! The `select!` macro: a [`Select`](super::Select) with one arm a branch.
//!
//! The arms are first read into a list, each with a name of its own for its number (hygiene makes the repeated `branch`
//! another name in every step), then unfolded into a chain of comparisons.

/// Waits for whichever of several things comes first, does it, and runs its arm.
///
/// | arm | goes on when | the pattern gets |
/// |---|---|---|
/// | `recv(receiver) -> pattern =>` | a value is there, or every sender is gone | `Result<T, RecvError>` |
/// | `send(sender, value) -> pattern =>` | there is room, or every receiver is gone; `value` is evaluated only then | `Result<(), SendError<T>>` |
/// | `pop(queue) -> pattern =>` | a value is in the queue | the value |
/// | `join(handle) -> pattern =>` | the coroutine has ended | `Result<T, JoinError>` |
/// | `event(event) =>` | the event is set | |
/// | `result(result) -> pattern =>` | the result has come | `&T` |
/// | `readable(socket) =>` | a read (or an accept) would not wait | |
/// | `writable(socket) =>` | a write would not wait | |
/// | `peer_closed(socket) =>` | the peer is gone, whether or not bytes wait to be read | |
/// | `after(duration) =>` | the time has passed | |
/// | `at(instant) =>` | the moment has come | |
/// | `default =>` | nothing else can go on: then the macro does not wait at all | |
///
/// `receiver`, `sender`, `handle` and the like are places (a variable, a field), looked at before the wait and used after it;
/// `join` takes its handle. Where several arms can go on, one of them is chosen at random. All arms have the type of the
/// whole.
///
/// ```
/// use std::time::Duration;
/// use leveret_runtime::{select, sync::channel};
/// # leveret_runtime::run(|| {
/// let (orders, incoming) = channel::bounded(1);
/// let (outgoing, _answers) = channel::bounded(1);
/// orders.send(7).unwrap();
/// outgoing.send(0).unwrap(); // full
/// let done = select! {
///     recv(incoming) -> order => order.unwrap(),
///     send(outgoing, 8) -> sent => { sent.unwrap(); 8 }
///     after(Duration::from_secs(5)) => 0,
/// };
/// assert_eq!(done, 7);
/// let nothing = select! {
///     recv(incoming) -> _order => false,
///     default => true,
/// };
/// assert!(nothing);
/// # }).unwrap();
/// ```
///
/// What a branch that was not chosen waits for is not touched: nothing is received, sent or joined but what the chosen arm
/// says. So a loop over a `select!` loses nothing, and a limit for the whole loop is an `at`:
///
/// ```
/// use std::time::Duration;
/// use leveret_runtime::{select, spawn, sleep, sync::{OnceResult, channel}, time};
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// let (ticks, ticking) = channel::bounded(0);
/// let _ = spawn(move || while ticks.send(()).is_ok() { sleep(Duration::from_secs(1)) });
/// let (answer, end) = (OnceResult::<u32>::new(), time::now() + Duration::from_millis(4500));
/// let mut heard = 0;
/// loop {
///     select! {
///         recv(ticking) -> _tick => heard += 1,
///         result(answer) -> _number => unreachable!("nobody gives it"),
///         at(end) => break,
///     }
/// }
/// assert_eq!(heard, 5);
/// # }).unwrap();
/// ```
///
/// # Panics
/// As [`Select`](crate::sync::Select).
#[macro_export]
macro_rules! select {
    ($($arms:tt)+) => {
        $crate::__select!(@read [] [] $($arms)+)
    };
}

/// The workings of [`select!`](crate::select!).
#[doc(hidden)]
#[macro_export]
macro_rules! __select {
    // Reads one arm after the other: [arms so far] [default's body] rest.
    (@read [$($arms:tt)*] [] default => $body:block $(,)?) => {
        $crate::__select!(@run [$($arms)*] [$body])
    };
    (@read [$($arms:tt)*] [] default => $body:expr $(,)?) => {
        $crate::__select!(@run [$($arms)*] [$body])
    };
    (@read [$($arms:tt)*] [] $kind:ident ( $($args:tt)* ) $(-> $pattern:pat)? => $body:block , $($rest:tt)*) => {
        $crate::__select!(@read [$($arms)* (branch, $kind, ($($args)*), ($($pattern)?), $body)] [] $($rest)*)
    };
    (@read [$($arms:tt)*] [] $kind:ident ( $($args:tt)* ) $(-> $pattern:pat)? => $body:block $($rest:tt)*) => {
        $crate::__select!(@read [$($arms)* (branch, $kind, ($($args)*), ($($pattern)?), $body)] [] $($rest)*)
    };
    (@read [$($arms:tt)*] [] $kind:ident ( $($args:tt)* ) $(-> $pattern:pat)? => $body:expr , $($rest:tt)*) => {
        $crate::__select!(@read [$($arms)* (branch, $kind, ($($args)*), ($($pattern)?), $body)] [] $($rest)*)
    };
    (@read [$($arms:tt)*] [] $kind:ident ( $($args:tt)* ) $(-> $pattern:pat)? => $body:expr) => {
        $crate::__select!(@run [$($arms)* (branch, $kind, ($($args)*), ($($pattern)?), $body)] [])
    };
    (@read [$($arms:tt)*] []) => {
        $crate::__select!(@run [$($arms)*] [])
    };

    // All arms are read.
    (@run [$(($branch:ident, $kind:ident, $args:tt, $pattern:tt, $body:expr))*] $default:tt) => {{
        let mut select = $crate::sync::Select::new();
        $(let $branch = $crate::__select!(@add select $kind $args);)*
        let chosen = $crate::__select!(@wait select $default);
        $crate::__select!(@choose select chosen $default $(($branch, $kind, $args, $pattern, $body))*)
    }};

    (@add $select:ident recv ($receiver:expr)) => { $select.recv(&$receiver) };
    (@add $select:ident send ($sender:expr, $value:expr)) => { $select.send(&$sender) };
    (@add $select:ident pop ($queue:expr)) => { $select.pop(&$queue) };
    (@add $select:ident join ($handle:expr)) => { $select.join(&$handle) };
    (@add $select:ident event ($event:expr)) => { $select.event(&$event) };
    (@add $select:ident result ($result:expr)) => { $select.result(&$result) };
    (@add $select:ident readable ($socket:expr)) => { $select.readable(&$socket) };
    (@add $select:ident writable ($socket:expr)) => { $select.writable(&$socket) };
    (@add $select:ident peer_closed ($socket:expr)) => { $select.peer_closed(&$socket) };
    (@add $select:ident after ($limit:expr)) => { $select.timeout($limit) };
    (@add $select:ident at ($deadline:expr)) => { $select.deadline($deadline) };

    (@wait $select:ident []) => { ::core::option::Option::Some($select.wait()) };
    (@wait $select:ident [$default:expr]) => { $select.try_wait() };

    (@choose $select:ident $chosen:ident [] ) => { ::core::unreachable!("a select chooses one of its branches") };
    (@choose $select:ident $chosen:ident [$default:expr]) => {{
        ::core::mem::drop($select);
        $default
    }};
    (@choose $select:ident $chosen:ident $default:tt
        ($branch:ident, $kind:ident, $args:tt, $pattern:tt, $body:expr) $($rest:tt)*) => {
        if $chosen == ::core::option::Option::Some($branch) {
            $crate::__select!(@do $select $kind $args $pattern $body)
        } else {
            $crate::__select!(@choose $select $chosen $default $($rest)*)
        }
    };

    // The call comes before the select is dropped, which passes on what was not taken; only `join` needs its handle whole.
    (@do $select:ident recv ($receiver:expr) ($pattern:pat) $body:expr) => {{
        let received = $receiver.recv();
        ::core::mem::drop($select);
        let $pattern = received;
        $body
    }};
    (@do $select:ident send ($sender:expr, $value:expr) ($pattern:pat) $body:expr) => {{
        let sent = $sender.send($value);
        ::core::mem::drop($select);
        let $pattern = sent;
        $body
    }};
    (@do $select:ident pop ($queue:expr) ($pattern:pat) $body:expr) => {{
        let popped = $queue.pop();
        ::core::mem::drop($select);
        let $pattern = popped;
        $body
    }};
    (@do $select:ident join ($handle:expr) ($pattern:pat) $body:expr) => {{
        ::core::mem::drop($select);
        let $pattern = $handle.join();
        $body
    }};
    (@do $select:ident result ($result:expr) ($pattern:pat) $body:expr) => {{
        ::core::mem::drop($select);
        let $pattern = $result.wait();
        $body
    }};
    (@do $select:ident $kind:ident $args:tt () $body:expr) => {{
        ::core::mem::drop($select);
        $body
    }};
}
