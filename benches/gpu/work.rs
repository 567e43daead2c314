//! What a child does.

use crate::child::say;
use crate::failure::Failure;
use crate::task::{Card, Said, Task};
use crate::{checkpoint, turn};
use mlx_wired::ffi::{self, DeviceKind};

/// Does a task.
pub(crate) fn on(task: &str) -> Result<(), Failure> {
    // The first call of mlx-rs installs an error handler that returns, in place of MLX's, which exits.
    mlx_rs::memory::active_memory()?;
    match serde_json::from_str(task)? {
        Task::Card => {
            let device = ffi::device();
            let bytes = device.memory_size;
            let bytes = bytes.filter(|_| device.kind == DeviceKind::Cuda);
            let name = device.name.clone().unwrap_or_default();
            say(&Said::Card(bytes.map(|bytes| Card { name, bytes })))
        }
        Task::Measure(wanted) => say(&Said::Measured(turn::measure(&wanted)?)),
        Task::Turn(turn) => turn.take(),
        Task::Checkpoint { way, quick } => checkpoint::step(way, quick),
    }
}
