//! A shard that is blocked is reported with the coroutine that blocks it, and the others go on.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use leveret_runtime::{Builder, Runtime, call, shards};

/// Passes warnings on to the test.
struct Relay(Mutex<Option<Sender<String>>>);

static RELAY: Relay = Relay(Mutex::new(None));

impl log::Log for Relay {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        if let Some(sender) = &*self.0.lock().unwrap() {
            let _ = sender.send(record.args().to_string());
        }
    }

    fn flush(&self) {}
}

fn warnings() -> Receiver<String> {
    let (sender, receiver) = channel();
    *RELAY.0.lock().unwrap() = Some(sender);
    log::set_logger(&RELAY).expect("the only logger of this process");
    log::set_max_level(log::LevelFilter::Warn);
    receiver
}

#[test]
fn a_blocked_shard_is_reported_by_the_name_of_its_coroutine_while_others_go_on() {
    let warnings = warnings();
    let runtime = Runtime::builder().shards(2).watchdog(Duration::from_millis(20)).build().unwrap();
    let warning = runtime.run(move || {
        // Blocks its thread, as no coroutine should, until the watchdog has said so.
        let hog = Builder::new()
            .name("hog")
            .spawn(move || warnings.iter().find(|warning| warning.contains("hog")).expect("the watchdog's warning"));
        let other = shards().nth(1).unwrap();
        assert_eq!(call(other, || 6 * 7).unwrap(), 42);
        hog.unwrap().join().unwrap()
    });
    let warning = warning.unwrap();
    assert!(warning.starts_with("shard 0 has not looked at its sockets and timers for"), "{warning}");
    assert!(warning.contains("coroutine 'hog' holds it"), "{warning}");
}
