//! Pages without code, in the documentation alone:
//!
//! * [Policies](policies): which one for what, and what the device's budget is.
//! * [Patterns](patterns): the shapes of programs: a pool, a queue of jobs, a server, a trainer.
//! * [Training](training): what to write in a ticket, and how a run's memory is watched.
//! * [Memory](memory): pressure while a program runs, and what it does about it.
//! * [Limits](limits): what does not work, and what does in its place.
//! * [Numbers](numbers): what was measured, when, by which command.
//! * [Set-up](setup): what a fresh machine says, why, and what to do.

pub mod limits;
pub mod memory;
pub mod numbers;
pub mod patterns;
pub mod policies;
pub mod setup;
pub mod training;
