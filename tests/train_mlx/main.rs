//! The trainer's kit on MLX (`scripts/with-mlx cargo test --test train_mlx`).
//!
//! MLX's counters and limits are the process's, so the tests go one at a time.
//!
//! | file | what it shows |
//! | --- | --- |
//! | `network.rs` | a small network and its steps |
//! | `checkpoint.rs`, `checkpoint/` | blocks that are recomputed: what it saves, equal gradients, and each way to get wrong ones |
//! | `fitting.rs` | steps are fitted into budgets, and stay within |
//! | `growth.rs` | each cause of growth is named rightly, and healthy runs give no alarm |
//! | `measuring.rs` | what is measured of real steps |
//! | `scope.rs` | a run's limits come back |

#![cfg(any(target_vendor = "apple", with_mlx))]

mod checkpoint;
mod fitting;
mod growth;
#[path = "../kit/mod.rs"]
mod kit;
mod measuring;
mod network;
mod scope;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// The right to use MLX. The first call of mlx-rs installs an error handler that returns.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    mlx_rs::memory::clear_cache().expect("MLX works");
    alone
}
