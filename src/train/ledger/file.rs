//! The ledger's file: JSON, written whole or not at all, and believed only where it is consistent.

use super::{Entry, Ledger};
use crate::Manager;
use crate::ffi::DeviceKind;
use crate::train::measured::Trial;
use crate::train::{Error, FileProblem, Key, Measured, file};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What the file is written as now.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    format: u32,
    key: Key,
    work: Vec<Line>,
}

/// One label. What follows from other numbers is not written, so it cannot contradict them.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    label: String,
    measured: Option<Sizes>,
    largest: u64,
    last: u64,
    ticket: u64,
    observed: u64,
    over: u64,
    most_over: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sizes {
    active_before: u64,
    active_after: u64,
    peak: u64,
    cache: u64,
    elapsed_ns: u64,
    runs: u32,
    warm_up: u32,
    spread: f64,
}

impl Ledger {
    /// Reads one from a file; an empty one if there is no such file. [`save`](Self::save) and
    /// [`measure`](Self::measure) write it.
    ///
    /// # Errors
    ///
    /// [`Error::File`]: it cannot be read; it is malformed or contradicts itself; or it holds for
    /// [another key](FileProblem::OtherKey), as after an update of MLX. [`replacing`](Self::replacing) then begins anew.
    pub fn open(
        path: impl Into<PathBuf>,
        manager: &Manager,
        model: impl Into<String>,
    ) -> Result<Self, Error> {
        let mut ledger = Self::replacing(path, manager, model);
        let path = ledger.path.as_deref().unwrap_or(Path::new(""));
        let Some(text) = file::read(path)? else {
            return Ok(ledger);
        };
        let kind = manager.device().kind;
        let entries = parse(&text, &ledger.key, kind);
        ledger.entries = entries.map_err(|problem| file::failed(path, problem))?;
        Ok(ledger)
    }

    /// An empty one, which writes to a file and so replaces what is there.
    #[must_use]
    pub fn replacing(
        path: impl Into<PathBuf>,
        manager: &Manager,
        model: impl Into<String>,
    ) -> Self {
        let mut ledger = Self::new(manager, model);
        ledger.path = Some(path.into());
        ledger
    }

    /// Writes the file, if it has one. What was there stays whole until all is written.
    ///
    /// # Errors
    ///
    /// [`Error::File`] if it could not be written; what was there is there still.
    pub fn save(&self) -> Result<(), Error> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        let content = Content {
            format: FORMAT,
            key: self.key.clone(),
            work: self.entries.iter().map(to_line).collect(),
        };
        file::write(path, &content)
    }
}

fn parse(
    text: &[u8],
    wanted: &Key,
    kind: DeviceKind,
) -> Result<BTreeMap<Arc<str>, Entry>, FileProblem> {
    let content: Content = file::parse(text)?;
    file::check(content.format, FORMAT, &content.key, wanted)?;
    let mut entries = BTreeMap::new();
    for line in content.work {
        let label: Arc<str> = line.label.as_str().into();
        let contradiction = || FileProblem::Malformed(format!("{label} contradicts itself"));
        let entry = from_line(&label, line, kind).ok_or_else(contradiction)?;
        if entries.insert(label.clone(), entry).is_some() {
            return Err(FileProblem::Malformed(format!("{label} is there twice")));
        }
    }
    Ok(entries)
}

fn to_line((label, entry): (&Arc<str>, &Entry)) -> Line {
    let sizes = |measured: &Measured| Sizes {
        active_before: measured.active_before,
        active_after: measured.active_after,
        peak: measured.peak,
        cache: measured.cache,
        elapsed_ns: u64::try_from(measured.elapsed.as_nanos()).unwrap_or(u64::MAX),
        runs: measured.runs,
        warm_up: measured.warm_up,
        spread: measured.spread,
    };
    Line {
        label: label.to_string(),
        measured: entry.measured.as_ref().map(sizes),
        largest: entry.largest,
        last: entry.last,
        ticket: entry.ticket,
        observed: entry.observed,
        over: entry.over,
        most_over: entry.most_over,
    }
}

/// The entry of a line; `None` if its numbers cannot all be true.
fn from_line(label: &Arc<str>, line: Line, kind: DeviceKind) -> Option<Entry> {
    let measured = match line.measured {
        None => None,
        Some(sizes) => Some(measured(label.clone(), &sizes, kind)?),
    };
    let is_consistent = line.last <= line.largest
        && line.over <= line.observed
        && (line.over == 0) == (line.most_over == 0)
        && line.most_over <= line.largest
        && (line.observed > 0 || line.largest == 0);
    is_consistent.then_some(Entry {
        measured,
        largest: line.largest,
        last: line.last,
        ticket: line.ticket,
        observed: line.observed,
        over: line.over,
        most_over: line.most_over,
    })
}

fn measured(label: Arc<str>, sizes: &Sizes, kind: DeviceKind) -> Option<Measured> {
    let is_consistent = sizes.peak >= sizes.active_before.max(sizes.active_after)
        && sizes.runs >= 2
        && (0.0..=1.0).contains(&sizes.spread);
    let run = Trial {
        before: sizes.active_before,
        peak: sizes.peak,
        after: sizes.active_after,
        cache: sizes.cache,
        elapsed: Duration::from_nanos(sizes.elapsed_ns),
    };
    is_consistent.then(|| Measured {
        runs: sizes.runs,
        spread: sizes.spread,
        ..Measured::new(label, kind, sizes.warm_up, &[run])
    })
}
