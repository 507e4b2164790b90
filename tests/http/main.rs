//! The HTTP API, the pages and the metrics of the real process, by raw requests.
//!
//! | module | subject |
//! | --- | --- |
//! | `client` | a small HTTP client that says exactly what it is told |
//! | `api` | requests and their answers, one after the other |
//! | `security` | what must be refused: smuggling, floods, pages of other sites, users without the tags |
//! | `loading` | definitions that are loaded at the start |
//! | `metrics` | the lines that dashboards need |
//! | `operator` | the command line against a running broker |
//! | `secrets` | a password that must not be seen anywhere |
//! | `secure` | TLS, and certificates that log in |
//! | `strangers` | floods of connections on which nobody logs in |
//! | `told` | events, and copies of what goes through |

mod api;
mod client;
mod loading;
mod metrics;
mod operator;
mod secrets;
mod secure;
mod security;
mod strangers;
mod told;
