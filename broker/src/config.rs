//! What the program was started with.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

/// AMQP's port.
pub const AMQP_PORT: u16 = 5672;

/// The broker's configuration, fixed for the life of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where to listen for AMQP. Port 0 takes a free one.
    pub amqp: Vec<SocketAddr>,
    /// How many shards, each a thread with a reactor of its own.
    pub shards: usize,
    /// Where the broker keeps its data.
    pub data_dir: PathBuf,
}

/// All addresses of the machine, IPv6 and IPv4, as RabbitMQ listens.
pub fn default_amqp() -> SocketAddr {
    SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), AMQP_PORT)
}

/// The default of [`Config::data_dir`], beside the place where the program is started.
pub const DEFAULT_DATA_DIR: &str = "./leveret-data";
