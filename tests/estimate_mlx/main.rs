//! Estimates against what MLX itself counts, for three published configurations at full width, with few layers.
//!
//! ```sh
//! scripts/with-mlx cargo test --test estimate_mlx -- --nocapture    # prints the figures of docs/TRAINING.md
//! ```
//!
//! The networks and the caches are written out here a second time, after the models' own sources and mlx-lm's, and not
//! taken from what is tested.

#![cfg(all(any(target_vendor = "apple", with_mlx), feature = "estimate"))]
#![allow(clippy::print_stdout, reason = "the figures are for people")]

mod caches;
mod networks;
mod prompt;
mod state;

use mlx_rs::Array;
use mlx_rs::transforms::eval;
use mlx_wired::ffi;
use mlx_wired::train::estimate::{Estimate, Model};
use serde_json::Value;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) const QWEN: &str = include_str!("../data/configs/qwen2.5-0.5b.json");
pub(crate) const GEMMA: &str = include_str!("../data/configs/gemma-3-270m.json");
pub(crate) const DEEPSEEK: &str = include_str!("../data/configs/deepseek-v2-lite.json");

const MIB: f64 = (1 << 20) as f64;

/// MLX's counters are one for the process: one test at a time, from a state without arrays.
pub(crate) struct Alone {
    before: u64,
    _turn: MutexGuard<'static, ()>,
}

impl Alone {
    pub(crate) fn new() -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        mlx_rs::memory::clear_cache().expect("the cache can be cleared");
        Self {
            before: counters().active,
            _turn: turn,
        }
    }

    /// What live arrays take.
    pub(crate) fn active(&self) -> u64 {
        counters().active - self.before
    }

    /// The most that they took since the last call of [`reset`](Alone::reset).
    pub(crate) fn peak(&self) -> u64 {
        counters().peak() - self.before
    }

    pub(crate) fn reset(&self) {
        ffi::reset_peak_memory().expect("MLX is there");
    }

    /// What is alive now counts no longer.
    pub(crate) fn forget(&mut self) {
        self.before = counters().active;
    }
}

fn counters() -> ffi::MemoryCounters {
    ffi::memory_counters().expect("MLX is there")
}

pub(crate) fn evaluate<'a>(arrays: impl IntoIterator<Item = &'a Array>) {
    eval(arrays).expect("they can be computed");
}

/// A configuration with fewer layers.
pub(crate) fn cut(text: &str, layers: usize) -> Model {
    let mut config: Value = serde_json::from_str(text).expect("it is JSON");
    config["num_hidden_layers"] = layers.into();
    if let Some(types) = config["layer_types"].as_array_mut() {
        types.truncate(layers);
    }
    let model = Model::from_config(&config.to_string());
    assert!(model.is_whole(), "{:?}", model.problems);
    model
}

/// The bytes of the items of these kinds.
pub(crate) fn items(estimate: &Estimate, ids: &[&str]) -> u64 {
    let items = estimate.items.iter().filter(|item| ids.contains(&item.id));
    items.map(|item| item.bytes).sum()
}

/// Prints a row of the table, and holds the estimate to 5 % of what MLX counts.
#[track_caller]
pub(crate) fn within(what: &str, estimate: u64, measured: u64) {
    let off = told(what, estimate, measured);
    assert!(
        off.abs() < 5.0,
        "{what}: {estimate} estimated, {measured} measured"
    );
}

/// Prints a row of the table; by how much the estimate is off, in percent.
pub(crate) fn told(what: &str, estimate: u64, measured: u64) -> f64 {
    let off = 100.0 * (estimate as f64 / measured as f64 - 1.0);
    let (estimate, measured) = (estimate as f64 / MIB, measured as f64 / MIB);
    println!("| {what} | {estimate:.2} MiB | {measured:.2} MiB | {off:+.3} % |");
    off
}
