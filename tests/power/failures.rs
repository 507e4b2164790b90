//! A disk that fails under a real process: a tracer has the n-th call fail. The broker ends, with its reason, and nothing that
//! it had confirmed is lost.

use std::path::PathBuf;

use harness::Broker;
use leveret_client::Table;
use leveret_runtime as runtime;

use crate::load::{self, SharedBook};
use crate::{run, skip};

/// Confirms after which a broker whose fault has not come is killed.
const CONFIRMS: u64 = 300;

/// How the broker ends when its disk has failed (EX_IOERR).
const EXIT_DISK_FAILED: i32 = 74;

/// A data directory that goes with the test.
struct Data(PathBuf);

impl Data {
    fn new() -> Data {
        let path = harness::target_dir().join("tmp").join(harness::unique("failures"));
        std::fs::create_dir_all(&path).expect("the target directory is writable");
        Data(path)
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_failed_sync_ends_the_broker_and_loses_nothing() {
    check("fdatasync", "EIO", &[1, 2, 3, 5, 8, 20]);
    check("fsync", "EIO", &[1, 2, 3]);
}

#[test]
fn a_write_that_finds_no_room_ends_the_broker_and_loses_nothing() {
    check("pwrite64,pwritev,pwritev2", "ENOSPC", &[1, 2, 3, 5, 8, 20]);
}

#[test]
fn a_failed_write_ends_the_broker_and_loses_nothing() {
    check("pwrite64,pwritev,pwritev2", "EIO", &[1, 3, 6, 12, 25]);
}

/// Has the calls of these numbers fail, one in each life of a broker; every thread counts its own.
fn check(calls: &str, error: &str, numbers: &[u64]) {
    if let Err(reason) = run("strace", &["-qq", "-o", "/dev/null", "true"]) {
        return skip(&format!("{error} at {calls}"), &reason);
    }
    let (calls, error, numbers) = (calls.to_owned(), error.to_owned(), numbers.to_vec());
    runtime::run(move || {
        let (data, book) = (Data::new(), SharedBook::default());
        load::declare(start(&data, &[]).address(), &Table::new());
        life(start(&data, &[]), &book); // so that there is something to lose
        let mut fired = 0;
        for number in &numbers {
            fired += u64::from(fails_at(&data, &book, &calls, &error, *number));
        }
        let mut broker = start(&data, &[]);
        load::drain(broker.address(), &book);
        broker.kill();
        book.borrow().judge();
        let (checked, doubled) = (book.borrow().confirmed(), book.borrow().doubled());
        println!("TEST: {fired} times {error} at {calls}, {checked} checked, 0 lost, {doubled} duplicates");
        assert!(fired > 0, "no call has failed");
    })
    .expect("somebody can always run");
}

fn start(data: &Data, wrapper: &[&str]) -> Broker {
    Broker::start_ours_at(&data.0, 1, wrapper).unwrap_or_else(|lines| panic!("it does not start: {lines:#?}"))
}

/// One life with a failure; whether it has come.
fn fails_at(data: &Data, book: &SharedBook, calls: &str, error: &str, number: u64) -> bool {
    let (trace, inject) = (format!("trace={calls}"), format!("inject={calls}:error={error}:when={number}"));
    // The broker is the process that was started, the tracer its grandchild: so signals and the end are the broker's.
    let wrapper = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
    let broker = match Broker::start_ours_at(&data.0, 1, &wrapper) {
        Ok(broker) => broker,
        Err(lines) => {
            let text = lines.join("\n");
            assert!(
                text.contains(&*data.0.to_string_lossy()) || text.contains("the disk failed"),
                "it names the file: {text}"
            );
            return true;
        }
    };
    life(broker, book)
}

/// Load until the broker ends; whether it did so by itself.
fn life(mut broker: Broker, book: &SharedBook) -> bool {
    load::round_of_load(broker.address(), book, CONFIRMS, || broker.kill());
    let code = broker.await_end().code();
    assert!(code.is_none_or(|code| code == EXIT_DISK_FAILED), "it ended with {code:?}:\n{}", broker.log_tail());
    code.is_some()
}
