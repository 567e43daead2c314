//! Gradient checkpointing that recomputes one block at a time (feature `mlx-rs`).

mod blocks;
mod cause;
mod closure;
mod difference;
mod gradients;
mod module;
mod ordered;
mod recompute;
mod unverified;
mod vector;
mod verify;

pub use blocks::Checkpointing;
pub use cause::with_cause;
pub use difference::Difference;
pub use gradients::{keyed_value_and_grad, module_value_and_grad, value_and_grad};
pub use recompute::Recompute;
pub use unverified::Unverified;
pub use verify::{Arrays, Verified, verify};
