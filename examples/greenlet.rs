//! Explicit switches between two greenlets: prints 12, 56, 34, 78.
//!
//! ```python
//! def test1():            def test2():          gr1 = greenlet(test1)
//!     print(12)               print(56)         gr2 = greenlet(test2)
//!     gr2.switch()            gr1.switch()      gr1.switch()
//!     print(34)               print(78)         gr2.switch()
//!     gr2.switch()
//! ```
//!
//! After 78 `test2` has ended, so control goes to its parent, who made the first switch; the last line finds it finished
//! and returns at once. `test1` stays where it is, in its second switch, and is unwound at the end.

use std::cell::OnceCell;
use std::rc::Rc;
use std::time::Duration;

use examples::{Arguments, Output};
use leveret_runtime::{Greenlet, sleep};

const USAGE: &str = "greenlet: two functions that switch to each other

  --pause-ms N   sleep so long after 12, as the tutorial's second version does (0)";

pub(crate) fn main_with(out: &Output, pause: Duration) {
    // Python finds `gr2` by its name when `test1` runs; here it gets a place that is filled later.
    let place = Rc::new(OnceCell::<Greenlet>::new());
    let (print, gr2) = (out.clone(), place.clone());
    let gr1 = Greenlet::new(move |()| {
        let gr2 = || gr2.get().expect("made before the first switch");
        print.line(12);
        if !pause.is_zero() {
            sleep(pause);
        }
        gr2().switch();
        print.line(34);
        gr2().switch();
    });
    let (print, back) = (out.clone(), gr1.clone());
    let gr2 = place.get_or_init(|| {
        Greenlet::new(move |()| {
            print.line(56);
            back.switch();
            print.line(78);
        })
    });
    gr1.switch();
    gr2.switch();
    assert!(gr2.is_finished(), "the last switch found it at its end");
}

fn main() {
    let arguments = Arguments::of_process(USAGE, &["--pause-ms="]);
    let pause = Duration::from_millis(arguments.value("--pause-ms", 0));
    leveret_runtime::run(move || main_with(&Output::stdout(), pause)).expect("somebody can always run");
}
