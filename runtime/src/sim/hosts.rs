//! Hosts: machines of a simulation, each with an address, a clock and the coroutines that were spawned on it.

use crate::coroutine::join::{JoinError, JoinHandle};
use crate::coroutine::yield_now;
use crate::coroutine::{current, park};
use crate::driver::sim::World;
use crate::driver::sim::disk::Disk;
use crate::driver::sim::hosts::{HostId, Skew};
use crate::lane::Progress;
use crate::remote::{self, RemoteJoinHandle};
use crate::shard::ShardId;
use crate::sim::world;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

/// A machine of the simulation. What runs on it can reach the others by their names and addresses.
///
/// A host is no shard: its coroutines are those that [`Host::spawn`] began, and theirs. Sockets and files belong to the host
/// of the coroutine that opened them.
///
/// ```
/// use std::io::{Read, Write};
/// use leveret_runtime::net::{TcpListener, TcpStream};
/// use leveret_runtime::{Runtime, sim};
/// Runtime::builder().simulated(1).build().unwrap().run(|| {
///     let (server, client) = (sim::host("server"), sim::host("client"));
///     let listener = server.run(|| TcpListener::bind("0.0.0.0:5672").unwrap()).unwrap();
///     let serving = server.spawn(move || listener.accept().unwrap().0.write_all(b"hello").unwrap());
///     let hello = client.run(|| {
///         let mut hello = String::new();
///         TcpStream::connect("server:5672").unwrap().read_to_string(&mut hello).unwrap();
///         hello
///     });
///     assert_eq!(hello.unwrap(), "hello");
///     serving.join().unwrap();
/// }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host {
    id: HostId,
}

/// The host of this name, made at the first call. `"main"` is the one where the main coroutine runs.
///
/// ```
/// use leveret_runtime::sim;
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// let server = sim::host("server");
/// assert_eq!(server, sim::host("server"));
/// assert_eq!(server.name(), "server");
/// assert_eq!(leveret_runtime::net::resolve("server", 80).unwrap()[0].ip(), server.ip());
/// # }).unwrap();
/// ```
///
/// # Panics
/// On the real driver, and outside of a runtime.
pub fn host(name: &str) -> Host {
    Host { id: world("a host").hosts.named(name) }
}

/// Runs `f` as code of a host.
fn as_host<T>(world: &World, host: HostId, f: impl FnOnce() -> T) -> T {
    struct Restore<'a>(&'a World, HostId);
    impl Drop for Restore<'_> {
        fn drop(&mut self) {
            self.0.hosts.enter(self.1);
        }
    }
    let _restore = Restore(world, world.hosts.enter(host));
    f()
}

impl Host {
    /// Its name.
    pub fn name(self) -> String {
        world("a host").hosts.name(self.id)
    }

    /// Its address in the simulated network. (Each host has loopback addresses too.)
    pub fn ip(self) -> IpAddr {
        world("a host").hosts.ip(self.id).into()
    }

    /// Spawns `f` on this host, on the current shard. On a host that is down it is killed before it begins.
    #[track_caller]
    pub fn spawn<T: 'static>(self, f: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
        let world = world("a host");
        let before = world.hosts.enter(self.id);
        let spawned = crate::spawn(f);
        world.hosts.enter(before);
        spawned
    }

    /// Spawns `f` on this host and on `shard`.
    #[track_caller]
    pub fn spawn_on<T: Send + 'static>(
        self,
        shard: ShardId,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> RemoteJoinHandle<T> {
        let world = world("a host");
        let before = world.hosts.enter(self.id);
        let spawned = remote::spawn_on(shard, f);
        world.hosts.enter(before);
        spawned
    }

    /// Runs `f` on this host and waits for its value.
    ///
    /// ```
    /// use leveret_runtime::{fs, sim};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// sim::host("server").run(|| fs::write("/etc", "its own disk").unwrap()).unwrap();
    /// assert!(!fs::exists("/etc").unwrap());
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`JoinHandle::join`].
    #[track_caller]
    pub fn run<T: 'static>(self, f: impl FnOnce() -> T + 'static) -> Result<T, JoinError> {
        self.spawn(f).join()
    }

    /// The power fails: the host's sockets are gone and nobody is told, what others send to it is not answered, and its
    /// coroutines are killed. Their destructors run (nothing leaks), but nothing of what they do there leaves the host. What was
    /// not durable on its disk is kept, lost or torn, as the seed decides.
    /// Returns when the last of them has ended.
    ///
    /// ```
    /// use leveret_runtime::{JoinError, fs, sim, sleep};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let server = sim::host("server");
    /// let serving = server.spawn(|| {
    ///     fs::write("/notes", "not synced").unwrap();
    ///     sleep(std::time::Duration::MAX)
    /// });
    /// sleep(std::time::Duration::from_secs(1));
    /// server.crash();
    /// assert!(matches!(serving.join(), Err(JoinError::Killed)));
    /// assert!(!server.is_up());
    /// server.restart();
    /// let left = server.run(|| fs::read("/notes")).unwrap();
    /// assert!(left.is_err() || left.unwrap().len() <= 10); // all of it, a part, nothing: the seed decides
    /// # }).unwrap();
    /// ```
    ///
    /// # Panics
    /// For the main host, whose end is the end of the test; for a host that is down.
    pub fn crash(self) {
        assert_ne!(
            self.id,
            HostId::MAIN,
            "the main host cannot crash: run the program under test on a host of its own"
        );
        let world = world("a host");
        assert!(world.hosts.is_up(self.id), "host '{}' is down already", self.name());
        if world.hosts.current() == self.id {
            return crash_here(&world); // the caller ends at its next wait
        }
        world.crash(self.id);
        self.bury(&world);
    }

    /// Ends what runs on a host without power, on every shard.
    fn bury(self, world: &World) {
        let told = Progress::new(0); // shards that have killed theirs; one that hears late must not kill what comes after
        as_host(world, HostId::MAIN, || {
            for shard in remote::shards() {
                let told = told.clone();
                remote::post(shard, move || {
                    kill_residents(self.id);
                    told.advance(told.value() + 1);
                });
            }
        });
        self.purge();
        while world.hosts.residents(self.id) > 0 || told.value() < remote::shard_count() as u64 {
            yield_now();
        }
        self.purge(); // what destructors have sent
        world.disk_of(self.id).count_crash();
    }

    /// What the host has asked other shards to run does not begin any more.
    fn purge(self) {
        let orphans: Vec<_> =
            current::with(|shard| shard.shared.inboxes.iter().flat_map(|inbox| inbox.purge(self.id)).collect());
        drop(orphans);
    }

    /// Starts the host again after a [crash](Host::crash), when the last of its coroutines has ended: with its address and its
    /// disk, without coroutines. Peers that still send to connections of before are reset.
    ///
    /// # Panics
    /// For a host that is up.
    pub fn restart(self) {
        let world = world("a host");
        assert!(!world.hosts.is_up(self.id), "host '{}' is up", self.name());
        world.disk_of(self.id).wait_settled();
        world.restart(self.id);
    }

    /// Its disk, which outlives a crash with what was durable.
    pub fn disk(self) -> Disk {
        world("a host").disk_of(self.id)
    }

    /// Whether it has not crashed, or was started again.
    pub fn is_up(self) -> bool {
        world("a host").hosts.is_up(self.id)
    }

    /// Sets its wall clock ahead of the world's; the monotonic clock stays.
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::{sim, time};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let late = sim::host("late");
    /// late.set_clock_behind(Duration::from_secs(3600));
    /// let theirs = late.run(time::system_now).unwrap();
    /// assert!(time::system_now().duration_since(theirs).unwrap() >= Duration::from_secs(3599));
    /// late.set_clock_ahead(Duration::from_secs(60));
    /// assert!(late.run(time::system_now).unwrap() > time::system_now());
    /// # }).unwrap();
    /// ```
    pub fn set_clock_ahead(self, by: Duration) {
        world("a host").hosts.set_skew(self.id, Skew::Ahead(by));
    }

    /// Sets its wall clock behind the world's.
    pub fn set_clock_behind(self, by: Duration) {
        world("a host").hosts.set_skew(self.id, Skew::Behind(by));
    }
}

/// The power of the caller's host fails by a fault; the caller is to stop here. On the main host, where the test runs, it is
/// the disk alone that crashes.
pub(crate) fn crash_here(world: &Rc<World>) {
    let host = Host { id: world.hosts.current() };
    if host.id == HostId::MAIN {
        world.disk().crash_in(world);
        world.disk().count_crash();
    } else if world.hosts.is_up(host.id) {
        world.crash(host.id);
        let theirs = world.clone();
        as_host(world, HostId::MAIN, || drop(crate::spawn(move || host.bury(&theirs))));
    }
}

/// Runs on each shard, on the scheduler's stack.
fn kill_residents(host: HostId) {
    current::with(|shard| {
        let Some(world) = shard.driver.world() else { return };
        let is_resident = |number| world.hosts.of(shard.id.0, number) == host;
        shard.tasks_where(is_resident).iter().for_each(park::kill);
    });
}

/// Cuts the network between two hosts, both ways: packets of connections are held, datagrams are lost.
///
/// ```
/// use std::{io::{Read, Write}, time::Duration};
/// use leveret_runtime::{net::{TcpListener, TcpStream}, sim};
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// let (here, far) = (sim::host("main"), sim::host("far"));
/// let listener = far.run(|| TcpListener::bind("0.0.0.0:80").unwrap()).unwrap();
/// let mut ours = TcpStream::connect("far:80").unwrap();
/// let mut theirs = far.run(move || listener.accept().unwrap().0).unwrap();
/// sim::partition(here, far);
/// ours.write_all(b"x").unwrap(); // into the kernel's buffer
/// theirs.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
/// assert!(theirs.read(&mut [0]).is_err());
/// sim::heal(here, far);
/// theirs.read_exact(&mut [0]).unwrap(); // late, and not lost
/// # }).unwrap();
/// ```
///
/// # Panics
/// On the real driver, and outside of a runtime; so for all functions here.
pub fn partition(a: Host, b: Host) {
    partition_one_way(a, b);
    partition_one_way(b, a);
}

/// Cuts one direction: what `from` sends to `to` does not arrive.
///
/// ```
/// use leveret_runtime::{net::UdpSocket, sim};
/// use std::time::Duration;
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// let (here, far) = (sim::host("main"), sim::host("far"));
/// let ours = UdpSocket::bind("0.0.0.0:7").unwrap();
/// let theirs = far.run(|| UdpSocket::bind("0.0.0.0:7").unwrap()).unwrap();
/// [&ours, &theirs].map(|socket| socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap());
/// sim::partition_one_way(here, far);
/// ours.send_to(b"lost", "far:7").unwrap();
/// theirs.send_to(b"heard", "main:7").unwrap();
/// assert!(theirs.recv_from(&mut [0; 8]).is_err());
/// assert_eq!(ours.recv_from(&mut [0; 8]).unwrap().0, 5);
/// # }).unwrap();
/// ```
pub fn partition_one_way(from: Host, to: Host) {
    world("a partition").net(|net, world| net.cut(world, from.id, to.id));
}

/// Mends both directions between two hosts: what was held arrives.
pub fn heal(a: Host, b: Host) {
    world("a partition").net(|net, world| {
        net.heal(world, a.id, b.id);
        net.heal(world, b.id, a.id);
    });
}

/// Mends the whole network.
pub fn heal_all() {
    world("a partition").net(|net, world| net.heal_all(world));
}
