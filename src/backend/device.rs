//! Devices, as backends describe them.

use std::fmt;

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
    /// recommended working set, elsewhere what [`Backend::budget`](crate::ffi::Backend::budget) measures. `None` if nothing is known; such a policy then
    /// has no cap.
    pub budget: Option<u64>,
}

/// What a device can hold, as [`Backend::budget`](crate::ffi::Backend::budget) measures it. Sizes in bytes.
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
    /// No MLX is linked; [`LINKED`](crate::ffi::LINKED) says how to link it.
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
