//! Opening, refusals, closing from both sides, coming back.

use std::time::Duration;

use harness::Broker;
use leveret_client::{Backoff, Connection, Error, Options};

use crate::{World, options, refusal};

crate::scenarios! { a_uri_opens_a_connection, a_wrong_password, an_unknown_vhost, closing_twice, channels_run_out,
dropped_handles_close_what_they_held, limits_are_agreed }

fn a_uri_opens_a_connection(world: &World) {
    let uri = format!("amqp://guest:guest@{}/%2f?heartbeat=7&name=by-uri", world.broker.address());
    let connection = Connection::open(&uri.parse().expect("a good URI")).expect("a connection");
    assert_eq!(connection.negotiated().heartbeat, 7);
    connection.close().expect("it is open");
    assert_eq!(connection.failure(), Some(Error::Closed));
}

fn a_wrong_password(world: &World) {
    let wrong = Options { password: "sesame".into(), reconnect: Some(Backoff::default()), ..options(world.broker) };
    let (code, text) = refusal(Connection::open(&wrong));
    assert_eq!(code, 403);
    assert!(text.starts_with("ACCESS_REFUSED - Login was refused"), "{text}");
}

fn an_unknown_vhost(world: &World) {
    let wrong = Options { virtual_host: "no such vhost".into(), ..options(world.broker) };
    assert_eq!(refusal(Connection::open(&wrong)), (530, "NOT_ALLOWED - vhost no such vhost not found".into()));
}

fn closing_twice(world: &World) {
    let connection = Connection::open(&options(world.broker)).expect("a connection");
    let (other, channel) = (connection.clone(), connection.open_channel().expect("a channel"));
    assert_eq!(connection.close(), Ok(()));
    assert_eq!(other.close(), Ok(()));
    assert_eq!(other.wait_until_closed(), Error::Closed);
    assert_eq!(other.open_channel().err(), Some(Error::Closed));
    assert_eq!(channel.qos(1, false), Err(Error::Closed));
}

fn channels_run_out(world: &World) {
    let few = Options { channel_max: 3, ..options(world.broker) };
    let connection = Connection::open(&few).expect("a connection");
    let mut channels: Vec<_> = (0..3).map(|_| connection.open_channel().expect("a channel")).collect();
    assert_eq!(connection.open_channel().err(), Some(Error::NoChannelLeft { channel_max: 3 }));
    channels.remove(1).close().expect("it is open");
    assert_eq!(connection.open_channel().expect("there is room again").number(), 2);
}

fn dropped_handles_close_what_they_held(world: &World) {
    let connection = Connection::open(&Options { channel_max: 1, ..options(world.broker) }).expect("a connection");
    let watched = connection.clone();
    for _ in 0..20 {
        let opened = std::iter::repeat_with(|| connection.open_channel()).find_map(|opened| match opened {
            Err(Error::NoChannelLeft { .. }) => {
                leveret_runtime::yield_now(); // the close-ok is on its way
                None
            }
            opened => Some(opened),
        });
        drop(opened.expect("the iterator is endless").expect("a channel"));
    }
    drop((connection, watched));
}

fn limits_are_agreed(world: &World) {
    let small = Options { frame_max: 4096, channel_max: 9, heartbeat: Some(0), ..options(world.broker) };
    let agreed = Connection::open(&small).expect("a connection").negotiated();
    assert_eq!((agreed.frame_max, agreed.channel_max, agreed.heartbeat), (4096, 9, 0));
}

/// A broker that stops tells its clients, and they find it again when it is back.
#[test]
fn a_stopping_broker_says_so_and_a_dead_one_is_noticed() {
    let stop = |how: fn(&mut Broker), check: fn(Error)| {
        let mut broker = Broker::start_ours(2);
        let main = move || {
            let connection = Connection::open(&options(&broker)).expect("a connection");
            let channel = connection.open_channel().expect("a channel");
            how(&mut broker);
            let error = connection.wait_until_closed();
            assert!(error.is_transient(), "{error}");
            assert_eq!(channel.qos(1, false), Err(error.clone()));
            check(error);
            let first = Duration::from_millis(1);
            let backoff = Backoff { first, longest: first, attempts: Some(3) };
            let again = Options { reconnect: Some(backoff), ..options(&broker) };
            assert!(matches!(Connection::open(&again), Err(Error::Io { .. })));
        };
        leveret_runtime::run(main).expect("somebody can always run");
    };
    stop(|broker| broker.terminate(), |error| assert_eq!(error.reply_code(), Some(320)));
    stop(Broker::kill, |error| assert!(matches!(error, Error::Io { .. }), "{error}"));
}

/// Heartbeats go both ways: an idle connection with the shortest interval outlives what silence would be.
#[test]
fn an_idle_connection_stays() {
    let main = || {
        let broker = Broker::shared(1);
        let brisk = Options { heartbeat: Some(1), ..options(broker) };
        let connection = Connection::open(&brisk).expect("a connection");
        assert_eq!(connection.negotiated().heartbeat, 1);
        // Two intervals of silence would end it on either side; nothing else happens meanwhile.
        let limit = Duration::from_millis(3500);
        assert!(leveret_runtime::timeout(limit, || connection.wait_until_closed()).is_err());
        connection.close().expect("it is open");
    };
    leveret_runtime::run(main).expect("somebody can always run");
}
