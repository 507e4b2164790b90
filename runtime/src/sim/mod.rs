//! What a test on the [simulated](crate::RuntimeBuilder::simulated) machine can ask and do.
//!
//! The same seed gives the same run, event for event; [`trace_hash`] is the proof. Everything that the program does through
//! this crate is part of the simulation: time is virtual, sockets are of a simulated network between [`host`]s, and which
//! coroutine runs next is drawn from the seed within what the runtime promises.
//!
//! - [`check`] runs a test body over many seeds; a failure prints the one command that replays it.
//! - [`set_network_faults`] makes the network as bad as wanted; [`partition`] and [`heal`] cut and mend it.
//! - [`Host::crash`] fails a machine's power; its [`Disk`] then holds what was synced, and of the rest what the seed leaves.
//! - [`inject`] has files and [fault points](fault_point) fail, by rules: the third sync of a log, one write of a hundred.
//!
//! ```
//! use std::io::{Read, Write};
//! use leveret_runtime::net::{TcpListener, TcpStream};
//! use leveret_runtime::{Runtime, sim, spawn};
//!
//! sim::check(0..20, |seed| {
//!     let runtime = Runtime::builder().simulated(seed).build().unwrap();
//!     let echoed = runtime.run(|| {
//!         sim::set_network_faults(sim::NetworkFaults::rough());
//!         let listener = TcpListener::bind("127.0.0.1:0").unwrap();
//!         let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
//!         let echo = spawn(move || {
//!             let (stream, _) = listener.accept().unwrap();
//!             std::io::copy(&mut &stream, &mut &stream).unwrap()
//!         });
//!         client.write_all(b"in pieces, late, and all of it").unwrap();
//!         client.shutdown(std::net::Shutdown::Write).unwrap();
//!         let mut back = String::new();
//!         client.read_to_string(&mut back).unwrap();
//!         (back, echo.join().unwrap())
//!     });
//!     assert_eq!(echoed.unwrap(), ("in pieces, late, and all of it".into(), 30));
//! });
//! ```

mod check;
mod disk;
mod hosts;

pub use check::{Checked, check};
pub use disk::{clear_faults, disk, fault_point, faults_fired, inject, maybe};
pub(crate) use hosts::crash_here;
pub use hosts::{Host, heal, heal_all, host, partition, partition_one_way};

pub use crate::driver::sim::disk::{Disk, Image, Latency};
pub use crate::driver::sim::net::faults::NetworkFaults;
pub use crate::driver::sim::plan::{Effect, Fault};

use std::rc::Rc;

use crate::coroutine::current;
use crate::driver::sim::{World, last_hash};

/// Whether the caller runs on a simulated machine. False on the real driver, and outside of a runtime.
///
/// For the few things that a simulated program must not do to the process around it, such as ending it.
///
/// ```
/// use leveret_runtime::sim::is_simulated;
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// assert!(is_simulated());
/// # assert!(!std::thread::spawn(is_simulated).join().unwrap());
/// # }).unwrap();
/// ```
pub fn is_simulated() -> bool {
    current::try_with(|shard| shard.driver.is_simulated()).unwrap_or(false)
}

/// The hash of all that has happened in this simulation so far: decisions of the scheduler, moves of the clock, events of the
/// network and the disk, random draws. Outside of a runtime: of the last simulation that ended on this thread.
///
/// Two runs of one seed have the same. If not, the program depends on something that the seed does not decide, such as the
/// order of a `HashMap` with std's random hasher.
///
/// ```
/// use leveret_runtime::{Runtime, random, sim};
/// let run = |seed| Runtime::builder().simulated(seed).build().unwrap().run(|| drop(random::u64())).map(|()| sim::trace_hash());
/// assert_eq!(run(1).unwrap(), run(1).unwrap());
/// assert_ne!(run(1).unwrap(), run(2).unwrap());
/// ```
///
/// # Panics
/// On the real driver.
pub fn trace_hash() -> u64 {
    match current::try_with(|_| ()) {
        None => last_hash(),
        Some(()) => world("a trace").trace.hash(),
    }
}

/// The last events of this simulation, oldest first, a line each: the virtual time, what happened, two numbers.
///
/// ```
/// use leveret_runtime::sim;
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// leveret_runtime::sleep(std::time::Duration::from_secs(1));
/// assert!(sim::recent_events().lines().count() > 0); // for a look at what led to a failure
/// # }).unwrap();
/// ```
///
/// # Panics
/// On the real driver, and outside of a runtime.
pub fn recent_events() -> String {
    world("a trace").trace.recent()
}

/// Makes the simulated network behave so from now on, on all its links.
///
/// ```
/// use std::time::Duration;
/// use leveret_runtime::{net::{TcpListener, TcpStream}, sim, time};
/// use std::io::{Read, Write};
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// let far = sim::host("far");
/// let listener = far.run(|| TcpListener::bind("0.0.0.0:80").unwrap()).unwrap();
/// let _ = far.spawn(move || listener.accept().unwrap().0.write_all(b"x").unwrap());
/// sim::set_network_faults(sim::NetworkFaults {
///     delay: (Duration::from_millis(40), Duration::from_millis(40)),
///     ..sim::network_faults()
/// });
/// let start = time::now();
/// TcpStream::connect("far:80").unwrap().read_exact(&mut [0]).unwrap();
/// assert!(time::now() - start >= Duration::from_millis(80)); // there and back
/// # }).unwrap();
/// ```
///
/// # Panics
/// On the real driver, and outside of a runtime.
pub fn set_network_faults(faults: NetworkFaults) {
    world("a simulated network").net(|net, _| net.set_faults(faults));
}

/// How the simulated network behaves.
///
/// # Panics
/// On the real driver, and outside of a runtime.
pub fn network_faults() -> NetworkFaults {
    world("a simulated network").net(|net, _| net.faults().clone())
}

/// The world that the caller runs in.
fn world(what: &str) -> Rc<World> {
    current::with(|shard| shard.driver.world().cloned()).unwrap_or_else(|| {
        panic!("{what} exists in a simulation only: build the runtime with Runtime::builder().simulated(seed)")
    })
}
