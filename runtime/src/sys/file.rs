//! What std has no safe call for: vectored writes at an offset, preallocation, and the room of a file system.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Slices that one `pwritev` takes at most (`UIO_MAXIOV`).
const SLICES_MAX: usize = 1024;

/// Writes all of the slices, one behind the other, from `offset` on.
pub(crate) fn write_all_vectored_at(file: &File, mut slices: &mut [IoSlice<'_>], mut offset: u64) -> io::Result<()> {
    IoSlice::advance_slices(&mut slices, 0); // drops empty ones at the front
    while !slices.is_empty() {
        let written = write_vectored_at(file, slices, offset)?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        IoSlice::advance_slices(&mut slices, written);
        offset += written as u64;
    }
    Ok(())
}

/// One `pwritev`, again when a signal interrupts it.
fn write_vectored_at(file: &File, slices: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
    let count = slices.len().min(SLICES_MAX) as libc::c_int;
    loop {
        // SAFETY: `IoSlice` is guaranteed to have the layout of `iovec` on Unix, and the slices outlive the call.
        let written = unsafe { libc::pwritev(file.as_raw_fd(), slices.as_ptr().cast(), count, in_range(offset)?) };
        match usize::try_from(written) {
            Ok(written) => return Ok(written),
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(error),
            },
        }
    }
}

/// Has the file system set blocks aside for the range; the file grows to its end. What was not written reads as zeros.
pub(crate) fn allocate(file: &File, offset: u64, size: u64) -> io::Result<()> {
    if size == 0 {
        return Ok(());
    }
    let (offset, size) = (in_range(offset)?, in_range(size)?);
    // SAFETY: no memory is passed.
    match unsafe { libc::posix_fallocate(file.as_raw_fd(), offset, size) } {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// Bytes of the file system that `path` lies on: all, and those that are free for this user.
pub(crate) fn space(path: &Path) -> io::Result<(u64, u64)> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut stat = std::mem::MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: the path ends with a zero byte and the other pointer is to memory of the right size.
    if unsafe { libc::statvfs(path.as_ptr(), stat.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has succeeded and filled it; it was valid as zeros before.
    let stat = unsafe { stat.assume_init() };
    Ok((stat.f_blocks.saturating_mul(stat.f_frsize), stat.f_bavail.saturating_mul(stat.f_frsize)))
}

fn in_range(offset: u64) -> io::Result<libc::off_t> {
    libc::off_t::try_from(offset).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    fn scratch(name: &str) -> File {
        let path = std::env::temp_dir().join(format!("leveret-sys-{name}-{}", std::process::id()));
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        std::fs::remove_file(&path).unwrap(); // it lives on until it is closed
        file
    }

    #[test]
    fn slices_go_one_behind_the_other_however_many() {
        let file = scratch("slices");
        let bytes: Vec<[u8; 2]> = (0..SLICES_MAX as u16 + 5).map(u16::to_be_bytes).collect();
        let mut slices: Vec<_> = bytes.iter().map(|pair| IoSlice::new(pair)).collect();
        slices.insert(0, IoSlice::new(b""));
        write_all_vectored_at(&file, &mut slices, 3).unwrap();
        let mut back = vec![0; bytes.len() * 2];
        file.read_exact_at(&mut back, 3).unwrap();
        assert_eq!(back, bytes.concat());
        write_all_vectored_at(&file, &mut [], 0).unwrap();
        write_all_vectored_at(&file, &mut [IoSlice::new(b"")], 0).unwrap();
    }

    #[test]
    fn offsets_beyond_the_kernels_are_errors() {
        let file = scratch("offsets");
        assert!(write_all_vectored_at(&file, &mut [IoSlice::new(b"x")], u64::MAX).is_err());
        assert!(allocate(&file, u64::MAX, 1).is_err());
        assert!(allocate(&file, 0, u64::MAX).is_err());
    }

    #[test]
    fn allocation_grows_a_file_and_keeps_what_it_has() {
        let file = scratch("allocate");
        file.write_all_at(b"abc", 0).unwrap();
        allocate(&file, 0, 10_000).unwrap();
        allocate(&file, 0, 0).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 10_000);
        let mut head = [0; 4];
        file.read_exact_at(&mut head, 0).unwrap();
        assert_eq!(&head, b"abc\0");
    }

    #[test]
    fn a_file_system_has_room() {
        let (total, free) = space(&std::env::temp_dir()).unwrap();
        assert!(free > 0 && total >= free, "{total} {free}");
        assert!(space(Path::new("/no/such/place")).is_err());
        assert!(space(Path::new("with\0zero")).is_err());
    }
}
