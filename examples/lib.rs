//! What the example programs share: where they print, and how they read their arguments.
//!
//! Each program is one file beside this one, to be read from its top. Its work is in a function `main_with`, which its
//! test calls too; everything that only a program needs is in `main`.

mod arguments;
pub mod http_client;
mod outcome;
mod output;

pub use arguments::{Arguments, Misuse};
pub use outcome::end;
pub use output::{Output, Printed};
