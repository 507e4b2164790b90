//! HTTP/1.1 on the runtime: bytes to requests, requests to responses, responses to bytes.
//!
//! `parser` is pure: bytes in, requests or an exact refusal out. `serve` is the only part that waits. Nothing here knows
//! what the paths mean.

pub(crate) mod gzip;
pub mod parser;
pub mod request;
pub mod response;
pub mod serve;

pub use parser::{Parser, Refusal};
pub use request::{Method, Query, Request};
pub use response::{Body, Response, Status};
pub use serve::{Limits, Stream, serve};
