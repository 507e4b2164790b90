//! Three coroutines that sleep: a sleep switches to whoever can run, so all of them take two seconds together.
//!
//! ```python
//! gevent.joinall([gevent.spawn(func1), gevent.spawn(func2), gevent.spawn(func3)])
//! ```

use std::time::Duration;

use examples::{Arguments, Output};
use leveret_runtime::{join_all, sleep, spawn};

const USAGE: &str = "gevent_sleepers: three coroutines that sleep for two, one and one seconds";

fn func1(out: &Output) {
    out.line("\x1b[31;1m李闯在跟海涛搞\x1b[0m");
    sleep(Duration::from_secs(2));
    out.line("\x1b[31;1m李闯又回去跟继续跟海涛搞...\x1b[0m");
}

fn func2(out: &Output) {
    out.line("\x1b[32;1m李闯切换到了跟海龙搞...\x1b[0m");
    sleep(Duration::from_secs(1));
    out.line("\x1b[32;1m李闯搞完了海涛,回来继续跟海龙搞...\x1b[0m");
}

fn func3(out: &Output) {
    out.line(3333);
    sleep(Duration::from_secs(1));
    out.line(44444);
}

pub(crate) fn main_with(out: &Output) {
    let coroutines = [func1, func2, func3].map(|func| {
        let out = out.clone();
        spawn(move || func(&out))
    });
    join_all(coroutines);
}

fn main() {
    Arguments::of_process(USAGE, &[]);
    leveret_runtime::run(|| main_with(&Output::stdout())).expect("somebody can always run");
}
