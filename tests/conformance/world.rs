//! What a scenario runs in: a broker that other scenarios use too, one pika, and names of its own.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

use harness::{Broker, Pika, Process, patience, unique, wire};

/// A broker and a pika, for one run of one scenario.
pub(crate) struct World {
    address: SocketAddr,
    is_foreign: bool,
    pika: Pika,
    names: RefCell<Vec<String>>,
}

/// Runs a scenario against the shared broker with this many shards; when it fails, the broker's last lines are printed.
pub(crate) fn run(shards: usize, pika: Pika, scenario: fn(&World)) {
    let broker = Broker::shared(shards);
    let _log = broker.log_on_failure();
    scenario(&World::of(broker, pika));
}

impl Drop for World {
    fn drop(&mut self) {
        // Ours ends with the tests; another broker should not collect their remains.
        if self.is_foreign {
            wire::delete_all(self.address, &self.names.borrow());
        }
    }
}

impl World {
    /// Programs of that pika against this broker.
    pub(crate) fn of(broker: &Broker, pika: Pika) -> World {
        World { address: broker.address(), is_foreign: broker.is_foreign(), pika, names: RefCell::default() }
    }

    /// The pika whose programs run.
    pub(crate) fn pika(&self) -> Pika {
        self.pika
    }

    /// A queue or exchange name that no other scenario uses.
    pub(crate) fn name(&self, stem: &str) -> String {
        let name = unique(stem);
        self.names.borrow_mut().push(name.clone());
        name
    }

    /// Starts a program, which goes on beside the test.
    pub(crate) fn start(&self, program: &str, arguments: &[&str]) -> Process {
        let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance");
        let own_style = programs.join(self.pika.name()).join(program);
        let shared = programs.join("shared");
        let file = if own_style.exists() { own_style } else { shared.join(program) };
        let mut command = self.pika.python();
        command.arg(file).args(arguments).env("PYTHONPATH", shared);
        command.env("BROKER_HOST", self.address.ip().to_string());
        command.env("BROKER_PORT", self.address.port().to_string());
        Process::start(&format!("{} {program} {}", self.pika.name(), arguments.join(" ")), command)
    }

    /// Runs a program to its end, which must be a success.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> Process {
        let mut process = self.start(program, arguments);
        process.succeed();
        process
    }

    /// Publishes messages to a transient queue, which is declared first.
    pub(crate) fn send(&self, queue: &str, messages: &[&str]) {
        self.run("send.py", &[&[queue], messages].concat());
    }

    /// Waits until a look at the queue prints `expected`, such as `found messages=1 consumers=0`.
    ///
    /// Some effects follow an event that the test can see (a killed client, a closed channel) at the broker's leisure.
    pub(crate) fn await_queue(&self, queue: &str, expected: &str) {
        let deadline = Instant::now() + patience();
        loop {
            let seen = self.run("inspect_queue.py", &[queue]);
            let lines = seen.output().lines();
            if lines.iter().any(|line| line.contains(expected)) {
                return;
            }
            assert!(Instant::now() < deadline, "{queue}: expected {expected:?}, last seen {lines:?}");
        }
    }
}
