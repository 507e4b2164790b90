//! Limits of the process.

use std::io;

/// Raises the limit of open descriptors (`RLIMIT_NOFILE`) from its soft to its hard value, and says how many that is. The
/// soft limit is low by tradition, for programs that use `select(2)`; a server calls this first.
///
/// Works outside of a runtime too. Child processes inherit it.
///
/// ```
/// let descriptors = leveret_runtime::raise_descriptor_limit().unwrap();
/// assert!(descriptors > 0);
/// ```
///
/// # Errors
/// The kernel's.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a valid `rlimit`.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    if limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: as above; the kernel only reads it.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(limit.rlim_cur)
}

/// Has allocations above so many bytes mapped one by one, so that their memory goes back to the system when they are freed.
/// For programs whose threads now and then need tens of megabytes for a moment: glibc would else keep as much in each
/// thread's arena for ever, since it raises its own limit (128 KiB, then up to 32 MiB) with what it sees.
///
/// False where the allocator has no such limit. To be called before threads are started.
///
/// ```
/// leveret_runtime::map_allocations_above(8 * 1024 * 1024);
/// ```
pub fn map_allocations_above(bytes: usize) -> bool {
    let Ok(bytes) = libc::c_int::try_from(bytes) else { return false };
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: it sets one of the allocator's own numbers.
        (unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, bytes) }) == 1
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    {
        let _ = bytes;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_once_and_stays() {
        let raised = raise_descriptor_limit().unwrap();
        assert!(raised >= 256);
        assert_eq!(raise_descriptor_limit().unwrap(), raised);
    }
}
