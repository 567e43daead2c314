//! What was measured, and the ticket that follows from it.

use crate::ffi::DeviceKind;
use crate::print::Bytes;
use crate::print::Name;
use crate::{Manager, Policy, Ticket};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Tickets are whole MiB, so that they do not differ with each byte.
const STEP: u64 = 1 << 20;

/// One run of the closure. Sizes in bytes; the peak is at least what was live before and after.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Trial {
    pub(super) before: u64,
    pub(super) peak: u64,
    pub(super) after: u64,
    pub(super) cache: u64,
    pub(super) elapsed: Duration,
}

impl Trial {
    pub(super) fn above_start(&self) -> u64 {
        self.peak - self.before
    }
}

/// What something needed when it ran alone. Sizes in bytes, by MLX's own count: what the system holds beside that, and
/// MLX's cache, are not in the peak.
///
/// All sizes are of one run: of those that counted, the one whose peak was furthest above its start.
///
/// Prints as a line with the ticket and its margin.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Measured {
    /// What was measured.
    pub label: Arc<str>,
    /// The device's kind, which decides the margin.
    pub kind: DeviceKind,
    /// Live arrays before.
    pub active_before: u64,
    /// Live arrays after.
    pub active_after: u64,
    /// The most live arrays in between.
    pub peak: u64,
    /// How far the peak was above what was live before: what a ticket has to cover.
    pub above_start: u64,
    /// How far the peak was above what was live after: what was needed for a while only.
    pub workspace: u64,
    /// MLX's cache after.
    pub cache: u64,
    /// The time of the fastest run that counted.
    pub elapsed: Duration,
    /// How many runs counted.
    pub runs: u32,
    /// How many were discarded before them.
    pub warm_up: u32,
    /// By how much the results differ: the largest less the smallest, as a part of the largest, from 0 to 1.
    pub spread: f64,
    /// What a ticket has on top, for what the next runs may need more.
    pub margin: u64,
}

impl Measured {
    /// Of at least one run.
    pub(super) fn new(label: Arc<str>, kind: DeviceKind, warm_up: u32, runs: &[Trial]) -> Self {
        let largest = runs.iter().max_by_key(|run| run.above_start());
        let largest = largest.copied().unwrap_or_default();
        let above_start = largest.above_start();
        let smallest = runs.iter().map(Trial::above_start).min().unwrap_or(0);
        let fastest = runs.iter().map(|run| run.elapsed).min();
        Self {
            label,
            kind,
            active_before: largest.before,
            active_after: largest.after,
            peak: largest.peak,
            above_start,
            workspace: largest.peak - largest.after,
            cache: largest.cache,
            elapsed: fastest.unwrap_or_default(),
            runs: u32::try_from(runs.len()).unwrap_or(u32::MAX),
            warm_up,
            spread: (above_start - smallest) as f64 / above_start.max(1) as f64,
            margin: Self::margin_on(kind, above_start),
        }
    }

    /// By how much two results may differ and agree, as a part of the larger: 0.02 on the CPU, 0.2 elsewhere.
    #[must_use]
    pub fn tolerance(kind: DeviceKind) -> f64 {
        match kind {
            DeviceKind::Cpu => 0.02,
            // Seen on CUDA: 15 to 18 % from run to run. Metal runs ahead in the same way, and was not measured.
            DeviceKind::Cuda | DeviceKind::Metal => 0.2,
        }
    }

    /// What a ticket has on top of `bytes`: an eighth on the CPU, a quarter elsewhere.
    #[must_use]
    pub fn margin_on(kind: DeviceKind, bytes: u64) -> u64 {
        bytes.div_ceil(Self::margin_part(kind))
    }

    fn margin_part(kind: DeviceKind) -> u64 {
        match kind {
            DeviceKind::Cpu => 8,
            DeviceKind::Cuda | DeviceKind::Metal => 4,
        }
    }

    /// What a ticket for `bytes` above the start asks for: with the margin, in whole MiB.
    #[must_use]
    pub fn ticket_bytes_for(kind: DeviceKind, bytes: u64) -> u64 {
        let with_margin = bytes.saturating_add(Self::margin_on(kind, bytes));
        with_margin
            .checked_next_multiple_of(STEP)
            .unwrap_or(u64::MAX)
    }

    /// What a ticket asks for: [`above_start`](Self::above_start) and the [`margin`](Self::margin), in whole MiB.
    #[must_use]
    pub fn ticket_bytes(&self) -> u64 {
        Self::ticket_bytes_for(self.kind, self.above_start)
    }

    /// The ticket, by its label, with the process's shared manager.
    pub fn ticket<P: Policy + Clone>(&self, policy: &P) -> Ticket {
        self.ticket_of(Manager::shared(), policy)
    }

    /// The ticket, by its label, with `manager`.
    pub fn ticket_of<P: Policy + Clone>(&self, manager: &Manager, policy: &P) -> Ticket {
        let ticket = manager.ticket(policy, self.ticket_bytes());
        ticket.label(self.label.clone())
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: ticket {} = {} above the start + a margin of {} (1/{}, {}), in whole MiB; workspace {}, ",
            Name::new(&self.label),
            Bytes(self.ticket_bytes()),
            Bytes(self.above_start),
            Bytes(self.margin),
            Self::margin_part(self.kind),
            self.kind,
            Bytes(self.workspace),
        )?;
        match self.active_after.cmp(&self.active_before) {
            std::cmp::Ordering::Less => {
                let freed = Bytes(self.active_before - self.active_after);
                write!(f, "frees {freed}")?;
            }
            _ => write!(f, "keeps {}", Bytes(self.active_after - self.active_before))?,
        }
        write!(
            f,
            ", cache {}; {} runs after {} to warm up, spread {:.1} %, {:.1?}",
            Bytes(self.cache),
            self.runs,
            self.warm_up,
            100.0 * self.spread,
            self.elapsed,
        )
    }
}
