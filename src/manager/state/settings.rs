//! What follows from the settings, the device, its last measurement and the environment.

use crate::Error;
use crate::backend::DeviceKind;
use crate::backend::{Budget, Device};
use crate::config::SyncOnRelease;
use crate::config::{Config, invalid};
use crate::mode::WireMode;
use crate::print::Bytes;
use crate::snapshot::{Ceiling, CeilingSource};

/// What the backend has measured, and which measurement it is: of two at once the one that began later counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measurement {
    pub(crate) number: u64,
    pub(crate) budget: Option<Budget>,
}

/// What counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) mode: WireMode,
    pub(crate) ceiling: u64,
    pub(crate) budget: Option<u64>,
    /// Each release of a driving guard finishes its work first.
    pub(crate) finishes_each: bool,
}

impl Settings {
    pub(crate) fn of(
        config: &Config,
        device: &Device,
        measured: Option<Budget>,
        environment: Option<&str>,
    ) -> Self {
        let mode = mode(config, environment);
        let finishes_each = finishes_each(config, mode, device);
        if device.support.is_supported() {
            let ceiling = ceiling(config, device).bytes;
            return Self {
                mode,
                ceiling,
                budget: Some(ceiling),
                finishes_each,
            };
        }
        Self {
            mode,
            ceiling: u64::MAX,
            budget: measured.map(|measured| budget(config, device, measured)),
            finishes_each,
        }
    }
}

/// The mode with the environment's say, whatever else than `auto` it says.
pub(crate) fn mode(config: &Config, environment: Option<&str>) -> WireMode {
    match (config.mode, environment) {
        (WireMode::Auto, Some(_)) => WireMode::Never,
        (mode, _) => mode,
    }
}

/// Refuses settings that make no sense on this device.
pub(crate) fn check(config: &Config, device: &Device) -> Result<(), Error> {
    if let Some(memory) = device.memory_size {
        if config.reserve > 0 && config.reserve >= memory {
            let reserve = Bytes(config.reserve);
            let reason = format!(
                "{reserve} leaves nothing of the memory of {}",
                Bytes(memory)
            );
            return Err(invalid("reserve", reason));
        }
        if let Some(budget) = config.budget.filter(|budget| *budget > memory) {
            let reason = format!("{} is above the memory of {}", Bytes(budget), Bytes(memory));
            return Err(invalid("budget", reason));
        }
    }
    if device.support.is_supported() {
        let ceiling = ceiling(config, device).bytes;
        if let Some(bytes) = config.baseline_override.filter(|bytes| *bytes > ceiling) {
            let reason = format!(
                "{} is above the ceiling of {}",
                Bytes(bytes),
                Bytes(ceiling)
            );
            return Err(invalid("baseline_override", reason));
        }
    }
    Ok(())
}

/// min(recommended x (1 - margin), memory size - reserve), always below the memory size.
pub(crate) fn ceiling(config: &Config, device: &Device) -> Ceiling {
    let recommended = device.max_recommended_working_set_size.unwrap_or(u64::MAX);
    let memory_size = device.memory_size.unwrap_or(u64::MAX);
    let (margin, reserve) = (margin(config, recommended), config.reserve);
    let by_recommended = recommended.saturating_sub(margin);
    let by_memory = memory_size
        .saturating_sub(reserve)
        .min(device.max_wired_limit());
    if by_recommended <= by_memory {
        Ceiling {
            bytes: by_recommended,
            source: CeilingSource::Recommended {
                recommended,
                margin,
            },
        }
    } else {
        Ceiling {
            bytes: by_memory,
            source: CeilingSource::Memory {
                memory_size,
                reserve,
            },
        }
    }
}

/// The same of a device without wired memory: min(measured x (1 - margin), memory - reserve). The memory is what the budget
/// was measured of: a container's limit, where there is one. Without a reserve the backend's word counts alone.
fn budget(config: &Config, device: &Device, measured: Budget) -> u64 {
    let memory = device.memory_size.into_iter().chain(measured.memory).min();
    let by_reserve = memory
        .filter(|_| config.reserve > 0)
        .map_or(u64::MAX, |memory| memory.saturating_sub(config.reserve));
    let margin = margin(config, measured.bytes);
    measured.bytes.saturating_sub(margin).min(by_reserve)
}

fn margin(config: &Config, bytes: u64) -> u64 {
    (bytes as f64 * config.margin) as u64
}

/// The first field that differs and can change only while idle.
pub(crate) fn idle_only_change(old: &Config, new: &Config) -> Option<&'static str> {
    [
        ("mode", old.mode != new.mode),
        (
            "baseline_override",
            old.baseline_override != new.baseline_override,
        ),
    ]
    .into_iter()
    .find_map(|(field, changed)| changed.then_some(field))
}

/// Whether each release of a driving guard finishes its work first, on this device in this mode.
pub(crate) fn finishes_each(config: &Config, mode: WireMode, device: &Device) -> bool {
    let is_card = device.kind == DeviceKind::Cuda && !device.support.is_supported();
    match config.sync_on_release {
        SyncOnRelease::Always => true,
        // With `Never` for the sake of the hooks.
        SyncOnRelease::Auto | SyncOnRelease::Never => is_card && mode != WireMode::Uncoordinated,
    }
}
