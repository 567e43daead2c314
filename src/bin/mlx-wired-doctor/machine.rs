//! The device, its memory, and what bounds how much of it may be held.

use super::environment::{self, Variable};
use super::finding::Finding;
use super::wired_limit::{self, Raise};
use mlx_wired::ffi::{self, Backend, Device, DeviceKind, MemoryCounters, NoMlx, Support};
use mlx_wired::snapshot::Ceiling;
use mlx_wired::{Manager, SumPolicy};

/// What can be known here. Sizes in bytes.
pub(crate) struct Machine {
    pub(crate) device: Device,
    /// MLX's version, where it is linked.
    pub(crate) mlx: Option<String>,
    /// The machine's own memory. That of a card is the device's.
    pub(crate) memory: Option<u64>,
    /// What a container allows of it, where that is less.
    pub(crate) container: Option<u64>,
    /// What of it no program uses now, as far as the system tells.
    pub(crate) available: Option<u64>,
    pub(crate) counters: Option<MemoryCounters>,
    pub(crate) ceiling: Option<Ceiling>,
    pub(crate) budget: Option<Budget>,
    /// The setting of a Mac's own limit; 0 is the system's default.
    pub(crate) wired_limit: Option<u64>,
    /// A higher one.
    pub(crate) raise: Option<Raise>,
    pub(crate) variables: Vec<Variable>,
    pub(crate) trial: Trial,
}

/// What may be held at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    pub(crate) bytes: u64,
    /// What it is, for people.
    pub(crate) of: &'static str,
}

/// What became of a guard that was acquired for real.
pub(crate) enum Trial {
    Wired,
    Counted,
    Refused(String),
}

impl Machine {
    pub(crate) fn inspect() -> Self {
        Self::of(Manager::shared())
    }

    /// The machine that this manager's device is in.
    pub(crate) fn of(manager: &Manager) -> Self {
        let (system, snapshot, backend) = (NoMlx::new(), manager.snapshot(), manager.backend());
        let memory = system.device().memory_size;
        let allowed = system.budget(0).and_then(|budget| budget.memory);
        let mut machine = Self {
            device: manager.device().clone(),
            mlx: backend.version(),
            memory,
            container: allowed.filter(|allowed| Some(*allowed) < memory),
            available: available(),
            counters: backend.memory().ok(),
            ceiling: snapshot.ceiling,
            budget: None,
            wired_limit: wired_limit::set(),
            raise: None,
            variables: environment::read(),
            trial: trial(manager),
        };
        machine.budget = snapshot.device_budget.map(|bytes| Budget {
            bytes,
            of: machine.bound(bytes),
        });
        machine.raise = machine
            .wirable()
            .and_then(|(in_force, memory)| wired_limit::raise(in_force, memory));
        machine
    }

    /// What bounds the budget.
    fn bound(&self, bytes: u64) -> &'static str {
        let by_mlx = self.counters.map(|counters| counters.memory_limit);
        match self.device.kind {
            _ if self.ceiling.is_some() => "what may be wired",
            DeviceKind::Metal => "the working set that Metal recommends",
            _ if by_mlx == Some(bytes) => "MLX's memory limit",
            DeviceKind::Cuda => "what the card has free",
            _ if self.container.is_some() => "what the container's limit leaves",
            _ => "what the memory leaves",
        }
    }

    pub(crate) fn wires(&self) -> bool {
        self.device.support.is_supported()
    }

    /// What may be wired, and of how much memory.
    fn wirable(&self) -> Option<(u64, u64)> {
        let in_force = self.device.max_recommended_working_set_size;
        let (in_force, memory) = (in_force?, self.device.memory_size?);
        self.wires().then_some((in_force, memory))
    }

    pub(crate) fn findings(&self) -> Vec<Finding> {
        let mut findings = environment::findings(&self.variables, self.wires());
        if let Some(error) = ffi::device_error() {
            findings.push(Finding::warning(
                "device-not-asked",
                format!("MLX could not be asked for its device: {error}"),
                "none here: the program's first array would fail for the same reason",
            ));
        }
        findings.extend(match self.device.support {
            Support::NoMlx => Some(Finding::note(
                "no-mlx",
                "no MLX is linked, so the system's memory is what counts",
                "on Linux build it under the repository's scripts/with-mlx",
            )),
            Support::SystemTooOld => Some(Finding::warning(
                "system-too-old",
                "this system wires nothing, so that a large model may be paged",
                "update to macOS 15 or later",
            )),
            Support::NoMetal3 => Some(Finding::warning(
                "no-metal-3",
                "this GPU wires nothing, so that a large model may be paged",
                "none on this machine: it needs a GPU of the Metal 3 family, and no virtual machine",
            )),
            _ => None,
        });
        if let Some((in_force, memory)) = self.wirable() {
            findings.extend(wired_limit::finding(in_force, memory));
        }
        if let Trial::Refused(why) = &self.trial {
            findings.push(Finding::warning(
                "trial-refused",
                format!("a guard of 1 MiB was refused: {why}"),
                "see to that first: no program gets one",
            ));
        }
        if self.budget.is_none() {
            findings.push(Finding::warning(
                "memory-unknown",
                "how much memory there is cannot be found out on this system",
                "give policies a cap of the program's own: `SumPolicy::capped(bytes)`",
            ));
        }
        findings
    }
}

/// Acquires for real, once.
fn trial(manager: &Manager) -> Trial {
    let ticket = manager
        .ticket(&SumPolicy::uncapped(), 1 << 20)
        .label("trial");
    match ticket.try_acquire() {
        Ok(guard) if guard.is_wired() => Trial::Wired,
        Ok(_) => Trial::Counted,
        Err(error) => Trial::Refused(error.to_string()),
    }
}

/// The memory that no program uses, or could give back at once.
fn available() -> Option<u64> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}
