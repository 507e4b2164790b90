//! The durable log.
pub mod attributes;
mod batch;
mod directory;
pub mod error;
mod group;
mod hash;
mod ids;
mod index;
mod lane;
mod live;
mod manifest;
mod record;
mod scan;
mod segment;
mod wire;
pub use attributes::Attributes;
