//! Linux's sources of use: the container's headroom, and what the machine has in use, and its stalls.

use super::source::{Reading, Source, SourceError};
use super::stalls::{GroupStalls, Stalls};
use crate::system::{ControlGroups, MachineMemory};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What the container has in use of its limit: of all control groups around this process with a limit, the fullest.
#[derive(Debug)]
pub struct Container(ControlGroups);

impl Container {
    /// Of these groups.
    #[must_use]
    pub fn new(groups: ControlGroups) -> Self {
        Self(groups)
    }
}

impl Source for Container {
    fn name(&self) -> &str {
        "container"
    }

    fn read(&mut self, _now: Instant) -> Result<Option<Reading>, SourceError> {
        let memory = self.0.memory()?;
        Ok(memory.map(|memory| Reading::used(memory.used, memory.limit)))
    }
}

/// What the machine has in use of its memory.
#[derive(Debug)]
pub struct Machine(PathBuf);

impl Machine {
    /// From files below `root`: `/` but for tests.
    #[must_use]
    pub fn under(root: &Path) -> Self {
        Self(root.to_owned())
    }

    fn reading(&self) -> Result<Reading, SourceError> {
        let memory = MachineMemory::read(&self.0)?;
        let used = memory.total.saturating_sub(memory.available);
        Ok(Reading::used(used, memory.total))
    }
}

impl Source for Machine {
    fn name(&self) -> &str {
        "machine"
    }

    fn read(&mut self, _now: Instant) -> Result<Option<Reading>, SourceError> {
        self.reading().map(Some)
    }
}

/// How long threads of the whole machine waited for memory. That may be another program that reads files, so it counts only
/// while three quarters of the machine's memory are in use ([`Reading::and_stalled`]).
#[derive(Debug)]
pub struct MachineStalls {
    machine: Machine,
    stalls: Stalls,
}

impl MachineStalls {
    /// From files below `root`: `/` but for tests. `None` where the kernel tells none.
    #[must_use]
    pub fn under(root: &Path) -> Option<Self> {
        let stalls = Stalls::of_machine(root)?;
        let machine = Machine::under(root);
        Some(Self { machine, stalls })
    }
}

impl Source for MachineStalls {
    fn name(&self) -> &str {
        "machine's stalls"
    }

    fn read(&mut self, now: Instant) -> Result<Option<Reading>, SourceError> {
        let Some(share) = self.stalls.read(now)? else {
            return Ok(None);
        };
        Ok(Some(self.machine.reading()?.and_stalled(share)))
    }
}

/// Linux's sources, in the order of trust, from files below `root`.
pub(super) fn sources(root: &Path) -> Vec<Box<dyn Source>> {
    let mut sources: Vec<Box<dyn Source>> = Vec::new();
    if let Ok(groups) = ControlGroups::under(root) {
        let stalls = GroupStalls::of(&groups);
        sources.push(Box::new(Container::new(groups)));
        if let Some(stalls) = stalls {
            sources.push(Box::new(stalls));
        }
    }
    if root.join("proc/meminfo").exists() {
        sources.push(Box::new(Machine::under(root)));
        if let Some(stalls) = MachineStalls::under(root) {
            sources.push(Box::new(stalls));
        }
    }
    sources
}
