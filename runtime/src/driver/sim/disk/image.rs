//! What is on a simulated disk while nobody uses it: the input and output of a crash, and what damage tests work on.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use super::content::Content;
use super::tree::{Change, NodeId, ROOT, Tree};

/// What a disk holds while the machine is off: files and directories, all of them durable.
///
/// A crash leaves one ([`Disk::crash`](super::Disk::crash)); a machine boots from one
/// ([`Disk::restore`](super::Disk::restore)). A copy costs little: it shares what neither of the two changes. Files can be
/// damaged in it, to see what a program does about that.
///
/// ```
/// use leveret_runtime::{Runtime, fs, sim::{self, Image}};
/// let mut image = Image::empty();
/// image.write("/data/records", b"0123456789");
/// image.flip_bit("/data/records", 3); // what does the program make of that?
/// let read = Runtime::builder().simulated(1).build().unwrap().run(move || {
///     sim::disk().restore(&image);
///     fs::read("/data/records").unwrap()
/// });
/// assert_eq!(read.unwrap(), b"8123456789");
/// ```
#[derive(Clone, Debug)]
pub struct Image {
    pub(super) tree: Tree,
    pub(super) nodes: BTreeMap<NodeId, Stored>,
    pub(super) last_node: u64,
}

/// A file, or a directory, which has no content.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) mode: u32,
    pub(super) content: Option<Content>,
}

impl Default for Image {
    fn default() -> Self {
        Image::empty()
    }
}

impl Image {
    /// A fresh disk.
    pub fn empty() -> Image {
        let root = Stored { mode: 0o755, content: None };
        Image { tree: Tree::empty(), nodes: [(ROOT, root)].into(), last_node: ROOT.0 }
    }

    /// The paths of all files, sorted.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        self.walk(ROOT, Path::new("/"), &mut |path, stored| {
            if stored.content.is_some() {
                files.push(path.to_owned());
            }
        });
        files
    }

    fn walk(&self, dir: NodeId, path: &Path, visit: &mut impl FnMut(&Path, &Stored)) {
        for (name, node) in self.tree.list(dir).into_iter().flatten() {
            let path = path.join(name);
            if let Some(stored) = self.nodes.get(node) {
                visit(&path, stored);
            }
            self.walk(*node, &path, visit);
        }
    }

    /// A file's bytes, if it is there.
    pub fn read(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        self.content(path.as_ref()).map(Content::bytes)
    }

    /// A file's length, if it is there.
    pub fn len(&self, path: impl AsRef<Path>) -> Option<u64> {
        self.content(path.as_ref()).map(Content::len)
    }

    /// Whether nothing is on the disk.
    pub fn is_empty(&self) -> bool {
        self.tree.list(ROOT).is_none_or(BTreeMap::is_empty)
    }

    /// Puts a file there with these bytes, instead of what was there; the directories above it are made.
    ///
    /// # Panics
    /// If a directory is there, or a file where a directory must be.
    pub fn write(&mut self, path: impl AsRef<Path>, bytes: &[u8]) {
        let names = names(path.as_ref());
        let (name, dirs) = names.split_last().expect("a file has a name");
        let dir = dirs.iter().fold(ROOT, |dir, name| self.subdirectory(dir, name));
        let node = self.tree.find(dir, name).unwrap_or_else(|| self.link(dir, name, false));
        assert!(!self.tree.is_dir(node), "{} is a directory", path.as_ref().display());
        let mode = self.nodes.get(&node).map_or(0o644, |stored| stored.mode);
        self.nodes.insert(node, Stored { mode, content: Some(Content::of(bytes)) });
    }

    fn subdirectory(&mut self, dir: NodeId, name: &OsString) -> NodeId {
        let node = self.tree.find(dir, name).unwrap_or_else(|| {
            let node = self.link(dir, name, true);
            self.nodes.insert(node, Stored { mode: 0o755, content: None });
            node
        });
        assert!(self.tree.is_dir(node), "{} is a file", name.display());
        node
    }

    fn link(&mut self, dir: NodeId, name: &OsString, is_dir: bool) -> NodeId {
        self.last_node += 1;
        let node = NodeId(self.last_node);
        self.tree.apply(&Change::Link { at: (dir, name.clone()), node, is_dir });
        node
    }

    /// Removes a file, if it is there. Whether the name is free now: a directory stays.
    pub fn remove(&mut self, path: impl AsRef<Path>) -> bool {
        let found = self.place(path.as_ref()).filter(|(_, _, node)| !self.tree.is_dir(*node));
        if let Some((dir, name, node)) = found {
            self.tree.apply(&Change::Unlink { at: (dir, name) });
            self.nodes.remove(&node);
        }
        self.place(path.as_ref()).is_none()
    }

    /// Turns the bit of this number (from the file's first byte's lowest) over.
    ///
    /// ```
    /// use leveret_runtime::sim::Image;
    /// let mut image = Image::empty();
    /// image.write("/file", &[0, 0]);
    /// image.flip_bit("/file", 9);
    /// assert_eq!(image.read("/file").unwrap(), [0, 2]);
    /// ```
    ///
    /// # Panics
    /// If there is no such file or bit.
    pub fn flip_bit(&mut self, path: impl AsRef<Path>, bit: u64) {
        self.damage(path.as_ref(), |content| {
            let mut byte = [0];
            assert_eq!(content.read(bit / 8, &mut byte), 1, "bit {bit} is behind the end");
            content.write(bit / 8, &[byte[0] ^ (1 << (bit % 8))]);
        });
    }

    /// Cuts a file to this length, or extends it by zeros.
    ///
    /// ```
    /// use leveret_runtime::sim::Image;
    /// let mut image = Image::empty();
    /// image.write("/file", b"record");
    /// image.truncate("/file", 3); // a torn write
    /// assert_eq!(image.read("/file").unwrap(), b"rec");
    /// ```
    ///
    /// # Panics
    /// If there is no such file.
    pub fn truncate(&mut self, path: impl AsRef<Path>, len: u64) {
        self.damage(path.as_ref(), |content| content.set_len(len));
    }

    /// Makes these bytes of a file zero, as a disk does with a lost page; what is behind the end stays as it is.
    ///
    /// ```
    /// use leveret_runtime::sim::Image;
    /// let mut image = Image::empty();
    /// image.write("/file", b"record");
    /// image.zero("/file", 1..3);
    /// assert_eq!(image.read("/file").unwrap(), b"r\0\0ord");
    /// ```
    ///
    /// # Panics
    /// If there is no such file.
    pub fn zero(&mut self, path: impl AsRef<Path>, bytes: Range<u64>) {
        self.damage(path.as_ref(), |content| {
            let end = bytes.end.min(content.len());
            content.write_zeros(bytes.start, end.saturating_sub(bytes.start));
        });
    }

    /// Has two files change their contents.
    ///
    /// # Panics
    /// If one of them is not there.
    pub fn swap(&mut self, one: impl AsRef<Path>, other: impl AsRef<Path>) {
        let mut held = self.content(other.as_ref()).cloned().unwrap_or_else(|| missing(other.as_ref()));
        self.damage(one.as_ref(), |content| std::mem::swap(content, &mut held));
        self.damage(other.as_ref(), |content| std::mem::swap(content, &mut held));
    }

    /// Writes everything below a real directory, to look at it with real tools. Works outside of a runtime only.
    ///
    /// ```
    /// use leveret_runtime::sim::Image;
    /// let mut image = Image::empty();
    /// image.write("/data/log", b"entry");
    /// let to = std::env::temp_dir().join(format!("leveret-doc-export-{}", std::process::id()));
    /// image.export(&to).unwrap();
    /// assert_eq!(std::fs::read(to.join("data/log")).unwrap(), b"entry");
    /// std::fs::remove_dir_all(&to).unwrap();
    /// ```
    ///
    /// # Errors
    /// The system's.
    pub fn export(&self, to: impl AsRef<Path>) -> io::Result<()> {
        let mut done = std::fs::create_dir_all(to.as_ref());
        self.walk(ROOT, Path::new(""), &mut |path, stored| {
            if done.is_ok() {
                done = export_one(&to.as_ref().join(path), stored);
            }
        });
        done
    }

    fn damage(&mut self, path: &Path, f: impl FnOnce(&mut Content)) {
        let node = self.place(path).map(|(_, _, node)| node);
        let stored = node.and_then(|node| self.nodes.get_mut(&node)).and_then(|stored| stored.content.as_mut());
        f(stored.unwrap_or_else(|| missing(path)));
    }

    fn content(&self, path: &Path) -> Option<&Content> {
        let (_, _, node) = self.place(path)?;
        self.nodes.get(&node)?.content.as_ref()
    }

    fn place(&self, path: &Path) -> Option<(NodeId, OsString, NodeId)> {
        let names = names(path);
        let (name, dirs) = names.split_last()?;
        let dir = dirs.iter().try_fold(ROOT, |dir, name| self.tree.find(dir, name))?;
        Some((dir, name.clone(), self.tree.find(dir, name)?))
    }
}

fn missing(path: &Path) -> ! {
    panic!("no file {} is in the image", path.display())
}

fn export_one(to: &Path, stored: &Stored) -> io::Result<()> {
    match &stored.content {
        None => std::fs::DirBuilder::new().recursive(true).mode(stored.mode).create(to),
        Some(content) => {
            let mut options = std::fs::File::options();
            let mut file = options.write(true).create(true).truncate(true).mode(stored.mode).open(to)?;
            io::Write::write_all(&mut file, &content.bytes())
        }
    }
}

/// The names that a path leads through from the root. The simulated machine's working directory is the root; `..` goes up
/// by name, since there are no links.
pub(super) fn names(path: &Path) -> Vec<OsString> {
    path.components().fold(Vec::new(), |mut names, component| {
        match component {
            Component::Normal(name) => names.push(name.to_owned()),
            Component::ParentDir => drop(names.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
        names
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_done_to_one_copy() {
        let mut image = Image::empty();
        image.write("/d/one", b"abc");
        image.write("d/two", b"12");
        let whole = image.clone();
        assert_eq!(image.files(), [Path::new("/d/one"), Path::new("/d/two")]);
        image.flip_bit("/d/one", 9);
        image.truncate("/d/two", 1);
        assert_eq!((image.read("/d/one").unwrap(), image.read("/d/../d/two").unwrap()), (b"a`c".into(), b"1".into()));
        image.swap("/d/one", "/d/two");
        image.zero("/d/two", 1..100);
        assert_eq!((image.read("/d/one").unwrap(), image.read("/d/two").unwrap()), (b"1".into(), b"a\0\0".into()));
        assert!(image.remove("/d/one") && image.remove("/d/none"));
        assert_eq!((image.len("/d/one"), image.read("/d"), image.is_empty()), (None, None, false));
        assert_eq!(whole.read("/d/one").unwrap(), b"abc");
    }

    #[test]
    fn an_image_can_be_looked_at_with_real_tools() {
        let mut image = Image::empty();
        image.write("/d/one", b"abc");
        let to = std::env::temp_dir().join(format!("leveret-image-{}", std::process::id()));
        image.export(&to).unwrap();
        assert_eq!(std::fs::read(to.join("d/one")).unwrap(), b"abc");
        std::fs::remove_dir_all(&to).unwrap();
    }
}
