//! Where a program prints: the terminal, or memory in its test. Shared by the coroutines of one shard.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, Write};
use std::rc::Rc;

/// A place for lines, one whole line at a time; clones print to the same place.
#[derive(Clone)]
pub struct Output {
    to: Rc<RefCell<dyn Write>>,
}

/// What was printed to memory.
pub struct Printed {
    bytes: Rc<RefCell<Vec<u8>>>,
}

impl Output {
    /// Standard output.
    pub fn stdout() -> Output {
        Output { to: Rc::new(RefCell::new(io::stdout())) }
    }

    /// Memory, and what will be in it.
    pub fn memory() -> (Output, Printed) {
        let bytes = Rc::new(RefCell::new(Vec::new()));
        (Output { to: bytes.clone() }, Printed { bytes })
    }

    /// Prints a line. If nobody reads any more, there is nobody to tell.
    pub fn line(&self, text: impl fmt::Display) {
        let _ = self.to.borrow_mut().write_all(format!("{text}\n").as_bytes());
    }
}

impl Printed {
    /// The lines so far.
    pub fn lines(&self) -> Vec<String> {
        String::from_utf8_lossy(&self.bytes.borrow()).lines().map(str::to_owned).collect()
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Output")
    }
}

impl fmt::Debug for Printed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.lines()).finish()
    }
}
