//! The trainer's kit on a device that plays what a test says; `tests/train_mlx/` has it on MLX.
//!
//! | file | what it shows |
//! | --- | --- |
//! | `fit.rs`, `fit/`, `network.rs` | fitting to a budget, on networks that are played |
//! | `ledger.rs` | tickets that learn, their file, and the table |
//! | `measure.rs` | what is measured, and when it is refused |
//! | `scope.rs` | the limits of a run, and that they come back |
//! | `sizer.rs` | micro-batches that shrink when memory is refused |
//! | `steps.rs` | what is told of steps, and of growth |
//! | `workers.rs` | threads that last, and are retired |

mod fit;
#[path = "../kit/mod.rs"]
mod kit;
#[cfg(feature = "estimate")]
mod ledger;
mod measure;
mod network;
mod scope;
mod sizer;
mod steps;
mod workers;

use mlx_wired::ffi::RecordingBackend;

/// Plays work: `up` bytes are allocated and `down` of them, or of those before, freed again.
fn work(backend: &RecordingBackend, up: u64, down: u64) {
    backend.update_memory(|counters| {
        counters.active += up;
        if up > 0 {
            counters.recorded_peak = counters.recorded_peak.max(counters.active);
        }
        counters.active -= down;
    });
}
