//! Simulated disks: what survives a crash, where faults strike, and that a seed decides all of it.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::time::Duration;

use leveret_runtime::fs::{self, File};
use leveret_runtime::lane::{Lane, Progress};
use leveret_runtime::sim::{self, Effect, Fault, Image, Latency};
use leveret_runtime::{JoinError, Runtime, random, sleep, spawn, time, timeout};

fn simulate<T: 'static>(seed: u64, body: impl FnOnce() -> T + 'static) -> T {
    Runtime::builder().simulated(seed).build().unwrap().run(body).unwrap()
}

/// What a crash may leave, over many throws of the dice.
fn outcomes(prepare: fn(), look: fn(&Image) -> String) -> Vec<String> {
    let seen = simulate(1, move || {
        prepare();
        (0..300).map(|seed| look(&sim::disk().survivor(seed))).collect::<std::collections::BTreeSet<_>>()
    });
    seen.into_iter().collect()
}

fn text(image: &Image, path: &str) -> String {
    image.read(path).map_or("-".into(), |bytes| String::from_utf8(bytes).unwrap().replace('\0', "."))
}

// ---- what survives

#[test]
fn contents_and_names_are_synced_apart() {
    let check = |prepare: fn(), expected: &[&str]| assert_eq!(outcomes(prepare, |image| text(image, "/f")), expected);
    check(|| fs::write("/f", "x").unwrap(), &["", "-", ".", "x"]);
    check(
        || {
            let mut file = File::create("/f").unwrap();
            file.write_all(b"x").unwrap();
            file.sync_all().unwrap();
        },
        &["-", "x"],
    );
    check(
        || {
            fs::write("/f", "x").unwrap();
            fs::sync_dir("/").unwrap();
        },
        &["", ".", "x"],
    );
    check(
        || {
            fs::write("/f", "x").unwrap();
            File::open("/f").unwrap().sync_data().unwrap();
            fs::sync_dir("/").unwrap();
        },
        &["x"],
    );
}

#[test]
fn a_rename_without_its_contents_synced_may_lose_both() {
    fn old() {
        fs::write("/f", "old").unwrap();
        File::open("/f").unwrap().sync_all().unwrap();
        fs::sync_dir("/").unwrap();
    }
    let look: fn(&Image) -> String = |image| text(image, "/f");
    let careless = outcomes(
        || {
            old();
            fs::write("/new", "new").unwrap();
            fs::rename("/new", "/f").unwrap();
            fs::sync_dir("/").unwrap();
        },
        look,
    );
    assert!(careless.contains(&String::new()) && careless.contains(&"new".into()), "{careless:?}");
    let careful = outcomes(
        || {
            old();
            fs::write("/new", "new").unwrap();
            File::open("/new").unwrap().sync_all().unwrap();
            fs::rename("/new", "/f").unwrap();
        },
        look,
    );
    assert_eq!(careful, ["new", "old"]);
}

#[test]
fn sectors_are_kept_lost_and_torn() {
    let look: fn(&Image) -> String = |image| {
        let bytes = image.read("/f").unwrap();
        bytes
            .chunks(512)
            .map(|sector| match sector.iter().filter(|byte| **byte == b'b').count() {
                0 => '0',
                512 => '1',
                _ => 't',
            })
            .collect()
    };
    let seen = outcomes(
        || {
            fs::write("/f", vec![b'a'; 1536]).unwrap();
            let file = File::options().write(true).open("/f").unwrap();
            file.sync_all().unwrap();
            fs::sync_dir("/").unwrap();
            file.write_all_at(&[b'b'; 1536], 0).unwrap();
        },
        look,
    );
    for expected in ["000", "111", "100", "010", "001", "110", "101", "011"] {
        assert!(seen.iter().any(|outcome| outcome == expected), "{expected} is not in {seen:?}");
    }
    assert!(seen.iter().any(|outcome| outcome.contains('t')), "{seen:?}");
}

#[test]
fn behind_a_failed_sync_nothing_is_certain() {
    let seen = outcomes(
        || {
            fs::write("/f", "a").unwrap();
            let file = File::options().write(true).open("/f").unwrap();
            file.sync_all().unwrap();
            fs::sync_dir("/").unwrap();
            file.write_all_at(b"b", 0).unwrap();
            sim::inject(Fault::at("fs.sync").nth(1));
            assert!(file.sync_all().is_err());
            file.sync_all().unwrap(); // what many programs do, and believe
            assert_eq!(fs::read("/f").unwrap(), b"b");
        },
        |image| text(image, "/f"),
    );
    assert_eq!(seen, ["a", "b"]);
}

// ---- against a model that knows nothing of sectors and journals

/// What a test knows of its files: what each held at its last sync of contents and name, and all that it may hold instead.
#[derive(Clone, Default)]
struct Model {
    certain: BTreeMap<String, Vec<u8>>,
    touched: std::collections::BTreeSet<String>,
}

/// Files of one letter each, in one piece or another: a survivor that is synced and untouched must be as it was.
#[test]
fn what_was_synced_and_not_touched_since_is_as_it_was() {
    sim::check(0..60, |seed| {
        simulate(seed, || {
            let mut model = Model::default();
            fs::create_dir_all("/d").unwrap();
            fs::sync_dir("/").unwrap();
            for step in 0..40u8 {
                model.step(step);
                if random::u64().is_multiple_of(8) {
                    let image = sim::disk().crash();
                    model.check(&image);
                }
            }
        });
    });
}

impl Model {
    fn step(&mut self, step: u8) {
        let name = |n: u64| format!("/d/{}", n % 5);
        let path = name(random::u64());
        match random::u64() % 4 {
            0 => {
                fs::write(&path, vec![step; (random::u64() % 3000) as usize]).unwrap();
                self.touched.insert(path);
            }
            1 => {
                let to = name(random::u64());
                if to != path && fs::rename(&path, &to).is_ok() {
                    self.touched.extend([path, to]);
                }
            }
            2 => {
                if fs::remove_file(&path).is_ok() {
                    self.touched.insert(path);
                }
            }
            _ => self.sync_all(),
        }
    }

    /// Everything there is becomes certain.
    fn sync_all(&mut self) {
        self.certain.clear();
        for entry in fs::read_dir("/d").unwrap() {
            let path = entry.path().to_str().unwrap().to_owned();
            File::open(&path).unwrap().sync_all().unwrap();
            self.certain.insert(path.clone(), fs::read(path).unwrap());
        }
        fs::sync_dir("/d").unwrap();
        self.touched.clear();
    }

    fn check(&mut self, image: &Image) {
        for n in 0..5 {
            let path = format!("/d/{n}");
            if !self.touched.contains(&path) {
                assert_eq!(image.read(&path), self.certain.get(&path).cloned(), "{path}");
            }
            let seen = fs::exists(&path).unwrap().then(|| fs::read(&path).unwrap());
            assert_eq!(image.read(&path), seen, "the machine boots with what the image says");
        }
        self.sync_all();
    }
}

// ---- faults

/// Replaces a file in the one way that survives.
fn replace(contents: &str) -> io::Result<()> {
    let mut file = File::create("/d/new")?;
    file.write_all(contents.as_bytes())?;
    file.sync_all()?;
    sim::fault_point("replace.before_rename")?;
    fs::rename("/d/new", "/d/file")?;
    fs::sync_dir("/d")
}

fn prepare() {
    fs::create_dir("/d").unwrap();
    fs::sync_dir("/").unwrap();
    replace("old").unwrap();
}

#[test]
fn every_call_may_fail_and_the_file_is_old_or_new() {
    let mut calls = 0;
    for n in 1.. {
        let fired = simulate(n, move || {
            prepare();
            sim::inject(Fault::at("*").nth(n));
            let done = replace("new new new");
            let fired = !sim::faults_fired().is_empty();
            assert_eq!(done.is_err(), fired, "{:?}", sim::faults_fired());
            let left = text(&sim::disk().crash(), "/d/file");
            assert!(left == "new new new" || (fired && left == "old"), "call {n} leaves {left:?}");
            fired
        });
        if !fired {
            break;
        }
        calls = n;
    }
    assert_eq!(calls, 6, "open, write, sync, the point, rename, sync of the directory");
}

#[test]
fn every_call_may_be_the_last_and_the_machine_boots_again() {
    for seed in 0..20 {
        for n in 1..=7 {
            simulate(seed, move || {
                let server = sim::host("server");
                server.run(prepare).unwrap();
                server.run(move || sim::inject(Fault::at("*").nth(n).then(Effect::Crash))).unwrap();
                let done = server.run(|| replace("new").unwrap());
                let crashed = matches!(done, Err(JoinError::Killed));
                assert_eq!(crashed, n < 7);
                let left = if crashed {
                    assert!(!server.is_up());
                    server.restart();
                    server.run(|| fs::read_to_string("/d/file").unwrap()).unwrap()
                } else {
                    text(&server.disk().durable(), "/d/file")
                };
                assert!(left == "new" || (crashed && left == "old"), "call {n} leaves {left:?}");
            });
        }
    }
}

#[test]
fn a_crash_stops_everybody_on_the_host_and_nobody_else() {
    for seed in 0..20 {
        simulate(seed, || {
            let server = sim::host("server");
            let (beats, done) = (Progress::new(0), Progress::new(0));
            let theirs = (beats.clone(), done.clone());
            let serving = server.spawn(move || {
                let (beats, done) = theirs;
                let file = File::create("/beats").unwrap();
                let helper = spawn({
                    let file = file.clone();
                    move || {
                        for n in 1.. {
                            file.write_all_at(&[n as u8], n).unwrap();
                            beats.advance(n);
                            sleep(Duration::from_millis(1));
                        }
                    }
                });
                sleep(Duration::from_millis(50));
                sim::inject(Fault::at("fs.write").nth(3).then(Effect::Crash));
                helper.join().unwrap();
                done.advance(1);
            });
            assert!(matches!(serving.join(), Err(JoinError::Killed)));
            server.disk().crashes().wait(1).unwrap();
            let then = beats.value();
            sleep(Duration::from_secs(1));
            assert_eq!((beats.value(), done.value()), (then, 0));
            assert_eq!(server.disk().open_files(), 0);
            fs::write("/elsewhere", "the test's own disk is another one").unwrap();
            server.restart();
            assert!(server.run(|| !fs::exists("/elsewhere").unwrap()).unwrap());
        });
    }
}

#[test]
fn short_transfers_are_gone_on_with() {
    simulate(3, || {
        sim::inject(Fault::at("fs.*").chance(0.5).then(Effect::Short));
        let bytes: Vec<u8> = (0..10_000).map(|n| n as u8).collect();
        let mut file = File::create_new("/f").unwrap();
        file.write_all(&bytes).unwrap();
        file.write_all_at(&bytes, 10_000).unwrap();
        assert_eq!(fs::read("/f").unwrap(), [&bytes[..], &bytes[..]].concat());
        assert!(file.read_owned_at(20_000, 0).unwrap().starts_with(&bytes));
        assert!(!sim::faults_fired().is_empty());
        sim::clear_faults();
        let fired = sim::faults_fired().len();
        assert_eq!(file.write_at(&bytes, 0).unwrap(), 10_000);
        assert_eq!(sim::faults_fired().len(), fired);
    });
}

#[test]
fn a_full_disk_says_so_and_takes_what_has_its_room() {
    simulate(1, || {
        let disk = sim::disk();
        disk.set_capacity(1 << 20);
        let log = File::create_new("/log").unwrap();
        log.allocate(0, 512 * 1024).unwrap();
        let full = |result: io::Result<()>| assert_eq!(result.unwrap_err().kind(), ErrorKind::StorageFull);
        full(log.allocate(0, 2 << 20));
        full(fs::write("/big", vec![1; 2 << 20]));
        assert_eq!(fs::metadata("/big").unwrap().len(), 512 * 1024, "what there was room for");
        full(fs::write("/more", "x"));
        assert_eq!(fs::space("/").unwrap().free, 0);
        log.write_all_at(&[1; 4096], 100 * 4096).unwrap();
        fs::remove_file("/big").unwrap();
        fs::write("/more", "x").unwrap();
        assert_eq!(fs::space("/").unwrap().free, (512 - 4) * 1024);
        let held = File::open("/more").unwrap();
        fs::remove_file("/more").unwrap();
        assert_eq!(fs::space("/").unwrap().free, (512 - 4) * 1024, "it is open");
        drop(held);
        assert_eq!(fs::space("/").unwrap().free, 512 * 1024);
    });
}

#[test]
fn the_limit_of_open_files_is_one() {
    simulate(1, || {
        sim::disk().set_open_files_max(2);
        let files = [File::create("/1").unwrap(), File::create("/2").unwrap()];
        let error = File::open("/1").unwrap_err().to_string();
        assert!(error.contains("LimitNOFILE"), "{error}");
        drop(files);
        File::open("/1").unwrap();
    });
}

#[test]
fn faults_name_calls_paths_and_points() {
    simulate(1, || {
        sim::inject(Fault::at("fs.open").path("/b*").then(Effect::TooManyFiles));
        sim::inject(Fault::at("slow").then(Effect::Delay(Duration::from_secs(5))));
        fs::write("/a", "").unwrap();
        let error = fs::write("/b", "").unwrap_err().to_string();
        assert!(error.starts_with("cannot open /b") && error.contains("LimitNOFILE"), "{error}");
        let start = time::now();
        sim::fault_point("slow").unwrap();
        sim::fault_point("unknown").unwrap();
        assert!(time::now() - start >= Duration::from_secs(5));
        assert_eq!(sim::faults_fired(), ["EMFILE at fs.open of /b", "a delay of 5s at slow"]);
    });
    leveret_runtime::run(|| sim::fault_point("slow").unwrap()).unwrap();
    sim::fault_point("slow").unwrap();
}

#[test]
fn calls_take_virtual_time() {
    let took = |latency| {
        simulate(1, move || {
            sim::disk().set_latency(latency);
            let start = time::now();
            let file = File::create("/f").unwrap();
            (0..100).for_each(|_| file.sync_all().unwrap());
            time::now() - start
        })
    };
    assert_eq!(took(Latency::ZERO), Duration::ZERO);
    let usual = took(Latency::default());
    assert!(usual > Duration::from_millis(50) && usual < Duration::from_secs(2), "{usual:?}");
}

// ---- programs on a disk

/// Appends numbers through a lane and hears of those that are durable.
fn log_numbers(told: &Progress) {
    let log = File::options().write(true).create(true).truncate(false).open("/log").unwrap();
    fs::sync_dir("/").unwrap();
    let mut next = fs::metadata("/log").unwrap().len() / 8;
    let durable = Progress::new(next);
    let lane = Lane::start("committer", {
        let (durable, mut at) = (durable.clone(), next);
        move |batch: &mut std::collections::VecDeque<u64>| {
            let bytes: Vec<u8> = batch.drain(..).flat_map(u64::to_le_bytes).collect();
            log.write_all_at(&bytes, at * 8).unwrap();
            log.sync_data().unwrap();
            at += bytes.len() as u64 / 8;
            durable.advance(at);
        }
    })
    .unwrap();
    loop {
        for _ in 0..1 + random::u64() % 20 {
            next += 1;
            lane.send(next).expect("the lane lives as long as this");
        }
        durable.wait(next).unwrap();
        told.advance(next);
    }
}

#[test]
fn what_a_committer_has_told_of_is_there_after_any_crash() {
    let checked = sim::check(0..40, |seed| {
        simulate(seed, || {
            let (server, told) = (sim::host("server"), Progress::new(0));
            for _ in 0..5 {
                let theirs = told.clone();
                let program = server.spawn(move || log_numbers(&theirs));
                sleep(Duration::from_micros(random::u64() % 100_000));
                server.crash();
                assert!(program.join().is_err(), "killed, or it noticed first that its lane had been");
                let log = server.disk().image().read("/log").unwrap_or_default();
                let mut numbers = log.chunks(8).map(|bytes| bytes.try_into().map_or(0, u64::from_le_bytes));
                (1..=told.value()).for_each(|n| assert_eq!(numbers.next(), Some(n)));
                // What is behind may be torn: begin again behind what is certain.
                let mut image = server.disk().image();
                if image.len("/log").is_some() {
                    image.truncate("/log", told.value() * 8);
                }
                server.disk().restore(&image);
                server.restart();
            }
            assert!(told.value() > 0);
        });
    });
    assert_eq!(checked.seeds, 40);
}

#[test]
fn a_seed_decides_everything() {
    let run = |seed| {
        let image = simulate(seed, || {
            sim::inject(Fault::at("fs.sync").chance(0.1));
            fs::create_dir("/d").unwrap();
            for n in 0..50u32 {
                let path = format!("/d/{}", n % 7);
                let _ = fs::write(&path, vec![n as u8; (random::u64() % 5000) as usize]);
                let _ = File::open(&path).and_then(|file| file.sync_all());
                let _ = if n % 3 == 0 { fs::sync_dir("/d") } else { Ok(()) };
            }
            sim::disk().crash()
        });
        let files: Vec<_> = image.files().into_iter().map(|path| (image.read(&path), path)).collect();
        (sim::trace_hash(), files)
    };
    for seed in 0..20 {
        assert_eq!(run(seed), run(seed));
    }
    assert_ne!(run(1).0, run(2).0);
}

#[test]
fn an_image_outlives_its_runtime() {
    let mut image = simulate(1, || {
        prepare();
        sim::disk().crash()
    });
    image.write("/d/other", b"put there while it was off");
    image.flip_bit("/d/file", 0);
    simulate(2, move || {
        sim::disk().restore(&image);
        assert_eq!(fs::read("/d/file").unwrap(), b"nld");
        assert_eq!(fs::metadata(Path::new("/d/other")).unwrap().len(), 26);
        let disk = sim::disk();
        let stale = File::open("/d/file").unwrap();
        disk.restore(&image);
        let waiter = spawn(move || stale.sync_all());
        sleep(Duration::from_secs(60));
        assert!(!waiter.is_finished(), "the machine it was opened on is no more");
        waiter.kill();
        assert!(matches!(waiter.join(), Err(JoinError::Killed)));
        assert_eq!(disk.open_files(), 0);
    });
}

/// The sum of the call's own time and the delay was beyond what a duration holds.
#[test]
fn a_disk_may_hang_for_ever() {
    simulate(1, || {
        let endless = || fs::write("/file", "x");
        sim::inject(Fault::at("fs.write").then(Effect::Delay(Duration::MAX)));
        assert!(timeout(Duration::from_secs(3600), endless).is_err());
        sim::clear_faults();
        let (read, write, sync) = (Duration::MAX, Duration::MAX, Duration::MAX);
        sim::disk().set_latency(Latency { read, write, sync, slow_chance: 1.0, slow_factor: u32::MAX });
        assert!(timeout(Duration::from_secs(3600), endless).is_err());
    });
}
