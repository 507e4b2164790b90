//! The HTTP API, the pages and the metrics of the real process, by raw requests.
//!
//! | module | subject |
//! | --- | --- |
//! | `client` | a small HTTP client that says exactly what it is told |
//! | `api` | requests and their answers, one after the other |
//! | `security` | what must be refused: smuggling, floods, pages of other sites, users without the tags |
//! | `metrics` | the lines that dashboards need |

mod api;
mod client;
mod metrics;
mod security;
