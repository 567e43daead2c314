//! The recording as CSV.

use super::{Interval, Recording};
use crate::EventKind;
use crate::print::ThreadLabel;
use crate::print::{Name, Place};
use std::fmt::Display;
use std::io::{self, Write};
use std::panic::Location;
use std::time::Duration;

/// Seconds with nanoseconds.
fn seconds(time: Duration) -> String {
    format!("{}.{:09}", time.as_secs(), time.subsec_nanos())
}

/// A value, or nothing.
fn optional(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

/// A text of the program's. A spreadsheet would take what begins so for a formula; a tab or a line break is escaped
/// already.
fn text(text: impl Display) -> String {
    let text = text.to_string();
    if text.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']) {
        format!("'{text}")
    } else {
        text
    }
}

/// The same of a name, or nothing.
fn name(name: Option<&str>) -> String {
    name.map_or_else(String::new, |name| text(Name::new(name)))
}

fn place(place: Option<&Location<'_>>) -> String {
    place.map_or_else(String::new, |place| text(Place(place)))
}

impl Recording {
    /// Writes every event as a line of CSV. Times in seconds after the [beginning](Self::begin), sizes in bytes.
    ///
    /// # Errors
    ///
    /// What `to` fails with.
    pub fn write_events_csv(&self, to: impl Write) -> io::Result<()> {
        let mut table = csv::Writer::from_writer(to);
        table.write_record([
            "time", "sequence", "event", "ticket", "bytes", "policy", "label", "place", "thread",
            "baseline", "desired", "applied", "live", "waiters", "detail",
        ])?;
        for event in &self.events {
            let (kind, detail) = kind_and_detail(&event.kind);
            let thread = ThreadLabel(event.thread_name.as_deref(), event.thread);
            table.write_record([
                seconds(self.after_begin(event.time)),
                event.sequence.to_string(),
                kind,
                optional(event.ticket),
                optional(event.size),
                name(event.policy.as_deref()),
                name(event.label.as_deref()),
                place(event.place),
                text(thread),
                event.baseline.to_string(),
                optional(event.desired),
                optional(event.applied),
                event.live.to_string(),
                event.waiters.to_string(),
                text(detail),
            ])?;
        }
        table.flush()
    }

    /// Writes every sample of memory since the [beginning](Self::begin) as a line of CSV.
    ///
    /// # Errors
    ///
    /// What `to` fails with.
    pub fn write_samples_csv(&self, to: impl Write) -> io::Result<()> {
        let mut table = csv::Writer::from_writer(to);
        table.write_record([
            "time",
            "applied",
            "demand",
            "cap",
            "waiting",
            "active",
            "cache",
            "peak",
            "memory_limit",
        ])?;
        let begin = self.begin();
        for sample in self.samples.iter().filter(|it| it.time >= begin) {
            let memory = sample.memory;
            table.write_record([
                seconds(self.after_begin(sample.time)),
                sample.applied.to_string(),
                sample.demand.to_string(),
                optional(sample.cap),
                sample.waiting.to_string(),
                optional(memory.map(|memory| memory.active)),
                optional(memory.map(|memory| memory.cache)),
                optional(memory.map(|memory| memory.peak())),
                optional(memory.map(|memory| memory.memory_limit)),
            ])?;
        }
        table.flush()
    }

    /// Writes what each source used in total, a line of CSV each.
    ///
    /// # Errors
    ///
    /// What `to` fails with.
    pub fn write_totals_csv(&self, to: impl Write) -> io::Result<()> {
        self.write_totals_csv_of(&self.intervals(), to)
    }

    pub(super) fn write_totals_csv_of(
        &self,
        intervals: &[Interval],
        to: impl Write,
    ) -> io::Result<()> {
        let mut table = csv::Writer::from_writer(to);
        table.write_record([
            "name",
            "place",
            "guards",
            "largest",
            "most_at_once",
            "held",
            "byte_seconds",
            "waits",
            "waited",
            "longest_wait",
            "given_up",
        ])?;
        for total in self.totals_of(intervals) {
            table.write_record([
                name(Some(&total.name)),
                place(total.place),
                total.guards.to_string(),
                total.largest.to_string(),
                total.most.to_string(),
                seconds(total.held),
                format!("{:.0}", total.byte_seconds),
                total.waits.to_string(),
                seconds(total.waited),
                seconds(total.longest_wait),
                total.given_up.to_string(),
            ])?;
        }
        table.flush()
    }
}

/// The kind's name, and what it carries.
fn kind_and_detail(kind: &EventKind) -> (String, String) {
    let detail = match kind {
        EventKind::TicketResized { from, from_ticket } => {
            format!("from {from}, of ticket {from_ticket}")
        }
        EventKind::AdmissionFailed(text)
        | EventKind::LimitApplyFailed(text)
        | EventKind::PolicyPanicked(text)
        | EventKind::ReleaseFailed(text)
        | EventKind::WireModeUnrecognised(text) => Name::whole(text).to_string(),
        EventKind::LimitClamped { ceiling } => format!("ceiling {ceiling}"),
        EventKind::ForeignLimit { expected, found } => {
            format!("expected {expected}, found {found}")
        }
        EventKind::ModelNearCeiling { model, ceiling } => format!("{model} of {ceiling}"),
        EventKind::LiveAboveCeiling { bytes, ceiling } => format!("{bytes} above {ceiling}"),
        EventKind::WaitStalled {
            waited,
            behind,
            why,
            ..
        } => format!("after {}, {behind} behind: {why}", seconds(*waited)),
        _ => String::new(),
    };
    // The variant's name: what `Debug` prints before anything it carries.
    let name = format!("{kind:?}");
    let name = name.split([' ', '(']).next().unwrap_or_default();
    (name.to_owned(), detail)
}
