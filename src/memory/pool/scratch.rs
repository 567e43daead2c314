//! Buffers for the length of a call, and scratch memory that grows.

use super::{BufferPool, PoolBuf, PoolError};

/// Where the parts of a workspace start: on a line of the processor's cache.
const LINE: usize = 64;

impl BufferPool {
    /// Runs `f` with `count` buffers of `len` bytes each, which go back when it returns or panics.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), before `f` runs; those already taken go back.
    ///
    /// ```
    /// # use mlx_wired::memory::BufferPool;
    /// let pool = BufferPool::builder("augment").build();
    /// let sum = pool.with_temporary_buffers(2, 4096, |buffers| {
    ///     buffers[0].fill(1);
    ///     buffers[1].fill(2);
    ///     u32::from(buffers[0][4095]) + u32::from(buffers[1][4095])
    /// })?;
    /// assert_eq!(sum, 3);
    /// assert_eq!(pool.stats().in_use, 0);
    /// # Ok::<(), mlx_wired::memory::PoolError>(())
    /// ```
    #[track_caller]
    pub fn with_temporary_buffers<R>(
        &self,
        count: usize,
        len: usize,
        f: impl FnOnce(&mut [PoolBuf]) -> R,
    ) -> Result<R, PoolError> {
        let mut buffers = Vec::new();
        for _ in 0..count {
            buffers.push(self.get(len)?);
        }
        Ok(f(&mut buffers))
    }

    /// Scratch memory for a loop, without a buffer yet.
    #[must_use]
    pub fn workspace(&self) -> Workspace {
        Workspace {
            pool: self.clone(),
            buffer: None,
        }
    }
}

/// Scratch memory for a loop: one buffer of a pool, which is kept from call to call and replaced by a larger one when a
/// call asks for more.
///
/// ```
/// # use mlx_wired::memory::BufferPool;
/// let pool = BufferPool::builder("matmul").build();
/// let mut scratch = pool.workspace();
/// for rows in [64, 16, 128] {
///     let [left, right] = scratch.parts([rows * 32, rows * 8])?;
///     left.fill(0);
///     right.fill(0);
/// }
/// # Ok::<(), mlx_wired::memory::PoolError>(())
/// ```
#[derive(Debug)]
pub struct Workspace {
    pool: BufferPool,
    buffer: Option<PoolBuf>,
}

impl Workspace {
    /// `len` bytes, with whatever the last call left there.
    ///
    /// # Errors
    ///
    /// As [`BufferPool::get`]. The workspace is empty then.
    #[track_caller]
    pub fn bytes(&mut self, len: usize) -> Result<&mut [u8], PoolError> {
        let is_enough = self.buffer.as_ref().is_some_and(|held| held.len() >= len);
        if !is_enough {
            // First back, then anew: both need not fit at once.
            self.buffer = None;
            self.buffer = Some(self.pool.get_whole_block(len)?);
        }
        let buffer = self.buffer.as_mut().expect("it was just taken");
        Ok(&mut buffer[..len])
    }

    /// `N` parts of these lengths at once, each starting on a multiple of 64 bytes.
    ///
    /// # Errors
    ///
    /// As [`bytes`](Self::bytes).
    #[track_caller]
    pub fn parts<const N: usize>(&mut self, lens: [usize; N]) -> Result<[&mut [u8]; N], PoolError> {
        let padded = |len: usize| len.checked_next_multiple_of(LINE).unwrap_or(usize::MAX);
        let all = lens
            .iter()
            .fold(0_usize, |all, len| all.saturating_add(padded(*len)));
        let mut rest = self.bytes(all)?;
        Ok(lens.map(|len| {
            let (part, after) = std::mem::take(&mut rest).split_at_mut(padded(len));
            rest = after;
            &mut part[..len]
        }))
    }

    /// Gives its buffer back; the next call takes another.
    pub fn clear(&mut self) {
        self.buffer = None;
    }
}
