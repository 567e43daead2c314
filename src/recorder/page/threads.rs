//! What each thread held, and when it waited.

use super::axes::{Chart, Failure, Layout, axes, draw, svg};
use super::inks::{INK, WAIT, series};
use super::text::{count, label};
use crate::print::{ThreadLabel, thread_number};
use crate::recorder::series::{Demand, NAMES};
use crate::recorder::{Interval, What};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::collections::BTreeMap;
use std::time::Duration;

/// How many threads are drawn.
const MOST_THREADS: usize = 64;
/// How many guards at once are drawn of a thread.
const MOST_LANES: usize = 6;

/// The height of a thread's name, of a lane, and of what separates two threads, in pixels.
const NAME: f64 = 18.0;
const LANE: f64 = 18.0;
const GAP: f64 = 5.0;
/// How much lower a bar is than its lane.
const APART: f64 = 2.0;

/// A thread's intervals, in lanes in which none overlaps another.
#[derive(Debug)]
struct Thread<'a> {
    label: String,
    lanes: Vec<Vec<&'a Interval>>,
}

impl Thread<'_> {
    fn height(&self) -> f64 {
        NAME + LANE * self.lanes.len() as f64 + GAP
    }
}

/// The threads that are drawn, and how much is not.
#[derive(Debug)]
pub(super) struct Threads<'a> {
    shown: Vec<Thread<'a>>,
    /// Threads with the fewest intervals, where there are too many.
    left_out: usize,
    /// Intervals of shown threads that overlap too many others.
    hidden: usize,
}

impl<'a> Threads<'a> {
    pub(super) fn new(intervals: &'a [Interval]) -> Self {
        let mut by_thread: BTreeMap<u64, Vec<&Interval>> = BTreeMap::new();
        for interval in intervals {
            let number = thread_number(interval.thread);
            by_thread.entry(number).or_default().push(interval);
        }
        let mut threads: Vec<(u64, Vec<&Interval>)> = by_thread.into_iter().collect();
        threads.sort_by_key(|(_, intervals)| std::cmp::Reverse(intervals.len()));
        let left_out = threads.len().saturating_sub(MOST_THREADS);
        threads.truncate(MOST_THREADS);
        threads.sort_by_key(|(number, _)| *number);
        let mut hidden = 0;
        let shown = threads.into_iter().map(|(_, intervals)| {
            let name = intervals[0].thread_name.as_deref();
            let (lanes, left_over) = lanes(&intervals);
            hidden += left_over;
            Thread {
                label: ThreadLabel(name, intervals[0].thread).to_string(),
                lanes,
            }
        });
        Self {
            shown: shown.collect(),
            left_out,
            hidden,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }

    /// What is seen, and how much is not.
    pub(super) fn caption(&self) -> String {
        let mut caption = "What each thread held, and when it waited.".to_owned();
        if self.left_out > 0 {
            let threads = count(self.left_out, "thread", "threads");
            caption += &format!(" Not shown: {threads} with the fewest guards and waits.");
        }
        if self.hidden > 0 {
            let guards = count(self.hidden, "guard or wait", "guards and waits");
            caption +=
                &format!(" Not shown: {guards} beside {MOST_LANES} others of the same thread.");
        }
        caption
    }

    /// The same for a screen reader.
    pub(super) fn summary(&self) -> String {
        count(self.shown.len(), "thread", "threads")
    }
}

/// The lanes, and how many intervals find no room in them.
fn lanes<'a>(intervals: &[&'a Interval]) -> (Vec<Vec<&'a Interval>>, usize) {
    let mut lanes: Vec<Vec<&Interval>> = Vec::new();
    let mut left_over = 0;
    for interval in intervals {
        let is_free =
            |lane: &Vec<&Interval>| lane.last().is_none_or(|last| last.to <= interval.from);
        match lanes.iter().position(is_free) {
            Some(lane) => lanes[lane].push(interval),
            None if lanes.len() < MOST_LANES => lanes.push(vec![interval]),
            None => left_over += 1,
        }
    }
    (lanes, left_over)
}

pub(super) fn chart(
    layout: Layout,
    threads: &Threads<'_>,
    demand: &Demand,
    duration: Duration,
) -> Result<String, Failure> {
    // On a wide page the time axes of all charts stand below each other; on a phone there is no room for that.
    let layout = match layout.is_narrow() {
        true => Layout {
            labels: 8,
            ..layout
        },
        false => layout,
    };
    // One unit of the vertical axis is one pixel.
    let rows: f64 = threads.shown.iter().map(Thread::height).sum();
    let seconds = duration.as_secs_f64().max(1e-9);
    let bars = Bars {
        demand,
        pixel: seconds / f64::from(layout.inside()),
        font: layout.font - 2,
    };
    svg(layout, rows.ceil() as u32 + Layout::AROUND, |area| {
        let mut chart = axes(area, layout, seconds, rows, 0, &|_| String::new())?;
        let text = TextStyle::from(("sans-serif", layout.font)).color(&INK);
        let mut top = rows;
        for thread in &threads.shown {
            let label = Text::new(thread.label.clone(), (0.0, top - 1.0), text.clone());
            draw(&mut chart, [label])?;
            for (lane, intervals) in thread.lanes.iter().enumerate() {
                bars.draw(&mut chart, intervals, top - NAME - LANE * lane as f64)?;
            }
            top -= thread.height();
        }
        Ok(())
    })
}

/// How a lane's bars are drawn.
struct Bars<'a> {
    demand: &'a Demand,
    /// The seconds of a pixel.
    pixel: f64,
    font: u32,
}

impl Bars<'_> {
    /// Draws a lane from its upper edge down. What would share a pixel with its predecessor is left out.
    fn draw<'a, 'b: 'a>(
        &self,
        chart: &mut Chart<'a, 'b>,
        lane: &[&Interval],
        y: f64,
    ) -> Result<(), Failure> {
        let bottom = y - LANE + APART;
        let mut drawn_to = f64::NEG_INFINITY;
        let (mut bars, mut texts) = (Vec::new(), Vec::new());
        for interval in lane {
            let (from, to) = (interval.from.as_secs_f64(), interval.to.as_secs_f64());
            let to = to.max(from + self.pixel);
            if to < drawn_to + 1.5 * self.pixel {
                continue;
            }
            drawn_to = to;
            // What follows at once begins apart, where there is room for that.
            let end = if to - from > 3.0 * self.pixel {
                to - self.pixel
            } else {
                to
            };
            let bar = |style| Rectangle::new([(from, y), (end, bottom)], style);
            match interval.what {
                What::Guard => {
                    let names = &self.demand.names;
                    let index = names.iter().position(|name| name == interval.name());
                    bars.push(bar(series(index.unwrap_or(NAMES)).filled()));
                }
                What::Wait => {
                    bars.push(bar(WAIT.mix(0.15).filled()));
                    if to - from > 4.0 * self.pixel {
                        // What is waited for is not held: an outline, where there is room for one.
                        bars.push(bar(WAIT.into()));
                    }
                }
            }
            if let Some(text) = self.fitting(interval.name(), (to - from) / self.pixel) {
                let middle = ((from + to) / 2.0, (y + bottom) / 2.0);
                let style = TextStyle::from(("sans-serif", self.font)).color(&INK);
                let centred = style.pos(Pos::new(HPos::Center, VPos::Center));
                texts.push(Text::new(text, middle, centred));
            }
        }
        draw(chart, bars)?;
        draw(chart, texts)
    }

    /// A name, or as much of it as fits into a bar of so many pixels, if that says anything.
    fn fitting(&self, name: &str, pixels: f64) -> Option<String> {
        /// Characters that say more than a colour does.
        const LEAST: usize = 4;
        let name = label(name);
        // The fonts of the reader are not known: wide ones have characters of this width.
        let width = |c: char| f64::from(self.font) * if c.is_ascii() { 0.62 } else { 1.05 };
        let mut left = pixels - 6.0;
        let fits = name.chars().take_while(|c| {
            left -= width(*c);
            left >= 0.0
        });
        let fitting = fits.count();
        if fitting == name.chars().count() {
            return Some(name);
        }
        let cut: String = name.chars().take(fitting.saturating_sub(2)).collect();
        (cut.chars().count() >= LEAST).then(|| cut + "…")
    }
}
