//! One self-contained page: charts as SVG, tables, no script, nothing fetched.

mod charts;
mod tables;
mod threads;

use super::series::Demand;
use super::{Interval, Recording, What};
use crate::error::Bytes;
use crate::names::Name;
use charts::{Failure, Layout};
use std::fmt::Display;
use std::io::{self, Write};
use std::time::Duration;

const STYLE: &str = include_str!("page/style.css");

/// Text in HTML.
struct Escaped<T>(T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for character in self.0.to_string().chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                other => write!(f, "{other}")?,
            }
        }
        Ok(())
    }
}

/// A duration; one of nothing is a dash.
struct Time(Duration);

impl Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_zero() {
            return f.write_str("–");
        }
        write!(f, "{:.1?}", self.0)
    }
}

impl Recording {
    /// Writes a page with charts and tables, which needs nothing else: limit, ceiling and demand by name against time,
    /// each thread's guards and waits, a heat map of sizes, totals by source, and what is still held.
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
        write!(
            self.to,
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <title>mlx-wired timeline</title>\n<style>\n{STYLE}</style></head>\n<body>\n"
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
        tables::totals(&mut self.to, &self.recording.totals_of(self.intervals))?;
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
            "<h1>Memory over {:.1?}</h1>\n<p>{} ({}); wired memory is {}.</p>",
            recording.duration(),
            Escaped(device.kind),
            Escaped(Name::new(name)),
            Escaped(device.support),
        )?;
        if recording.missing() > 0 {
            writeln!(
                self.to,
                "<p class=\"warning\">{} events are missing: totals and ends may be wrong.</p>",
                recording.missing()
            )?;
        }
        let waits = || self.intervals.iter().filter(|it| it.what == What::Wait);
        let longest = waits().map(Interval::duration).max().unwrap_or_default();
        let given_up = waits().filter(|it| it.end.is_refusal());
        let guards = self.intervals.iter().filter(|it| it.what == What::Guard);
        let held = |values: &Vec<u64>| values.iter().sum::<u64>();
        let most = self.demand.changes.iter().map(|(_, values)| held(values));
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
            ("Most held at once", bytes(most.max())),
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
        title: &str,
        caption: &str,
        legend: &[Key],
        draw: impl Fn(&Self, Layout) -> Result<String, Failure>,
    ) -> Result<(), Failure> {
        writeln!(
            self.to,
            "<h2>{title}</h2>\n<figure><figcaption>{caption}</figcaption>"
        )?;
        if !legend.is_empty() {
            write!(self.to, "<ul class=\"legend\">")?;
            for key in legend {
                let (class, style) = (key.class, &key.style);
                let name = Escaped(&key.name);
                write!(
                    self.to,
                    "<li><i class=\"{class}\" style=\"{style}\"></i>{name}</li>"
                )?;
            }
            writeln!(self.to, "</ul>")?;
        }
        for (class, layout) in [("wide", Layout::WIDE), ("narrow", Layout::NARROW)] {
            let svg = draw(self, layout)?;
            writeln!(
                self.to,
                "<div class=\"chart {class}\" role=\"img\" aria-label=\"{title}\">{svg}</div>"
            )?;
        }
        writeln!(self.to, "</figure>")?;
        Ok(())
    }

    fn names(&self) -> Vec<Key> {
        let names = self.demand.names.iter().enumerate();
        names
            .map(|(index, name)| Key::filled(&Name::new(name).text(), &format!("--s{index}")))
            .collect()
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
        let mut legend = self.names();
        let wired = recording.device.support.is_supported();
        let limit_name = if wired {
            "limit"
        } else {
            "limit that would be set"
        };
        legend.push(Key::line(limit_name, "rule", "--ink"));
        if let Some(bytes) = bound {
            let name = format!("{bound_name}, {}", Bytes(bytes));
            legend.push(Key::line(&name, "rule dashed", "--muted"));
        }
        if !active.is_empty() {
            legend.push(Key::line("MLX active", "rule", "--active"));
            legend.push(Key::line("MLX peak", "rule dotted", "--active"));
        }
        self.figure(
            "Demand and limit",
            "What guards hold, by name, the highest in each column; lines: the limit, and MLX's own counters.",
            &legend,
            |page, layout| {
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
            },
        )
    }

    fn threads(&mut self) -> Result<(), Failure> {
        let (threads, left_out) = threads::threads(self.intervals);
        if threads.is_empty() {
            return Ok(());
        }
        let mut legend = self.names();
        legend.push(Key::filled("waits for admission", "--wait"));
        let caption = match left_out {
            0 => "What each thread held, and when it waited.".to_owned(),
            more => {
                format!("What each thread held, and when it waited; {more} more are not shown.")
            }
        };
        let duration = self.recording.duration();
        self.figure("Threads", &caption, &legend, |page, layout| {
            threads::chart(layout, &threads, &page.demand, duration)
        })
    }

    fn waiting(&mut self) -> Result<(), Failure> {
        let steps = Recording::waiting(self.intervals);
        if steps.len() < 2 {
            return Ok(());
        }
        let duration = self.recording.duration();
        let caption = "How many acquires waited for admission.";
        self.figure("Waits", caption, &[], |_, layout| {
            let grid = layout.grid(duration);
            charts::waiting(layout, grid, &grid.highest(&steps))
        })
    }

    fn heat_map(&mut self) -> Result<(), Failure> {
        if self.demand.names.is_empty() {
            return Ok(());
        }
        let seconds = self.recording.duration().as_secs_f64();
        self.figure(
            "Sizes",
            "Bytes held by guards of each size, up to a power of two; the stronger the colour, the more.",
            &[],
            |page, layout| {
                let columns = if layout.width > 600 { 120 } else { 48 };
                let map = page.recording.heat_map_of(page.intervals, columns);
                charts::heat(layout, &map, seconds)
            },
        )
    }
}

/// An entry of a legend.
struct Key {
    name: String,
    class: &'static str,
    style: String,
}

impl Key {
    fn filled(name: &str, color: &str) -> Self {
        Self {
            name: name.to_owned(),
            class: "",
            style: format!("background:var({color})"),
        }
    }

    fn line(name: &str, class: &'static str, color: &str) -> Self {
        Self {
            name: name.to_owned(),
            class,
            style: format!("border-color:var({color})"),
        }
    }
}
