//! The file calls on a simulated machine: each takes its time, may be struck by a fault, and then does to the disk what
//! [`driver::sim::disk`](crate::driver::sim::disk) says.
//!
//! A call that was under way when its machine crashed never returns, as little as one for a file that was opened before:
//! the caller waits until it is killed. (A lane stands for a thread, which cannot be killed: it gets an error then.) Off the shards (an object that outlives its simulation) calls are immediate.

use std::io::{self, Read, SeekFrom};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::{DirEntry, File, Metadata, Space, explain};
use crate::coroutine::current;
use crate::coroutine::park::{Parker, Unwinding};
use crate::coroutine::task::Wait;
use crate::driver::sim::World;
use crate::driver::sim::disk::Disk;
use crate::driver::sim::disk::state::{Access, HandleId, State};
use crate::driver::sim::plan::Effect;
use crate::driver::sim::random::Stream;
use crate::{sim, sleep, yield_now};

/// Below this a call lets others run instead of sleeping: the virtual clock has ticks of a millisecond.
const SLEEP_MIN: Duration = Duration::from_micros(100);

/// The calls, as fault plans name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Open,
    Read,
    Write,
    Sync,
    SetLen,
    Allocate,
    Metadata,
    Lock,
    Rename,
    Remove,
    CreateDir,
    List,
    SyncDir,
}

impl Call {
    fn point(self) -> &'static str {
        match self {
            Call::Open => "fs.open",
            Call::Read => "fs.read",
            Call::Write => "fs.write",
            Call::Sync => "fs.sync",
            Call::SetLen => "fs.set_len",
            Call::Allocate => "fs.allocate",
            Call::Metadata => "fs.metadata",
            Call::Lock => "fs.lock",
            Call::Rename => "fs.rename",
            Call::Remove => "fs.remove",
            Call::CreateDir => "fs.create_dir",
            Call::List => "fs.list",
            Call::SyncDir => "fs.sync_dir",
        }
    }
}

/// Whether a transfer is to stop early, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    Whole,
    /// A random number that says where.
    Short(u64),
}

impl Length {
    /// At least one byte, so that whoever loops gets on.
    fn of(self, size: usize) -> usize {
        match self {
            Length::Short(random) if size > 1 => 1 + (random % (size as u64 - 1)) as usize,
            _ => size,
        }
    }
}

/// The machine that the caller runs on, if it is a simulated one.
pub(super) fn machine() -> Option<Machine> {
    let world = current::try_with(|shard| shard.driver.world().cloned()).flatten()?;
    let disk = world.disk();
    Some(Machine { world: Some(world), epoch: disk.state(|state| state.epoch()), disk })
}

/// A disk, the world around it, and when the caller came to it.
pub(super) struct Machine {
    /// `None` off the shards.
    world: Option<Rc<World>>,
    disk: Disk,
    /// How often it had crashed then.
    epoch: u64,
}

impl Machine {
    fn call<T>(&self, call: Call, path: &Path, f: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        self.wait(call, path)?;
        self.now(call, f)
    }

    /// Takes the call's time, and strikes it with what the plan has for it.
    fn wait(&self, call: Call, path: &Path) -> io::Result<Length> {
        if std::thread::panicking() {
            return Err(Unwinding.into());
        }
        no_path(path)?;
        let Some(world) = self.world.as_ref().filter(|_| current::try_task().is_some()) else {
            return Ok(Length::Whole);
        };
        if self.is_off() {
            return Err(off(world));
        }
        let effect = world.plan.consult(world, call.point(), Some(path));
        let delay = if let Some(Effect::Delay(delay)) = effect { delay } else { Duration::ZERO };
        pass(world, self.latency(world, call).saturating_add(delay));
        match effect {
            None | Some(Effect::Delay(_)) => Ok(Length::Whole),
            Some(Effect::Short) => Ok(Length::Short(world.draw(Stream::Disk))),
            Some(Effect::Crash) => Err(crash(world)),
            Some(effect) => Err(error_of(effect)),
        }
    }

    fn latency(&self, world: &World, call: Call) -> Duration {
        let latency = self.disk.latency();
        let most = match call {
            Call::Read => latency.read,
            Call::Sync | Call::SyncDir => latency.sync,
            _ => latency.write,
        };
        let time = world.between(Stream::Disk, Duration::ZERO, most);
        let slow = world.chance(Stream::Disk, latency.slow_chance);
        time.saturating_mul(if slow { latency.slow_factor } else { 1 })
    }

    /// Whether the machine has crashed since the caller came to it, and perhaps booted again.
    fn is_off(&self) -> bool {
        let is_down = self.world.as_ref().is_some_and(|world| !world.hosts.is_up(world.hosts.current()));
        is_down || self.disk.state(|state| state.epoch()) != self.epoch
    }

    /// Does the call to the disk, if it is still the same machine.
    fn now<T>(&self, call: Call, f: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        if self.is_off() {
            return Err(match &self.world {
                Some(world) if current::try_task().is_some() => off(world),
                _ => error_of(Effect::Fails),
            });
        }
        let time = self.world.as_ref().map(|world| world.clock.system_now());
        let result = self.disk.state(|state| {
            state.now = time.unwrap_or(state.now);
            f(state)
        });
        if let Some(world) = &self.world {
            let errno = result.as_ref().err().and_then(io::Error::raw_os_error).unwrap_or(0);
            world.note(call.point(), u64::from(result.is_ok()), errno as u64);
        }
        result
    }

    /// A call on a path, with the path in its error.
    fn at<T>(
        &self,
        doing: &str,
        call: Call,
        path: &Path,
        f: impl FnOnce(&mut State, &Path) -> io::Result<T>,
    ) -> io::Result<T> {
        self.call(call, path, |state| f(state, path)).map_err(|error| explain(doing, path, &error))
    }

    pub(super) fn open(&self, path: &Path, access: Access) -> io::Result<File> {
        let handle = self.at("open", Call::Open, path, |state, path| state.open(path, access))?;
        let file = SimFile { disk: self.disk.clone(), epoch: self.epoch, handle, path: path.to_owned() };
        Ok(File::simulated(file))
    }

    pub(super) fn copy(&self, from: &Path, to: &Path) -> io::Result<u64> {
        let found = self.metadata(from)?;
        if !found.is_file() {
            let error = io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"); // std's answer
            return Err(explain("copy", from, &error));
        }
        let (mut source, target) = (File::open(from)?, File::create(to)?); // empties the source if it is the same file
        let mut bytes = Vec::new();
        source.read_to_end(&mut bytes)?;
        target.write_all_at(&bytes, 0)?;
        self.set_mode(to, found.mode)?;
        Ok(bytes.len() as u64)
    }

    pub(super) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.at("rename", Call::Rename, from, |state, from| no_path(to).and_then(|()| state.rename(from, to)))
    }

    /// The name of a Unix listener goes at once: its directory entry is not simulated.
    pub(super) fn remove_file(&self, path: &Path) -> io::Result<()> {
        if let Some(world) = &self.world
            && world.net(|net, world| net.unlink(world.hosts.current(), path))
        {
            return Ok(());
        }
        self.at("remove", Call::Remove, path, State::remove_file)
    }

    pub(super) fn create_dir(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.at("make the directory", Call::CreateDir, path, |state, path| state.create_dir(path, mode))
    }

    pub(super) fn create_dir_all(&self, path: &Path, mode: u32) -> io::Result<()> {
        let found = |path: &Path| self.disk.state(|state| state.metadata_at(path)).ok();
        let above = path.ancestors().filter(|path| !path.as_os_str().is_empty());
        let missing: Vec<&Path> = above.take_while(|path| found(path).is_none()).collect();
        for dir in missing.into_iter().rev() {
            match self.create_dir(dir, mode) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {} // by somebody else meanwhile
                made => made?,
            }
        }
        match found(path) {
            Some(found) if found.is_dir() => Ok(()),
            _ => Err(explain("make the directory", path, &io::Error::from_raw_os_error(libc::EEXIST))),
        }
    }

    pub(super) fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.at("remove the directory", Call::Remove, path, State::remove_dir)
    }

    pub(super) fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        for entry in self.list(path)? {
            match entry.file_type().is_dir() {
                true => self.remove_dir_all(entry.path())?,
                false => self.remove_file(entry.path())?,
            }
        }
        self.remove_dir(path)
    }

    pub(super) fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let begun = self.now(Call::SyncDir, |state| state.begin_sync_dir(path));
        let begun = begun.map_err(|error| explain("sync the directory", path, &error))?;
        self.at("sync the directory", Call::SyncDir, path, |state, _| {
            state.finish_sync_dir(begun);
            Ok(())
        })
    }

    pub(super) fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.at("look at", Call::Metadata, path, |state, path| state.metadata_at(path))
    }

    pub(super) fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        self.at("follow", Call::Metadata, path, |state, path| state.canonical(path))
    }

    /// The name of a Unix listener has no mode that anybody looks at.
    pub(super) fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()> {
        if let Some(world) = &self.world
            && world.net(|net, world| net.has_path(world.hosts.current(), path))
        {
            return Ok(());
        }
        self.at("change the permissions of", Call::Metadata, path, |state, path| state.set_mode_at(path, mode))
    }

    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.at("list", Call::List, path, |state, path| state.list(path))
    }

    pub(super) fn space(&self, path: &Path) -> io::Result<Space> {
        self.at("ask for the room at", Call::Metadata, path, |state, path| {
            state.metadata_at(path)?;
            Ok(state.space())
        })
    }
}

/// What the system says of a path that is none.
fn no_path(path: &Path) -> io::Result<()> {
    match path.as_os_str().as_encoded_bytes() {
        [] => Err(io::Error::from_raw_os_error(libc::ENOENT)),
        bytes if bytes.contains(&0) => Err(io::Error::new(io::ErrorKind::InvalidInput, "a path with a zero byte")),
        _ => Ok(()),
    }
}

/// Lets virtual time pass.
pub(crate) fn pass(world: &World, time: Duration) {
    if time.is_zero() {
        return;
    }
    if world.lanes.is_running() {
        return wait_as_thread(world, world.now().checked_add(time));
    }
    match time < SLEEP_MIN {
        true => yield_now(),
        false => sleep(time),
    }
}

/// Waits as a thread does, which no kill unwinds.
fn wait_as_thread(world: &World, deadline: Option<Instant>) {
    if world.lanes.is_killed() {
        return;
    }
    match Parker::arm_shielded() {
        Ok(parker) => parker.park_until_killed(Wait::Offload, deadline),
        Err(Unwinding) => unreachable!("calls check for it first"),
    }
}

/// What a fault says.
pub(crate) fn error_of(effect: Effect) -> io::Error {
    io::Error::from_raw_os_error(match effect {
        Effect::Full => libc::ENOSPC,
        Effect::TooManyFiles => libc::EMFILE,
        Effect::Fails | Effect::Short | Effect::Delay(_) | Effect::Crash => libc::EIO,
    })
}

/// The power is cut, and the caller with it. Returns as [`off`] does.
pub(crate) fn crash(world: &Rc<World>) -> io::Error {
    sim::crash_here(world);
    off(world)
}

/// The caller's machine is off: it waits for its kill, which unwinds it, unless it stands for a thread: then it gets an
/// error.
fn off(world: &World) -> io::Error {
    if world.lanes.is_running() {
        wait_as_thread(world, None);
        return error_of(Effect::Fails);
    }
    loop {
        match Parker::arm() {
            Ok(parker) => drop(parker.park(Wait::Sync("the end, on a machine that has crashed"), None)),
            Err(Unwinding) => unreachable!("calls check for it first"),
        }
    }
}

/// An open file of a simulated disk.
pub(super) struct SimFile {
    disk: Disk,
    epoch: u64,
    handle: HandleId,
    path: PathBuf,
}

impl SimFile {
    fn machine(&self) -> Machine {
        let world = current::try_with(|shard| shard.driver.world().cloned()).flatten();
        Machine { world, disk: self.disk.clone(), epoch: self.epoch }
    }

    fn call<T>(&self, call: Call, f: impl FnOnce(&mut State, HandleId) -> io::Result<T>) -> io::Result<T> {
        self.machine().call(call, &self.path, |state| f(state, self.handle))
    }

    /// A read or write of so many bytes, or fewer.
    fn transfer<T>(
        &self,
        call: Call,
        size: usize,
        f: impl FnOnce(&mut State, HandleId, usize) -> io::Result<T>,
    ) -> io::Result<T> {
        let machine = self.machine();
        let count = machine.wait(call, &self.path)?.of(size);
        machine.now(call, |state| f(state, self.handle, count))
    }

    pub(super) fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.transfer(Call::Read, buffer.len(), |state, file, count| state.read_at(file, &mut buffer[..count], offset))
    }

    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.transfer(Call::Read, buffer.len(), |state, file, count| state.read(file, &mut buffer[..count]))
    }

    pub(super) fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.transfer(Call::Write, bytes.len(), |state, file, count| state.write_at(file, &bytes[..count], offset))
    }

    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.transfer(Call::Write, bytes.len(), |state, file, count| state.write(file, &bytes[..count]))
    }

    pub(super) fn write_all_at(&self, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            let count = self.write_at(bytes, offset)?;
            bytes = &bytes[count..];
            offset += count as u64;
        }
        Ok(())
    }

    pub(super) fn write_zeros_at(&self, size: u64, offset: u64) -> io::Result<()> {
        self.call(Call::Write, |state, file| state.write_zeros(file, size, offset))
    }

    pub(super) fn allocate(&self, offset: u64, size: u64) -> io::Result<()> {
        self.call(Call::Allocate, |state, file| state.allocate(file, offset, size))
    }

    pub(super) fn set_len(&self, len: u64) -> io::Result<()> {
        self.call(Call::SetLen, |state, file| state.set_len(file, len))
    }

    /// Covers what was written when it begins. If it fails, nobody knows what of it is durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        let machine = self.machine();
        if std::thread::panicking() {
            return Err(Unwinding.into());
        }
        let Some(begun) = machine.now(Call::Sync, |state| state.begin_sync(self.handle))? else { return Ok(()) };
        match machine.wait(Call::Sync, &self.path) {
            Ok(_) => machine.now(Call::Sync, |state| state.finish_sync(self.handle, begun)),
            Err(error) => {
                machine.now(Call::Sync, |state| state.fail_sync(self.handle, begun))?;
                Err(error)
            }
        }
    }

    pub(super) fn metadata(&self) -> io::Result<Metadata> {
        self.call(Call::Metadata, |state, file| state.metadata(file))
    }

    pub(super) fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.call(Call::Metadata, |state, file| state.set_mode(file, mode))
    }

    /// Never waits.
    pub(super) fn try_lock(&self) -> io::Result<bool> {
        self.machine().now(Call::Lock, |state| state.try_lock(self.handle))
    }

    /// Never waits.
    pub(super) fn seek(&self, to: SeekFrom) -> io::Result<u64> {
        self.machine().now(Call::Metadata, |state| state.seek(self.handle, to))
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.disk.state(|state| state.close(self.handle));
    }
}

impl std::fmt::Debug for SimFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("File").field("path", &self.path).field("simulated", &true).finish()
    }
}
