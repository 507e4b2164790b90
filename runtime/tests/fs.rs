//! Files, through the thread pool.

use std::io::{BufRead, BufReader, ErrorKind, IoSlice, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use leveret_runtime::fs::{self, File, OpenOptions};
use leveret_runtime::{JoinError, Runtime, run, spawn, yield_now};

/// A directory that goes with the test.
struct Place(PathBuf);

impl Place {
    fn new(test: &str) -> Place {
        let path = std::env::temp_dir().join(format!("leveret-fs-{test}-{}", std::process::id()));
        fs::create_dir_all(path.join("a/b")).unwrap();
        Place(path)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn with_place(test: &'static str, body: fn(&Place)) {
    run(move || body(&Place::new(test))).unwrap();
    Runtime::builder().simulated(1).build().unwrap().run(move || body(&Place::new(test))).unwrap();
}

#[test]
fn whole_files_and_names() {
    with_place("whole", |place| {
        let (one, two) = (place.at("one"), place.at("two"));
        assert!(!fs::exists(&one).unwrap());
        fs::write(&one, "text").unwrap();
        assert_eq!(fs::read(&one).unwrap(), b"text");
        fs::rename(&one, &two).unwrap();
        fs::sync_dir(&place.0).unwrap();
        assert_eq!(fs::read_to_string(&two).unwrap(), "text");
        assert_eq!(fs::copy(&two, &one).unwrap(), 4);
        assert_eq!(fs::metadata(&two).unwrap().len(), 4);
        fs::set_permissions(&two, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(fs::symlink_metadata(&two).unwrap().permissions().mode() & 0o777, 0o600);
        let names = |path: &Path| -> Vec<_> {
            let entries = fs::read_dir(path).unwrap();
            entries.iter().map(|entry| (entry.file_name().to_owned(), entry.file_type().is_dir())).collect()
        };
        assert_eq!(names(&place.0), [("a".into(), true), ("one".into(), false), ("two".into(), false)]);
        fs::remove_file(&two).unwrap();
        fs::remove_dir_all(place.at("a")).unwrap();
        fs::create_dir(place.at("c")).unwrap();
        fs::remove_dir(place.at("c")).unwrap();
        assert_eq!(names(&place.0), [("one".into(), false)]);
        assert_eq!(fs::canonicalize(place.at("../")).unwrap(), fs::canonicalize(std::env::temp_dir()).unwrap());
    });
}

#[test]
fn what_is_no_path_and_no_offset_is_refused() {
    with_place("nonsense", |place| {
        let kind = |result: std::io::Result<()>| result.unwrap_err().kind();
        assert_eq!(kind(fs::read("").map(drop)), ErrorKind::NotFound);
        assert_eq!(kind(fs::write("", "x")), ErrorKind::NotFound);
        assert_eq!(kind(fs::create_dir("")), ErrorKind::NotFound);
        assert_eq!(kind(fs::read("zero\0byte").map(drop)), ErrorKind::InvalidInput);
        fs::write(place.at("file"), "x").unwrap();
        assert_eq!(kind(fs::rename(place.at("file"), "")), ErrorKind::NotFound);
        let file = File::options().read(true).write(true).open(place.at("file")).unwrap();
        for offset in [u64::MAX, i64::MAX as u64 - 1] {
            assert_eq!(kind(file.read_at(&mut [0; 4], offset).map(drop)), ErrorKind::InvalidInput);
            assert_eq!(kind(file.write_all_at(&[0; 4], offset)), ErrorKind::InvalidInput);
        }
        assert_eq!(file.metadata().unwrap().len(), 1);
    });
}

#[test]
fn errors_name_the_path_and_keep_their_kind() {
    with_place("errors", |place| {
        let missing = place.at("missing");
        let check = |result: std::io::Result<()>, kind: ErrorKind| {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), kind);
            assert!(error.to_string().contains("missing"), "{error}");
        };
        check(fs::read(&missing).map(drop), ErrorKind::NotFound);
        check(File::open(&missing).map(drop), ErrorKind::NotFound);
        check(fs::read_dir(&missing).map(drop), ErrorKind::NotFound);
        check(fs::remove_file(&missing), ErrorKind::NotFound);
        fs::write(&missing, "").unwrap();
        check(File::create_new(&missing).map(drop), ErrorKind::AlreadyExists);
        check(fs::create_dir(&missing), ErrorKind::AlreadyExists);
    });
}

#[test]
fn at_offsets_and_at_the_position() {
    with_place("offsets", |place| {
        let mut file = File::create_new(place.at("file")).unwrap();
        file.write_all_at(b"0123456789", 0).unwrap();
        assert_eq!(file.write_owned_at(b"ab".to_vec(), 2).unwrap(), b"ab");
        assert_eq!(file.write_at(b"z", 9).unwrap(), 1);
        let mut four = [0; 4];
        assert_eq!(file.read_at(&mut four, 1).unwrap(), 4);
        assert_eq!(&four, b"1ab4");
        assert_eq!(file.read_at(&mut four, 8).unwrap(), 2);
        assert_eq!(file.read_exact_at(&mut four, 8).unwrap_err().kind(), ErrorKind::UnexpectedEof);
        assert_eq!(file.read_owned_at(3, 7).unwrap(), b"78z");
        file.write_all_vectored_at(&mut [IoSlice::new(b"3"), IoSlice::new(b""), IoSlice::new(b"45")], 4).unwrap();

        file.write_all(b"XY").unwrap();
        assert_eq!(file.stream_position().unwrap(), 2);
        file.seek(SeekFrom::End(-1)).unwrap();
        assert_eq!(file.read(&mut four).unwrap(), 1);
        assert_eq!(file.read(&mut four).unwrap(), 0);
        file.rewind().unwrap();
        let mut all = String::new();
        file.read_to_string(&mut all).unwrap();
        assert_eq!(all, "XYab34578z");

        file.set_len(3).unwrap();
        file.sync_all().unwrap();
        file.sync_data().unwrap();
        assert_eq!(file.metadata().unwrap().len(), 3);
        file.set_permissions(fs::Permissions::from_mode(0o640)).unwrap();
        let twice = file.blocking(|file| Ok((file.metadata()?.len(), file.metadata()?.permissions().mode() & 0o777)));
        assert_eq!(twice.unwrap(), (3, 0o640));
    });
}

#[test]
fn options_append_and_modes() {
    with_place("options", |place| {
        let path = place.at("log");
        let open = |options: &mut OpenOptions| options.open(&path).unwrap();
        let mut log = open(File::options().append(true).create(true).mode(0o600));
        log.write_all(b"one\n").unwrap();
        let mut again = open(File::options().append(true));
        again.write_all(b"two\n").unwrap();
        log.write_all(b"three\n").unwrap();
        let lines: Vec<_> = BufReader::new(File::open(&path).unwrap()).lines().map(Result::unwrap).collect();
        assert_eq!(lines, ["one", "two", "three"]);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(open(File::options().write(true).truncate(true)).metadata().unwrap().len() == 0);
    });
}

#[test]
fn a_lock_excludes_others() {
    with_place("lock", |place| {
        let lock = File::create(place.at("lock")).unwrap();
        lock.try_lock().unwrap();
        let other = File::open(place.at("lock")).unwrap();
        assert!(matches!(other.try_lock(), Err(std::fs::TryLockError::WouldBlock)));
        drop(lock);
        other.try_lock().unwrap();
    });
}

#[test]
fn a_held_lock_file_says_who_has_it() {
    with_place("held", |place| {
        let lock = fs::lock(place.at("LOCK")).unwrap();
        let error = fs::lock(place.at("LOCK")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        let text = format!("{} is locked by process {}", place.at("LOCK").display(), std::process::id());
        assert_eq!(error.to_string(), text);
        drop(lock);
        fs::lock(place.at("LOCK")).unwrap();
    });
}

#[test]
fn space_is_set_aside_and_zeroed() {
    with_place("space", |place| {
        let file = File::create_new(place.at("file")).unwrap();
        file.allocate(0, 1 << 20).unwrap();
        file.write_all_at(b"abcdef", 0).unwrap();
        file.write_zeros_at(600_000, 2).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 1 << 20);
        assert_eq!(file.read_owned_at(3, 0).unwrap(), b"ab\0");
        assert!(file.metadata().unwrap().allocated() >= 600_000);
        let space = fs::space(&place.0).unwrap();
        assert!(space.free > 0 && space.free <= space.total, "{space}");
        assert!(file.allocate(0, u64::MAX).is_err());
    });
}

#[test]
fn private_directories() {
    with_place("private", |place| {
        fs::create_dir_all_mode(place.at("x/y"), 0o700).unwrap();
        fs::create_dir_all_mode(place.at("x/y"), 0o755).unwrap(); // is there: keeps its own
        for dir in ["x", "x/y"] {
            assert_eq!(fs::metadata(place.at(dir)).unwrap().permissions().mode() & 0o777, 0o700);
        }
    });
}

#[test]
fn more_than_one_copy_at_a_time_takes_several() {
    with_place("large", |place| {
        let bytes: Vec<u8> = (0..3_000_000u32).map(|n| (n >> 5) as u8).collect();
        let mut file = File::create_new(place.at("file")).unwrap();
        assert_eq!(file.write(&bytes).unwrap(), 1 << 20, "a write may take less");
        file.rewind().unwrap();
        file.write_all(&bytes).unwrap();
        let mut back = vec![0; bytes.len()];
        file.read_exact_at(&mut back, 0).unwrap();
        assert!(back == bytes);
    });
}

/// A little chance of the test's own, the same on both drivers.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn bit(&mut self) -> bool {
        self.below(2) == 1
    }

    fn path(&mut self, place: &Place) -> PathBuf {
        let names = ["x", "y", "a", "a/x", "a/y", "a/b", "a/b/x", "x/y", "a/../y", "none/x"];
        place.at(names[self.below(names.len() as u64) as usize])
    }
}

/// What a call has answered: its value, or the kind of its error.
fn answer<T: std::fmt::Debug>(result: std::io::Result<T>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(error) => format!("{:?}", error.kind()),
    }
}

/// One random call on paths.
fn call_on_paths(place: &Place, chance: &mut Chance) -> String {
    let (path, other) = (chance.path(place), chance.path(place));
    let called = match chance.below(11) {
        0 => answer(fs::write(&path, vec![b'w'; chance.below(100) as usize])),
        1 => answer(fs::read(&path)),
        2 => answer(fs::rename(&path, &other)),
        3 => answer(fs::remove_file(&path)),
        4 => answer(fs::create_dir(&path)),
        5 => answer(fs::create_dir_all(&path)),
        6 => answer(fs::remove_dir(&path)),
        7 => answer(fs::exists(&path)),
        8 => answer(fs::copy(&path, &other)),
        9 => answer(fs::metadata(&path).map(|found| (found.file_type(), found.is_file().then(|| found.len())))),
        _ => answer(fs::read_dir(&path).map(|found| {
            let entry = |entry: &fs::DirEntry| (entry.file_name().to_owned(), entry.file_type());
            found.iter().map(entry).collect::<Vec<_>>()
        })),
    };
    format!(
        "{} {} {called}",
        path.strip_prefix(&place.0).unwrap().display(),
        other.strip_prefix(&place.0).unwrap().display()
    )
}

/// Random calls on a file that was opened in a random way.
fn calls_on_a_file(place: &Place, chance: &mut Chance, answers: &mut Vec<String>) {
    let mut options = OpenOptions::new();
    options.read(chance.bit()).write(chance.bit()).append(chance.below(4) == 0).create(chance.bit());
    options.truncate(chance.below(4) == 0).create_new(chance.below(4) == 0);
    let path = chance.path(place);
    let opened = options.open(&path);
    answers
        .push(format!("open {options:?} {}", answer(opened.as_ref().map(|_| ()).map_err(|error| error.kind().into()))));
    let Ok(mut file) = opened else { return };
    if file.metadata().unwrap().is_dir() {
        return; // what can be done to an open directory differs between file systems
    }
    for _ in 0..chance.below(8) {
        let (size, offset) = (chance.below(50) as usize, chance.below(200));
        let mut bytes = vec![b'0' + (offset % 10) as u8; size];
        answers.push(match chance.below(10) {
            0 => answer(file.write_at(&bytes, offset)),
            1 => answer(file.read_at(&mut bytes, offset).map(|count| bytes[..count].to_vec())),
            2 => answer(file.write(&bytes)),
            3 => answer(file.read(&mut bytes).map(|count| bytes[..count].to_vec())),
            4 => answer(file.seek(SeekFrom::Start(offset))),
            5 => answer(file.seek(SeekFrom::End(offset as i64 - 100))),
            6 => answer(file.seek(SeekFrom::Current(offset as i64 - 100))),
            7 => answer(file.set_len(offset)),
            8 => answer(file.write_zeros_at(size as u64, offset)),
            _ => answer(file.allocate(offset, size as u64)),
        });
    }
    answers.push(answer(file.metadata().map(|found| found.len())));
}

#[test]
fn random_calls_are_answered_alike_on_both_drivers() {
    fn answers(place: &Place, seed: u64) -> Vec<String> {
        let (mut chance, mut answers) = (Chance(seed), Vec::new());
        for _ in 0..60 {
            match chance.bit() {
                true => answers.push(call_on_paths(place, &mut chance)),
                false => calls_on_a_file(place, &mut chance, &mut answers),
            }
        }
        answers
    }
    for seed in 0..40 {
        let name = format!("alike-{seed}");
        let simulated = {
            let name = name.clone();
            Runtime::builder().simulated(seed).build().unwrap().run(move || answers(&Place::new(&name), seed)).unwrap()
        };
        let real = run(move || answers(&Place::new(&name), seed)).unwrap();
        for (number, (simulated, real)) in simulated.iter().zip(&real).enumerate() {
            assert_eq!(simulated, real, "seed {seed}, answer {number}");
        }
        assert_eq!(simulated.len(), real.len());
    }
}

#[test]
fn others_run_while_a_file_is_waited_for_and_a_kill_leaves_it_usable() {
    run(|| {
        let place = Place::new("kill");
        let file = Rc::new(File::create_new(place.at("file")).unwrap());
        let (release, gate) = std::sync::mpsc::channel::<()>();
        let stuck = spawn({
            let file = file.clone();
            move || file.blocking(move |_| gate.recv().map_err(|_| ErrorKind::BrokenPipe.into()))
        });
        yield_now();
        file.write_all_at(b"meanwhile", 0).unwrap();
        stuck.kill();
        assert!(matches!(stuck.join(), Err(JoinError::Killed)));
        release.send(()).unwrap();
        assert_eq!(file.read_owned_at(9, 0).unwrap(), b"meanwhile");
    })
    .unwrap();
}

#[test]
fn a_destructor_that_unwinds_gets_an_error() {
    struct WritesInDrop(Rc<File>);
    impl Drop for WritesInDrop {
        fn drop(&mut self) {
            assert!(self.0.write_all_at(b"x", 0).is_err());
        }
    }
    run(|| {
        let place = Place::new("unwind");
        let file = Rc::new(File::create_new(place.at("file")).unwrap());
        let guard = WritesInDrop(file.clone());
        let victim = spawn(move || {
            let _guard = guard;
            leveret_runtime::sleep(std::time::Duration::from_secs(60));
        });
        yield_now();
        victim.kill();
        assert!(matches!(victim.join(), Err(JoinError::Killed)));
        assert_eq!(file.metadata().unwrap().len(), 0);
    })
    .unwrap();
}
