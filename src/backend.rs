//! Backends: what a manager coordinates. The trait is here, its implementations and what they tell in the folder.

mod arc;
mod counters;
mod device;
mod error;
pub(crate) mod mlx;
mod none;

pub use counters::MemoryCounters;
pub use device::{Budget, Device, DeviceKind, Support};
pub use error::BackendError;
pub use mlx::{MlxBackend, default_backend};
pub use none::NoMlx;

use crate::system;
use std::fmt;

/// The memory system that a [`Manager`](crate::Manager) coordinates.
///
/// The library brings three: [`MlxBackend`] (MLX through `mlx-sys`),
/// [`NoMlx`] (no MLX linked: admission only) and
/// [`RecordingBackend`](crate::ffi::RecordingBackend) (for tests). Programs on other bindings to MLX
/// implement this trait over their own setter:
///
/// ```
/// use mlx_wired::ffi::{Backend, BackendError, Device, DeviceKind, MLX_WIRED_LIMIT, MemoryCounters, Support};
/// use mlx_wired::{Manager, SumPolicy};
/// # mod my_mlx {
/// #     pub fn recommended() -> u64 { 48 << 30 }
/// #     pub fn memory_size() -> u64 { 64 << 30 }
/// #     pub fn active_memory() -> u64 { 0 }
/// #     pub fn set_wired_limit(_: u64) -> Result<u64, String> { Ok(0) }
/// #     pub fn synchronize() -> Result<(), String> { Ok(()) }
/// # }
///
/// #[derive(Debug)]
/// struct MyBindings;
///
/// impl Backend for MyBindings {
///     fn device(&self) -> Device {
///         let mut device = Device::new(DeviceKind::Metal, Support::Supported);
///         device.max_recommended_working_set_size = Some(my_mlx::recommended());
///         device.memory_size = Some(my_mlx::memory_size());
///         device.budget = device.max_recommended_working_set_size;
///         device
///     }
///
///     fn set_wired_limit(&self, bytes: u64) -> Result<u64, BackendError> {
///         let failed = |text| BackendError::new(format!("set_wired_limit({bytes})")).with_message(text);
///         my_mlx::set_wired_limit(bytes).map_err(failed)
///     }
///
///     fn synchronize(&self) -> Result<(), BackendError> {
///         my_mlx::synchronize().map_err(|text| BackendError::new("synchronize()").with_message(text))
///     }
///
///     fn memory(&self) -> Result<MemoryCounters, BackendError> {
///         let mut counters = MemoryCounters::default();
///         counters.active = my_mlx::active_memory();
///         Ok(counters)
///     }
///
///     fn exclusive(&self) -> Option<&'static str> {
///         Some(MLX_WIRED_LIMIT)
///     }
/// }
///
/// let manager = Manager::builder().backend(MyBindings).build()?;
/// let guard = manager.ticket(&SumPolicy::new(), 1 << 30).acquire_owned()?;
/// assert_eq!(guard.applied(), 1 << 30);
/// # Ok::<(), mlx_wired::Error>(())
/// ```
///
/// # What the manager promises
///
/// `set_wired_limit` is never called concurrently by one manager, never with more than
/// [`Device::max_wired_limit`], never for a device whose [`Support`] is not
/// [`Supported`](Support::Supported), and never while the manager holds a lock that another thread
/// needs. A panic in any method but `device` and `exclusive`, which only describe it, is caught and treated as a
/// failure of the call. `exclusive` is asked again when the last handle and ticket of the manager have gone.
pub trait Backend: Send + Sync + fmt::Debug + 'static {
    /// Describes the device. Called when the manager is built, and by [`budget`](Self::budget) unless that is overridden.
    fn device(&self) -> Device;

    /// Measures what a policy capped by the device may hold now; `None` if nothing is known, and then such a policy has no
    /// cap.
    ///
    /// Called when the manager is built, and at each [`poke`](crate::Manager::poke),
    /// [`maintain`](crate::Manager::maintain) and [`configure`](crate::Manager::configure), several threads' calls at once.
    /// Never called for a device whose [`Support`] is [`Supported`](Support::Supported): there the ceiling is the budget.
    /// After a panic the last budget stays in force.
    ///
    /// `admitted` is what the manager's live guards hold, in bytes. A backend that measures what the process uses cannot tell
    /// otherwise which of that is the work that was admitted, and what the process uses beside it.
    ///
    /// The default is what [`device`](Self::device) says, asked again.
    fn budget(&self, admitted: u64) -> Option<Budget> {
        let _ = admitted;
        Budget::of(&self.device())
    }

    /// Sets the process-wide wired limit in bytes and returns the limit that was in force before.
    ///
    /// # Errors
    ///
    /// When the limit was not changed.
    fn set_wired_limit(&self, bytes: u64) -> Result<u64, BackendError>;

    /// Waits for the work on the calling thread's default stream.
    ///
    /// # Errors
    ///
    /// When the wait or the work failed. MLX hands the failure of a stream's work out once, to the first
    /// thread that synchronises: the caller must not drop it.
    fn synchronize(&self) -> Result<(), BackendError>;

    /// Reads the memory counters and limits.
    ///
    /// # Errors
    ///
    /// When a counter cannot be read.
    fn memory(&self) -> Result<MemoryCounters, BackendError>;

    /// Resets the record of the peak, for all threads: see [`MemoryCounters::recorded_peak`].
    ///
    /// This and the next three are for what a program asks [`train`](crate::train) to do; a manager calls none of them. The
    /// default of each is an error that says that the backend has no such call.
    ///
    /// # Errors
    ///
    /// When the record was not reset.
    fn reset_peak_memory(&self) -> Result<(), BackendError> {
        Err(missing("reset_peak_memory()"))
    }

    /// Sets the memory limit in bytes, for all threads, and returns the one before.
    ///
    /// # Errors
    ///
    /// When the limit was not changed.
    fn set_memory_limit(&self, bytes: u64) -> Result<u64, BackendError> {
        Err(missing(format!("set_memory_limit({bytes})")))
    }

    /// Sets how many bytes of freed buffers are kept for reuse, for all threads, and returns the limit before.
    ///
    /// # Errors
    ///
    /// When the limit was not changed.
    fn set_cache_limit(&self, bytes: u64) -> Result<u64, BackendError> {
        Err(missing(format!("set_cache_limit({bytes})")))
    }

    /// Frees all buffers that are kept for reuse, for all threads.
    ///
    /// # Errors
    ///
    /// When they were not freed.
    fn clear_cache(&self) -> Result<(), BackendError> {
        Err(missing("clear_cache()"))
    }

    /// What this process uses of the machine's memory, in bytes, without the pages of files; `None` if the system does not
    /// tell. Where MLX computes in that memory (Metal, CPU), its arrays and its cache are part of it.
    ///
    /// The default asks the system: some microseconds, without allocating.
    fn footprint(&self) -> Option<u64> {
        Some(system::footprint()).filter(|bytes| *bytes > 0)
    }

    /// MLX's version, if this is MLX: what was measured with one does not hold for another. Default: none.
    fn version(&self) -> Option<String> {
        None
    }

    /// Names the process-wide resource behind this backend, if there is one.
    ///
    /// Two managers whose backends give the same name cannot live at the same time
    /// ([`Error::BackendInUse`](crate::Error::BackendInUse)). Every backend that sets MLX's own limit
    /// must answer [`MLX_WIRED_LIMIT`]. The default, `None`, excludes none.
    fn exclusive(&self) -> Option<&'static str> {
        None
    }

    /// Whether a release that should finish its work first ([`SyncOnRelease`](crate::SyncOnRelease)) may call
    /// [`synchronize`](Self::synchronize) for that.
    ///
    /// For the MLX backend this is false until an error handler that returns is known to be in
    /// place: without one, a failing synchronisation would end the process. Default: true.
    fn synchronizes(&self) -> bool {
        true
    }
}

/// What a call answers that the backend has not.
fn missing(call: impl Into<String>) -> BackendError {
    BackendError::new(call).with_message("this backend has no such call")
}

/// The [`Backend::exclusive`] name of MLX's wired limit.
pub const MLX_WIRED_LIMIT: &str = "mlx wired limit";
