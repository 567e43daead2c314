//! What a training has to do to be fitted.

use crate::train::WorkError;
use crate::train::fit_plan::Plan;

/// A training whose plans can be run for some updates. Its batches and its update are the real ones: what they take is
/// measured.
pub trait Fittable {
    /// What a pass or an update fails with.
    type Error: Into<WorkError>;

    /// A forward and a backward pass over `plan.batch` rows, in whose backward pass the first `plan.first` blocks are
    /// recomputed; evaluated when it returns. Its gradients begin a sum if `begins`, otherwise they are added to it.
    ///
    /// It makes its batch itself, and keeps nothing but the sum.
    ///
    /// # Errors
    ///
    /// Any: it ends the fitting.
    fn pass(&mut self, plan: Plan, begins: bool) -> Result<(), Self::Error>;

    /// The update with the sum, evaluated when it returns; the sum is let go.
    ///
    /// # Errors
    ///
    /// Any: it ends the fitting.
    fn update(&mut self) -> Result<(), Self::Error>;

    /// Puts the model and the optimizer's state back as they were, since fitting trains with whatever batches it is given.
    /// Called once at the end, after an error and in unwinding, too. Does nothing by default: right for a copy of the model.
    fn restore(&mut self) {}
}
