//! One owner for MLX's wired memory limit.
pub mod clock;
mod error;
mod event;
pub mod ffi;
mod manager;
pub mod policy;
mod sync;
mod ticket;

pub use error::{Error, GroupLimit};
pub use event::{Event, EventKind, Subscriber};
pub use manager::{
    CancelToken, Config, Manager, ManagerBuilder, OnApplyFailure, Stats, Waiting, WireMode,
};
pub use policy::{
    BudgetPolicy, Context, FixedPolicy, MaxPolicy, PeakPolicy, Policy, PolicyId, Sizes, SumPolicy,
};
pub use ticket::{Guard, Kind, OwnedGuard, Released, Ticket, Wait};
