//! One self-contained page: charts as SVG, tables, no script, nothing fetched.

mod axes;
mod charts;
mod inks;
mod tables;
mod text;
mod threads;
mod ticks;

use super::series::Demand;
use super::{Interval, Recording, What};
use crate::print::Bytes;
use crate::print::Name;
use axes::{Failure, Layout};
use inks::Key;
use std::io::{self, Write};
use std::time::Duration;
use text::{Escaped, Time};
use threads::Threads;

const STYLE: &str = include_str!("page/style.css");

impl Recording {
    /// Writes a page with charts and tables, which needs nothing else: limit, ceiling and demand by label against time,
    /// each thread's guards and waits, a heat map of sizes, totals by source, and what is still held. It is headed by the
    /// [program's name](Self::program).
    ///
    /// The 14 labels that hold most bytes for longest have a look of their own in the charts. The others are drawn together;
    /// the legend says how many they are.
    ///
    /// # Errors
    ///
    /// What `to` fails with.
    pub fn write_page(&self, to: impl Write) -> io::Result<()> {
        self.write_page_of(&self.intervals(), to)
    }

    pub(super) fn write_page_of(&self, intervals: &[Interval], to: impl Write) -> io::Result<()> {
        let mut page = Page {
            recording: self,
            intervals,
            demand: Demand::new(intervals),
            to,
        };
        page.write().map_err(|error| match error.downcast() {
            Ok(error) => *error,
            Err(other) => io::Error::other(other),
        })
    }
}

struct Page<'a, W> {
    recording: &'a Recording,
    intervals: &'a [Interval],
    demand: Demand,
    to: W,
}

impl<W: Write> Page<'_, W> {
    fn write(&mut self) -> Result<(), Failure> {
        let program = Escaped(text::label(self.recording.program())).to_string();
        let duration = text::length(self.recording.duration());
        write!(
            self.to,
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <title>{program}: memory over {duration}</title>\n<style>\n{STYLE}</style></head>\n<body>\n{}\
             <h1>{program}</h1>\n",
            inks::patterns(),
        )?;
        self.head()?;
        if self.recording.duration() == Duration::ZERO {
            writeln!(
                self.to,
                "<p>No time has passed: there is nothing to draw.</p>"
            )?;
        } else {
            self.memory()?;
            self.threads()?;
            self.waiting()?;
            self.heat_map()?;
        }
        let totals = self.recording.totals_of(self.intervals);
        tables::totals(&mut self.to, &totals, &self.demand)?;
        tables::longest_waits(&mut self.to, self.intervals)?;
        tables::leaks(&mut self.to, self.recording)?;
        writeln!(self.to, "</body></html>")?;
        Ok(self.to.flush()?)
    }

    fn head(&mut self) -> io::Result<()> {
        let recording = self.recording;
        let device = &recording.device;
        let name = device.name.as_deref().unwrap_or("unnamed");
        writeln!(
            self.to,
            "<p>Memory over {} on {} ({}). Wired memory is {}.</p>",
            text::length(recording.duration()),
            Escaped(device.kind),
            Escaped(Name::new(name)),
            Escaped(device.support),
        )?;
        if recording.missing() > 0 {
            writeln!(
                self.to,
                "<p class=\"warning\">Events are missing: {}. Totals and ends may be wrong.</p>",
                recording.missing()
            )?;
        }
        let waits = || self.intervals.iter().filter(|it| it.what == What::Wait);
        let longest = waits().map(Interval::duration).max().unwrap_or_default();
        let given_up = waits().filter(|it| it.end.is_refusal());
        let guards = self.intervals.iter().filter(|it| it.what == What::Guard);
        let most = Some(self.most_held()).filter(|_| !self.demand.changes.is_empty());
        let limit = recording.limit().into_iter().map(|(_, limit)| limit).max();
        let memory = recording.samples.iter().filter_map(|sample| sample.memory);
        let peak = memory.map(|memory| memory.peak()).max();
        let calls = recording.at_end.as_ref().map(|end| {
            let before = recording.at_start.stats.setter_calls;
            (end.stats.setter_calls - before).to_string()
        });
        let wired = device.support.is_supported();
        let bytes = |bytes: Option<u64>| bytes.map(|bytes| Bytes(bytes).to_string());
        let tiles = [
            ("Guards", Some(guards.count().to_string())),
            ("Most held at once", bytes(most)),
            ("Highest limit", bytes(limit.filter(|_| wired))),
            ("MLX's peak", bytes(peak)),
            ("Waits", Some(waits().count().to_string())),
            ("Longest wait", Some(Time(longest).to_string())),
            ("Given up", Some(given_up.count().to_string())),
            ("Setter calls", calls),
        ];
        write!(self.to, "<dl class=\"tiles\">")?;
        for (name, value) in tiles {
            if let Some(value) = value {
                write!(
                    self.to,
                    "<div><dt>{name}</dt><dd>{}</dd></div>",
                    Escaped(value)
                )?;
            }
        }
        writeln!(self.to, "</dl>")
    }

    /// A chart in both layouts, one of which the style sheet shows.
    fn figure(
        &mut self,
        about: About<'_>,
        draw: impl Fn(&Self, Layout) -> Result<String, Failure>,
    ) -> Result<(), Failure> {
        let About { title, caption, .. } = about;
        writeln!(
            self.to,
            "<h2>{title}</h2>\n<figure><figcaption>{caption}</figcaption>"
        )?;
        if !about.legend.is_empty() {
            write!(self.to, "<ul class=\"legend\" aria-label=\"Legend\">")?;
            for key in about.legend {
                write!(self.to, "{}", key.item())?;
            }
            writeln!(self.to, "</ul>")?;
        }
        let label = Escaped(format_args!("{title}: {}", about.summary)).to_string();
        for (class, layout) in [("wide", Layout::WIDE), ("narrow", Layout::NARROW)] {
            let svg = draw(self, layout)?;
            writeln!(
                self.to,
                "<div class=\"chart {class}\" role=\"img\" aria-label=\"{label}\">{svg}</div>"
            )?;
        }
        writeln!(self.to, "</figure>")?;
        Ok(())
    }

    fn memory(&mut self) -> Result<(), Failure> {
        let recording = self.recording;
        let limit = recording.limit();
        let active = recording.samples_of(|sample| Some(sample.memory?.active));
        let peak = recording.samples_of(|sample| Some(sample.memory?.peak()));
        let ceiling = recording.at_start.ceiling.as_ref().map(|it| it.bytes);
        let (bound, bound_name) = match (ceiling, recording.cap()) {
            (Some(ceiling), _) => (Some(ceiling), "ceiling"),
            (None, cap) => (cap, "cap of the group"),
        };
        let mut legend = Key::of_names(&self.demand);
        let wired = recording.device.support.is_supported();
        let limit_name = if wired {
            "limit"
        } else {
            "limit that would be set"
        };
        legend.push(Key::line(inks::LIMIT, limit_name));
        if let Some(bytes) = bound {
            let name = format!("{bound_name}, {}", Bytes(bytes));
            legend.push(Key::line(inks::BOUND, &name));
        }
        if !active.is_empty() {
            legend.push(Key::line(inks::ACTIVE, "MLX active"));
            legend.push(Key::line(inks::PEAK, "MLX peak"));
        }
        let about = About {
            title: "Demand and limit",
            caption: "What guards hold, by label, the highest in each column. Lines: the limit, and MLX's own counters.",
            summary: format!("at most {} held at once", Bytes(self.most_held())),
            legend: &legend,
        };
        self.figure(about, |page, layout| {
            let grid = layout.grid(recording.duration());
            let shown = charts::Memory {
                grid,
                demand: &page.demand,
                limit: grid.highest(&limit),
                bound,
                active: grid.highest(&active),
                peak: grid.highest(&peak),
            };
            charts::memory(layout, &shown)
        })
    }

    fn most_held(&self) -> u64 {
        let held = |values: &Vec<u64>| values.iter().fold(0_u64, |sum, it| sum.saturating_add(*it));
        let states = self.demand.changes.iter().map(|(_, values)| held(values));
        states.max().unwrap_or(0)
    }

    fn threads(&mut self) -> Result<(), Failure> {
        let threads = Threads::new(self.intervals);
        if threads.is_empty() {
            return Ok(());
        }
        let mut legend = Key::of_names(&self.demand);
        legend.push(Key::hollow(inks::WAIT, "waits for admission"));
        let about = About {
            title: "Threads",
            caption: &threads.caption(),
            summary: threads.summary(),
            legend: &legend,
        };
        let duration = self.recording.duration();
        self.figure(about, |page, layout| {
            threads::chart(layout, &threads, &page.demand, duration)
        })
    }

    fn waiting(&mut self) -> Result<(), Failure> {
        let steps = Recording::waiting(self.intervals);
        if steps.len() < 2 {
            return Ok(());
        }
        let duration = self.recording.duration();
        let most = steps.iter().map(|(_, waiting)| *waiting).max();
        let about = About {
            title: "Waits",
            caption: "How many acquires waited for admission.",
            summary: format!("at most {} at once", most.unwrap_or(0)),
            legend: &[],
        };
        self.figure(about, |_, layout| {
            let grid = layout.grid(duration);
            charts::waiting(layout, grid, &grid.highest(&steps))
        })
    }

    fn heat_map(&mut self) -> Result<(), Failure> {
        if self.demand.names.is_empty() {
            return Ok(());
        }
        let seconds = self.recording.duration().as_secs_f64();
        let guards = self.intervals.iter().filter(|it| it.what == What::Guard);
        let largest = guards.map(|it| it.bytes).max().unwrap_or(0);
        let about = About {
            title: "Sizes",
            caption: "Bytes held by guards of each size, up to a power of two; the stronger the colour, the more.",
            summary: format!("the largest guard held {}", Bytes(largest)),
            legend: &[],
        };
        self.figure(about, |page, layout| {
            let columns = if layout.is_narrow() { 48 } else { 120 };
            let map = page.recording.heat_map_of(page.intervals, columns);
            charts::heat(layout, &map, seconds)
        })
    }
}

/// What is said of a chart.
struct About<'a> {
    title: &'a str,
    caption: &'a str,
    /// What is seen, for a screen reader.
    summary: String,
    legend: &'a [Key],
}
