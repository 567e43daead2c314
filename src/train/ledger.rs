//! What tickets were for, and what the work then took.

#[cfg(feature = "estimate")]
mod file;
mod table;

use super::{Error, Key, Measured, Measuring, Work};
use crate::{Manager, Policy, Ticket};
use std::collections::BTreeMap;
use std::sync::Arc;

#[cfg(feature = "estimate")]
use std::path::PathBuf;

/// Sizes of tickets by label: measured once, and learned from then on.
///
/// The next ticket of a label covers the most that its work was ever seen to take, with a margin. Kept in a file
/// ([`open`](Self::open)), a second start of the program probes nothing.
///
/// Prints as a table of tickets against real peaks.
///
/// ```
/// use mlx_wired::ffi::RecordingBackend;
/// use mlx_wired::train::Ledger;
/// use mlx_wired::{Manager, SumPolicy};
///
/// # let manager = Manager::builder().backend(RecordingBackend::cpu().build()).build()?;
/// let mut ledger = Ledger::new(&manager, "my model, batch 8");
/// // On MLX: `ledger.measure("step", || train_on(&largest))?`, which runs it unless the ledger has it.
/// # let backend = manager.backend().clone();
/// ledger.measure("step", || { /* a step, evaluated */ })?;
/// let policy = SumPolicy::new();
/// let step = ledger.ticket(&policy, "step").expect("it was measured");
///
/// // A step took 90 MiB: the next ticket is larger.
/// ledger.observe("step", step.bytes(), 90 << 20);
/// assert!(ledger.ticket(&policy, "step").expect("it is known").bytes() > 90 << 20);
/// println!("{ledger}");
/// # Ok::<(), mlx_wired::train::Error>(())
/// ```
#[derive(Debug)]
pub struct Ledger {
    manager: Manager,
    key: Key,
    #[cfg(feature = "estimate")]
    path: Option<PathBuf>,
    entries: BTreeMap<Arc<str>, Entry>,
}

/// What is known of the work of one label. Sizes in bytes.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Entry {
    /// What was measured, if it was.
    pub measured: Option<Measured>,
    /// The most that it took above its start, of all that was observed. 0 if nothing was.
    pub largest: u64,
    /// What it took last.
    pub last: u64,
    /// The last ticket that it ran under.
    pub ticket: u64,
    /// How often it was observed.
    pub observed: u64,
    /// How often it took more than its ticket.
    pub over: u64,
    /// The most that it took beyond a ticket.
    pub most_over: u64,
}

impl Entry {
    /// The high-water mark: the most that it took, measured or observed.
    #[must_use]
    pub fn high_water(&self) -> u64 {
        let measured = self.measured.as_ref().map(|it| it.above_start);
        self.largest.max(measured.unwrap_or(0))
    }
}

impl Ledger {
    /// An empty one, in memory alone. `model` is the program's own name for all that decides how much its work needs.
    #[must_use]
    pub fn new(manager: &Manager, model: impl Into<String>) -> Self {
        Self {
            manager: manager.clone(),
            key: Key::of(manager, model),
            #[cfg(feature = "estimate")]
            path: None,
            entries: BTreeMap::new(),
        }
    }

    /// What it holds for.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// What is known of a label's work.
    #[must_use]
    pub fn get(&self, label: &str) -> Option<&Entry> {
        self.entries.get(label)
    }

    /// What was measured under the label of `measuring`; measures it if nothing was, and then writes the file, if there is
    /// one.
    ///
    /// A label will do for `measuring`; the ledger's manager is the one that is measured with.
    ///
    /// # Errors
    ///
    /// As [`Measuring::run`] and [`save`](Self::save). A measurement whose file could not be written is kept.
    ///
    /// # Blocking
    ///
    /// As [`Measuring::run`].
    #[track_caller]
    pub fn measure<W: Work>(
        &mut self,
        measuring: impl Into<Measuring>,
        work: impl FnMut() -> W,
    ) -> Result<Measured, Error> {
        let measuring = measuring.into().manager(&self.manager);
        if let Some(known) = self.get(measuring.label())
            && let Some(measured) = &known.measured
        {
            return Ok(measured.clone());
        }
        let measured = measuring.run(work)?;
        let entry = self.entries.entry(measured.label.clone());
        entry.or_default().measured = Some(measured.clone());
        #[cfg(feature = "estimate")]
        if self.path.is_some() {
            self.save()?;
        }
        Ok(measured)
    }

    /// Notes that work of this label, under a ticket of `ticket` bytes, had its peak `above_start` bytes above what was
    /// live before it: [`StepReport::above_start`](super::StepReport) of a run whose steps come one at a time. With
    /// others at work it is their peak, too: do not note it then.
    pub fn observe(&mut self, label: impl Into<Arc<str>>, ticket: u64, above_start: u64) {
        let entry = self.entries.entry(label.into()).or_default();
        entry.largest = entry.largest.max(above_start);
        entry.last = above_start;
        entry.ticket = ticket;
        // A file may say anything.
        entry.observed = entry.observed.saturating_add(1);
        if let Some(over @ 1..) = above_start.checked_sub(ticket) {
            entry.over = entry.over.saturating_add(1);
            entry.most_over = entry.most_over.max(over);
        }
    }

    /// The next ticket of a label: its high-water mark, with the device's margin, in whole MiB. `None` if nothing is known.
    pub fn ticket<P: Policy + Clone>(&self, policy: &P, label: &str) -> Option<Ticket> {
        let bytes = self.ticket_bytes(label)?;
        Some(self.manager.ticket(policy, bytes).label(label))
    }

    /// The size of that ticket.
    #[must_use]
    pub fn ticket_bytes(&self, label: &str) -> Option<u64> {
        let entry = self.get(label)?;
        Some(self.next_for(entry))
    }

    fn next_for(&self, entry: &Entry) -> u64 {
        Measured::ticket_bytes_for(self.manager.device().kind, entry.high_water())
    }
}
