//! Exchange, queues and keys of a run, and which queue gets whose messages.

use leveret_client::{Connection, Error, ExchangeOptions, QueueOptions, Table};

use super::options::{ExchangeType, Perf};

/// Where messages go.
#[derive(Debug)]
pub(super) struct Topology {
    /// Empty for the default exchange.
    pub(super) exchange: String,
    pub(super) queues: Vec<String>,
    kind: Option<ExchangeType>,
    /// The routing key of all; without it every queue has its own name for a key.
    routing_key: Option<String>,
    binding_key: Option<String>,
}

impl Topology {
    pub(super) fn new(options: &Perf) -> Topology {
        let queues = match options.queues {
            1 => vec![options.queue.clone()],
            count => (1..=count).map(|number| format!("{}-{number}", options.queue)).collect(),
        };
        let named =
            |kind: ExchangeType| options.exchange.clone().unwrap_or(format!("{}-{}", options.queue, kind.name()));
        Topology {
            exchange: options.exchange_type.map(named).unwrap_or_default(),
            queues,
            kind: options.exchange_type,
            routing_key: options.routing_key.clone(),
            binding_key: options.binding_key.clone(),
        }
    }

    /// The key that a producer publishes with.
    pub(super) fn routing_key(&self, producer: u32) -> &str {
        match &self.routing_key {
            Some(key) => key,
            None => &self.queues[self.own_queue(producer)],
        }
    }

    /// Every queue gets every message?
    fn is_shared(&self) -> bool {
        self.kind == Some(ExchangeType::Fanout) || self.routing_key.is_some()
    }

    /// The queue whose turn it is: of a producer or of a consumer.
    pub(super) fn own_queue(&self, index: u32) -> usize {
        index as usize % self.queues.len()
    }

    /// Indexes of the queues that get a producer's messages.
    pub(super) fn queues_of(&self, producer: u32) -> std::ops::Range<usize> {
        let own = self.own_queue(producer);
        if self.is_shared() { 0..self.queues.len() } else { own..own + 1 }
    }

    pub(super) fn declare(&self, connection: &Connection, options: &Perf) -> Result<(), Error> {
        let channel = connection.open_channel()?;
        if let Some(kind) = self.kind
            && !self.exchange.starts_with("amq.")
        {
            let auto_delete = !options.keep;
            let declare = ExchangeOptions { durable: options.durable, auto_delete, ..ExchangeOptions::default() };
            channel.exchange_declare(&self.exchange, kind.name(), &declare)?;
        }
        let arguments = options.queue_arguments();
        let declare = QueueOptions { durable: options.durable, arguments, ..QueueOptions::default() };
        for queue in &self.queues {
            channel.queue_declare(queue, &declare)?;
            if self.kind.is_some() {
                let key = self.binding_key.as_ref().or(self.routing_key.as_ref()).unwrap_or(queue);
                channel.queue_bind(queue, &self.exchange, key, &Table::new())?;
            }
        }
        channel.close()
    }

    /// The exchange goes with its last binding.
    pub(super) fn delete(&self, connection: &Connection, options: &Perf) -> Result<(), Error> {
        if options.keep {
            return Ok(());
        }
        let channel = connection.open_channel()?;
        for queue in &self.queues {
            channel.queue_delete(queue, false, false)?;
        }
        channel.close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topology(kind: Option<ExchangeType>, queues: usize, routing_key: Option<&str>) -> Topology {
        let queues = (0..queues).map(|number| format!("q{number}")).collect();
        let routing_key = routing_key.map(str::to_owned);
        Topology { exchange: String::new(), queues, kind, routing_key, binding_key: None }
    }

    #[test]
    fn queues_are_taken_in_turn_or_all() {
        let check = |topology: Topology, producer, key: &str, queues| {
            assert_eq!((topology.routing_key(producer), topology.queues_of(producer)), (key, queues));
        };
        check(topology(None, 1, None), 5, "q0", 0..1);
        check(topology(None, 3, None), 4, "q1", 1..2);
        check(topology(Some(ExchangeType::Direct), 3, None), 2, "q2", 2..3);
        check(topology(Some(ExchangeType::Fanout), 3, None), 1, "q1", 0..3);
        check(topology(Some(ExchangeType::Topic), 3, Some("a.b")), 1, "a.b", 0..3);
    }
}
