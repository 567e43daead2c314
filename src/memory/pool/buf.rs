//! Buffers: memory that goes back by itself.

use super::block::Block;
use super::inner::Inner;
use super::state::Need;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// A buffer of a [`BufferPool`](super::BufferPool): so many bytes as were asked for.
///
/// It goes back to the pool when it is dropped, in unwinding too, on whatever thread. It starts on a page, of Apple silicon
/// too, and no other buffer shares a page with it. It holds what the last buffer of its block left there, or zeros; never
/// what is another process's.
#[must_use = "dropping it gives it back to the pool"]
#[clippy::has_significant_drop]
pub struct PoolBuf {
    /// Always there, but while it ends.
    block: Option<Block>,
    len: usize,
    account: usize,
    pool: Arc<Inner>,
}

impl PoolBuf {
    pub(super) fn new(pool: Arc<Inner>, block: Block, need: Need) -> Self {
        Self {
            block: Some(block),
            len: usize::try_from(need.len).expect("a block has so many bytes"),
            account: need.account,
            pool,
        }
    }

    fn block(&self) -> &Block {
        self.block.as_ref().expect("only its end takes the block")
    }

    /// How many bytes its block has: what the pool's limit counts. The bytes beyond its length cannot be reached.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.block().capacity()
    }

    /// The same buffer, as long as its block.
    pub(super) fn with_all_of_its_block(mut self) -> Self {
        self.len = self.block().bytes().len();
        self
    }

    /// Takes it out of the pool, for memory that stays: the pool counts it no longer, and it is unmapped when it is dropped.
    ///
    /// The manager by which the pool is counted counts it until then.
    pub fn detach(mut self) -> HostBuffer {
        let block = self.block.take().expect("only its end takes the block");
        let capacity = block.capacity();
        if !self.pool.is_inherited() {
            self.pool
                .locked(|state, after| state.subtract_in_use(self.account, capacity, after));
        }
        let len = self.len;
        HostBuffer { block, len }
    }
}

impl Drop for PoolBuf {
    fn drop(&mut self) {
        let block = self.block.take();
        if self.pool.is_inherited() {
            // The child's copy of the block goes by itself.
            self.pool.stay();
            return;
        }
        if let Some(block) = block {
            self.pool.return_block(self.account, block);
        }
    }
}

impl Deref for PoolBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.block().bytes()[..self.len]
    }
}

impl DerefMut for PoolBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        let block = self.block.as_mut().expect("only its end takes the block");
        &mut block.bytes_mut()[..self.len]
    }
}

impl fmt::Debug for PoolBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolBuf")
            .field("len", &self.len)
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}

/// Memory that was [taken out](PoolBuf::detach) of a pool. It is unmapped when it is dropped.
pub struct HostBuffer {
    block: Block,
    len: usize,
}

impl Deref for HostBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.block.bytes()[..self.len]
    }
}

impl DerefMut for HostBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.block.bytes_mut()[..self.len]
    }
}

impl fmt::Debug for HostBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostBuffer")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

static_assertions::assert_impl_all!(PoolBuf: Send, Sync);
static_assertions::assert_impl_all!(HostBuffer: Send, Sync);
static_assertions::assert_not_impl_any!(PoolBuf: Clone);
