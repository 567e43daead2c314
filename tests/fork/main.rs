//! R43: a forked child holds nothing, gets nothing, and never waits; its parent does not notice.
//!
//! * `amid_traffic.rs`: children that are forked while other threads do whatever comes.
//! * `locked.rs`: children that are forked while another thread stands still at a chosen place: in a clock, a policy, the
//!   setter, and at each allocation that it makes, so under each lock under which anything is allocated.
//! * `memory.rs`: a monitor of pressure, forked while its thread is amid a function of the program.
//! * `pool.rs`: a pool of host buffers, forked wherever another thread that uses it allocates.
//! * `guards.rs`: what becomes of the forking thread's own guards.
//! * `ends.rs`: how a child may end.
//! * `threads.rs`: threads that a child starts, and one that ends.
#![cfg(unix)]

mod amid_traffic;
mod calls;
mod child;
mod ends;
mod guards;
#[path = "../kit/mod.rs"]
mod kit;
mod locked;
mod memory;
mod pool;
mod shared;
mod stopping;
mod threads;

#[global_allocator]
static ALLOCATOR: stopping::Allocator = stopping::Allocator;
