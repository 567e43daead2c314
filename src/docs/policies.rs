//! Which policy for what, and what the device's budget is.
//!
#![doc = include_str!("../../docs/POLICIES.md")]
//!
//! The limit comes on top of the one that MLX had before, the baseline. That is 0 unless other code has set one. It is never
//! above the device's [ceiling](crate::Manager::ceiling). Where nothing is wired the limit is not set, and admission is the
//! same.
//!
//! # Capped by the device, or by a figure
//!
//! [`SumPolicy::new`](crate::SumPolicy::new) asks the manager what the device has, each time. A program that may run on any
//! machine, alone, is right with it. `capped` is for one that shares a machine by agreement, and for tests.
//!
//! ```
//! use mlx_wired::{Error, Manager, SumPolicy};
//!
//! let manager = Manager::builder().backend(mlx_wired::ffi::NoMlx::new()).build()?;
//! let ours = manager.ticket(&SumPolicy::capped(8 << 30), 6 << 30);
//! let first = ours.acquire()?;
//! assert!(ours.try_acquire().is_err(), "12 GiB of 8");
//! # drop(first);
//! # Ok::<(), Error>(())
//! ```
//!
//! # One number for several policies
//!
//! Guards whose policies have one [id](crate::PolicyId) are a group, and each group has its own cap. The limit is the
//! *maximum* over the groups, so that the weights that two of them share are not counted twice. A cap over all of them is
//! [`Config::budget`](crate::Config::budget).
//!
//! ```
//! use mlx_wired::{Config, Error, Manager, SumPolicy};
//!
//! let config = Config::default().budget(10 << 30);
//! let manager = Manager::builder().backend(mlx_wired::ffi::NoMlx::new()).config(config).build()?;
//! let train = manager.ticket(&SumPolicy::capped(8 << 30), 6 << 30);
//! let serve = manager.ticket(&SumPolicy::capped(6 << 30), 5 << 30);
//! let _step = train.acquire()?;
//! assert!(serve.try_acquire().is_err(), "each cap has room, and the budget has not");
//! # Ok::<(), Error>(())
//! ```
//!
//! # How many at once
//!
//! [`AtMost`](crate::AtMost) adds a number to a built-in policy, for a card that three small jobs already keep busy.
//!
//! ```
//! use mlx_wired::{Policy, SumPolicy};
//!
//! let at_most_three = SumPolicy::new().at_most(3);
//! assert_eq!(at_most_three.id(), SumPolicy::new().id(), "one group, with and without");
//! ```
//!
//! # What the device has
//!
//! | | admission, budgets, events | wired limit | what `SumPolicy::new()` may hold |
//! | --- | --- | --- | --- |
//! | Metal, macOS 15 / iOS 18 or later | yes | yes | recommended working set |
//! | Metal, older systems | yes | MLX accepts it and wires nothing: reported as unsupported | as above |
//! | CUDA | yes | none: the setter is never called | the card's free memory and what MLX has of it, at most MLX's memory limit |
//! | CPU | yes | none: the setter is never called | what the container or the machine has beside this process, less a reserve; at most MLX's memory limit |
//! | no MLX linked | yes | none | what the container or the machine has beside this process, less a reserve |
//!
//! The reserve is a 32nd of the memory, from 64 MiB to 2 GiB. [`Config::margin`](crate::Config::margin) and
//! [`Config::reserve`](crate::Config::reserve) keep all of these lower. Where nothing is wired,
//! [`Manager::maintain`](crate::Manager::maintain) and [`poke`](crate::Manager::poke) measure again, so that a container that
//! is resized is followed; without such a call the last measurement stands. What other processes use is seen on a card alone.
//!
//! # Your own
//!
//! [`Policy`](crate::Policy) has two methods that matter, and an example. `examples/custom_policy.rs` is a program.
