//! A file system whose power can be cut: ext4 on an image that lies on XFS, both mounted through loops.
//!
//! ```text
//!   outer.img (XFS, can clone files) ── inner.img (ext4) ── data: where the broker writes
//!                                        └─ cut.img: a clone of inner.img at one moment
//! ```
//!
//! A clone is atomic and takes milliseconds. What the broker's system had not been made to write is not in it, as after a real
//! cut; mounted in place of the image, ext4 replays its journal. What it does not show is a drive that reorders what is in
//! its cache: the simulated disk does that.

use std::path::{Path, PathBuf};

use crate::run;

const OUTER_SIZE: &str = "3G";
const INNER_SIZE: &str = "1G";

/// See the module's description. It goes when this is dropped.
pub(crate) struct Ground {
    base: PathBuf,
}

impl Ground {
    /// Makes and mounts both.
    ///
    /// # Errors
    /// What this machine does not grant.
    pub(crate) fn new() -> Result<Ground, String> {
        let base = harness::target_dir().join("tmp").join(harness::unique("power"));
        std::fs::create_dir_all(&base).map_err(|error| error.to_string())?;
        let ground = Ground { base };
        let (outer, outer_image) = (ground.path("outer"), ground.path("outer.img"));
        for dir in [&outer, &ground.path("data")] {
            std::fs::create_dir(dir).map_err(|error| error.to_string())?;
        }
        run("truncate", &["-s", OUTER_SIZE, &outer_image])?;
        run("mkfs.xfs", &["-q", "-m", "reflink=1", &outer_image])?;
        run("mount", &["-o", "loop", &outer_image, &outer])?;
        run("truncate", &["-s", INNER_SIZE, &ground.inner()])?;
        run("mkfs.ext4", &["-q", &ground.inner()])?;
        ground.mount()?;
        Ok(ground)
    }

    fn path(&self, name: &str) -> String {
        self.base.join(name).to_string_lossy().into_owned()
    }

    fn inner(&self) -> String {
        self.path("outer/inner.img")
    }

    fn mount(&self) -> Result<(), String> {
        run("mount", &["-o", "loop", &self.inner(), &self.path("data")]).map(drop)
    }

    /// Where the broker's data goes.
    pub(crate) fn data(&self) -> PathBuf {
        self.base.join("data").join("broker")
    }

    /// This moment is the one that will be restored.
    pub(crate) fn cut(&self) {
        run("cp", &["--reflink=always", &self.inner(), &self.path("outer/cut.img")]).expect("a clone");
    }

    /// Goes back to the moment of the cut. Nobody may use the data.
    pub(crate) fn restore(&self) {
        run("umount", &[&self.path("data")]).expect("nobody uses it");
        std::fs::rename(self.path("outer/cut.img"), self.inner()).expect("there was a cut");
        self.mount().expect("ext4 replays its journal");
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        for mounted in ["data", "outer"] {
            let path = self.path(mounted);
            if is_mounted(Path::new(&path)) {
                let _ = run("umount", &["-l", &path]);
            }
        }
        let _ = std::fs::remove_dir_all(&self.base);
    }
}

fn is_mounted(path: &Path) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts.lines().any(|line| line.split(' ').nth(1) == path.to_str())
}
