//! What is exact on the wire: codes, texts, flags and the order of frames, as transcripts.
//!
//! Each transcript runs against brokers with one, two and five shards, and passes against RabbitMQ 3.10 as well:
//! `LEVERET_AMQP=localhost:5672 cargo test --test wire shards_1 -- --skip process::`. Where we follow newer RabbitMQs, or give a reason
//! where RabbitMQ gives none, the lines are marked `[3]` and `[4]`; those with `[4]` were not seen from a RabbitMQ of that age.
//! See `harness::wire::script` for the language.
//!
//! | module | subject |
//! | --- | --- |
//! | `access` | permissions, topic permissions, virtual hosts, limits, policies; restarts |
//! | `handshake` | protocol header, mechanisms, tuning, opening, heartbeats, closing |
//! | `alarms` | publishers that are held up while memory or disk are short |
//! | `channels` | opening and closing channels, frames out of place, content out of order |
//! | `content` | bodies of every size, properties, interleaving, pipelining |
//! | `exchanges`, `queues` | declaring and deleting them, and every refusal |
//! | `exchange_types` | what RabbitMQ's plugins add |
//! | `extremes` | the longest, the largest and the oddest that the wire allows, and one more |
//! | `hostile` | clients that mean harm |
//! | `lifecycles` | exclusive and auto-delete, notified consumers |
//! | `overdue` | deliveries that are not acknowledged in time |
//! | `routing` | which queue gets what, as far as the clients do not show it already |
//! | `consuming` | deliver, get, consumers and their refusals |
//! | `settling` | ack, nack, reject, recover, requeue order, prefetch |
//! | `publishing` | checks on publish, returns, confirms |
//! | `transactions` | commit and rollback |
//! | `spread` | what must not depend on which shard something lives on |
//! | `streams` | queues whose messages stay |
//! | `process` | our program itself: stopping, and surviving whatever is said to it |
//! | `queue_arguments` | expiry, limits, dead letters, priorities |

mod access;
mod alarms;
mod channels;
mod consuming;
mod content;
mod exchange_types;
mod exchanges;
mod extremes;
mod handshake;
mod hostile;
mod lifecycles;
mod overdue;
mod process;
mod publishing;
mod queue_arguments;
mod queues;
mod routing;
mod settling;
mod spread;
mod streams;
mod transactions;

/// Tests from transcripts: a name and the lines; for each shard count one test of that name.
macro_rules! transcripts {
    ($($name:ident: $script:expr;)*) => {
        crate::transcripts! { @shards shards_1: 1, $($name: $script;)* }
        crate::transcripts! { @shards shards_2: 2, $($name: $script;)* }
        crate::transcripts! { @shards shards_5: 5, $($name: $script;)* }
    };
    (@shards $module:ident: $shards:literal, $($name:ident: $script:expr;)*) => {
        mod $module {
            $(#[test]
            fn $name() {
                crate::run($shards, $script);
            })*
        }
    };
}
use transcripts;

fn run(shards: usize, script: &str) {
    let broker = harness::Broker::shared(shards);
    let _log = broker.log_on_failure();
    harness::wire::play(broker, script);
}
