//! How long threads wait for memory: the kernel's stall information (`memory.pressure`), by differences of its total.
//!
//! Its averages lag by up to ten seconds. Its triggers need windows of two seconds in a process without privileges. A reading
//! of the total twice a second sees pressure earlier than either.

use super::source::{Reading, Source, SourceError};
use crate::system::ControlGroups;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Over less time a difference says nothing.
const WINDOW: Duration = Duration::from_millis(100);

/// A file of stall information, read by differences.
#[derive(Debug)]
pub(super) struct Stalls {
    file: PathBuf,
    /// The total, in microseconds, and when it was read.
    before: Option<(u64, Instant)>,
    share: Option<f64>,
}

impl Stalls {
    pub(super) fn new(file: PathBuf) -> Self {
        Self {
            file,
            before: None,
            share: None,
        }
    }

    /// The machine's, if the kernel has it.
    pub(super) fn of_machine(root: &Path) -> Option<Self> {
        let file = root.join("proc/pressure/memory");
        file.exists().then(|| Self::new(file))
    }

    /// The share of the time since the last reading in which some thread waited.
    pub(super) fn read(&mut self, now: Instant) -> io::Result<Option<f64>> {
        let text = fs::read_to_string(&self.file)?;
        let total = total(&text).ok_or_else(|| {
            let what = format!("{} has no total of stalls", self.file.display());
            io::Error::new(io::ErrorKind::InvalidData, what)
        })?;
        let Some((before, since)) = self.before else {
            self.before = Some((total, now));
            return Ok(None);
        };
        let passed = now.saturating_duration_since(since);
        if passed < WINDOW {
            return Ok(self.share);
        }
        self.before = Some((total, now));
        // A total that falls is another group's.
        self.share = total
            .checked_sub(before)
            .map(|stalled| (stalled as f64 / passed.as_micros() as f64).min(1.0));
        Ok(self.share)
    }
}

/// The total of the line `some avg10=.. avg60=.. avg300=.. total=..`, in microseconds.
fn total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let mut fields = line.split_whitespace();
    fields
        .find_map(|field| field.strip_prefix("total="))?
        .parse()
        .ok()
}

/// Stalls of the process's own control group.
#[derive(Debug)]
pub struct GroupStalls(Stalls);

impl GroupStalls {
    /// Those of the innermost group that has them; `None` where none has.
    #[must_use]
    pub fn of(groups: &ControlGroups) -> Option<Self> {
        groups.pressure_file().map(|file| Self(Stalls::new(file)))
    }
}

impl Source for GroupStalls {
    fn name(&self) -> &str {
        "group's stalls"
    }

    fn read(&mut self, now: Instant) -> Result<Option<Reading>, SourceError> {
        Ok(self.0.read(now)?.map(Reading::stalled))
    }
}
