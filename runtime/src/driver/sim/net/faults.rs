//! What a simulated network does wrong, as a value.

use std::time::Duration;

/// How the simulated network behaves: sizes, delays, and the probability of each fault. The default is a network without
/// faults and without delay, in which bytes arrive as they were written.
///
/// ```
/// use std::time::Duration;
/// use leveret_runtime::{Runtime, sim};
/// Runtime::builder().simulated(7).build().unwrap().run(|| {
///     sim::set_network_faults(sim::NetworkFaults {
///         delay: (Duration::from_micros(50), Duration::from_millis(20)),
///         split: 0.2,
///         ..sim::NetworkFaults::default()
///     });
/// }).unwrap();
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkFaults {
    /// The least and the most that a packet is on its way. Those of one connection stay in order.
    pub delay: (Duration, Duration),
    /// Bytes that a link between two hosts carries in a second; `None` for no limit.
    pub bandwidth: Option<u64>,
    /// Bytes that may be written to a connection before its other side has read them.
    pub buffer: usize,
    /// Connections that wait for a listener to accept them. TCP clients beyond it try again after 1, 2, 4... seconds.
    pub backlog: usize,
    /// The most sockets of a host; `accept` and `connect` beyond it fail with `EMFILE`.
    pub descriptors_max: usize,
    /// Probability that what one write has sent arrives in several pieces, often of one byte.
    pub split: f64,
    /// Probability that a write takes only some of the bytes for which there is room.
    pub short_write: f64,
    /// Probability, for each write, that the connection is reset.
    pub reset: f64,
    /// Probability that a connection is refused although somebody listens.
    pub refuse: f64,
    /// Probability that a datagram is lost.
    pub datagram_loss: f64,
    /// Probability that a datagram arrives twice.
    pub datagram_duplicate: f64,
    /// Probability that a datagram is overtaken by those sent after it.
    pub datagram_reorder: f64,
}

impl Default for NetworkFaults {
    fn default() -> Self {
        NetworkFaults {
            delay: (Duration::ZERO, Duration::ZERO),
            bandwidth: None,
            buffer: 256 * 1024,
            backlog: 1024,
            descriptors_max: 1 << 20,
            split: 0.0,
            short_write: 0.0,
            reset: 0.0,
            refuse: 0.0,
            datagram_loss: 0.0,
            datagram_duplicate: 0.0,
            datagram_reorder: 0.0,
        }
    }
}

impl NetworkFaults {
    /// A bad network that every program has to live with: delays, pieces, short writes, small buffers; datagrams are lost,
    /// doubled and overtaken. Connections are neither reset nor refused.
    pub fn rough() -> NetworkFaults {
        NetworkFaults {
            delay: (Duration::from_micros(20), Duration::from_millis(5)),
            buffer: 16 * 1024,
            split: 0.3,
            short_write: 0.2,
            datagram_loss: 0.1,
            datagram_duplicate: 0.1,
            datagram_reorder: 0.1,
            ..NetworkFaults::default()
        }
    }

    /// As [`NetworkFaults::rough`], and connections are reset and refused now and then.
    pub fn hostile() -> NetworkFaults {
        NetworkFaults { reset: 0.01, refuse: 0.05, ..NetworkFaults::rough() }
    }
}
