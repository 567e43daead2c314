//! The recordings' format.

use serde::Deserialize;
use std::path::Path;

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

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Step {
    #[serde(rename = "do")]
    pub(crate) action: String,
    pub(crate) t: Option<u64>,
    pub(crate) seconds: Option<f64>,
    pub(crate) size: Option<u64>,
    pub(crate) kind: Option<String>,
    pub(crate) policy: Option<PolicySpec>,
    #[serde(default)]
    pub(crate) blocked: bool,
    pub(crate) admitted: Option<u64>,
    pub(crate) returned: Option<u64>,
    pub(crate) admitted_returned: Option<u64>,
    #[serde(default)]
    pub(crate) setter: Vec<(u64, u64, bool)>,
    pub(crate) applied: Option<u64>,
    #[serde(default)]
    pub(crate) events: Vec<RecordedEvent>,
}

/// Kind, ticket, size, baseline, desired, applied, live tickets, waiters.
pub(crate) type RecordedEvent = (
    String,
    Option<u64>,
    Option<u64>,
    Option<u64>,
    Option<u64>,
    Option<u64>,
    u64,
    u64,
);

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct PolicySpec {
    pub(crate) is: String,
    pub(crate) id: Option<u64>,
    pub(crate) cap: Option<u64>,
    pub(crate) base: Option<u64>,
    pub(crate) bytes: Option<u64>,
}

#[derive(Debug, Clone)]
pub(crate) struct Trace {
    pub(crate) header: Header,
    pub(crate) steps: Vec<Step>,
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
        for line in text.lines() {
            if line.starts_with("{\"trace\"") {
                let header = serde_json::from_str(line).expect("a trace's header");
                traces.push(Trace {
                    header,
                    steps: Vec::new(),
                });
            } else {
                let step = serde_json::from_str(line).expect("a step");
                traces
                    .last_mut()
                    .expect("a header before a step")
                    .steps
                    .push(step);
            }
        }
    }
    traces
}
