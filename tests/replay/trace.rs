//! The recordings' format: `tests/data/traces/README.md` describes it.

use serde::Deserialize;
use std::path::Path;

#[derive(Debug, Clone)]
pub(crate) struct Trace {
    pub(crate) header: Header,
    pub(crate) steps: Vec<Step>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Header {
    pub(crate) trace: String,
    pub(crate) supported: bool,
    pub(crate) initial: u64,
    pub(crate) baseline_override: Option<u64>,
    pub(crate) ratio: f64,
    pub(crate) cooldown: f64,
    pub(crate) some_sets_fail: bool,
}

impl Header {
    /// The baseline: MLX's limit before the trace, since nobody else sets it.
    pub(crate) fn baseline(&self) -> u64 {
        self.baseline_override.unwrap_or(0)
    }

    /// Whether the scripted setter refuses `limit`.
    pub(crate) fn fails(&self, limit: u64) -> bool {
        self.some_sets_fail
            && limit != self.initial
            && limit.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 62 == 0
    }

    /// Whether every drop of the limit is applied at once.
    pub(crate) fn shrinks_at_once(&self) -> bool {
        self.ratio == 0.0 && self.cooldown == 0.0
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    Start,
    End,
    Cancel,
    Wait,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Step {
    #[serde(rename = "do")]
    pub(crate) action: Action,
    /// The ticket; none in a `wait`.
    #[serde(default)]
    pub(crate) t: u64,
    #[serde(default)]
    pub(crate) seconds: f64,
    #[serde(default)]
    pub(crate) size: u64,
    #[serde(default)]
    pub(crate) kind: TicketKind,
    pub(crate) policy: Option<PolicySpec>,
    #[serde(default)]
    pub(crate) blocked: bool,
    pub(crate) admitted: Option<u64>,
    pub(crate) returned: Option<u64>,
    pub(crate) admitted_returned: Option<u64>,
    pub(crate) setter: Vec<Set>,
    pub(crate) applied: u64,
    pub(crate) events: Vec<Told>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TicketKind {
    #[default]
    Active,
    Reservation,
}

/// A call of the setter; an array in the recordings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) struct Set {
    pub(crate) limit: u64,
    pub(crate) previous: u64,
    pub(crate) succeeded: bool,
}

impl Set {
    /// It set the value already in force.
    pub(crate) fn is_redundant(self) -> bool {
        self.succeeded && self.limit == self.previous
    }
}

/// An event; an array in the recordings.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Told {
    pub(crate) kind: Kind,
    pub(crate) ticket: Option<u64>,
    pub(crate) size: Option<u64>,
    pub(crate) baseline: Option<u64>,
    pub(crate) desired: Option<u64>,
    pub(crate) applied: Option<u64>,
    pub(crate) live: u64,
    pub(crate) waiters: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Kind {
    BaselineCaptured,
    AdmissionWait,
    AdmissionGranted,
    AdmissionCancelled,
    TicketStarted,
    TicketEnded,
    LimitComputed,
    LimitApplied,
    LimitApplyFailed,
    BaselineRestored,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct PolicySpec {
    pub(crate) is: String,
    pub(crate) id: Option<u64>,
    pub(crate) cap: Option<u64>,
    pub(crate) base: Option<u64>,
    pub(crate) bytes: Option<u64>,
}

/// Every trace in the `.jsonl` files of `folder`.
pub(crate) fn load(folder: &Path) -> Vec<Trace> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("a folder's entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "jsonl"))
        .collect();
    files.sort();
    let mut traces: Vec<Trace> = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a readable file");
        for (number, line) in text.lines().enumerate() {
            let place = || format!("{}:{}", file.display(), number + 1);
            let value: serde_json::Value =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{}: {error}", place()));
            if value.get("trace").is_some() {
                let header = serde_json::from_value(value)
                    .unwrap_or_else(|error| panic!("{}: {error}", place()));
                traces.push(Trace {
                    header,
                    steps: Vec::new(),
                });
            } else {
                let step = serde_json::from_value(value)
                    .unwrap_or_else(|error| panic!("{}: {error}", place()));
                let trace = traces.last_mut();
                trace.expect("a header before a step").steps.push(step);
            }
        }
    }
    traces
}
