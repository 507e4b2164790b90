//! Confirms, returns, large bodies, transactions.

use std::cell::RefCell;
use std::rc::Rc;

use harness::unique;
use leveret_client::{BasicProperties, Error, Outcome, PERSISTENT, Properties, Table};

use crate::{World, refusal};

crate::scenarios! { confirms_are_counted, every_confirm_is_told_once, a_window_of_confirms, returned_messages_come_back,
properties_travel, bodies_of_every_size, a_missing_exchange, transactions }

fn confirms_are_counted(world: &World) {
    let (channel, queue) = world.queue();
    let publish = || channel.publish("", &queue, &Properties::default(), b"m").expect("an open channel");
    publish();
    assert_eq!(channel.wait_for_confirms(), Err(Error::NotInConfirmMode));
    channel.confirm_select().expect("confirms");
    let numbers = [0; 3].map(|_| publish());
    assert_eq!(numbers.map(|number| *number), [1, 2, 3]);
    assert_eq!(channel.unconfirmed(), 3);
    assert_eq!(channel.wait_for_confirm(numbers[2]), Ok(Outcome::Acked));
    assert_eq!(channel.wait_for_confirms(), Ok(vec![]));
    assert_eq!(channel.unconfirmed(), 0);
}

fn every_confirm_is_told_once(world: &World) {
    let (channel, queue) = world.queue();
    channel.confirm_select().expect("confirms");
    let told = Rc::new(RefCell::new(Vec::new()));
    let list = told.clone();
    channel.on_confirm(move |number, outcome| list.borrow_mut().push((number, outcome)));
    for _ in 0..1000 {
        channel.publish("", &queue, &Properties::default(), b"m").expect("an open channel");
    }
    channel.wait_for_confirms().expect("confirms");
    let mut told = told.take();
    told.sort_unstable_by_key(|(number, _)| *number);
    assert!(told.into_iter().eq((1..=1000).map(|number| (number, Outcome::Acked))));
}

fn a_window_of_confirms(world: &World) {
    let (channel, queue) = world.queue();
    channel.confirm_select().expect("confirms");
    for _ in 0..500 {
        channel.wait_for_confirms_below(10).expect("confirms");
        channel.publish("", &queue, &Properties::default(), b"m").expect("an open channel");
        assert!(channel.unconfirmed() <= 10);
    }
    assert_eq!(channel.wait_for_confirms(), Ok(vec![]));
    assert_eq!(channel.queue_purge(&queue), Ok(500));
}

fn returned_messages_come_back(world: &World) {
    let channel = world.channel();
    channel.confirm_select().expect("confirms");
    let nowhere = unique("nowhere");
    let number = channel.publish_mandatory("", &nowhere, &Properties::default(), b"back").expect("an open channel");
    assert_eq!(channel.wait_for_confirm(number), Ok(Outcome::Acked));
    let returned = channel.take_returned().expect("it came before the confirm");
    assert_eq!((returned.code, &*returned.text), (312, "NO_ROUTE"));
    assert_eq!((returned.message.routing_key(), returned.message.body()), (&*nowhere, &b"back"[..]));
    assert_eq!((channel.take_returned(), channel.returned_count()), (None, 1));
}

fn properties_travel(world: &World) {
    let (channel, queue) = world.queue();
    let properties = BasicProperties {
        content_type: Some("text/plain".into()),
        headers: Some(Table::new().with("x", 1).with("nested", Table::new().with("y", "z"))),
        delivery_mode: Some(PERSISTENT),
        priority: Some(4),
        timestamp: Some(1_700_000_000),
        app_id: Some("tests".into()),
        ..BasicProperties::default()
    };
    channel.publish("", &queue, &properties.encode(), b"m").expect("an open channel");
    let got = channel.get(&queue, true).expect("it is there").expect("a message");
    assert_eq!(BasicProperties::from(&got.message.properties()), properties);
    assert_eq!((got.message.exchange(), got.message.routing_key()), ("", &*queue));
}

fn bodies_of_every_size(world: &World) {
    let (channel, queue) = world.queue();
    let frame_max = usize::try_from(world.connection.negotiated().frame_max).expect("it fits");
    let sizes = [0, 1, frame_max - 9, frame_max - 8, frame_max - 7, 3 * frame_max, 5_000_000];
    for size in sizes {
        let body: Vec<u8> = (0..=u8::MAX).cycle().take(size).collect();
        channel.publish("", &queue, &Properties::default(), &body).expect("an open channel");
        let got = channel.get(&queue, true).expect("it is there").expect("a message");
        assert!(got.message.body() == body, "a body of {size} bytes");
    }
}

fn a_missing_exchange(world: &World) {
    let channel = world.channel();
    channel.confirm_select().expect("confirms");
    let name = unique("missing");
    channel.publish(&name, "", &Properties::default(), b"m").expect("the server answers later");
    let expected = (404, format!("NOT_FOUND - no exchange '{name}' in vhost '/'"));
    assert_eq!(refusal(channel.wait_for_confirms()), expected);
}

fn transactions(world: &World) {
    let (channel, queue) = world.queue();
    channel.tx_select().expect("a transaction");
    let publish = || {
        channel.publish("", &queue, &Properties::default(), b"m").expect("an open channel");
    };
    publish();
    channel.tx_rollback().expect("a transaction");
    publish();
    publish();
    assert_eq!(channel.queue_purge(&queue), Ok(0));
    channel.tx_commit().expect("a transaction");
    assert_eq!(channel.queue_purge(&queue), Ok(2));
    assert_eq!(refusal(channel.confirm_select()).0, 406);
}
