//! Foreign clients against a broker: the programs of the tutorial that Leveret grew from, run as they are by their users.
//!
//! Each scenario runs with pika 0.10.0, whose signatures the tutorial uses, and with the newest pika, against brokers with one, two
//! and five shards; `cargo test --test conformance shards_1::pika_new` picks some. The Python programs lie in `pika_old/` and
//! `pika_new/` where the signatures differ and in `shared/` where they do not. They are the tutorial's, but take names and pauses as
//! arguments, so that scenarios can share a broker and run at the same time.
//!
//! To see whether an expectation is RabbitMQ's, run the same tests against one: `LEVERET_AMQP=localhost:5672 cargo test ...`.
//!
//! | tutorial | scenario |
//! | --- | --- |
//! | hello sender and receiver, printing ch, method, properties | `hello` |
//! | messages in turn to three workers | `work_queue` |
//! | persistent message on a queue that is not durable | `persistent_message_on_a_transient_queue` |
//! | no_ack=True and basic_ack | `acknowledging_without_being_asked` |
//! | a killed worker loses nothing | `killed_worker` |
//! | redeclaring with other durability | `redeclaring_with_other_durability` |
//! | fair dispatch | `fair_dispatch` |
//! | publish and subscribe | `fanout` |
//! | exclusive queues named by the broker | `exclusive_queue` |
//! | "should the message be discarded?" | `unroutable` |
//! | selective receiving, severities | `direct_severities`, `direct_matrix` |
//! | topic patterns, facility.severity | `topic_facilities`, `topic_matrix` |
//! | headers exchange | `headers_matrix` |
//! | a durable queue and persistent messages survive stop and crash | `durable_messages_survive_a_stop`, `confirmed_messages_survive_a_crash` |
//! | a transient queue does not | `a_transient_queue_is_gone_after_a_restart` |
//! | remote procedure call | `rpc`, `rpc_with_direct_reply_to` |
//! | user name and password | `login`; the users lwq and alex are those of the chapter that `tests/programs` plays |
//!
//! Other clients, with suites of their own or in programs of ours (`clients/`), are run by `suites/run.py`; they come from registries.
//!
//! What waits, and for what:
//!
//! | tutorial | waits for |
//! | --- | --- |
//! | "there aren't any message timeouts": held for a day | the simulator, which owns the clock |

mod login;
mod publish_subscribe;
mod restarts;
mod rpc;
mod work_queues;
mod world;

use crate::world::run;

/// Every scenario with one pika and one shard count.
macro_rules! scenarios {
    ($shards:literal, $pika:ident) => {
        scenarios! { $shards, $pika, login: login }
        scenarios! { $shards, $pika, publish_subscribe: direct_matrix, direct_severities, exclusive_queue, fanout, headers_matrix,
            topic_facilities, topic_matrix, unroutable }
        scenarios! { $shards, $pika, rpc: rpc, rpc_with_direct_reply_to }
        scenarios! { $shards, $pika, work_queues: acknowledging_without_being_asked, fair_dispatch, hello, killed_worker,
            persistent_message_on_a_transient_queue, redeclaring_with_other_durability, work_queue }
        restarts! { $shards, $pika: a_transient_queue_is_gone_after_a_restart, confirmed_messages_survive_a_crash,
            durable_messages_survive_a_stop, unacknowledged_messages_survive_a_crash }
    };
    ($shards:literal, $pika:ident, $module:ident: $($scenario:ident),*) => {
        $(#[test]
        fn $scenario() {
            crate::run($shards, harness::Pika::$pika, crate::$module::$scenario);
        })*
    };
}

/// Those with a broker of their own.
macro_rules! restarts {
    ($shards:literal, $pika:ident: $($scenario:ident),*) => {
        $(#[test]
        fn $scenario() {
            crate::restarts::run($shards, harness::Pika::$pika, crate::restarts::$scenario);
        })*
    };
}

/// A module a shard count, and in it one a pika.
macro_rules! worlds {
    ($($module:ident: $shards:literal),*) => {
        $(mod $module {
            mod pika_old {
                scenarios! { $shards, Old }
            }
            mod pika_new {
                scenarios! { $shards, New }
            }
        })*
    };
}

worlds! { shards_1: 1, shards_2: 2, shards_5: 5 }
