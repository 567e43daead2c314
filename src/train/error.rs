//! The room's error.

use super::explain::explain;
use super::fit_plan::Plan;
use super::key::Key;
use super::other_guard::OtherGuard;
#[cfg(feature = "mlx-rs")]
use super::unverified::Unverified;
use crate::ffi::BackendError;
use crate::print::Bytes;
use crate::print::{Name, Place};
use std::fmt;
use std::panic::Location;
use std::path::PathBuf;
use std::sync::Arc;

/// What a closure of the program's own fails with.
pub type WorkError = Box<dyn std::error::Error + Send + Sync>;

/// What went wrong in the kit.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The coordinator did not give a guard, or did not take a setting.
    Coordinator(crate::Error),
    /// MLX's counters could not be read, or a limit not be set.
    Backend(BackendError),
    /// The measured closure failed: its error.
    Work(WorkError),
    /// Other guards lived while something was measured. MLX's peak is one for the process, so it would have been theirs,
    /// too.
    NotAlone {
        /// What was to be measured.
        label: Arc<str>,
        /// The largest of them; at most [`OtherGuard::LISTED`].
        guards: Vec<OtherGuard>,
        /// How many there were.
        count: usize,
    },
    /// No two results, one after the other, agreed.
    NotSteady {
        /// What was measured.
        label: Arc<str>,
        /// How far each run's peak was above its start, in bytes, in the order of the runs.
        results: Vec<u64>,
        /// The most by which two may differ and agree, from 0 to 1.
        tolerance: f64,
    },
    /// The peak was lower than what was there before: the closure freed memory that it did not allocate, so what it needs
    /// cannot be told.
    BelowStart {
        /// What was measured.
        label: Arc<str>,
        /// Live arrays before it, in bytes.
        before: u64,
        /// The peak while it ran.
        peak: u64,
    },
    /// A run scope lives already: two would put back each other's limits.
    RunInProgress {
        /// Where it was started.
        place: &'static Location<'static>,
    },
    /// Something is measured already: MLX's peak is one for the process, and each run of a measurement resets it.
    MeasurementInProgress {
        /// Where that began.
        place: &'static Location<'static>,
    },
    /// Limits that a run set did not come back. The others did.
    NotRestored {
        /// Which, and why.
        failed: Vec<NotRestored>,
    },
    /// Gradients with recomputed blocks could not be verified, or are wrong.
    #[cfg(feature = "mlx-rs")]
    Unverified(Box<Unverified>),
    /// What lives already leaves no room in the budget that a [`Fit`](super::Fit) was given. Nothing was run.
    OverBudget {
        /// Live arrays, in bytes.
        active: u64,
        /// What was [known](super::Fit::at_least) to come on top.
        at_least: u64,
        /// The budget.
        budget: u64,
        /// How much of it is kept free.
        margin: u64,
    },
    /// No plan of a [`Fit`](super::Fit) is known to stay within the budget.
    NothingFits {
        /// The one that needs least.
        plan: Plan,
        /// What it needs, in bytes: as measured if it was run, otherwise what it can need at most.
        needs: u64,
        /// The budget.
        budget: u64,
        /// How much of it is kept free.
        margin: u64,
    },
    /// Nothing is at a model's path, or it may not be looked at.
    #[cfg(feature = "estimate")]
    Model {
        /// The path, escaped and cut.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The threads of [`Workers`](super::Workers) could not be started.
    Threads {
        /// How many there were to be.
        threads: usize,
        /// Why.
        source: std::io::Error,
    },
    /// The file of a [`Ledger`](super::Ledger) or a [`Fitted`](super::Fitted) could not be used.
    File {
        /// Its path.
        path: PathBuf,
        /// Why.
        problem: FileProblem,
    },
}

/// One of the limits that a run sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RunLimit {
    /// MLX's memory limit.
    Memory,
    /// The limit of MLX's cache.
    Cache,
    /// The wired limit, which the manager sets.
    Wired,
}

impl fmt::Display for RunLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory limit",
            Self::Cache => "cache limit",
            Self::Wired => "wired limit",
        })
    }
}

/// A limit that did not come back.
#[derive(Debug)]
#[non_exhaustive]
pub struct NotRestored {
    /// Which.
    pub limit: RunLimit,
    /// What it was before the run, in bytes; the wired one is the manager's, which tries again by itself.
    pub before: Option<u64>,
    /// Why.
    pub error: Error,
}

/// Why a file could not be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum FileProblem {
    /// It could not be read or written.
    Io(std::io::Error),
    /// It is not what such a file is, or its numbers contradict each other; carries what is wrong.
    Malformed(String),
    /// It was measured for something else: another model, device, backend or MLX.
    OtherKey {
        /// What it holds for.
        found: Box<Key>,
        /// What it was to hold for.
        wanted: Box<Key>,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coordinator(error) => error.fmt(f),
            Self::Backend(error) => error.fmt(f),
            Self::Work(error) => {
                write!(f, "the measured work failed: {error}")?;
                match explain(&error.to_string()) {
                    Some(explanation) => write!(f, "; {explanation}"),
                    None => Ok(()),
                }
            }
            Self::NotAlone {
                label,
                guards,
                count,
            } => not_alone(f, label, guards, *count),
            Self::NotSteady {
                label,
                results,
                tolerance,
            } => {
                let (label, percent) = (Name::new(label), 100.0 * tolerance);
                write!(
                    f,
                    "{label}: no two runs agree within {percent:.0} %: they took"
                )?;
                for result in results {
                    write!(f, " {result}")?;
                }
                f.write_str(" bytes; give each run the same work, or measure the largest alone")
            }
            Self::BelowStart {
                label,
                before,
                peak,
            } => write!(
                f,
                "{} freed what it did not allocate: {before} bytes live before it, {peak} at its peak; let the closure \
                 allocate what it frees",
                Name::new(label)
            ),
            Self::RunInProgress { place } => write!(
                f,
                "a run began at {} and has not ended; end it first, or take its steps from there",
                Place(place)
            ),
            Self::MeasurementInProgress { place } => write!(
                f,
                "what was begun to be measured at {} has not ended; measure one after another",
                Place(place)
            ),
            Self::NotRestored { failed } => {
                for (place, limit) in failed.iter().enumerate() {
                    let before = if place == 0 { "" } else { "; " };
                    write!(f, "{before}{limit}")?;
                }
                Ok(())
            }
            #[cfg(feature = "mlx-rs")]
            Self::Unverified(error) => error.fmt(f),
            Self::File { path, problem } => {
                let path = path.to_string_lossy();
                write!(f, "{}: {problem}", Name::new(&path))
            }
            Self::Threads { threads, source } => write!(
                f,
                "{threads} worker threads cannot be started: {source}; take another number"
            ),
            Self::OverBudget {
                active,
                at_least,
                budget,
                margin,
            } => write!(
                f,
                "{} live already and {} are to come: over {} less a margin of {}; free some, or raise the budget",
                Bytes(*active),
                Bytes(*at_least),
                Bytes(*budget),
                Bytes(*margin),
            ),
            Self::NothingFits {
                plan,
                needs,
                budget,
                margin,
            } => write!(
                f,
                "nothing fits {} less a margin of {}: {plan}, needs up to {}; raise the budget, or take shorter rows",
                Bytes(*budget),
                Bytes(*margin),
                Bytes(*needs),
            ),
            #[cfg(feature = "estimate")]
            Self::Model { path, source } => {
                let why = source.kind();
                write!(
                    f,
                    "no model can be read at {path} ({why}); name a model's folder"
                )
            }
        }
    }
}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Malformed(what) => {
                write!(
                    f,
                    "not what was written there: {}; remove it, and it is measured anew",
                    Name::new(what)
                )
            }
            Self::OtherKey { found, wanted } => write!(
                f,
                "measured for {found}, not for {wanted}; remove it, or for a ledger take `Ledger::replacing`"
            ),
        }
    }
}

fn not_alone(
    f: &mut fmt::Formatter<'_>,
    label: &str,
    guards: &[OtherGuard],
    count: usize,
) -> fmt::Result {
    let label = Name::new(label);
    let plural = if count == 1 { "" } else { "s" };
    write!(
        f,
        "{label} was not measured: {count} other guard{plural} lived"
    )?;
    for (place, guard) in guards.iter().enumerate() {
        let name = Name::cut(guard.label.as_ref().unwrap_or(&guard.policy), 24);
        let before = if place == 0 { ": " } else { ", " };
        write!(f, "{before}{name} of {}", Bytes(guard.bytes))?;
        if f.alternate() {
            if let Some(taken) = guard.place {
                write!(f, " taken at {}", Place(taken))?;
            }
            if let Some(thread) = &guard.thread_name {
                write!(f, " on {}", Name::new(thread))?;
            }
        }
    }
    f.write_str("; measure before other work begins")
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Coordinator(error) => Some(error),
            Self::Backend(error) => Some(error),
            Self::Work(error) => Some(&**error),
            Self::File {
                problem: FileProblem::Io(error),
                ..
            } => Some(error),
            Self::Threads { source, .. } => Some(source),
            Self::NotRestored { failed } => failed.first().map(|limit| &limit.error as _),
            Self::NotAlone { .. }
            | Self::RunInProgress { .. }
            | Self::MeasurementInProgress { .. }
            | Self::NotSteady { .. }
            | Self::BelowStart { .. }
            | Self::OverBudget { .. }
            | Self::NothingFits { .. }
            | Self::File { .. } => None,
            #[cfg(feature = "mlx-rs")]
            Self::Unverified(error) => error.source(),
            #[cfg(feature = "estimate")]
            Self::Model { source, .. } => Some(source),
        }
    }
}

#[cfg(feature = "mlx-rs")]
impl From<Unverified> for Error {
    fn from(error: Unverified) -> Self {
        Self::Unverified(Box::new(error))
    }
}

impl From<crate::Error> for Error {
    fn from(error: crate::Error) -> Self {
        Self::Coordinator(error)
    }
}

impl From<BackendError> for Error {
    fn from(error: BackendError) -> Self {
        Self::Backend(error)
    }
}
