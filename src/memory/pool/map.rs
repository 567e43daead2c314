//! A map of anonymous memory: what a block is made of.

use super::classes::GRANULE;
use std::hint::black_box;
use std::io;
use std::ptr::NonNull;

/// Memory of its own, that starts on a multiple of [`GRANULE`] bytes, and of the system's page.
///
/// The system gives it zeroed, and page by page, as it is first touched.
pub(super) struct Map {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the memory is this map's alone, and any thread may use and unmap it.
unsafe impl Send for Map {}
// SAFETY: shared references only read.
unsafe impl Sync for Map {}

impl Map {
    /// `len` bytes, a multiple of [`GRANULE`].
    pub(super) fn new(len: u64) -> io::Result<Self> {
        let too_large = || io::Error::from(io::ErrorKind::OutOfMemory);
        let len = usize::try_from(len).map_err(|_| too_large())?;
        if len > isize::MAX as usize - GRANULE as usize {
            return Err(too_large());
        }
        debug_assert!(len > 0 && (len as u64).is_multiple_of(GRANULE));
        let start = system::map(len)?;
        Ok(Self { start, len })
    }

    /// How many bytes it has.
    pub(super) fn len(&self) -> u64 {
        self.len as u64
    }

    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: so many bytes are mapped and initialised, by the system if by nothing else, and nothing writes meanwhile.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and nothing else reads.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }

    /// Makes the system give all of it now. What is in it stays.
    pub(super) fn touch(&mut self) {
        for page in self.bytes_mut().chunks_mut(4096) {
            // To read it would map a page of zeros that is everywhere the same.
            page[0] = black_box(page[0]);
        }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: what `map` gave, given back once; the borrows of it have ended.
        unsafe { system::unmap(self.start, self.len) };
    }
}

#[cfg(unix)]
mod system {
    use super::GRANULE;
    use std::io;
    use std::ptr::{NonNull, null_mut};

    /// Where a page is smaller than a granule, more is mapped than asked for, and what is before and behind the aligned part
    /// goes back at once.
    pub(super) fn map(len: usize) -> io::Result<NonNull<u8>> {
        let align = GRANULE as usize;
        let more = if page() < align { align } else { 0 };
        let (access, kind) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANON,
        );
        // SAFETY: a new map at an address that the system chooses touches nothing that exists.
        let mapped = unsafe { libc::mmap(null_mut(), len + more, access, kind, -1, 0) };
        if mapped == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let mapped = mapped.cast::<u8>();
        let before = mapped.align_offset(align);
        let start = mapped.wrapping_add(before);
        for (part, len) in [
            (mapped, before),
            (start.wrapping_add(len), more.saturating_sub(before)),
        ] {
            if len > 0 {
                // SAFETY: whole pages of the map made above, of which nothing else knows.
                unsafe { unmap_part(part, len) };
            }
        }
        NonNull::new(start).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
    }

    /// The size of the system's pages.
    fn page() -> usize {
        // SAFETY: it only answers.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        usize::try_from(page).unwrap_or(0)
    }

    /// # Safety
    ///
    /// `start` and `len` are a map's, which is no longer used.
    pub(super) unsafe fn unmap(start: NonNull<u8>, len: usize) {
        // SAFETY: the caller's word.
        unsafe { unmap_part(start.as_ptr(), len) };
    }

    unsafe fn unmap_part(start: *mut u8, len: usize) {
        // SAFETY: the callers' word.
        if unsafe { libc::munmap(start.cast(), len) } != 0 {
            // The system joins maps, and has no room in its table for the parts of one. The addresses stay taken.
            // SAFETY: as above; what is in it has gone.
            unsafe { libc::madvise(start.cast(), len, libc::MADV_DONTNEED) };
        }
    }
}

#[cfg(not(unix))]
mod system {
    use super::GRANULE;
    use std::alloc::{Layout, alloc_zeroed, dealloc};
    use std::io;
    use std::ptr::NonNull;

    fn layout(len: usize) -> Layout {
        Layout::from_size_align(len, GRANULE as usize).expect("the length was checked")
    }

    pub(super) fn map(len: usize) -> io::Result<NonNull<u8>> {
        // SAFETY: `len` is not 0.
        let start = unsafe { alloc_zeroed(layout(len)) };
        NonNull::new(start).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
    }

    /// # Safety
    ///
    /// `start` and `len` are a map's, which is no longer used.
    pub(super) unsafe fn unmap(start: NonNull<u8>, len: usize) {
        // SAFETY: the caller's word.
        unsafe { dealloc(start.as_ptr(), layout(len)) };
    }
}
