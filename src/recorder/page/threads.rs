//! Who held and who waited, thread by thread.

use super::charts::{self, Failure, Layout, WAIT, series};
use crate::recorder::series::Demand;
use crate::recorder::{Interval, What};
use crate::snapshot::{ThreadLabel, thread_number};
use plotters::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

/// How many threads are drawn.
const MOST_THREADS: usize = 24;
/// How many guards at once are drawn of a thread.
const MOST_LANES: usize = 4;

/// A thread's intervals, in lanes in which none overlaps another.
#[derive(Debug)]
pub(super) struct Thread<'a> {
    label: String,
    lanes: Vec<Vec<&'a Interval>>,
}

/// The threads with the most intervals, and how many are left out.
pub(super) fn threads(intervals: &[Interval]) -> (Vec<Thread<'_>>, usize) {
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
    let shown = threads.into_iter().map(|(_, intervals)| Thread {
        label: ThreadLabel(intervals[0].thread_name.as_deref(), intervals[0].thread).to_string(),
        lanes: lanes(&intervals),
    });
    (shown.collect(), left_out)
}

fn lanes<'a>(intervals: &[&'a Interval]) -> Vec<Vec<&'a Interval>> {
    let mut lanes: Vec<Vec<&Interval>> = Vec::new();
    for interval in intervals {
        let is_free =
            |lane: &Vec<&Interval>| lane.last().is_none_or(|last| last.to <= interval.from);
        match lanes.iter().position(is_free) {
            Some(lane) => lanes[lane].push(interval),
            None if lanes.len() < MOST_LANES => lanes.push(vec![interval]),
            None => {}
        }
    }
    lanes
}

pub(super) fn chart(
    layout: Layout,
    threads: &[Thread<'_>],
    demand: &Demand,
    duration: Duration,
) -> Result<String, Failure> {
    const LABEL: f64 = 16.0;
    const LANE: f64 = 14.0;
    const GAP: f64 = 6.0;
    let height = |thread: &Thread<'_>| LABEL + LANE * thread.lanes.len() as f64 + GAP;
    let rows: f64 = threads.iter().map(height).sum();
    // One unit of the vertical axis is one pixel; its margins are those of `axes`.
    let pixels = rows.ceil() as u32 + 38;
    let seconds = duration.as_secs_f64().max(1e-9);
    // On a wide page the time axes of all charts stand below each other; on a phone there is no room for that.
    let flat = match layout.width {
        0..=600 => Layout {
            labels: 8,
            ..layout
        },
        _ => layout,
    };
    let pixel = seconds / f64::from(flat.width - flat.labels);
    charts::svg(flat, pixels, |area| {
        let mut chart = charts::axes(area, flat, seconds, rows, 0, &|_| String::new())?;
        let text = TextStyle::from(("sans-serif", layout.font)).color(&RGBColor(2, 2, 2));
        let mut top = rows;
        for thread in threads {
            let label = Text::new(thread.label.clone(), (0.0, top - 1.0), text.clone());
            charts::draw(&mut chart, [label])?;
            for (lane, intervals) in thread.lanes.iter().enumerate() {
                let y = top - LABEL - LANE * lane as f64;
                charts::draw(&mut chart, bars(intervals, demand, y, LANE - 2.0, pixel))?;
            }
            top -= height(thread);
        }
        Ok(())
    })
}

/// A lane's bars. What would share a pixel with its predecessor is left out.
fn bars(
    intervals: &[&Interval],
    demand: &Demand,
    y: f64,
    height: f64,
    pixel: f64,
) -> Vec<Rectangle<(f64, f64)>> {
    let mut drawn_to = f64::NEG_INFINITY;
    let mut bars = Vec::new();
    for interval in intervals {
        let (from, to) = (interval.from.as_secs_f64(), interval.to.as_secs_f64());
        let to = to.max(from + pixel);
        if to < drawn_to + 1.5 * pixel {
            continue;
        }
        drawn_to = to;
        let names = demand.names.iter();
        let index = names.clone().position(|name| name == interval.name());
        let style = match interval.what {
            What::Guard => series(index.unwrap_or(names.len() - 1)).filled(),
            What::Wait => WAIT.mix(0.25).filled(),
        };
        bars.push(Rectangle::new([(from, y), (to, y - height)], style));
        if interval.what == What::Wait && to - from > 4.0 * pixel {
            // What is waited for is not held: an outline, where there is room for one.
            bars.push(Rectangle::new([(from, y), (to, y - height)], WAIT));
        }
    }
    bars
}
