//! The house rules that a program can check, so that nobody has to remember them.
//!
//! Each module is one family of rules: a pure function from file texts to violations, a test that the workspace has none, and tests
//! that bad examples are caught. What clippy and rustc check already is not checked again, except where a rule depends on the folder.
//!
//! | module | rule |
//! | --- | --- |
//! | `arrows` | which crate may depend on which; members listed by name, all with the workspace's lints |
//! | `unsafety` | `unsafe` only in named places of the runtime, each with its note |
//! | `determinism` | clock, threads, sockets, files, randomness and blocking locks only in the runtime |
//! | `layout` | top-level entries; length of files; a `//!` at the top of each |
//! | `leftovers` | unfinished code, ignored tests, paths of one machine |
//!
//! `source` reads the files and tells code from comments and strings; it is no parser and needs none.

mod arrows;
mod determinism;
mod layout;
mod leftovers;
mod source;
mod unsafety;
