//! Protocols that clients speak. Two front-ends never know each other; each is the only place that knows both its wire
//! and the core.

pub mod amqp;
pub mod http;
