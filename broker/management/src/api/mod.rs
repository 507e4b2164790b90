//! The API's handlers: one file a group of paths, each a plain function from a request to an answer.
//!
//! `router` finds the handler and asks for the login; `context` is what a handler gets.

pub(crate) mod access;
pub(crate) mod attempts;
pub(crate) mod bindings;
pub(crate) mod bodies;
pub(crate) mod channels;
pub(crate) mod connections;
pub(crate) mod context;
pub(crate) mod definitions;
pub(crate) mod exchanges;
pub(crate) mod explain;
pub(crate) mod health;
pub(crate) mod messages;
pub(crate) mod nodes;
pub(crate) mod overview;
pub(crate) mod policies;
pub(crate) mod queues;
pub(crate) mod router;
pub(crate) mod users;
pub(crate) mod vhosts;
