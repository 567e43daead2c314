//! What a child does.

use crate::child::say;
use crate::failure::Failure;
use crate::task::{Said, Task};
use crate::{checkpoint, sets};
use mlx_wired::ffi::{self, DeviceKind};

/// Does a task.
pub(crate) fn on(task: &str) -> Result<(), Failure> {
    // The first call of mlx-rs installs an error handler that returns, in place of MLX's, which exits.
    mlx_rs::memory::active_memory()?;
    match serde_json::from_str(task)? {
        Task::Card => {
            let device = ffi::device();
            let card = device
                .memory_size
                .filter(|_| device.kind == DeviceKind::Cuda);
            say(&Said::Card(card))
        }
        Task::Measure(wanted) => say(&Said::Measured(sets::measure(&wanted)?)),
        Task::Turn(turn) => turn.take(),
        Task::Checkpoint { way, quick } => checkpoint::step(way, quick),
    }
}
