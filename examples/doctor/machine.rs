//! The device, its limits, and whose they are.

use indicatif::BinaryBytes;
use mlx_wired::ffi::{self, Backend, Device, DeviceKind, NoMlx, Support};
use mlx_wired::{Manager, Snapshot, SumPolicy};
use std::fmt;

/// What can be known here.
pub(crate) struct Machine {
    device: Device,
    snapshot: Snapshot,
    /// What the system leaves, without MLX's say.
    system: Option<ffi::Budget>,
    memory: Option<ffi::MemoryCounters>,
    /// The system's own limit of wired memory in MiB; 0 is the system's default.
    sysctl: Option<u64>,
    variable: Option<String>,
    trial: String,
}

impl Machine {
    pub(crate) fn look() -> Self {
        let manager = Manager::shared();
        Self {
            device: manager.device().clone(),
            trial: trial(manager),
            snapshot: manager.snapshot(),
            system: NoMlx::new().budget(0),
            memory: ffi::memory_counters().ok(),
            sysctl: sysctl(),
            variable: std::env::var("MLX_WIRED").ok(),
        }
    }

    /// What may be held at once, and what says so.
    pub(crate) fn capacity(&self) -> Option<(u64, &'static str)> {
        if let Some(ceiling) = &self.snapshot.ceiling {
            return Some((ceiling.bytes, "the ceiling"));
        }
        let by_mlx = self.memory.map(|memory| memory.memory_limit);
        let name = match self.device.kind {
            _ if by_mlx.is_some() && by_mlx == self.snapshot.device_budget => "MLX's memory limit",
            DeviceKind::Cuda => "what the card has free",
            _ if self.container().is_some() => "what the container's limit leaves",
            _ => "what the memory leaves",
        };
        self.snapshot.device_budget.map(|bytes| (bytes, name))
    }

    pub(crate) fn wires(&self) -> bool {
        self.device.support.is_supported()
    }

    /// The limit of the container, if there is one.
    fn container(&self) -> Option<u64> {
        let memory = self.system?.memory?;
        (Some(memory) < self.device.memory_size).then_some(memory)
    }

    fn wired(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line(f, "wired memory", self.device.support)?;
        let why = match self.device.support {
            Support::Supported => None,
            Support::NoMlx => Some("run it as: scripts/with-mlx cargo run --example doctor"),
            Support::NoWiredMemory => {
                Some("only Apple's GPUs have it; tickets admit and budget all the same")
            }
            Support::SystemTooOld => Some("update to macOS 15 or later"),
            _ => Some("tickets admit and budget all the same"),
        };
        if let Some(why) = why {
            line(f, "", why)?;
        }
        if let Some(error) = ffi::device_error() {
            line(f, "", error)?;
        }
        match &self.snapshot.ceiling {
            Some(ceiling) => line(f, "ceiling", ceiling)?,
            None => line(f, "ceiling", "none: no limit is set here")?,
        }
        if let Some(variable) = &self.variable {
            let text = format!(
                "{variable}: the limit is set in mode {:?}",
                self.snapshot.mode
            );
            line(f, "MLX_WIRED", text)?;
        }
        self.system_limit(f)
    }

    /// What bounds wired memory beside MLX, and how to raise it.
    fn system_limit(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.device.kind != DeviceKind::Metal {
            return Ok(());
        }
        match self.sysctl {
            Some(0) => line(f, "system's limit", "the system's default")?,
            Some(mib) => line(f, "system's limit", BinaryBytes(mib << 20))?,
            None => {}
        }
        let Some(memory) = self.device.memory_size else {
            return Ok(());
        };
        // Enough for the system itself: what users report to work.
        let keep = (memory / 8).max(8 << 30);
        let Some(bytes) = memory.checked_sub(keep).filter(|bytes| *bytes > 0) else {
            return Ok(());
        };
        let command = format!("sudo sysctl iogpu.wired_limit_mb={}", bytes >> 20);
        line(
            f,
            "to raise it",
            format!("{command}   (until the next start)"),
        )
    }

    fn limits(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = |f: &mut _, name, bytes: Option<u64>| match bytes {
            Some(bytes) => line(f, name, BinaryBytes(bytes)),
            None => Ok(()),
        };
        bytes(f, "memory", self.device.memory_size)?;
        bytes(f, "free when asked", self.device.free_memory)?;
        match self.container() {
            Some(limit) => bytes(f, "container's limit", Some(limit))?,
            None => line(f, "container's limit", "none")?,
        }
        bytes(f, "largest buffer", self.device.max_buffer_length)?;
        if let Some(memory) = &self.memory {
            bytes(f, "MLX's memory limit", Some(memory.memory_limit))?;
            let held = format!(
                "{} active, {} cached",
                BinaryBytes(memory.active),
                BinaryBytes(memory.cache)
            );
            line(f, "MLX holds", held)?;
        }
        match self.capacity() {
            Some((bytes, name)) => {
                let text = format!("{} at once: {name}", BinaryBytes(bytes));
                line(f, "SumPolicy::new()", text)
            }
            None => line(f, "SumPolicy::new()", "without a cap: nothing is known"),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.device.name.iter().chain(&self.device.architecture);
        let known: String = known.map(|it| format!(", {it}")).collect();
        line(f, "device", format!("{}{known}", self.device.kind))?;
        line(f, "MLX", if ffi::LINKED { "linked" } else { "not linked" })?;
        self.wired(f)?;
        self.limits(f)?;
        line(f, "a guard of 1 MiB", &self.trial)
    }
}

pub(crate) fn line(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    value: impl fmt::Display,
) -> fmt::Result {
    writeln!(f, "{name:<21} {value}")
}

/// Acquires for real, once.
fn trial(manager: &Manager) -> String {
    let ticket = manager
        .ticket(&SumPolicy::uncapped(), 1 << 20)
        .label("trial");
    let acquired = ticket.try_acquire().map(|guard| guard.is_wired());
    match acquired {
        Ok(true) => "admitted and wired".to_owned(),
        Ok(false) => "admitted; nothing is wired here".to_owned(),
        Err(error) => format!("refused: {error}"),
    }
}

/// `iogpu.wired_limit_mb`, on a Mac.
fn sysctl() -> Option<u64> {
    if !cfg!(target_os = "macos") {
        return None;
    }
    let asked = std::process::Command::new("/usr/sbin/sysctl")
        .args(["-n", "iogpu.wired_limit_mb"])
        .output();
    let text = String::from_utf8(asked.ok()?.stdout).ok()?;
    text.trim().parse().ok()
}
