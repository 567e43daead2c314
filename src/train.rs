//! A trainer's kit: what to write in a ticket, whether a model fits, and what a run's memory does.
//!
//! [`Measure`] runs work alone and says what its ticket has to ask for; a [`Ledger`] keeps that in a file, and learns. A
//! [`Run`] is the scope of a training: it holds the limits, and tells after each step what memory did. A [`Fit`] chooses the
//! micro-batch and what is recomputed, so that a training stays within a budget; a [`BatchSizer`] shrinks and grows the
//! micro-batch while it runs. [`Workers`] are threads that last as long as their work. `estimate` and `plan` say what a model will need before it is loaded (feature `estimate`).
//! `checkpoint` recomputes blocks in the backward pass instead of keeping what they computed (feature `mlx-rs`).
//! [Training](crate::docs::training) has it as a whole.
//!
//! It stands on the crate's public names alone.

mod allocation;
mod alone;
#[cfg(feature = "mlx-rs")]
pub mod checkpoint;
mod claim;
mod columns;
#[cfg(feature = "mlx-rs")]
mod difference;
mod error;
#[cfg(feature = "estimate")]
pub mod estimate;
mod explain;
#[cfg(feature = "estimate")]
mod file;
mod fit;
mod fit_plan;
mod key;
mod knob;
mod ledger;
mod measure;
mod measured;
mod other_guard;
mod run;
mod sizer;
#[cfg(feature = "mlx-rs")]
mod unverified;
mod workers;

pub use allocation::is_allocation_failure;
pub use error::{Error, FileProblem, NotRestored, RunLimit, WorkError};
#[cfg(feature = "estimate")]
pub use estimate::{estimate, plan};
pub use explain::{BufferLimit, explain};
pub use fit::{Considered, Fit, FitChange, Fittable, Fitted, Why};
pub use fit_plan::Plan;
pub use key::Key;
pub use knob::Knob;
pub use ledger::{Entry, Ledger};
pub use measure::{Measure, Measuring, Work};
pub use measured::Measured;
pub use other_guard::OtherGuard;
pub use run::{Growth, GrowthCause, Limit, Run, RunBuilder, RunSummary, StepReport};
pub use sizer::{BatchSizer, Micro, SizedStep, Split};
pub use workers::{Job, Retired, Workers};

/// Traits that other crates use and do not implement.
mod sealed {
    pub trait Sealed {}
    impl Sealed for () {}
    impl<T, E> Sealed for Result<T, E> {}
}
