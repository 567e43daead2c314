//! The page's tables.

use super::{Escaped, Time};
use crate::error::Bytes;
use crate::names::{Name, Place};
use crate::recorder::{Interval, Recording, SourceTotal, What};
use crate::snapshot::ThreadLabel;
use std::cmp::Reverse;
use std::fmt::Display;
use std::io::{self, Write};
use std::panic::Location;

const MOST_SOURCES: usize = 50;
const MOST_WAITS: usize = 10;

/// A cell's text, and whether it is text rather than a number.
struct Cell(String, bool);

fn number(value: impl Display) -> Cell {
    Cell(Escaped(value).to_string(), false)
}

fn text(value: impl Display) -> Cell {
    Cell(Escaped(value).to_string(), true)
}

fn place(place: Option<&Location<'_>>) -> Cell {
    let code = place.map(|place| format!("<code>{}</code>", Escaped(Place(place))));
    Cell(code.unwrap_or_default(), true)
}

fn table(
    to: &mut impl Write,
    head: &[(&str, bool)],
    rows: impl Iterator<Item = Vec<Cell>>,
) -> io::Result<()> {
    let class = |is_text| if is_text { " class=\"text\"" } else { "" };
    write!(to, "<div class=\"scroll\"><table><thead><tr>")?;
    for (name, is_text) in head {
        write!(to, "<th{}>{name}</th>", class(*is_text))?;
    }
    writeln!(to, "</tr></thead><tbody>")?;
    for row in rows {
        write!(to, "<tr>")?;
        for Cell(html, is_text) in row {
            write!(to, "<td{}>{html}</td>", class(is_text))?;
        }
        writeln!(to, "</tr>")?;
    }
    writeln!(to, "</tbody></table></div>")
}

pub(super) fn totals(to: &mut impl Write, totals: &[SourceTotal]) -> io::Result<()> {
    writeln!(to, "<h2>By source</h2>")?;
    if totals.is_empty() {
        return writeln!(to, "<p>No guard was held.</p>");
    }
    if totals.len() > MOST_SOURCES {
        writeln!(to, "<p>The first {MOST_SOURCES} of {}.</p>", totals.len())?;
    }
    let head = [
        ("name", true),
        ("place", true),
        ("guards", false),
        ("largest", false),
        ("most at once", false),
        ("held", false),
        ("waits", false),
        ("waited", false),
        ("longest wait", false),
        ("given up", false),
    ];
    let rows = totals.iter().take(MOST_SOURCES).map(|total| {
        vec![
            text(Name::new(&total.name)),
            place(total.place),
            number(total.guards),
            number(Bytes(total.largest)),
            number(Bytes(total.most)),
            number(Time(total.held)),
            number(total.waits),
            number(Time(total.waited)),
            number(Time(total.longest_wait)),
            number(total.given_up),
        ]
    });
    table(to, &head, rows)
}

pub(super) fn longest_waits(to: &mut impl Write, intervals: &[Interval]) -> io::Result<()> {
    let mut waits: Vec<&Interval> = intervals
        .iter()
        .filter(|it| it.what == What::Wait)
        .collect();
    if waits.is_empty() {
        return Ok(());
    }
    waits.sort_by_key(|wait| Reverse(wait.duration()));
    writeln!(to, "<h2>Longest waits</h2>")?;
    let head = [
        ("name", true),
        ("place", true),
        ("thread", true),
        ("bytes", false),
        ("from", false),
        ("waited", false),
        ("end", true),
    ];
    let rows = waits.into_iter().take(MOST_WAITS).map(|wait| {
        vec![
            text(Name::new(wait.name())),
            place(wait.place),
            text(ThreadLabel(wait.thread_name.as_deref(), wait.thread)),
            number(Bytes(wait.bytes)),
            number(format_args!("{:.3} s", wait.from.as_secs_f64())),
            number(Time(wait.duration())),
            text(format_args!("{:?}", wait.end)),
        ]
    });
    table(to, &head, rows)
}

pub(super) fn leaks(to: &mut impl Write, recording: &Recording) -> io::Result<()> {
    let report = recording.leaks();
    writeln!(to, "<h2>Still held at the end</h2>")?;
    if recording.at_end.is_none() {
        return writeln!(to, "<p>The manager was gone.</p>");
    }
    if report.outstanding.is_empty() {
        return writeln!(to, "<p>Nothing.</p>");
    }
    let head = [
        ("name", true),
        ("place", true),
        ("thread", true),
        ("bytes", false),
        ("held for", false),
        ("state", true),
    ];
    let rows = report.outstanding.iter().map(|guard| {
        let holder = &guard.holder;
        let name = holder.label.as_ref().unwrap_or(&holder.policy);
        let at_least = if guard.older { "at least " } else { "" };
        vec![
            text(Name::new(name)),
            place(Some(holder.place)),
            text(ThreadLabel(holder.thread_name.as_deref(), holder.thread)),
            number(Bytes(holder.bytes)),
            number(format_args!("{at_least}{:.1?}", guard.held_for)),
            text(format_args!("{:?}", holder.state)),
        ]
    });
    table(to, &head, rows)
}
