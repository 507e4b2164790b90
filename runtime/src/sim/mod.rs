//! What a test on the [simulated](crate::RuntimeBuilder::simulated) machine can ask and do.
//!
//! The same seed gives the same run, event for event; [`trace_hash`] is the proof.

mod disk;

use std::rc::Rc;

use crate::coroutine::current;
use crate::driver::sim::{World, last_hash};

/// The hash of all that has happened in this simulation so far: decisions of the scheduler, moves of the clock, events of the
/// network and the disk, random draws. Outside of a runtime: of the last simulation that ended on this thread.
///
/// Two runs of one seed have the same. If not, the program depends on something that the seed does not decide, such as the
/// order of a `HashMap` with std's random hasher.
///
/// ```
/// use leveret_runtime::{Runtime, random, sim};
/// let run = |seed| Runtime::builder().simulated(seed).build().unwrap().run(random::u64).map(|_| sim::trace_hash()).unwrap();
/// assert_eq!(run(1), run(1));
/// assert_ne!(run(1), run(2));
/// ```
///
/// # Panics
/// On the real driver.
pub fn trace_hash() -> u64 {
    match current::try_with(|shard| shard.driver.world().cloned()) {
        None => last_hash(),
        Some(world) => simulated(world, "a trace").trace.hash(),
    }
}

pub use crate::driver::sim::disk::{Disk, Image, Latency};
pub use crate::driver::sim::net::faults::NetworkFaults;
pub use crate::driver::sim::plan::{Effect, Fault};
pub use disk::{clear_faults, disk, fault_point, faults_fired, inject};

/// Makes the simulated network behave so from now on, for all its links and for what is sent from now on.
///
/// # Panics
/// On the real driver, and outside of a runtime.
pub fn set_network_faults(faults: NetworkFaults) {
    let world = current::with(|shard| shard.driver.world().cloned());
    simulated(world, "a simulated network").net(|net, _| net.set_faults(faults));
}

fn simulated(world: Option<Rc<World>>, what: &str) -> Rc<World> {
    world.unwrap_or_else(|| {
        panic!("{what} exists in a simulation only: build the runtime with Runtime::builder().simulated(seed)")
    })
}
