//! The recording in Chrome's trace format, which Perfetto opens.
//!
//! Each thread has a track with its waits and guards; what overlaps without nesting goes to a second one. Counters: limit,
//! demand by name, MLX's memory, waiting acquires. Times are microseconds.

use super::series::Demand;
use super::{Interval, Recording, What};
use crate::print::ThreadLabel;
use crate::print::{Name, Place};
use crate::{Event, EventKind};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

/// One entry of `traceEvents`.
#[derive(Debug, Serialize)]
struct Entry {
    name: String,
    /// The kind: begin, end, counter, instant, metadata.
    ph: &'static str,
    pid: u32,
    tid: usize,
    ts: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cat: Option<&'static str>,
    /// An instant's scope: the process.
    #[serde(skip_serializing_if = "Option::is_none")]
    s: Option<&'static str>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    args: Map<String, Value>,
}

/// The track of what concerns the whole process.
const PROCESS: usize = 0;

impl Entry {
    fn new(ph: &'static str, name: impl Into<String>, tid: usize, at: Duration) -> Self {
        Self {
            name: name.into(),
            ph,
            pid: std::process::id(),
            tid,
            ts: at.as_nanos() as f64 / 1e3,
            cat: None,
            s: None,
            args: Map::new(),
        }
    }

    fn with(mut self, args: Value) -> Self {
        if let Value::Object(args) = args {
            self.args = args;
        }
        self
    }
}

impl Recording {
    /// Writes the recording in Chrome's trace format, for <https://ui.perfetto.dev>.
    ///
    /// # Errors
    ///
    /// What `to` fails with.
    pub fn write_chrome_trace(&self, to: impl Write) -> io::Result<()> {
        self.write_chrome_trace_of(&self.intervals(), to)
    }

    pub(super) fn write_chrome_trace_of(
        &self,
        intervals: &[Interval],
        mut to: impl Write,
    ) -> io::Result<()> {
        let mut entries = vec![
            Entry::new("M", "process_name", PROCESS, Duration::ZERO)
                .with(json!({ "name": Name::new(&self.program).text() })),
        ];
        let mut timed = Vec::new();
        tracks(intervals, &mut entries, &mut timed);
        self.counters(intervals, &mut timed);
        timed.extend(self.events.iter().filter_map(|event| self.instant(event)));
        // Stable: what belongs together at one time keeps its order.
        timed.sort_by(|a, b| a.ts.total_cmp(&b.ts));
        entries.append(&mut timed);

        let about = json!({
            "device": self.device.kind.to_string(),
            "missing events": self.missing(),
        });
        write!(to, "{{\"displayTimeUnit\":\"ms\",\"otherData\":{about},")?;
        write!(to, "\"traceEvents\":[")?;
        for (n, entry) in entries.iter().enumerate() {
            to.write_all(if n == 0 { b"\n" } else { b",\n" })?;
            serde_json::to_writer(&mut to, entry)?;
        }
        writeln!(to, "\n]}}")?;
        to.flush()
    }

    fn counters(&self, intervals: &[Interval], timed: &mut Vec<Entry>) {
        let counter = |name: &str, at, args| Entry::new("C", name, PROCESS, at).with(args);
        let ceiling = self.at_start.ceiling.as_ref().map(|ceiling| ceiling.bytes);
        for (at, limit) in self.limit() {
            let args = match ceiling {
                Some(ceiling) => json!({ "limit": limit, "ceiling": ceiling }),
                None => json!({ "limit": limit }),
            };
            timed.push(counter("limit", at, args));
        }
        let demand = Demand::new(intervals);
        let names: Vec<_> = demand.names.iter().map(|it| Name::new(it).text()).collect();
        for (at, values) in &demand.changes {
            // Names that are alike as far as they are printed have one counter.
            let mut held: BTreeMap<&str, u64> = BTreeMap::new();
            for (name, bytes) in names.iter().zip(values) {
                let sum = held.entry(name).or_default();
                *sum = sum.saturating_add(*bytes);
            }
            timed.push(counter("demand", *at, json!(held)));
        }
        for sample in self.samples.iter().filter(|it| it.time >= self.begin()) {
            let Some(memory) = sample.memory else {
                continue;
            };
            let at = self.after_begin(sample.time);
            let args = json!({ "active": memory.active, "cache": memory.cache });
            timed.push(counter("MLX memory", at, args));
            timed.push(counter("MLX peak", at, json!({ "peak": memory.peak() })));
        }
        for (at, waiting) in Self::waiting(intervals) {
            timed.push(counter("waiting", at, json!({ "acquires": waiting })));
        }
    }

    /// What happened to the limit, and what went wrong.
    fn instant(&self, event: &Event) -> Option<Entry> {
        let whole = |message| Name::whole(message).text();
        let (name, args) = match &event.kind {
            EventKind::BaselineCaptured => ("baseline captured", json!({})),
            EventKind::BaselineRestored => ("baseline restored", json!({})),
            EventKind::LimitApplyFailed(error) => {
                ("limit refused", json!({ "error": whole(error) }))
            }
            EventKind::LimitClamped { .. } => ("limit clamped", json!({})),
            EventKind::ForeignLimit { expected, found } => (
                "limit changed by other code",
                json!({ "expected": expected, "found": found }),
            ),
            EventKind::PolicyPanicked(panic) => {
                ("policy panicked", json!({ "panic": whole(panic) }))
            }
            EventKind::ReleaseFailed(reason) => {
                ("release failed", json!({ "reason": whole(reason) }))
            }
            EventKind::SynchronizationSkipped => ("release not synchronised", json!({})),
            EventKind::ModelNearCeiling { .. } => ("model near the ceiling", json!({})),
            EventKind::LiveAboveCeiling { bytes, .. } => {
                ("more live than the ceiling", json!({ "bytes": bytes }))
            }
            EventKind::WaitStalled {
                behind,
                why,
                largest,
                ..
            } => {
                let largest = largest.as_ref().map(ToString::to_string);
                let args = json!({ "behind": behind, "why": why.to_string(), "largest": largest });
                ("wait stalled", args)
            }
            _ => return None,
        };
        let mut entry = Entry::new("i", name, PROCESS, self.after_begin(event.time)).with(args);
        entry.s = Some("p");
        for (key, value) in [
            ("baseline", Some(event.baseline)),
            ("desired", event.desired),
            ("applied", event.applied),
        ] {
            if let Some(value) = value {
                entry.args.insert(key.to_owned(), json!(value));
            }
        }
        Some(entry)
    }
}

/// Lays every interval on a track of its thread, and names the tracks.
fn tracks(intervals: &[Interval], metadata: &mut Vec<Entry>, timed: &mut Vec<Entry>) {
    let mut threads: BTreeMap<u64, Vec<&Interval>> = BTreeMap::new();
    for interval in intervals {
        let number = crate::print::thread_number(interval.thread);
        threads.entry(number).or_default().push(interval);
    }
    let mut tid = PROCESS;
    for mut intervals in threads.into_values() {
        let thread = intervals[0];
        let label = ThreadLabel(thread.thread_name.as_deref(), thread.thread).to_string();
        // The longer of two that begin together contains the other.
        intervals.sort_by_key(|it| (it.from, std::cmp::Reverse(it.to)));
        for (lane, nested) in lanes(intervals).into_iter().enumerate() {
            tid += 1;
            let name = if lane == 0 {
                label.clone()
            } else {
                format!("{label} ({})", lane + 1)
            };
            let named = |what: &str, args| Entry::new("M", what, tid, Duration::ZERO).with(args);
            metadata.push(named("thread_name", json!({ "name": name })));
            metadata.push(named("thread_sort_index", json!({ "sort_index": tid })));
            nest(&nested, tid, timed);
        }
    }
}

/// Distributes intervals over lanes in each of which any two are apart, or one contains the other.
fn lanes(intervals: Vec<&Interval>) -> Vec<Vec<&Interval>> {
    let mut lanes: Vec<Vec<&Interval>> = Vec::new();
    // For each lane, where the intervals end that are open at this time.
    let mut open: Vec<Vec<Duration>> = Vec::new();
    for interval in intervals {
        let fits = |ends: &mut Vec<Duration>| {
            while ends.last().is_some_and(|end| *end <= interval.from) {
                ends.pop();
            }
            ends.last().is_none_or(|end| *end >= interval.to)
        };
        let lane = open.iter_mut().position(fits).unwrap_or_else(|| {
            open.push(Vec::new());
            lanes.push(Vec::new());
            open.len() - 1
        });
        open[lane].push(interval.to);
        lanes[lane].push(interval);
    }
    lanes
}

/// Begins and ends of one lane, in order.
fn nest(lane: &[&Interval], tid: usize, timed: &mut Vec<Entry>) {
    let mut open: Vec<&Interval> = Vec::new();
    let end = |interval: &Interval| Entry::new("E", title(interval), tid, interval.to);
    for interval in lane {
        while let Some(ended) = open.pop_if(|it| it.to <= interval.from) {
            timed.push(end(ended));
        }
        timed.push(begin(interval, tid));
        open.push(interval);
    }
    timed.extend(open.into_iter().rev().map(end));
}

fn title(interval: &Interval) -> String {
    match interval.what {
        What::Guard => Name::new(interval.name()).to_string(),
        What::Wait => format!("wait for {}", Name::new(interval.name())),
    }
}

fn begin(interval: &Interval, tid: usize) -> Entry {
    let mut entry = Entry::new("B", title(interval), tid, interval.from).with(json!({
        "bytes": interval.bytes,
        "ticket": interval.ticket,
        "policy": Name::new(&interval.policy).text(),
        "end": interval.end,
    }));
    if let Some(place) = interval.place {
        let place = Place(place).to_string();
        entry.args.insert("place".to_owned(), place.into());
    }
    if !interval.begin_known {
        entry
            .args
            .insert("began before the recording".to_owned(), true.into());
    }
    entry.cat = Some(match interval.what {
        What::Guard => "guard",
        What::Wait => "wait",
    });
    entry
}
