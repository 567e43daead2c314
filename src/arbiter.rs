//! What the core asks of a policy, as a trait below it. Every [`Policy`](crate::Policy) is an [`Arbiter`]; the core knows
//! no policies.

mod context;
mod formula;
mod id;

pub use context::{Context, Sizes};
pub(crate) use formula::{Basis, Cap, Formula, Resolved, Sealed};
pub use id::PolicyId;

/// Decides about the demands and the limit of a group. The methods are those of [`Policy`](crate::Policy), which says what they mean.
pub(crate) trait Arbiter: Send + Sync + 'static {
    fn id(&self) -> PolicyId;
    fn limit(&self, context: &Context, live: &Sizes<'_>) -> u64;
    fn can_admit(&self, context: &Context, live: &Sizes<'_>, new: u64) -> bool;
    fn can_ever_admit(&self, context: &Context, new: u64) -> bool;
    fn can_refuse(&self) -> bool;
    fn wants_sizes(&self) -> bool;
    fn label(&self) -> String;
    fn formula(&self) -> Formula;
    fn most(&self) -> Option<u32>;
}
