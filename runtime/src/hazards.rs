//! What is dangerous about stackful coroutines on an edge-triggered reactor, and what this runtime does about each.
//!
//! This page is for those who decide whether to trust it, and for those who change it. Tests are named with their file:
//! `hazards` is `tests/hazards.rs`, and so on; names with `::` are beside the code.
//!
//! # Coroutines
//!
//! | # | hazard | what we do | shown by |
//! |---|---|---|---|
//! | 1 | A compiler may keep the address of a thread-local across a switch, so a coroutine that continues on another thread is undefined behaviour | a started coroutine never leaves its thread, and no call exists that would move one; only closures that have not begun go to other shards | hazards `a_coroutine_stays_on_its_thread` |
//! | 2 | The *state* in thread-locals is shared by all coroutines of a shard: a `RefCell` borrowed across a wait is borrowed for all, a re-entrant lock such as `stdout().lock()` excludes nobody, a thread's random numbers and tracing spans mix | finish with such a thing before you wait; format a line first and write it in one call; keep what belongs to a coroutine in its variables, or in a [`coroutine_local!`](crate::coroutine_local!) | hazards `a_thread_local_borrowed_across_a_wait_is_borrowed_for_all` |
//! | 3 | A suspended frame may hold a reference into a thread-local that is gone when the thread ends | a shard ends only after every coroutine on it has returned or unwound, within its own function; if one goes on after its kill, the process aborts with its name. (A [`Generator`](crate::Generator) or [`Greenlet`](crate::Greenlet) has no such keeper: do not put one into a thread-local, or forget one, that is suspended inside `LocalKey::with`) | hazards `every_coroutine_has_unwound_before_its_thread_ends` |
//! | 4 | Coroutines that borrow: a handle that is forgotten must not let the borrowed value go | [`spawn`](crate::spawn) takes `'static` only; [`scope`](crate::scope) is a closure, as `std::thread::scope`, and the runtime owns the children; where a scope cannot wait for them the process aborts | hazards `a_forgotten_scoped_handle_does_not_let_the_scope_go`, `a_scope_that_cannot_wait_for_its_children_aborts`, core `a_timed_out_scope_kills_its_children_first` |
//! | 5 | Freeing or using the stack of a suspended coroutine again | a stack goes back to its pool only after its function returned or unwound; that of a forgotten generator stays allocated | hazards `the_stack_of_a_forgotten_generator_is_never_used_again`, `coroutine::stack` tests |
//! | 6 | A panic would unwind into the scheduler | it is caught at the root of the coroutine; [`join`](crate::JoinHandle::join) gives it, or if nobody can, it is logged once with the coroutine's name | core `a_panic_comes_back_through_join_and_harms_nobody_else`, hazards `a_panic_ends_its_coroutine_alone_even_while_others_wait` |
//! | 7 | A destructor that waits while its stack unwinds: `std::thread::panicking()` would be true for every other coroutine of the thread | nothing waits while it unwinds: calls that return errors fail with [`Unwinding`](crate::Unwinding), the others panic (which in a destructor ends the process), `yield_now` does nothing; only a `scope` waits for its children, after it has caught the panic | hazards `nobody_else_runs_while_a_stack_unwinds`, core `a_blocking_call_while_unwinding_fails_at_once` |
//! | 8 | A kill is an unwinding, which a `catch_unwind` in user code may swallow; and with `panic = "abort"` nothing unwinds | it is thrown again at the next wait, and so is the end of a `timeout`; after a hundred times the process aborts with the coroutine's name. Pass on payloads that you do not know, and do not build with `panic = "abort"` | hazards `a_kill_that_is_caught_is_thrown_again`, `a_kill_that_is_caught_for_ever_aborts_with_the_coroutines_name`, `the_end_of_a_timeout_that_is_caught_for_ever_aborts_too`, `a_generator_that_catches_its_end_for_ever_aborts` |
//! | 9 | Unwinding through `extern "C"` frames aborts | do not wait inside a callback from C (a comparison function, a database's hook): hand the work to a coroutine through a channel, or make the whole C call on [`offload`](crate::offload) | this sentence |
//! | 10 | A stack overflow hits the guard, and std's handler knows only threads | sixteen guard pages below each stack; a handler on the alternate stack names the coroutine and the size of its stack, and aborts: frames that were not unwound are never abandoned. Other faults go on to the handler that was there before | hazards `an_overflow_names_the_coroutine_and_aborts`, `an_overflow_in_a_generator_names_the_coroutine_around_it` |
//! | 11 | A panic with its backtrace needs about 20 KiB of stack | the default stack ([`STACK_SIZE_DEFAULT`](crate::STACK_SIZE_DEFAULT)) has room for it on top of ordinary calls; deep recursion gets a stack of its size from [`Builder::stack_size`](crate::Builder::stack_size), or for one call from [`on_big_stack`](crate::on_big_stack) | hazards `a_panic_with_its_backtrace_fits_the_default_stack`, `deep_recursion_fits_a_stack_of_its_size` |
//! | 12 | No trait can see what is on a stack, so stealing started coroutines could not be made safe by `Send` bounds | see 1; [`spawn`](crate::spawn) needs no `Send`, [`spawn_on`](crate::spawn_on) wants the closure and its value `Send`, handles, channels and sockets are not `Send` | the examples below |
//! | 13 | `std::sync::Mutex` held across a wait: the next locker blocks the thread, and with it the holder, for ever | use [`sync::Mutex`](crate::sync::Mutex) and its like for what is held across waits (and mostly nothing at all: between two waits nobody else runs); a [watchdog](crate::RuntimeBuilder::watchdog) names the coroutine that blocks its shard | `sync::mutex` tests, watchdog `a_blocked_shard_is_reported_by_the_name_of_its_coroutine_while_others_go_on` |
//! | 14 | Files, DNS, child processes and other blocking calls stop the whole shard | [`fs`](crate::fs), [`net::resolve`](crate::net::resolve), [`process`](crate::process) and [`offload`](crate::offload) park the caller while a bounded pool of threads does the work; the watchdog reports what was overlooked | core `offloaded_work_leaves_the_shard_free`, fs `others_run_while_a_file_is_waited_for_and_a_kill_leaves_it_usable` |
//! | | Many stacks: with `mprotect` guards the kernel's limit of mappings is reached at 32,747, and then `malloc` fails too | lightweight guards (Linux 6.13) cost no mapping; an older kernel gets an error before its limit | hazards `a_hundred_thousand_parked_coroutines_fit_a_default_kernel` |
//! | | A runtime inside of a runtime's coroutine: what it wakes would run on the wrong shard, and the outer shard stands still | it is refused; on a thread of its own it works | edges `a_runtime_inside_of_another_is_refused_and_on_another_thread_it_works` |
//! | | A hook or a posted call panics in the loop itself | every coroutine of every shard unwinds, then the run panics | edges `a_panicking_hook_ends_the_runtime_and_every_coroutine_unwinds_first` |
//!
//! # Descriptors
//!
//! | hazard | what we do | shown by |
//! |---|---|---|
//! | An edge that was not consumed is gone | readiness is kept for each socket and direction; only "would block" or a short transfer clears it | net `bytes_go_through_in_order_and_end` |
//! | That a call is worth a try does not mean that it would not block: so stands a fresh socket, and one that gave all that was asked for | `wait_readable`, `wait_writable` and selects ask the kernel once more | parity `waiting_until_it_is_readable_does_not_end_before_it_is` |
//! | A short read does not mean "drained" once the peer has closed: bytes and the end may come in one event | after a close was seen, reads are never taken for drained | hazards `bytes_and_the_end_in_one_event_are_both_read` |
//! | The end of the peer's sending is not the end of the connection | after reading the end, writing goes on | net `bytes_go_through_in_order_and_end` |
//! | An event of a batch may name a slot that was freed and used again meanwhile | tokens carry a generation; a stale event does nothing | `readiness` tests |
//! | A duplicate of a closed descriptor keeps its events coming | deregistration comes before close | hazards `a_closed_socket_with_a_living_duplicate_tells_nothing_to_its_successor` |
//! | Closing a socket that somebody waits on | a waiter borrows the socket, so it cannot be dropped; `shutdown` ends the wait | hazards `a_shutdown_wakes_whoever_waits_on_the_socket` |
//! | Out of descriptors, an edge-triggered accept hangs and a retrying one starves all others | [`StreamServer`](crate::net::StreamServer) pauses, and goes on when the process closes a descriptor | server `at_the_descriptor_limit_it_idles_and_recovers` |
//! | A peer that keeps its socket full is never waited for, and starves the others | a budget of calls and bytes, after which the others run ([`RuntimeBuilder::budget`](crate::RuntimeBuilder::budget)) | this sentence |
//! | A child after `fork` shares the shards' epoll instances, and what it does to them strikes the parent | do not call `fork` yourself: there is no way to go on in the child. Programs are started by [`process::Command`](crate::process::Command) (or std's), which replaces the child at once; all descriptors are closed by that | process tests |
//! | SIGPIPE, in a host that has not switched it off | every send says `MSG_NOSIGNAL` | net `a_peer_that_goes_away_is_an_error_and_no_signal` |
//! | Signals interrupt system calls | an interrupted wait counts as no event, an interrupted call is made again | signal tests |
//! | Milliseconds: rounding a time-out down spins | limits are rounded up | core `sleep_never_ends_early_on_the_real_clock` |
//! | Two coroutines waiting for the same direction of a socket steal each other's wake-ups | the second gets an error | core `a_second_reader_of_one_socket_gets_an_error` |
//!
//! # What does not compile
//!
//! Borrowing from the spawner without a scope:
//!
//! ```compile_fail,E0373
//! leveret_runtime::run(|| {
//!     let words = vec!["ack"];
//!     let _ = leveret_runtime::spawn(|| words.len());
//! }).unwrap();
//! ```
//!
//! Taking what belongs to a shard to another one:
//!
//! ```compile_fail,E0277
//! leveret_runtime::run(|| {
//!     let shared = std::rc::Rc::new(1);
//!     let shard = leveret_runtime::shard_id();
//!     let _ = leveret_runtime::spawn_on(shard, move || *shared);
//! }).unwrap();
//! ```
//!
//! ```compile_fail,E0277
//! fn send<T: Send>(_: T) {}
//! leveret_runtime::run(|| send(leveret_runtime::spawn(|| 1))).unwrap();
//! ```
//!
//! ```compile_fail,E0277
//! fn send<T: Send>(_: T) {}
//! send(leveret_runtime::sync::channel::unbounded::<u8>().0);
//! ```
