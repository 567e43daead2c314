//! The doctor, as a program: verdicts, codes, its object, and folders that would harm it.
//!
//! `cargo test` builds the example that is run here. Alone: `cargo test --features doctor --test doctor`.

#![cfg(feature = "estimate")]

mod arguments;
#[path = "../estimate/checkpoints.rs"]
#[allow(dead_code, reason = "estimates have more kinds of tensors")]
mod checkpoints;
mod hazards;
#[path = "../kit/mod.rs"]
mod kit;
mod machine;
mod program;
mod reading;
/// The program's own tests, without naming its feature.
#[path = "../../src/bin/mlx-wired-doctor/main.rs"]
#[allow(dead_code, reason = "it is run as a program")]
mod sources;
mod tickets;
mod verdicts;
