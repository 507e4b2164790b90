//! Address space for coroutine stacks: one big reservation, guards inside it, pages given back.
//!
//! A reservation is `MAP_NORESERVE` and never backed by huge pages: otherwise one touched stack page could become 2 MiB
//! of memory. Guards are `MADV_GUARD_INSTALL` (Linux 6.13), which cost no map entry, so a million guarded stacks fit in
//! a default kernel; where the kernel does not know it, `mprotect` takes its place and the number of stacks is bounded
//! by `vm.max_map_count`, because hitting that limit would break `malloc` in the whole process.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of a page. The runtime supports 4 KiB pages only (x86-64 and the usual arm64 Linux kernels).
pub(crate) const PAGE: usize = 4096;

const MADV_GUARD_INSTALL: libc::c_int = 102;

/// How many guards `mprotect` may make in this process before we refuse: each one splits a mapping in three.
const MPROTECT_GUARDS_MAX: usize = 26_000; // 80 % of the default vm.max_map_count of 65,530, two entries a guard

static MPROTECT_GUARDS: AtomicUsize = AtomicUsize::new(0);

/// A range of reserved address space, readable and writable, unmapped when dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    base: usize,
    len: usize,
    /// Made by `mprotect`, and counted in [`MPROTECT_GUARDS`].
    guards: AtomicUsize,
}

impl Reservation {
    /// Reserves `len` bytes (a multiple of [`PAGE`]) without committing memory.
    pub(crate) fn new(len: usize) -> io::Result<Reservation> {
        debug_assert_eq!(len % PAGE, 0);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches no existing memory.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), len, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the range was mapped just now and belongs to us; a refusal (old kernel) only costs memory.
        unsafe { libc::madvise(at, len, libc::MADV_NOHUGEPAGE) };
        Ok(Reservation { base: at as usize, len, guards: AtomicUsize::new(0) })
    }

    /// Lowest address.
    pub(crate) fn base(&self) -> usize {
        self.base
    }

    /// Size in bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Makes `[offset, offset + len)` fault on every access.
    ///
    /// # Safety
    /// - Nothing may live in that range, now or later.
    pub(crate) unsafe fn install_guard(&self, offset: usize, len: usize) -> io::Result<()> {
        assert!(offset + len <= self.len, "guard outside of its reservation");
        let at = (self.base + offset) as *mut libc::c_void;
        // SAFETY: the range lies in our mapping (asserted) and holds nothing (the caller's promise).
        if unsafe { libc::madvise(at, len, MADV_GUARD_INSTALL) } == 0 {
            return Ok(());
        }
        if MPROTECT_GUARDS.fetch_add(1, Ordering::Relaxed) >= MPROTECT_GUARDS_MAX {
            MPROTECT_GUARDS.fetch_sub(1, Ordering::Relaxed);
            return Err(too_many_guards());
        }
        // SAFETY: as above.
        if unsafe { libc::mprotect(at, len, libc::PROT_NONE) } == 0 {
            self.guards.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        let error = io::Error::last_os_error();
        MPROTECT_GUARDS.fetch_sub(1, Ordering::Relaxed);
        Err(error)
    }

    /// Gives the pages of `[offset, offset + len)` back to the kernel; they read as zero afterwards. Guards stay.
    ///
    /// # Safety
    /// - Nothing that is still needed may live in that range.
    pub(crate) unsafe fn discard(&self, offset: usize, len: usize) {
        assert!(offset + len <= self.len, "discard outside of its reservation");
        let at = (self.base + offset) as *mut libc::c_void;
        // SAFETY: the range lies in our mapping (asserted) and its contents are no longer needed (the caller's promise).
        unsafe { libc::madvise(at, len, libc::MADV_DONTNEED) };
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and the pool drops it only when every stack in it has been returned.
        unsafe { libc::munmap(self.base as *mut libc::c_void, self.len) };
        MPROTECT_GUARDS.fetch_sub(*self.guards.get_mut(), Ordering::Relaxed);
    }
}

/// The lowest address of `range` (whole pages) whose page is in memory; its end if none is.
///
/// Of anonymous memory those are the pages that were touched and not given back (or swapped out) since.
pub(crate) fn lowest_resident(range: std::ops::Range<usize>) -> usize {
    debug_assert!(range.start.is_multiple_of(PAGE) && range.end.is_multiple_of(PAGE));
    let mut resident = vec![0u8; range.len() / PAGE];
    // SAFETY: the kernel looks the addresses up without touching them, and writes one byte a page, which the vector has.
    let asked = unsafe { libc::mincore(range.start as *mut libc::c_void, range.len(), resident.as_mut_ptr()) };
    if asked != 0 {
        return range.end;
    }
    let first = resident.iter().position(|page| page & 1 != 0);
    first.map_or(range.end, |page| range.start + page * PAGE)
}

fn too_many_guards() -> io::Error {
    io::Error::other(format!(
        "this kernel has no MADV_GUARD_INSTALL (Linux 6.13), and {MPROTECT_GUARDS_MAX} guarded stacks is the most that \
         vm.max_map_count's default allows; run fewer coroutines or a newer kernel"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn discarded_pages_read_as_zero() {
        let memory = Reservation::new(4 * PAGE).expect("4 pages of address space");
        let at = memory.base() as *mut u8;
        // SAFETY: the byte lies in the reservation, which nothing else uses.
        unsafe { at.write(7) };
        // SAFETY: nothing needs the page any more.
        unsafe { memory.discard(0, PAGE) };
        // SAFETY: as above; the page is zero-filled on touch.
        assert_eq!(unsafe { at.read() }, 0);
    }

    #[test]
    fn touched_pages_are_resident() {
        let memory = Reservation::new(8 * PAGE).expect("8 pages of address space");
        let range = memory.base()..memory.base() + 8 * PAGE;
        assert_eq!(lowest_resident(range.clone()), range.end);
        for page in [6, 3] {
            let at = (memory.base() + page * PAGE) as *mut u8;
            // SAFETY: the byte lies in the reservation, which nothing else uses.
            unsafe { at.write(1) };
            assert_eq!(lowest_resident(range.clone()), memory.base() + page * PAGE);
        }
    }

    #[test]
    fn guards_install_and_leave_their_neighbours_usable() {
        let memory = Reservation::new(4 * PAGE).expect("4 pages of address space");
        // SAFETY: nothing lives there.
        unsafe { memory.install_guard(0, PAGE) }.expect("a guard");
        let above = (memory.base() + PAGE) as *mut u8;
        // SAFETY: the page above the guard is ours and unused.
        unsafe { above.write(1) };
        assert_eq!(memory.len(), 4 * PAGE);
    }
}
