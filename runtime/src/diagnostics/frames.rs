//! Backtraces cut down to what their reader asked for: the frames between a coroutine's first function and its wait.
//!
//! std prints a backtrace but gives no access to its frames, so this reads the printed form. Where that is not as expected
//! the frames come through as they are: a backtrace too long is better than none. Of inlined functions std knows only the
//! last part of the name, so the place decides too.

/// Functions of the machinery below every wait, and of the standard library's between a coroutine's root and its body.
const MACHINERY: [&str; 9] = [
    "__rust_try",
    "corosensei::",
    "leveret_runtime::coroutine::current::",
    "leveret_runtime::coroutine::inspect::",
    "leveret_runtime::coroutine::nest::",
    "leveret_runtime::coroutine::park::",
    "stack_call_trampoline",
    "stack_init_trampoline",
    "std::backtrace",
];

/// Where such functions are: the standard library, the switch of stacks, our own.
const MACHINERY_PLACES: [&str; 6] = [
    "/corosensei-",
    "/rustc/",
    "src/coroutine/current.rs:",
    "src/coroutine/inspect.rs:",
    "src/coroutine/nest.rs:",
    "src/coroutine/park.rs:",
];

/// The function at the root of every coroutine, and where it is. What follows is whoever resumed it.
const ROOT: &str = "leveret_runtime::coroutine::begin";
const ROOT_PLACE: &str = "src/coroutine/mod.rs:";

/// One frame: `function` at `place`, which is empty where it is not known.
#[derive(Default)]
struct Frame<'a> {
    function: &'a str,
    place: &'a str,
}

impl Frame<'_> {
    fn is_root(&self) -> bool {
        self.function.starts_with(ROOT) || (self.place.contains(ROOT_PLACE) && self.function.starts_with("begin"))
    }

    fn is_machinery(&self) -> bool {
        MACHINERY.iter().any(|name| self.function.trim_start_matches('<').starts_with(name))
            || MACHINERY_PLACES.iter().any(|place| self.place.contains(place))
    }

    fn print(&self) -> String {
        match self.place {
            "" => without_parameters(self.function).to_owned(),
            place => format!("{} at {place}", without_parameters(self.function)),
        }
    }
}

/// The frames that matter of a backtrace as std prints it, innermost first: function and, if it is known, place.
pub(super) fn readable_frames(printed: &str) -> Vec<String> {
    let own = frames(printed).into_iter().take_while(|frame| !frame.is_root());
    own.filter(|frame| !frame.is_machinery()).map(|frame| frame.print()).collect()
}

fn frames(printed: &str) -> Vec<Frame<'_>> {
    let mut frames: Vec<Frame<'_>> = Vec::new();
    for line in printed.lines().map(str::trim) {
        match (line.strip_prefix("at "), frames.last_mut()) {
            (Some(place), Some(frame)) => frame.place = place.strip_prefix("./").unwrap_or(place),
            _ => frames.push(Frame { function: function_of(line), place: "" }),
        }
    }
    frames
}

/// `f<A, B>` without what it was made for, which is often longer than the line.
fn without_parameters(function: &str) -> &str {
    match function.split_once('<') {
        Some((name, rest)) if !name.is_empty() && rest.ends_with('>') => name,
        _ => function,
    }
}

/// `"  12: some::function"` without its number.
fn function_of(line: &str) -> &str {
    match line.split_once(": ") {
        Some((number, function)) if number.bytes().all(|byte| byte.is_ascii_digit()) => function,
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_coroutines_own_frames_are_left() {
        let check = |printed: &[&str], expected: &[&str]| assert_eq!(readable_frames(&printed.join("\n")), expected);
        check(&[], &[]);
        check(
            &[
                "   0: leveret_runtime::coroutine::inspect::answer",
                "   1: suspend",
                "             at ./src/coroutine/park.rs:196:17",
                "   2: yield_now",
                "             at ./src/coroutine/mod.rs:196:17",
                "   3: leveret_runtime::time::sleep",
                "             at ./src/time/mod.rs:60:9",
                "   4: app::main::{{closure}}",
                "   5: catch_unwind<(), app::main::{closure_env#0}>",
                "             at /rustc/5980761/library/std/src/panicking.rs:544:19",
                "   6: begin<(), app::main::{closure_env#0}>",
                "             at ./src/coroutine/mod.rs:140:34",
                "   7: app::whoever_resumed_it",
            ],
            &[
                "yield_now at src/coroutine/mod.rs:196:17",
                "leveret_runtime::time::sleep at src/time/mod.rs:60:9",
                "app::main::{{closure}}",
            ],
        );
        check(&["   3: app::f", "   4: leveret_runtime::coroutine::begin", "   5: app::g"], &["app::f"]);
        check(&["   0: app::f", "something else"], &["app::f", "something else"]);
        check(&["   0: wait<app::A, app::B<u8>>", "   1: app::C<T>::f"], &["wait", "app::C<T>::f"]);
        check(&["   0: <app::A as app::B<u8>>"], &["<app::A as app::B<u8>>"]);
    }
}
