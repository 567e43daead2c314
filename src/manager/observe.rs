//! What people are told: snapshots, holders, and events of what changed nothing for others.

pub(crate) mod holders;
pub(crate) mod in_the_way;
pub(crate) mod scarcity;
pub(crate) mod snapshot;
pub(crate) mod watched;
