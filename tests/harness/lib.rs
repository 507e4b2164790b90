//! What the tests of whole programs stand on: a broker as a process, foreign clients as processes, and nothing of ours in between.
//!
//! ```text
//!   Broker ──── a `leveret serve` of this workspace on a port of its own, or the broker named in LEVERET_AMQP
//!   Process ─── any program: its lines are awaited, its end is awaited, it is killed at the end of the test
//!   Rabbit ──── a real RabbitMQ, where one is installed
//!   Pika ────── a Python with the old (0.10.0) or the newest pika, installed once under the target directory
//!   wire ────── a small AMQP client that plays transcripts, for what is exact on the wire
//! ```
//!
//! Nothing here sleeps: every wait is for a line, for the end of a process or for bytes, with [`patience`] as its limit.
//! The harness deliberately uses no crate of ours, so that a mistake in the codec cannot hide itself by being made twice.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `LEVERET_AMQP` | `host:port` of a running broker to test instead of ours, such as a real RabbitMQ |
//! | `LEVERET_BIN` | the `leveret` program to start; without it the workspace's is built in the running test's profile |
//! | `LEVERET_TEST_VENVS` | where the Python environments are kept; without it a folder of the target directory |
//! | `LEVERET_TEST_PATIENCE_SECS` | how long a wait may last before the test fails, 60 without it |
//! | `LEVERET_RABBITMQ` | `host:port` of a running RabbitMQ to compare with, instead of starting the installed one |
//! | `PYTHON` | the Python that makes the environments, `python3` without it |

mod binary;
mod broker;
mod names;
mod output;
mod patience;
mod process;
mod python;
mod rabbit;
pub mod wire;

pub use binary::{example, leveret, target_dir};
pub use broker::{Broker, LogOnFailure, SHARD_COUNTS};
pub use names::unique;
pub use output::{Missing, Output};
pub use patience::patience;
pub use process::Process;
pub use python::Pika;
pub use rabbit::Rabbit;
