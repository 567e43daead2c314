//! What the coordinator needs from MLX, as a trait.

use crate::names::Name;
use crate::system;
use std::fmt;

/// The memory system that a [`Manager`](crate::Manager) coordinates.
///
/// The library brings three: [`MlxBackend`](super::MlxBackend) (MLX through `mlx-sys`),
/// [`NoMlx`](super::NoMlx) (no MLX linked: admission only) and
/// [`RecordingBackend`](super::RecordingBackend) (for tests). Programs on other bindings to MLX
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
    /// who synchronises: the caller must not drop it.
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
    /// must answer [`MLX_WIRED_LIMIT`]. The default, `None`, excludes nobody.
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

/// What a backend knows about its device. Sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Device {
    /// Whether the wired limit has an effect, and if not, why.
    pub support: Support,
    /// Which of MLX's backends computes.
    pub kind: DeviceKind,
    /// The device's name, if it has one.
    pub name: Option<String>,
    /// The device's architecture, if it tells.
    pub architecture: Option<String>,
    /// MLX's `max_recommended_working_set_size`: the setter fails above it.
    pub max_recommended_working_set_size: Option<u64>,
    /// The largest single buffer.
    pub max_buffer_length: Option<u64>,
    /// The largest number of buffers alive at once.
    pub resource_limit: Option<u64>,
    /// Memory of the machine (Metal: unified; CPU: physical) or of the card (CUDA: total).
    pub memory_size: Option<u64>,
    /// Memory not in use when it was read (CUDA).
    pub free_memory: Option<u64>,
    /// The most that a policy capped by the device admits, as it was when the device was described: on Metal the
    /// recommended working set, elsewhere what [`Backend::budget`] measures. `None` if nothing is known; such a policy then
    /// has no cap.
    pub budget: Option<u64>,
}

/// What a device can hold, as [`Backend::budget`] measures it. Sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Budget {
    /// The most that a policy capped by the device may hold, before the manager's margin and reserve.
    pub bytes: u64,
    /// The memory that it is a part of: the machine's, the card's, or what the container allows now. The reserve is kept
    /// free of it. `None` if it is unknown.
    pub memory: Option<u64>,
}

impl Budget {
    /// A budget of `bytes`, of a memory of unknown size.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        Self {
            bytes,
            memory: None,
        }
    }

    /// What a device's description says.
    #[must_use]
    pub fn of(device: &Device) -> Option<Self> {
        let memory = device.memory_size;
        device.budget.map(|bytes| Self { bytes, memory })
    }

    /// Says how much memory it is a part of.
    #[must_use]
    pub fn of_memory(mut self, bytes: u64) -> Self {
        self.memory = Some(bytes);
        self
    }
}

impl Device {
    /// A device of `kind` of which nothing else is known.
    #[must_use]
    pub fn new(kind: DeviceKind, support: Support) -> Self {
        Self {
            support,
            kind,
            name: None,
            architecture: None,
            max_recommended_working_set_size: None,
            max_buffer_length: None,
            resource_limit: None,
            memory_size: None,
            free_memory: None,
            budget: None,
        }
    }

    /// The highest limit that the setter accepts: the recommended working set, which MLX enforces,
    /// and always less than the memory size. `u64::MAX` if neither is known.
    #[must_use]
    pub fn max_wired_limit(&self) -> u64 {
        let below_memory = self.memory_size.map_or(u64::MAX, |m| m.saturating_sub(1));
        self.max_recommended_working_set_size
            .unwrap_or(u64::MAX)
            .min(below_memory)
    }
}

/// Which of MLX's backends computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeviceKind {
    /// Apple's GPU.
    Metal,
    /// An NVIDIA GPU.
    Cuda,
    /// The processor.
    Cpu,
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Metal => "Metal",
            Self::Cuda => "CUDA",
            Self::Cpu => "CPU",
        })
    }
}

/// Whether a wired limit has an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Support {
    /// Metal with residency sets: macOS 15, iOS 18 or later, on a GPU of the Metal 3 family.
    Supported,
    /// MLX accepts the call and wires nothing, since the system has no residency sets.
    SystemTooOld,
    /// MLX accepts the call and wires nothing, since the GPU has no residency sets: it is not of the
    /// Metal 3 family (a virtual machine, an early iPhone or iPad).
    NoMetal3,
    /// The device has no wired memory (CUDA, CPU).
    NoWiredMemory,
    /// No MLX is linked; [`LINKED`](super::LINKED) says how to link it.
    NoMlx,
    /// The device could not be asked.
    Unknown,
}

impl Support {
    /// Whether a wired limit has an effect.
    #[must_use]
    pub fn is_supported(self) -> bool {
        self == Self::Supported
    }
}

impl fmt::Display for Support {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Supported => "supported",
            Self::SystemTooOld => {
                "not supported: this system has no residency sets (needs macOS 15 or iOS 18)"
            }
            Self::NoMetal3 => "not supported: this GPU has no residency sets (needs Metal 3)",
            Self::NoWiredMemory => "not supported: this device has no wired memory",
            Self::NoMlx => {
                "not supported: no MLX is linked (feature `mlx`, and on Linux scripts/with-mlx or an MLX of your own)"
            },
            Self::Unknown => "not supported: the device could not be asked",
        })
    }
}

/// MLX's memory counters and limits, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct MemoryCounters {
    /// Live arrays.
    pub active: u64,
    /// The highest `active` since the start or the last reset. A reset sets it to 0, so compare with
    /// `active`: see [`MemoryCounters::peak`].
    pub recorded_peak: u64,
    /// Freed buffers that MLX keeps for reuse. Neither `active` nor the peak contains them.
    pub cache: u64,
    /// The memory limit: above it, evaluation waits for running work.
    pub memory_limit: u64,
}

impl MemoryCounters {
    /// The peak since the last reset. MLX resets its record to 0, not to what is active.
    #[must_use]
    pub fn peak(&self) -> u64 {
        self.recorded_peak.max(self.active)
    }
}

/// A backend's call that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackendError {
    /// The call with its arguments, for example `mlx_set_wired_limit(4096)`.
    pub call: String,
    /// The return code, if the call gave one.
    pub code: Option<i32>,
    /// MLX's own message, where a handler that keeps it is in place.
    pub message: Option<String>,
}

impl BackendError {
    /// A failure of `call`, which is written with its arguments.
    #[must_use]
    pub fn new(call: impl Into<String>) -> Self {
        Self {
            call: call.into(),
            code: None,
            message: None,
        }
    }

    /// Adds the return code.
    #[must_use]
    pub fn with_code(mut self, code: i32) -> Self {
        self.code = Some(code);
        self
    }

    /// Adds the message.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }
}

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed", Name::whole(&self.call))?;
        if let Some(code) = self.code {
            write!(f, " with code {code}")?;
        }
        if let Some(message) = &self.message {
            write!(f, ": {}", Name::whole(message))?;
        }
        Ok(())
    }
}

impl std::error::Error for BackendError {}
