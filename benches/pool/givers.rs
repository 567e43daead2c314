//! What gives memory: the allocator, the pool, a map with huge pages, and MLX.

use mlx_wired::memory::{BufferPool, PoolBuf};

use std::hint::black_box;
use std::mem::MaybeUninit;
use std::ptr::{NonNull, null_mut};

pub(crate) const MIB: usize = 1 << 20;

/// Memory of whatever kind, which may not have been written yet.
pub(crate) trait Buffer {
    fn bytes(&mut self) -> &mut [MaybeUninit<u8>];
}

/// The allocator's.
pub(crate) struct Plain(Vec<u8>);

impl Plain {
    pub(crate) fn new(len: usize) -> Self {
        Self(Vec::with_capacity(len))
    }
}

impl Buffer for Plain {
    fn bytes(&mut self) -> &mut [MaybeUninit<u8>] {
        self.0.spare_capacity_mut()
    }
}

impl Buffer for PoolBuf {
    fn bytes(&mut self) -> &mut [MaybeUninit<u8>] {
        // SAFETY: what is written below is initialised.
        unsafe { &mut *(std::ptr::from_mut::<[u8]>(self) as *mut [MaybeUninit<u8>]) }
    }
}

/// A map of its own each time, for which the system is asked for huge pages.
pub(crate) struct Huge {
    start: NonNull<u8>,
    len: usize,
}

impl Huge {
    pub(crate) fn new(len: usize) -> Self {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let kind = libc::MAP_PRIVATE | libc::MAP_ANON;
        // SAFETY: a new map at an address that the system chooses.
        let start = unsafe { libc::mmap(null_mut(), len, access, kind, -1, 0) };
        assert_ne!(start, libc::MAP_FAILED, "there is memory");
        #[cfg(target_os = "linux")]
        // SAFETY: the map made above. Where there are no huge pages it changes nothing.
        unsafe {
            libc::madvise(start, len, libc::MADV_HUGEPAGE);
        }
        let start = NonNull::new(start.cast()).expect("a map is nowhere near null");
        Self { start, len }
    }
}

impl Buffer for Huge {
    fn bytes(&mut self) -> &mut [MaybeUninit<u8>] {
        // SAFETY: the map is this buffer's alone.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr().cast(), self.len) }
    }
}

impl Drop for Huge {
    fn drop(&mut self) {
        // SAFETY: the map is this buffer's alone, and goes with it.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// A pool that keeps everything.
pub(crate) fn pool() -> BufferPool {
    BufferPool::builder("bench")
        .decay(std::time::Duration::MAX)
        .build()
}

/// Writes a byte to each page.
pub(crate) fn touch(bytes: &mut [MaybeUninit<u8>]) {
    for page in bytes.chunks_mut(4096) {
        page[0] = MaybeUninit::new(1);
    }
    black_box(bytes);
}

/// Writes all of it.
pub(crate) fn fill(bytes: &mut [MaybeUninit<u8>]) {
    bytes.fill(MaybeUninit::new(1));
    black_box(bytes);
}

/// Nothing.
pub(crate) fn leave(bytes: &mut [MaybeUninit<u8>]) {
    black_box(bytes);
}
