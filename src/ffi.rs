//! Everything that touches MLX, and what stands in its place.
//!
//! A [`Backend`] is what a [`Manager`](crate::Manager) coordinates. [`MlxBackend`] is MLX through
//! `mlx-sys`, [`NoMlx`] a machine without MLX, [`RecordingBackend`] a device for tests. All unsafe code
//! of the library that touches MLX is in `src/backend/mlx/`, but for that of gradient checkpointing (`train::checkpoint`) and
//! of buffers as arrays (`memory::pool`).
//!
//! The functions are safe wrappers of MLX's process-wide calls, for use beside a manager (the counters
//! and limits) or instead of one ([`set_wired_limit`]). They exist whether or not
//! [MLX is linked](LINKED).
//!
//! # Error handlers
//!
//! MLX is C++ and throws. `mlx-c` catches the exception, hands its text to one process-wide error
//! handler and returns a code. The handler in place at the start **prints the text and ends the
//! process** with `exit(-1)`, and there is no getter: a library cannot know what a failing call will
//! do. So this one
//!
//! * installs no handler unasked: it would take the text of their errors from `mlx-rs` and from other
//!   code that has installed its own, and to install one while another thread is inside MLX is a data race;
//! * avoids the conditions under which its calls fail (below);
//! * does not [synchronise](Backend::synchronizes) when a guard is released, until the program has
//!   stated that a handler which returns is in place: by [`install_error_handler`], or by the feature
//!   `mlx-rs`.
//!
//! **With `mlx-rs`** (as read in 0.33.0): it installs its handler once for the process, through a
//! `std::sync::Once`, on whichever thread first makes one of its calls that return a `Result`; not when
//! the program starts, not for each thread, and there is no public function for it. The handler keeps
//! the text in a private thread-local of the failing thread and returns. Once it is in place it stays,
//! also if other code replaces it later: then errors read "MLX operation failed with status 1". So
//! enable the feature `mlx-rs`, and make one such call before the first guard is released; any array
//! operation will do, or `mlx_rs::memory::active_memory()`. Messages then belong to `mlx-rs`, and
//! [`BackendError::message`] is empty.
//!
//! **With `mlx-sys` alone**, call [`install_error_handler`] once, before the first thread starts.
//!
//! # Calls that can fail
//!
//! Every call that the library makes, with the condition under which MLX 0.32 throws:
//!
//! | call | throws | how that is avoided |
//! | --- | --- | --- |
//! | `mlx_set_wired_limit` | Metal: above `max_recommended_working_set_size` | never called with more than [`Device::max_wired_limit`], nor where wiring is not [supported](Support) |
//! | `mlx_synchronize_default` | if work on the stream failed, for example a Metal command buffer that ran out of memory | not called before a handler that returns was stated, except by [`synchronize`] |
//! | `mlx_device_info_get` | Metal: if no device or no Metal library can be loaded | on Metal asked once; the program's first GPU operation would fail for the same reason |
//! | `mlx_device_info_has_key`, `_get_size`, `_get_string` | for an empty object only; a missing key or another type is code 2, without an exception | the object was filled; `has_key` is asked first, and code 2 counts as missing |
//! | `mlx_get_memory_limit`, `_active_memory`, `_peak_memory`, `_cache_memory`, `mlx_reset_peak_memory`, `mlx_set_memory_limit`, `mlx_set_cache_limit`, `mlx_clear_cache` | the first one makes the allocator: Metal as above; CUDA: if the driver has no card | CUDA counts as present only if a card is; otherwise the program's first array would fail for the same reason |
//! | `_mlx_array_is_available` | never | |
//! | `mlx_custom_vjp`, `mlx_closure_apply`, `mlx_depends`, with the closures and vectors that they take (`train::checkpoint`) | if a block fails | called with mlx-rs's arrays alone, after a call of mlx-rs that can fail: it is an error |
//! | `mlx_array_new_data_managed_payload`, `mlx_load_reader`, with the reader, stream and empty array that it takes (`memory::pool`) | for want of memory; what is decoded fails when it is evaluated | called after a call of mlx-rs that can fail: it is an error |
//! | `mlx_string_new`, `mlx_version`, `mlx_string_data`, `mlx_string_free` | never (memory for the text apart) | |
//! | `mlx_metal_is_available`, `mlx_cuda_is_available`, `mlx_device_is_available`, `mlx_device_new_type`, `mlx_device_free`, `mlx_device_info_new`, `mlx_device_info_free` | never (memory for the object itself apart) | |
//! | `mlx_set_error_handler` | never | called by [`install_error_handler`] alone |

#[cfg(feature = "mlx-rs")]
pub use crate::backend::mlx::arrays::is_evaluated;
pub use crate::backend::mlx::calls::{
    LINKED, clear_cache, device, device_error, error_handler_returns, install_error_handler,
    memory_counters, reset_peak_memory, set_cache_limit, set_memory_limit, set_wired_limit,
    synchronize, take_error_message, version,
};
pub use crate::backend::{
    Backend, BackendError, Budget, Device, DeviceKind, MLX_WIRED_LIMIT, MemoryCounters, MlxBackend,
    NoMlx, Support, default_backend,
};
pub use crate::cache_limit::CacheLimit;
pub use crate::testing::{
    Call, Gate, MemoryCall, MemorySetting, Outcome, RecordingBackend, RecordingBuilder,
    Synchronization,
};
