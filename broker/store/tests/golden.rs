//! Directories that each version of the format wrote, kept as they were: every later version must read them. `golden/v1` and so
//! on hold them with a list of what is in them; `LEVERET_GOLDEN=write` makes the newest one.

mod model;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use leveret_runtime::{fs, run};
use leveret_store::{Options, QueueKey, ReadLimits, Store, tools};
use model::{Model, Random, read_all};

const LIST: &str = "messages.txt";

/// The version that this program writes.
const NEWEST: &str = "v2";

fn golden(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(version)
}

fn options() -> Options {
    Options {
        log_file_size: 24 * 1024,
        log_files: 3,
        segment_size: 6 * 1024,
        group_size: 8 * 1024,
        ..Options::default()
    }
}

/// A line for each message: what it is, and the checksum of its body.
fn list(store: &Store, queues: &[QueueKey]) -> String {
    let mut text = String::new();
    for queue in queues {
        for (seq, kept) in read_all(store, *queue, ReadLimits::default()).expect("readable") {
            let (attributes, crc) = (kept.attributes, crc32c::crc32c(&kept.body));
            let (expiry, marks) = (attributes.expiry_ms().unwrap_or(0), attributes.head_size() >> 8);
            writeln!(text, "{queue} {seq} {expiry} {marks} {} {} {crc}", kept.delivery_count, kept.body.len())
                .expect("a String takes everything");
        }
    }
    text
}

fn write(path: &Path) {
    let (mut random, mut model) = (Random(11), Model::default());
    let (store, _) = Store::open(path, options()).expect("opens");
    let mut writer = store.writer();
    for _ in 0..500 {
        model.step(&mut random, &mut writer);
        let position = writer.flush();
        writer.progress().wait(position.0).expect("durable");
    }
    let queues: Vec<QueueKey> = model.queues.keys().copied().collect();
    fs::write(path.join(LIST), list(&store, &queues)).expect("written");
    store.close().expect("closes");
}

#[test]
fn what_version_1_wrote_is_read() {
    check("v1");
}

#[test]
fn what_version_2_wrote_is_read() {
    if std::env::var("LEVERET_GOLDEN").is_ok() {
        run(|| write(&golden(NEWEST))).expect("no deadlock");
    }
    check(NEWEST);
}

fn check(version: &'static str) {
    run(move || {
        let copy = std::env::temp_dir().join(format!("leveret-golden-{version}-{}", std::process::id()));
        copy_directory(&golden(version), &copy);
        let report = tools::check(&copy, &mut |_, _| ()).expect("looked at");
        assert!(report.damages.is_empty() && report.segments > 0 && report.groups > 0, "{report:?}");
        let expected = fs::read_to_string(copy.join(LIST)).expect("there");
        let (store, recovered) = Store::open(&copy, options()).expect("opens");
        let queues: Vec<QueueKey> = recovered.queues.iter().map(|queue| queue.queue).collect();
        assert_eq!(list(&store, &queues), expected);
        assert_eq!(recovered.queues.iter().map(|queue| queue.count).sum::<u64>(), expected.lines().count() as u64);
        let stretches = || recovered.queues.iter().flat_map(|queue| &queue.lanes).flat_map(|lane| &lane.stretches);
        assert_eq!(stretches().map(|it| it.count).sum::<u64>(), expected.lines().count() as u64);
        assert!(stretches().any(|it| it.expiry_ms.is_some()));
        store.close().expect("closes");
        fs::remove_dir_all(&copy).expect("removed");
    })
    .expect("no deadlock");
}

fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("listed") {
        let target = to.join(entry.file_name());
        match entry.file_type().is_dir() {
            true => copy_directory(entry.path(), &target),
            false => _ = fs::copy(entry.path(), target).expect("copied"),
        }
    }
}
