//! redb, a database that knows nothing of this runtime, on its files: on the real driver, and on a simulated one whose
//! machine crashes again and again.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use leveret_runtime::fs::{self, File};
use leveret_runtime::lane::{Progress, Worker};
use leveret_runtime::sim::{self, Effect, Fault};
use leveret_runtime::{Runtime, random, run, sleep, time};
use redb::{Database, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition};

const NUMBERS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("numbers");

/// The whole adapter.
#[derive(Debug)]
struct Backend(File);

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }
}

/// redb holds locks across its reads and writes, so it has a thread of its own.
fn open(dir: &Path) -> io::Result<Worker<Database>> {
    let path = dir.join("numbers.redb");
    let dir = dir.to_owned();
    Worker::start("redb", move || {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut builder = Database::builder();
        let database =
            builder.set_cache_size(256 * 1024).create_with_backend(Backend(file)).map_err(io::Error::other)?;
        fs::sync_dir(dir)?;
        Ok(database)
    })
}

/// What is stored with a number: long enough that pages come and go.
fn value(number: u64) -> Vec<u8> {
    vec![number as u8; 10 + (number as usize * 37) % 700]
}

fn commit(database: &Database, numbers: std::ops::Range<u64>) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    let mut table = transaction.open_table(NUMBERS)?;
    for number in numbers {
        table.insert(number, &value(number)[..])?;
    }
    drop(table);
    transaction.commit()?;
    Ok(())
}

/// Checks that all numbers from 0 on are there with their values; says how many.
fn count(database: &Database) -> Result<u64, redb::Error> {
    let transaction = database.begin_read()?;
    let table = match transaction.open_table(NUMBERS) {
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(0),
        table => table?,
    };
    for (expected, entry) in (0..).zip(table.iter()?) {
        let (number, bytes) = entry?;
        assert_eq!((number.value(), bytes.value()), (expected, &value(expected)[..]));
    }
    Ok(redb::ReadableTableMetadata::len(&table)?)
}

fn on_any_driver(dir: PathBuf) {
    fs::create_dir_all(&dir).unwrap();
    let database = open(&dir).unwrap();
    let started = time::now();
    for from in (0..100).step_by(10) {
        database.call(move |database| commit(database, from..from + 10)).unwrap().unwrap();
    }
    assert!(time::now() > started, "the calls have taken time");
    database.call(|database| drop(database.begin_write().unwrap())).unwrap();
    drop(database);
    // The database is closed on its own thread; until then it may be found open.
    let again = (0..1000).find_map(|_| {
        sleep(Duration::from_millis(1));
        open(&dir).ok()
    });
    assert_eq!(again.unwrap().call(|database| count(database)).unwrap().unwrap(), 100);
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_database_works_on_both_drivers() {
    let dir = std::env::temp_dir().join(format!("leveret-redb-{}", std::process::id()));
    run({
        let dir = dir.clone();
        move || on_any_driver(dir)
    })
    .unwrap();
    Runtime::builder().simulated(1).build().unwrap().run(move || on_any_driver(dir)).unwrap();
}

/// Commits numbers for ever, and tells of each commit that is done.
fn commit_for_ever(committed: &Progress) -> Result<(), redb::Error> {
    let database = open(Path::new("/"))?;
    let mut next = database.call(|database| count(database)).expect("the worker lives")?;
    assert!(next >= committed.value(), "{} numbers were committed, {next} are there", committed.value());
    loop {
        let until = next + 1 + random::u64() % 20;
        database.call(move |database| commit(database, next..until)).expect("the worker lives")?;
        committed.advance(until);
        next = until;
    }
}

/// What was committed is there after every crash, at any moment, at any file call, also while redb repairs itself.
#[test]
fn commits_survive_crashes() {
    let checked = sim::check(0..15, |seed| {
        let simulation = Runtime::builder().simulated(seed).build().unwrap();
        simulation
            .run(|| {
                let (server, committed) = (sim::host("server"), Progress::new(0));
                for life in 1..=6 {
                    let theirs = committed.clone();
                    let program = server.spawn(move || {
                        let call = 1 + random::u64() % 200;
                        sim::inject(Fault::at("fs.*").nth(call).then(Effect::Crash));
                        commit_for_ever(&theirs).map_err(|error| error.to_string())
                    });
                    assert!(program.join().is_err(), "only a crash ends it");
                    server.disk().crashes().wait(life).unwrap();
                    sim::clear_faults();
                    server.restart();
                }
                assert!(committed.value() > 0);
            })
            .unwrap();
    });
    assert_eq!((checked.seeds, checked.faults), (15, 90));
}
