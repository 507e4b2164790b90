//! The Leveret runtime.
