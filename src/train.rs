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
mod error;
#[cfg(feature = "estimate")]
pub mod estimate;
mod explain;
#[cfg(feature = "estimate")]
mod file;
mod fit;
mod key;
mod knob;
mod ledger;
mod measure;
mod measured;
mod run;
mod sizer;
mod workers;

pub use allocation::is_allocation_failure;
pub use alone::OtherGuard;
pub use error::{Error, FileProblem, WorkError};
#[cfg(feature = "estimate")]
pub use estimate::{estimate, plan};
pub use explain::{BufferLimit, explain};
pub use fit::{Considered, Fit, FitChange, Fittable, Fitted, Plan, Why};
pub use key::Key;
pub use knob::Knob;
pub use ledger::{Entry, Ledger};
pub use measure::{Measure, Measuring, Work};
pub use measured::Measured;
pub use run::{
    Growth, GrowthCause, Limit, NotRestored, Run, RunBuilder, RunLimit, RunSummary, StepReport,
};
pub use sizer::{BatchSizer, Micro, SizedStep, Split};
pub use workers::{Job, Retired, Workers};

/// Traits that other crates use and do not implement.
mod sealed {
    pub trait Sealed {}
    impl Sealed for () {}
    impl<T, E> Sealed for Result<T, E> {}
}
