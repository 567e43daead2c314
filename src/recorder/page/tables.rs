//! The page's tables.

use super::inks::Key;
use super::text::{Escaped, Time, label};
use crate::print::Bytes;
use crate::print::Place;
use crate::print::ThreadLabel;
use crate::recorder::series::{Demand, NAMES};
use crate::recorder::{Interval, Recording, SourceTotal, What};
use std::cmp::Reverse;
use std::fmt::Display;
use std::io::{self, Write};
use std::panic::Location;

const MOST_SOURCES: usize = 50;
const MOST_WAITS: usize = 10;

/// What a column holds, which says how it is laid out.
#[derive(Clone, Copy, PartialEq)]
enum Column {
    /// The name of a row.
    Name,
    Text,
    Number,
}

/// A cell's content, as HTML.
struct Cell {
    html: String,
    /// Whether it says that there was nothing, which is left out where cells are stacked.
    is_nothing: bool,
}

fn cell(value: impl Display) -> Cell {
    let html = Escaped(value).to_string();
    Cell {
        is_nothing: matches!(&*html, "" | "0" | "–"),
        html,
    }
}

fn place(place: Option<&Location<'_>>) -> Cell {
    let code = place.map(|place| format!("<code>{}</code>", Escaped(Place(place))));
    Cell {
        is_nothing: code.is_none(),
        html: code.unwrap_or_default(),
    }
}

/// The roles are those that the elements have: browsers take them away where the style sheet stacks the cells.
fn table(
    to: &mut impl Write,
    title: &str,
    head: &[(&str, Column)],
    rows: impl Iterator<Item = Vec<Cell>>,
) -> io::Result<()> {
    write!(
        to,
        "<div class=\"scroll\" role=\"region\" aria-label=\"{title}\" tabindex=\"0\">\
         <table role=\"table\"><thead role=\"rowgroup\"><tr role=\"row\">"
    )?;
    for (name, column) in head {
        let class = class(*column, false);
        write!(
            to,
            "<th scope=\"col\" role=\"columnheader\"{class}>{name}</th>"
        )?;
    }
    writeln!(to, "</tr></thead><tbody role=\"rowgroup\">")?;
    for row in rows {
        write!(to, "<tr role=\"row\">")?;
        for ((name, column), Cell { html, is_nothing }) in head.iter().zip(row) {
            let class = class(*column, is_nothing);
            match column {
                Column::Name => write!(
                    to,
                    "<th scope=\"row\" role=\"rowheader\"{class}>{html}</th>"
                )?,
                _ => write!(
                    to,
                    "<td role=\"cell\"{class} data-label=\"{name}\">{html}</td>"
                )?,
            }
        }
        writeln!(to, "</tr>")?;
    }
    writeln!(to, "</tbody></table></div>")
}

fn class(column: Column, is_nothing: bool) -> &'static str {
    match (column, is_nothing) {
        (Column::Number, false) => "",
        (Column::Number, true) => " class=\"nothing\"",
        (_, false) => " class=\"text\"",
        (_, true) => " class=\"text nothing\"",
    }
}

pub(super) fn totals(
    to: &mut impl Write,
    totals: &[SourceTotal],
    demand: &Demand,
) -> io::Result<()> {
    writeln!(to, "<h2>By source</h2>")?;
    if totals.is_empty() {
        return writeln!(to, "<p>No guard was held.</p>");
    }
    if totals.len() > MOST_SOURCES {
        writeln!(to, "<p>The first {MOST_SOURCES} of {}.</p>", totals.len())?;
    }
    let head = [
        ("name", Column::Name),
        ("place", Column::Text),
        ("guards", Column::Number),
        ("largest", Column::Number),
        ("most at once", Column::Number),
        ("held", Column::Number),
        ("waits", Column::Number),
        ("waited", Column::Number),
        ("longest wait", Column::Number),
        ("given up", Column::Number),
    ];
    let keys = Key::of_names(demand);
    let rows = totals.iter().take(MOST_SOURCES).map(|total| {
        vec![
            named(total, demand, &keys),
            place(total.place),
            cell(total.guards),
            cell(Bytes(total.largest)),
            cell(Bytes(total.most)),
            cell(Time(total.held)),
            cell(total.waits),
            cell(Time(total.waited)),
            cell(Time(total.longest_wait)),
            cell(total.given_up),
        ]
    });
    table(to, "By source", &head, rows)
}

/// A name beside the colour that it has in the charts, if it held anything.
fn named(total: &SourceTotal, demand: &Demand, keys: &[Key]) -> Cell {
    let index = demand.names.iter().position(|name| **name == *total.name);
    let key = keys.get(index.unwrap_or(NAMES));
    let mark = key.filter(|_| total.guards > 0).map(Key::mark);
    let (mark, name) = (mark.unwrap_or_default(), Escaped(label(&total.name)));
    Cell {
        html: format!("{mark}{name}"),
        is_nothing: false,
    }
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
        ("name", Column::Name),
        ("place", Column::Text),
        ("thread", Column::Text),
        ("bytes", Column::Number),
        ("began after", Column::Number),
        ("waited", Column::Number),
        ("end", Column::Text),
    ];
    let rows = waits.into_iter().take(MOST_WAITS).map(|wait| {
        vec![
            cell(label(wait.name())),
            place(wait.place),
            cell(ThreadLabel(wait.thread_name.as_deref(), wait.thread)),
            cell(Bytes(wait.bytes)),
            cell(Time(wait.from)),
            cell(Time(wait.duration())),
            cell(format_args!("{:?}", wait.end)),
        ]
    });
    table(to, "Longest waits", &head, rows)
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
        ("name", Column::Name),
        ("place", Column::Text),
        ("thread", Column::Text),
        ("bytes", Column::Number),
        ("held for", Column::Number),
        ("state", Column::Text),
    ];
    let rows = report.outstanding.iter().map(|guard| {
        let holder = &guard.holder;
        let name = holder.label.as_ref().unwrap_or(&holder.policy);
        let at_least = if guard.older { "at least " } else { "" };
        vec![
            cell(label(name)),
            place(Some(holder.place)),
            cell(ThreadLabel(holder.thread_name.as_deref(), holder.thread)),
            cell(Bytes(holder.bytes)),
            cell(format_args!("{at_least}{}", Time(guard.held_for))),
            cell(format_args!("{:?}", holder.state)),
        ]
    });
    table(to, "Still held at the end", &head, rows)
}
