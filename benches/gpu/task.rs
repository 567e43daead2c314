//! What children are to do, and what they say.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What a child is to do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Task {
    /// Which card there is.
    Card,
    /// What jobs need, each alone.
    Measure(Vec<Wanted>),
    /// All jobs of a set, in one way.
    Turn(Turn),
    /// Steps of the transformer, in one way.
    Checkpoint { way: Way, quick: bool },
}

impl Task {
    /// How long a child may say nothing. A turn tells of each job that ends, and some turns without tickets hang; the others
    /// speak once, at their end.
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_secs(match self {
            Self::Turn(_) => 60,
            Self::Card | Self::Measure(_) | Self::Checkpoint { .. } => 300,
        })
    }
}

/// What a child says, a line each.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Said {
    Card(Option<Card>),
    Measured(Vec<Sized>),
    /// A job of a turn has ended well.
    Ended,
    /// All jobs of a turn are over.
    Turned(Turned),
    Stepped {
        peak: u64,
        seconds: f64,
    },
}

/// A CUDA card.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Card {
    pub(crate) name: String,
    pub(crate) bytes: u64,
}

/// What a turn tells at its end.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Turned {
    pub(crate) seconds: f64,
    /// MLX's, in bytes.
    pub(crate) peak: u64,
    /// How many workers were retired.
    pub(crate) retired: usize,
}

/// How much a trainer computes, and holds.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Shape {
    pub(crate) rows: i32,
    pub(crate) steps: u32,
    /// What it keeps from its first step to its last, in bytes: as moments, other models, data.
    pub(crate) kept: u64,
}

/// A job whose need is known.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Sized {
    pub(crate) shape: Shape,
    /// What its ticket asks for, in bytes.
    pub(crate) ticket: u64,
}

/// A job before its rows are known.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Wanted {
    pub(crate) bytes: u64,
    pub(crate) steps: u32,
}

/// A set's jobs, run in one way.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Turn {
    pub(crate) jobs: Vec<Sized>,
    pub(crate) workers: usize,
    pub(crate) bound: Bound,
}

/// What bounds the memory of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Bound {
    /// The number of workers.
    ByHand,
    /// And a run, which sets MLX's memory limit.
    Run,
    /// A run, and each job's ticket.
    Tickets,
}

/// A way to take steps.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Way {
    pub(crate) recomputes: bool,
    /// The gradients are evaluated from the last to the first.
    pub(crate) reverse: bool,
    pub(crate) limit: MemoryLimit,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum MemoryLimit {
    /// As MLX sets it.
    Own,
    /// The least: MLX waits for each computation.
    Least,
    /// A run's, with this budget.
    Budget(u64),
}
