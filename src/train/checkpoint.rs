//! Gradient checkpointing that recomputes one block at a time (feature `mlx-rs`).
//!
//! The backward pass needs what the forward pass computed on its way: a network keeps all of it, and that is most of
//! the peak of a step. A block that is *recomputed* keeps its inputs alone and is computed again when its turn comes. That
//! takes about as long as another forward pass of it.
//!
//! | what | where |
//! | --- | --- |
//! | which blocks are recomputed | [`Recompute`]: none, the first so many, all; none unless you say so |
//! | running blocks, and switching between steps | [`Checkpointing`]: a block is a closure or a module |
//! | gradients, with the cause of what fails | [`value_and_grad`], [`keyed_value_and_grad`], [`module_value_and_grad`]; [`with_cause`] for other transforms |
//! | whether gradients are right | [`verify`], once, in a first run |
//!
//! # Beside `mlx_checkpoint`
//!
//! MLX's own `mlx_checkpoint` recomputes, too, but it does not say when: every block may begin once the forward pass is over,
//! and how many are alive together depends on the order in which the graph happens to be evaluated. Here a block waits until
//! the one behind it has delivered its gradient, and is done with as a whole. So the peak is the same in whatever
//! order gradients are evaluated, for the same work. [Training](crate::docs::training) has the figures.
//!
//! What the graph computes is what it computes without checkpoints, and on the CPU gradients are equal to the bit.
//!
//! # What to hold to
//!
//! | rule | else |
//! | --- | --- |
//! | what needs a gradient is a primal; a closure captures no array | it does not compile |
//! | what needs none is a constant | asking for its gradient is an error, in the backward pass; integers among the primals are one at once |
//! | random numbers are drawn with a key among the constants | [`verify`] finds it |
//! | a block changes nothing | [`verify`] finds it; a module that sets its own parameters is refused |
//! | a compiled function is compiled again after a switch | it goes on as it was traced: [`Checkpointing::traced`] |
//!
//! A block is held to these whether it is recomputed or not, so a switch makes no working program fail.
//!
//! # What to make a block
//!
//! A layer of the network, from its input to its output. One block around everything saves nothing, since all of it is
//! recomputed at once. Blocks of several layers each recompute the same and keep less between them, but more are alive while
//! one is recomputed.

mod blocks;
mod cause;
mod closure;
mod gradients;
mod module;
mod names;
mod ordered;
mod recompute;
mod vector;
mod verify;

pub use crate::train::difference::Difference;
pub use crate::train::unverified::Unverified;
pub use blocks::Checkpointing;
pub use cause::with_cause;
pub use gradients::{keyed_value_and_grad, module_value_and_grad, value_and_grad};
pub use recompute::Recompute;
pub use verify::{Arrays, Verified, verify};
