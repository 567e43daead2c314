//! The pool of host buffers, at its public API.
//!
//! | file | what it shows |
//! | --- | --- |
//! | `sizes.rs` | classes, the limit to its last byte, contents, what the errors say |
//! | `idle.rs` | which blocks are reused and which go: LRU, idle limit, decay, pressure, the end |
//! | `waiting.rs` | waits: order, timeouts, returns from other threads |
//! | `counted.rs` | a pool that a manager counts |
//! | `maps.rs` | a system whose table of maps is full |
//! | `scratch.rs` | temporary buffers and workspaces |
//! | `soup.rs` | random calls, and what must hold after each |
#![cfg(not(any(loom, shuttle)))]

mod counted;
mod idle;
#[path = "../kit/mod.rs"]
mod kit;
#[cfg(target_os = "linux")]
mod maps;
mod scratch;
mod sizes;
mod soup;
mod waiting;

use mlx_wired::memory::{BufferPool, PoolBuf};
use std::time::Duration;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// A pool that keeps everything and starts no thread.
fn pool(limit: usize) -> BufferPool {
    BufferPool::builder("test")
        .limit(limit as u64)
        .decay(Duration::MAX)
        .build()
}

/// The same, as large as it likes.
fn pool_without_limit() -> BufferPool {
    BufferPool::builder("test").decay(Duration::MAX).build()
}

/// Where a buffer's block is.
fn address(buffer: &PoolBuf) -> usize {
    buffer.as_ptr() as usize
}
