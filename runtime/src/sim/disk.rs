//! Disks and faults, for tests: which disk, and what is to go wrong.

use std::io;

use crate::coroutine::current;
use crate::driver::sim::World;
use crate::driver::sim::disk::Disk;
use crate::driver::sim::plan::{Effect, Fault};
use crate::fs;

/// The disk of the simulated host that the caller runs on.
///
/// ```
/// use leveret_runtime::{fs, sim};
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// fs::write("/page", "text").unwrap();
/// assert_eq!(sim::disk().image().read("/page").unwrap(), b"text"); // programs see it
/// assert!(sim::disk().durable().is_empty()); // a crash need not leave it
/// # }).unwrap();
/// ```
///
/// # Panics
/// On the real driver, and outside of a runtime.
pub fn disk() -> Disk {
    with_world("a simulated disk", World::disk)
}

/// Adds a rule by which faults come to the host that the caller runs on. Earlier rules go first.
///
/// ```
/// use leveret_runtime::{fs, sim::{self, Effect, Fault}};
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// sim::inject(Fault::at("fs.write").path("*.log").nth(2).then(Effect::Full));
/// fs::write("/a.log", "1").unwrap();
/// fs::write("/a.txt", "not counted").unwrap();
/// assert_eq!(fs::write("/a.log", "2").unwrap_err().kind(), std::io::ErrorKind::StorageFull);
/// fs::write("/a.log", "3").unwrap();
/// # }).unwrap();
/// ```
///
/// # Panics
/// As [`disk`].
pub fn inject(fault: Fault) {
    with_world("a fault", |world| world.plan.add(world.hosts.current(), fault));
}

/// Takes back every rule of [`inject`], on all hosts: what comes now goes well.
///
/// ```
/// use leveret_runtime::{fs, sim::{self, Fault}};
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// sim::inject(Fault::at("fs.*"));
/// assert!(fs::read("/file").is_err());
/// sim::clear_faults();
/// fs::write("/file", "now").unwrap();
/// # }).unwrap();
/// ```
///
/// # Panics
/// As [`disk`].
pub fn clear_faults() {
    with_world("a fault", |world| world.plan.clear());
}

/// What has gone wrong so far in this simulation, on disks, in the network and at fault points, in words; also what a
/// runner has left out.
///
/// ```
/// use leveret_runtime::{fs, sim::{self, Fault}};
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// sim::inject(Fault::at("fs.open").path("/config"));
/// assert!(fs::read("/config").is_err());
/// assert!(sim::faults_fired()[0].contains("/config"), "{:?}", sim::faults_fired());
/// # }).unwrap();
/// ```
///
/// # Panics
/// As [`disk`].
pub fn faults_fired() -> Vec<String> {
    with_world("a fault", |world| world.faults.fired().into_iter().map(|firing| firing.what).collect())
}

/// A place in code where a test may want something to go wrong: between two steps that belong together, before a rename,
/// while something is half done. It does nothing unless the program runs in a simulation and a rule of [`inject`] names it:
/// then it fails, takes long, or is where the power is cut. On the real driver it costs a look at a thread-local.
///
/// ```
/// use leveret_runtime::{Runtime, fs, sim};
/// use leveret_runtime::sim::{Effect, Fault};
///
/// fn replace(contents: &str) -> std::io::Result<()> {
///     fs::write("/new", contents)?;
///     sim::fault_point("replace.before_rename")?;
///     fs::rename("/new", "/file")
/// }
///
/// Runtime::builder().simulated(1).build().unwrap().run(|| {
///     replace("one").unwrap();
///     sim::inject(Fault::at("replace.before_rename").then(Effect::Full));
///     assert_eq!(replace("two").unwrap_err().kind(), std::io::ErrorKind::StorageFull);
///     assert_eq!(fs::read("/file").unwrap(), b"one");
/// }).unwrap();
/// ```
///
/// # Errors
/// What the rule says. Where the code cannot fail, ignore it: delays and crashes do not come as errors.
#[inline]
pub fn fault_point(name: &'static str) -> io::Result<()> {
    match current::try_with(|shard| shard.driver.is_simulated()) {
        Some(true) => strike(name),
        _ => Ok(()),
    }
}

/// Whether code is to take its rare way now: rotate a file early, flush late, think a cache full. False, unless the program
/// runs in a simulation and a rule of [`inject`] names the place and has its moment, whatever its effect is. It brings the
/// ways to light that a test would have to work long for.
///
/// ```
/// use leveret_runtime::sim::{self, Fault};
/// use leveret_runtime::Runtime;
///
/// let is_full = |size: usize| size >= 64 << 20 || sim::maybe("log.full_early");
/// Runtime::builder().simulated(1).build().unwrap().run(move || {
///     assert!(!is_full(100));
///     sim::inject(Fault::at("log.full_early").nth(2));
///     assert_eq!([is_full(100), is_full(100), is_full(100)], [false, true, false]);
/// }).unwrap();
/// ```
#[inline]
pub fn maybe(name: &'static str) -> bool {
    match current::try_with(|shard| shard.driver.is_simulated()) {
        Some(true) => wanted(name),
        _ => false,
    }
}

#[cold]
fn wanted(name: &'static str) -> bool {
    let world = current::with(|shard| shard.driver.world().cloned());
    world.is_some_and(|world| world.plan.consult(&world, name, None).is_some())
}

#[cold]
fn strike(name: &'static str) -> io::Result<()> {
    let Some(world) = current::with(|shard| shard.driver.world().cloned()) else { return Ok(()) };
    if current::try_task().is_none() || std::thread::panicking() {
        return Ok(()); // nobody who could wait, or end
    }
    match world.plan.consult(&world, name, None) {
        None | Some(Effect::Short) => Ok(()),
        Some(Effect::Delay(delay)) => {
            fs::sim::pass(&world, delay);
            Ok(())
        }
        Some(Effect::Crash) => Err(fs::sim::crash(&world)),
        Some(effect) => Err(fs::sim::error_of(effect)),
    }
}

fn with_world<T>(what: &str, f: impl FnOnce(&World) -> T) -> T {
    match current::with(|shard| shard.driver.world().cloned()) {
        Some(world) => f(&world),
        None => panic!("{what} exists in a simulation only: build the runtime with Runtime::builder().simulated(seed)"),
    }
}
