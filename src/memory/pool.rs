//! A pool of host buffers: memory for what loads, decodes and hands over.
//!
//! **Most programs need none.** For buffers up to 16 MiB, one at a time, the allocator keeps the memory itself, and a pool
//! gains nothing. Where arrays of MLX are what comes and goes, a higher
//! [cache limit](crate::ffi::set_cache_limit) may gain more: MLX's CPU build keeps 32 MiB by default. `docs/MEMORY.md` has
//! the figures.
//!
//! A pool pays where buffers of 32 MiB and more come and go, or several live at once: the allocator gives such memory back
//! to the system each time, and the system takes most of the time to give it again, page by page. What a pool adds to a
//! list of `Vec`s is a limit, with an error that names the holders; memory that goes back when it is idle; and
//! buffers that MLX may keep without a copy.
//!
//! Blocks are maps of their own. Their sizes are four classes a doubling, so that mixed sizes waste a twelfth and not a
//! third; a buffer is made of an idle block of its class, the one that was returned last, or of a new one. The blocks that
//! have been idle for the longest time, whatever their class, go first when room is needed, over the idle limit, after the
//! decay, and under pressure. **No buffer in use is ever taken away.**

mod block;
mod buf;
mod builder;
mod classes;
mod decay;
mod error;
mod get;
mod inner;
#[cfg(feature = "mlx-rs")]
mod into_mlx;
mod map;
mod process;
mod scratch;
mod shelves;
mod state;
mod stats;

pub use buf::{HostBuffer, PoolBuf};
pub use builder::PoolBuilder;
pub use error::{PoolError, PoolUser};
#[cfg(feature = "mlx-rs")]
pub use into_mlx::{Slot, decode};
pub use scratch::Workspace;
pub use stats::PoolStats;

use crate::{Error, PressureLevel, Reclaimer};
use inner::Inner;
use state::Need;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A pool of host buffers under one limit. Clones are handles to the same pool.
///
/// ```
/// use mlx_wired::memory::BufferPool;
/// use std::time::Duration;
///
/// let pool = BufferPool::builder("loader")
///     .limit(256 << 20)
///     .idle_limit(128 << 20)
///     .decay(Duration::from_secs(10))
///     .build();
/// let mut batch = pool.get(64 << 20)?;
/// batch[..4].copy_from_slice(b"data");
/// drop(batch); // back to the pool, from whatever thread
///
/// let again = pool.get(60 << 20)?; // the same class: the same memory
/// assert_eq!(pool.stats().hit_ratio(), Some(0.5));
/// # Ok::<(), mlx_wired::memory::PoolError>(())
/// ```
///
/// Buffers may outlive all handles. They are unmapped when they are dropped then, and so is what was idle when the last
/// handle went.
///
/// A pool is its process's own. In a forked child it gives no buffer ([`Error::Forked`]) and holds
/// none; a child may build its own, and has its copies of the buffers that the forking thread held.
#[derive(Clone)]
pub struct BufferPool {
    handle: Arc<Handle>,
    name: Arc<str>,
    account: usize,
}

/// Counts the handles of a pool: with the last one it keeps nothing any more.
struct Handle {
    inner: Arc<Inner>,
    /// While it is registered, demands that wait get what is idle.
    _reclaimer: Option<Reclaimer>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.inner.is_inherited() {
            self.inner.stay();
            return;
        }
        self.inner.locked(|state, after| state.close(after));
    }
}

impl BufferPool {
    fn new(
        inner: Arc<Inner>,
        reclaimer: Option<Reclaimer>,
        name: Arc<str>,
        account: usize,
    ) -> Self {
        Self {
            handle: Arc::new(Handle {
                inner,
                _reclaimer: reclaimer,
            }),
            name,
            account,
        }
    }

    /// A handle to the same pool whose buffers are counted under another name, so that errors tell which part of a program
    /// holds how much. Handles of the same name share an account, and the pool keeps each for as long as it lives: give names
    /// to parts of a program, not to requests.
    #[must_use]
    pub fn named(&self, name: &str) -> Self {
        let name: Arc<str> = Arc::from(name);
        let account = self.inner().locked(|state, _| state.account(&name));
        Self {
            handle: self.handle.clone(),
            name,
            account,
        }
    }

    /// The name under which its buffers are counted.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn inner(&self) -> &Inner {
        &self.handle.inner
    }

    fn need(&self, len: usize) -> Need {
        Need {
            len: len as u64,
            account: self.account,
            is_counted: true,
        }
    }

    /// A buffer of `len` bytes, which hold what the last buffer left there, or zeros. Fails at once where it does not fit.
    ///
    /// # Errors
    ///
    /// [`PoolError`]. It is [`Full`](PoolError::Full) also while threads wait: no call overtakes them.
    #[track_caller]
    pub fn get(&self, len: usize) -> Result<PoolBuf, PoolError> {
        self.check(len)?;
        self.inner().get(self.need(len))
    }

    /// Fails in a forked child.
    fn check(&self, len: usize) -> Result<(), PoolError> {
        if !self.inner().is_inherited() {
            return Ok(());
        }
        Err(PoolError::NotAdmitted {
            name: self.name.clone(),
            requested: len as u64,
            source: Box::new(Error::Forked),
        })
    }

    /// [`get`](Self::get), with all bytes zero.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    #[track_caller]
    pub fn get_zeroed(&self, len: usize) -> Result<PoolBuf, PoolError> {
        let mut buffer = self.get(len)?;
        buffer.fill(0);
        Ok(buffer)
    }

    /// [`get`](Self::get) for a program that has something else to do: none where it would fail, without an error's cost.
    #[must_use]
    #[track_caller]
    pub fn try_get(&self, len: usize) -> Option<PoolBuf> {
        self.inner().try_get(self.need(len))
    }

    /// [`get`](Self::get), waiting until buffers come back: at most `timeout`.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get); [`PoolError::TooLarge`] at once.
    ///
    /// # Blocking
    ///
    /// Threads that wait are served in the order in which they came. A thread that waits while it alone holds all of the
    /// pool's buffers waits until the timeout.
    #[track_caller]
    pub fn get_timeout(&self, len: usize, timeout: Duration) -> Result<PoolBuf, PoolError> {
        self.check(len)?;
        self.inner().get_within(self.need(len), timeout)
    }

    /// A buffer that has all of its block.
    #[track_caller]
    fn get_whole_block(&self, len: usize) -> Result<PoolBuf, PoolError> {
        self.get(len).map(PoolBuf::with_all_of_its_block)
    }

    /// Sees to it that `count` blocks for buffers of `len` bytes are idle, with pages that the system has given already.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), and [`PoolError::TooLarge`] where so many cannot be idle. What is done until then stays.
    ///
    /// # Blocking
    ///
    /// For as long as the system takes for the pages: `docs/MEMORY.md` has how long.
    #[track_caller]
    pub fn prewarm(&self, len: usize, count: usize) -> Result<(), PoolError> {
        self.check(len)?;
        let need = Need {
            is_counted: false,
            ..self.need(len)
        };
        let capacity = classes::capacity(need.len);
        let requested = capacity.and_then(|capacity| capacity.checked_mul(count as u64));
        let limit = self.inner().locked(|state, _| state.idle_limit_now());
        if requested.is_none_or(|requested| requested > limit) {
            return Err(PoolError::TooLarge {
                name: self.name.clone(),
                requested: requested.unwrap_or(u64::MAX),
                limit,
            });
        }
        let mut buffers = Vec::new();
        for _ in 0..count {
            buffers.push(self.inner().get(need)?);
        }
        Ok(())
    }

    /// Unmaps idle blocks until at most `idle` bytes are idle, those first that have been so for the longest time. Returns
    /// how many bytes went.
    pub fn trim_to(&self, idle: u64) -> u64 {
        let inner = self.inner();
        inner.locked(|state, after| state.evict_to(idle, after))
    }

    /// Tells the pool how scarce memory is. Returns how many bytes it has unmapped.
    ///
    /// When the level rises, half of the idle bytes go at [`Warning`](PressureLevel::Warning), three quarters at
    /// [`Urgent`](PressureLevel::Urgent), all at [`Critical`](PressureLevel::Critical). Until the level falls, the idle limit
    /// is half, a quarter or nothing of what the pool held when it left [`Normal`](PressureLevel::Normal), so that what went
    /// does not come back at once. The same level again changes nothing.
    pub fn set_pressure(&self, level: PressureLevel) -> u64 {
        let inner = self.inner();
        inner.locked(|state, after| state.set_pressure(level, after))
    }

    /// Unmaps what has been idle for longer than the [decay](PoolBuilder::decay): for programs that switch
    /// [housekeeping](PoolBuilder::housekeeping) off.
    pub fn maintain(&self) {
        self.inner().maintain();
    }

    /// What it has done, and what it holds now.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        self.inner().locked(|state, _| state.stats())
    }
}

impl fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferPool")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
