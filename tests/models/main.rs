//! Models of the coordinator's races, for loom (`--cfg loom`) and shuttle (`--cfg shuttle`); see README.md.
#![cfg(any(loom, shuttle))]
#![cfg_attr(loom, allow(dead_code, reason = "the soup is for shuttle alone"))]

mod check;
mod claim;
mod custom;
mod oracle;
mod world;

mod aside;
mod at_most;
mod budget;
mod circle;
mod closing;
mod configuring;
mod elastic;
mod epoch_end;
mod failing_setter;
mod giving_up;
mod lock_free;
mod owing;
mod pool;
mod queue;
mod raise_against_lower;
mod reclaim;
mod registry;
mod renewing;
mod resizing;
mod shrink;
#[cfg(not(loom))]
mod soup;
mod user_code;
