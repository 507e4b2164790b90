//! A simulated file system: paths, open files, room. What its calls answer is what Linux answers; what a crash leaves of
//! their effects is the business of [`FileData`] and [`Names`].
//!
//! It knows nothing of time, faults and coroutines: calls are immediate. It has no links, neither hard nor symbolic, and
//! lets everybody do everything, as root may; modes are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io::{self, SeekFrom};
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use super::content::{Content, PAGE_SIZE};
use super::dice::Dice;
use super::file::{FileData, Syncing};
use super::image::{Image, Stored, names};
use super::tree::{Change, Entry, Names, NodeId, ROOT, Tree};
use crate::fs::{DirEntry, FileType, Metadata, Space};

/// Bytes of a disk where nobody says how many.
const CAPACITY_DEFAULT: u64 = 64 << 30;

/// The longest name in a directory, as on most file systems of Linux.
const NAME_SIZE_MAX: usize = 255;

/// What others than the owner are not allowed with a file that is made, as by default on Linux.
const UMASK: u32 = 0o022;

/// An open file, until it is closed or the machine crashes. Numbers are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HandleId(u64);

/// How to open a file; see [`OpenOptions`](crate::fs::OpenOptions).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Access {
    pub(crate) read: bool,
    pub(crate) write: bool,
    pub(crate) append: bool,
    pub(crate) truncate: bool,
    pub(crate) create: bool,
    pub(crate) create_new: bool,
    pub(crate) mode: u32,
}

#[derive(Debug)]
struct Node {
    mode: u32,
    modified: SystemTime,
    /// `None` for a directory.
    data: Option<FileData>,
    locked_by: Option<HandleId>,
}

#[derive(Debug)]
struct Open {
    node: NodeId,
    access: Access,
    position: u64,
}

#[derive(Debug)]
pub(crate) struct State {
    names: Names,
    nodes: BTreeMap<NodeId, Node>,
    last_node: u64,
    handles: BTreeMap<HandleId, Open>,
    last_handle: u64,
    /// How often the machine has crashed or booted.
    epoch: u64,
    capacity: u64,
    used: u64,
    pub(crate) open_files_max: usize,
    /// The wall clock, as the last call knew it.
    pub(crate) now: SystemTime,
}

fn errno(errno: i32) -> io::Error {
    io::Error::from_raw_os_error(errno)
}

impl State {
    pub(crate) fn new() -> State {
        let mut state = State {
            names: Names::durable(Tree::empty()),
            nodes: BTreeMap::new(),
            last_node: 0,
            handles: BTreeMap::new(),
            last_handle: 0,
            epoch: 0,
            capacity: CAPACITY_DEFAULT,
            used: 0,
            open_files_max: usize::MAX,
            now: SystemTime::UNIX_EPOCH,
        };
        state.boot(&Image::empty());
        state
    }

    // ---- the machine

    /// What is on the disk if the machine crashes now; one of the many things.
    pub(crate) fn survivor(&self, dice: &mut Dice) -> Image {
        let tree = self.names.survivor(dice);
        self.image(tree, |data| data.survivor(dice))
    }

    /// What is on the disk for certain.
    pub(crate) fn durable(&self) -> Image {
        self.image(self.names.durable_tree().clone(), |data| data.durable_content().clone())
    }

    /// What programs see.
    pub(crate) fn current(&self) -> Image {
        self.image(self.names.current().clone(), |data| data.content().clone())
    }

    fn image(&self, mut tree: Tree, mut content: impl FnMut(&FileData) -> Content) -> Image {
        tree.prune();
        let mut stored = |node: NodeId| {
            let found = self.nodes.get(&node)?;
            Some((node, Stored { mode: found.mode, content: found.data.as_ref().map(&mut content) }))
        };
        let nodes = tree.nodes().into_iter().filter_map(&mut stored).collect();
        Image { tree, nodes, last_node: self.last_node }
    }

    /// Switches the machine on with this on its disk. Files that were open are not any more.
    pub(crate) fn boot(&mut self, image: &Image) {
        let node = |stored: &Stored| Node {
            mode: stored.mode,
            modified: self.now,
            data: stored.content.clone().map(FileData::durable),
            locked_by: None,
        };
        self.nodes = image.nodes.iter().map(|(id, stored)| (*id, node(stored))).collect();
        self.names = Names::durable(image.tree.clone());
        self.last_node = self.last_node.max(image.last_node);
        self.handles.clear();
        self.epoch += 1;
        self.used = self.nodes.values().filter_map(|node| node.data.as_ref()).map(room_of).sum();
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(crate) fn set_capacity(&mut self, bytes: u64) {
        self.capacity = bytes;
    }

    pub(crate) fn space(&self) -> Space {
        Space { total: self.capacity, free: self.capacity.saturating_sub(self.used) }
    }

    pub(crate) fn open_files(&self) -> usize {
        self.handles.len()
    }

    // ---- paths

    /// The directory and the name that a path leads to, which need not be there.
    fn parent(&self, path: &Path) -> io::Result<Entry> {
        let mut components = path.components();
        let name = match components.next_back() {
            Some(Component::Normal(name)) => name,
            Some(Component::ParentDir) => return self.node_at(path).and(Err(errno(libc::ENOTEMPTY))),
            _ => return Err(errno(libc::EEXIST)),
        };
        if name.len() > NAME_SIZE_MAX {
            return Err(errno(libc::ENAMETOOLONG));
        }
        let dir = self.node_at(components.as_path())?;
        match self.names.current().is_dir(dir) {
            true => Ok((dir, name.to_owned())),
            false => Err(errno(libc::ENOTDIR)),
        }
    }

    fn step(&self, dir: NodeId, name: &OsStr) -> io::Result<NodeId> {
        match self.names.current().is_dir(dir) {
            true => self.names.current().find(dir, name).ok_or_else(|| errno(libc::ENOENT)),
            false => Err(errno(libc::ENOTDIR)),
        }
    }

    fn node_at(&self, path: &Path) -> io::Result<NodeId> {
        let mut way = vec![ROOT];
        for component in path.components() {
            let here = way.last().copied().unwrap_or(ROOT);
            match component {
                Component::Normal(name) => way.push(self.step(here, name)?),
                Component::ParentDir if !self.names.current().is_dir(here) => return Err(errno(libc::ENOTDIR)),
                Component::ParentDir => drop(way.pop()),
                Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
            }
        }
        Ok(way.last().copied().unwrap_or(ROOT))
    }

    fn dir_at(&self, path: &Path) -> io::Result<NodeId> {
        let node = self.node_at(path)?;
        if self.names.current().is_dir(node) { Ok(node) } else { Err(errno(libc::ENOTDIR)) }
    }

    fn node(&self, id: NodeId) -> io::Result<&Node> {
        self.nodes.get(&id).ok_or_else(|| errno(libc::ENOENT))
    }

    fn add_node(&mut self, mode: u32, data: Option<FileData>) -> NodeId {
        self.last_node += 1;
        let id = NodeId(self.last_node);
        self.nodes.insert(id, Node { mode: mode & 0o7777 & !UMASK, modified: self.now, data, locked_by: None });
        id
    }

    pub(crate) fn metadata_at(&self, path: &Path) -> io::Result<Metadata> {
        self.node(self.node_at(path)?).map(metadata)
    }

    pub(crate) fn set_mode_at(&mut self, path: &Path, mode: u32) -> io::Result<()> {
        let id = self.node_at(path)?;
        self.nodes.get_mut(&id).ok_or_else(|| errno(libc::ENOENT))?.mode = mode & 0o7777;
        Ok(())
    }

    pub(crate) fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        self.node_at(path)?;
        Ok(Path::new("/").join(names(path).iter().collect::<PathBuf>()))
    }

    pub(crate) fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let dir = self.dir_at(path)?;
        let found = self.names.current().list(dir).into_iter().flatten();
        let kind = |node: &NodeId| if self.names.current().is_dir(*node) { FileType::Dir } else { FileType::File };
        Ok(found.map(|(name, node)| DirEntry::new(path, name.clone(), kind(node))).collect())
    }

    pub(crate) fn create_dir(&mut self, path: &Path, mode: u32) -> io::Result<()> {
        if self.node_at(path).is_ok() {
            return Err(errno(libc::EEXIST));
        }
        let at = self.parent(path)?;
        let node = self.add_node(mode, None);
        self.names.change(Change::Link { at, node, is_dir: true });
        Ok(())
    }

    pub(crate) fn remove_dir(&mut self, path: &Path) -> io::Result<()> {
        let node = self.dir_at(path)?;
        if self.names.current().list(node).is_some_and(|names| !names.is_empty()) {
            return Err(errno(libc::ENOTEMPTY));
        }
        let at = self.parent(path)?;
        self.names.change(Change::Unlink { at });
        Ok(())
    }

    pub(crate) fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        let node = self.node_at(path)?;
        if self.names.current().is_dir(node) {
            return Err(errno(libc::EISDIR));
        }
        let at = self.parent(path)?;
        self.names.change(Change::Unlink { at });
        self.forget_if_gone(node);
        Ok(())
    }

    pub(crate) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let (source, target) = (self.parent(from)?, self.parent(to)?);
        let node = self.node_at(from)?;
        let replaced = self.names.current().find(target.0, &target.1);
        if replaced == Some(node) {
            return Ok(());
        }
        if names(to).starts_with(&names(from)) {
            return Err(errno(libc::EINVAL)); // a directory into itself
        }
        if names(from).starts_with(&names(to)) {
            return Err(errno(libc::ENOTEMPTY)); // onto a directory that it is in
        }
        self.may_replace(node, replaced)?;
        self.names.change(Change::Rename { from: source, to: target });
        if let Some(replaced) = replaced {
            self.forget_if_gone(replaced);
        }
        Ok(())
    }

    fn may_replace(&self, node: NodeId, replaced: Option<NodeId>) -> io::Result<()> {
        let tree = self.names.current();
        let Some(replaced) = replaced else { return Ok(()) };
        match (tree.is_dir(node), tree.list(replaced)) {
            (true, None) => Err(errno(libc::ENOTDIR)),
            (false, Some(_)) => Err(errno(libc::EISDIR)),
            (true, Some(names)) if !names.is_empty() => Err(errno(libc::ENOTEMPTY)),
            _ => Ok(()),
        }
    }

    /// A sync of a directory begins: which one, and how far it reaches.
    pub(crate) fn begin_sync_dir(&self, path: &Path) -> io::Result<(NodeId, u64)> {
        Ok((self.dir_at(path)?, self.names.begin_sync()))
    }

    pub(crate) fn finish_sync_dir(&mut self, (dir, number): (NodeId, u64)) {
        self.names.finish_sync(dir, number);
        let kept: BTreeSet<NodeId> = self.names.nodes();
        let open: BTreeSet<NodeId> = self.handles.values().map(|open| open.node).collect();
        self.nodes.retain(|id, _| kept.contains(id) || open.contains(id));
    }

    // ---- open files

    pub(crate) fn open(&mut self, path: &Path, access: Access) -> io::Result<HandleId> {
        let may_write = access.write || access.append;
        let makes = access.truncate || access.create || access.create_new;
        let contradicts = access.append && access.truncate && !access.create_new;
        if contradicts || !may_write && (makes || !access.read) {
            return Err(errno(libc::EINVAL));
        }
        if self.handles.len() >= self.open_files_max {
            return Err(errno(libc::EMFILE));
        }
        let node = match self.node_at(path) {
            Ok(_) if access.create_new => return Err(errno(libc::EEXIST)),
            Ok(node) if may_write && self.names.current().is_dir(node) => return Err(errno(libc::EISDIR)),
            Ok(node) => node,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) && (access.create || access.create_new) => {
                let at = self.parent(path)?;
                let node = self.add_node(access.mode, Some(FileData::default()));
                self.names.change(Change::Link { at, node, is_dir: false });
                node
            }
            Err(error) => return Err(error),
        };
        self.last_handle += 1;
        let handle = HandleId(self.last_handle);
        self.handles.insert(handle, Open { node, access, position: 0 });
        if access.truncate && !access.create_new {
            self.edit(handle, |data| data.set_len(0))?;
        }
        Ok(handle)
    }

    /// Does nothing for a file that a crash has closed.
    pub(crate) fn close(&mut self, handle: HandleId) {
        let Some(open) = self.handles.remove(&handle) else { return };
        if let Some(node) = self.nodes.get_mut(&open.node) {
            node.locked_by = node.locked_by.filter(|owner| *owner != handle);
        }
        self.forget_if_gone(open.node);
    }

    /// Gives back the room of a file that has neither a name nor an open handle. What a crash may bring back stays known.
    fn forget_if_gone(&mut self, node: NodeId) {
        let is_open = self.handles.values().any(|open| open.node == node);
        if is_open || self.names.current().has(node) {
            return;
        }
        if let Some(data) = self.nodes.get(&node).and_then(|node| node.data.as_ref()) {
            self.used = self.used.saturating_sub(room_of(data));
        }
        if !self.names.nodes().contains(&node) {
            self.nodes.remove(&node);
        }
    }

    fn opened(&self, handle: HandleId) -> io::Result<&Open> {
        self.handles.get(&handle).ok_or_else(|| errno(libc::EIO))
    }

    fn position_of(&mut self, handle: HandleId) -> io::Result<&mut u64> {
        self.handles.get_mut(&handle).map(|open| &mut open.position).ok_or_else(|| errno(libc::EIO))
    }

    fn data(&self, handle: HandleId) -> io::Result<&FileData> {
        let node = self.node(self.opened(handle)?.node)?;
        node.data.as_ref().ok_or_else(|| errno(libc::EISDIR))
    }

    fn edit(&mut self, handle: HandleId, f: impl FnOnce(&mut FileData)) -> io::Result<()> {
        let open = self.opened(handle)?;
        if !(open.access.write || open.access.append) {
            return Err(errno(libc::EBADF));
        }
        let id = open.node;
        let node = self.nodes.get_mut(&id).ok_or_else(|| errno(libc::EIO))?;
        let data = node.data.as_mut().ok_or_else(|| errno(libc::EISDIR))?;
        let before = room_of(data);
        f(data);
        self.used = (self.used + room_of(data)).saturating_sub(before);
        node.modified = self.now;
        Ok(())
    }

    pub(crate) fn read_at(&self, handle: HandleId, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match self.opened(handle)?.access.read {
            true if offset.checked_add(buffer.len() as u64).is_none_or(|end| end > i64::MAX as u64) => {
                Err(errno(libc::EINVAL))
            }
            true => Ok(self.data(handle)?.content().read(offset, buffer)),
            false => Err(errno(libc::EBADF)),
        }
    }

    pub(crate) fn read(&mut self, handle: HandleId, buffer: &mut [u8]) -> io::Result<usize> {
        let position = self.opened(handle)?.position;
        let count = self.read_at(handle, buffer, position)?;
        *self.position_of(handle)? += count as u64;
        Ok(count)
    }

    /// Writes as much as there is room for.
    pub(crate) fn write_at(&mut self, handle: HandleId, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let offset = self.written_at(handle, offset)?;
        let count = self.room_for(handle, offset, bytes.len() as u64)? as usize;
        self.edit(handle, |data| data.write(offset, &bytes[..count]))?;
        Ok(count)
    }

    pub(crate) fn write(&mut self, handle: HandleId, bytes: &[u8]) -> io::Result<usize> {
        let offset = match self.opened(handle)? {
            open if open.access.append => self.data(handle)?.content().len(),
            open => open.position,
        };
        let count = self.write_at(handle, bytes, offset)?;
        if count > 0 {
            *self.position_of(handle)? = offset + count as u64;
        }
        Ok(count)
    }

    /// Where a write to this offset goes: to the end of a file that was opened for appending, as Linux does it.
    fn written_at(&self, handle: HandleId, offset: u64) -> io::Result<u64> {
        match self.opened(handle)?.access.append {
            true => Ok(self.data(handle)?.content().len()),
            false => Ok(offset),
        }
    }

    pub(crate) fn write_zeros(&mut self, handle: HandleId, size: u64, offset: u64) -> io::Result<()> {
        if size == 0 {
            return Ok(()); // nobody is asked
        }
        let offset = self.written_at(handle, offset)?;
        let count = self.room_for(handle, offset, size)?;
        self.edit(handle, |data| data.write_zeros(offset, count))?;
        if count < size { Err(errno(libc::ENOSPC)) } else { Ok(()) }
    }

    pub(crate) fn allocate(&mut self, handle: HandleId, offset: u64, size: u64) -> io::Result<()> {
        if size == 0 {
            return Ok(()); // nobody is asked
        }
        match self.room_for(handle, offset, size)? == size {
            true => self.edit(handle, |data| data.allocate(offset, size)),
            false => Err(errno(libc::ENOSPC)),
        }
    }

    /// How many of the bytes there is room for; an error if for none.
    fn room_for(&self, handle: HandleId, offset: u64, size: u64) -> io::Result<u64> {
        if offset.checked_add(size).is_none_or(|end| end > i64::MAX as u64) {
            return Err(errno(libc::EINVAL)); // not EFBIG: the kernel sees a negative end
        }
        match self.data(handle)?.content().fitting(offset, size, self.space().free) {
            0 if size > 0 => Err(errno(libc::ENOSPC)),
            fitting => Ok(fitting),
        }
    }

    pub(crate) fn set_len(&mut self, handle: HandleId, len: u64) -> io::Result<()> {
        let access = self.opened(handle)?.access;
        if len > i64::MAX as u64 || !(access.write || access.append) {
            return Err(errno(libc::EINVAL)); // not EBADF, as for all others
        }
        self.edit(handle, |data| data.set_len(len))
    }

    pub(crate) fn seek(&mut self, handle: HandleId, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(delta) => self.data(handle)?.content().len().checked_add_signed(delta),
            SeekFrom::Current(delta) => self.opened(handle)?.position.checked_add_signed(delta),
        };
        let position = position.filter(|at| *at <= i64::MAX as u64).ok_or_else(|| errno(libc::EINVAL))?;
        *self.position_of(handle)? = position;
        Ok(position)
    }

    pub(crate) fn metadata(&self, handle: HandleId) -> io::Result<Metadata> {
        self.node(self.opened(handle)?.node).map(metadata)
    }

    pub(crate) fn set_mode(&mut self, handle: HandleId, mode: u32) -> io::Result<()> {
        let id = self.opened(handle)?.node;
        self.nodes.get_mut(&id).ok_or_else(|| errno(libc::EIO))?.mode = mode & 0o7777;
        Ok(())
    }

    /// Whether the lock is this handle's now.
    pub(crate) fn try_lock(&mut self, handle: HandleId) -> io::Result<bool> {
        let id = self.opened(handle)?.node;
        let node = self.nodes.get_mut(&id).ok_or_else(|| errno(libc::EIO))?;
        let owner = *node.locked_by.get_or_insert(handle);
        Ok(owner == handle)
    }

    // ---- syncing

    pub(crate) fn begin_sync(&self, handle: HandleId) -> io::Result<Option<Syncing>> {
        let node = self.node(self.opened(handle)?.node)?;
        Ok(node.data.as_ref().map(FileData::begin_sync)) // a directory that is open has no data to sync
    }

    pub(crate) fn finish_sync(&mut self, handle: HandleId, sync: Syncing) -> io::Result<()> {
        self.synced(handle)?.finish_sync(sync);
        Ok(())
    }

    pub(crate) fn fail_sync(&mut self, handle: HandleId, sync: Syncing) -> io::Result<()> {
        self.synced(handle)?.fail_sync(sync);
        Ok(())
    }

    fn synced(&mut self, handle: HandleId) -> io::Result<&mut FileData> {
        let id = self.opened(handle)?.node;
        self.nodes.get_mut(&id).and_then(|node| node.data.as_mut()).ok_or_else(|| errno(libc::EIO))
    }
}

fn metadata(node: &Node) -> Metadata {
    let kind = if node.data.is_some() { FileType::File } else { FileType::Dir };
    let content = node.data.as_ref().map(FileData::content);
    Metadata {
        len: content.map_or(PAGE_SIZE as u64, Content::len),
        file_type: kind,
        mode: node.mode | if kind.is_dir() { libc::S_IFDIR } else { libc::S_IFREG },
        modified: node.modified,
        allocated: content.map_or(PAGE_SIZE as u64, Content::allocated),
    }
}

fn room_of(data: &FileData) -> u64 {
    data.content().allocated()
}
