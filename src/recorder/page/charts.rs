//! The charts of memory, of waiting acquires and of sizes.

use super::axes::{Area, Chart, Failure, Layout, axes, draw, svg};
use super::inks::{ACTIVE, BOUND, HEAT, LIMIT, MUTED, PEAK, SURFACE, WAIT, series};
use crate::recorder::heat_map::HeatMap;
use crate::recorder::series::{Demand, Grid};
use plotters::prelude::*;

/// A unit in which a chart's largest value has few digits.
#[derive(Debug, Clone, Copy)]
struct Unit {
    bytes: f64,
    name: &'static str,
}

impl Unit {
    fn for_most(most: f64) -> Self {
        const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
        let mut unit = Self {
            bytes: 1.0,
            name: UNITS[0],
        };
        for name in &UNITS[1..] {
            if most < unit.bytes * 1024.0 {
                break;
            }
            unit = Self {
                bytes: unit.bytes * 1024.0,
                name,
            };
        }
        unit
    }
}

/// What the memory chart shows. Values by column, in bytes.
#[derive(Debug)]
pub(super) struct Memory<'a> {
    pub(super) grid: Grid,
    pub(super) demand: &'a Demand,
    pub(super) limit: Vec<Option<u64>>,
    pub(super) bound: Option<u64>,
    pub(super) active: Vec<Option<u64>>,
    pub(super) peak: Vec<Option<u64>>,
}

pub(super) fn memory(layout: Layout, shown: &Memory<'_>) -> Result<String, Failure> {
    let stacks = shown.demand.columns(shown.grid);
    let total = |values: &Vec<u64>| values.iter().map(|bytes| *bytes as f64).sum::<f64>();
    let lines = [&shown.limit, &shown.active, &shown.peak];
    let in_lines = lines.iter().flat_map(|line| line.iter().flatten());
    let most = in_lines
        .map(|bytes| *bytes as f64)
        .chain(stacks.iter().map(total))
        .fold(0.0, f64::max);
    // A bound far above everything would press the rest flat: then only its number is told.
    let bound = shown
        .bound
        .map(|bytes| bytes as f64)
        .filter(|bytes| *bytes <= most * 3.0);
    let most = most.max(bound.unwrap_or(0.0)).max(1.0);
    let unit = Unit::for_most(most);
    svg(layout, 320, |area| {
        let label = |y: &f64| format!("{} {}", trimmed(*y), unit.name);
        let seconds = shown.grid.seconds;
        let mut chart = axes(area, layout, seconds, most / unit.bytes * 1.05, 6, &label)?;
        let steps = |values: &mut dyn Iterator<Item = f64>| -> Vec<(f64, f64)> {
            values
                .enumerate()
                .flat_map(|(column, bytes)| {
                    let y = bytes / unit.bytes;
                    [
                        (shown.grid.begin(column), y),
                        (shown.grid.begin(column + 1), y),
                    ]
                })
                .collect()
        };
        // The whole stack first: each lower part covers it.
        for name in (0..shown.demand.names.len()).rev() {
            let mut tops = stacks
                .iter()
                .map(|values| values[..=name].iter().map(|bytes| *bytes as f64).sum());
            let area = AreaSeries::new(steps(&mut tops), 0.0, series(name).filled());
            draw(&mut chart, area.border_style(SURFACE.stroke_width(1)))?;
        }
        for (values, color) in [
            (&shown.peak, PEAK),
            (&shown.active, ACTIVE),
            (&shown.limit, LIMIT),
        ] {
            let first = values.iter().take_while(|value| value.is_none()).count();
            let mut known = values.iter().map(|value| value.unwrap_or(0) as f64);
            let points = steps(&mut known).split_off(2 * first);
            // A line stands out from any colour below it by its margins.
            for style in [SURFACE.stroke_width(4), color.stroke_width(2)] {
                draw(&mut chart, LineSeries::new(points.clone(), style))?;
            }
        }
        if let Some(bytes) = bound {
            let y = bytes / unit.bytes;
            let line = LineSeries::new([(0.0, y), (seconds, y)], BOUND.stroke_width(2));
            draw(&mut chart, line)?;
        }
        Ok(())
    })
}

/// Few digits, and no zeros behind the point.
fn trimmed(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// How many wait. Values by column.
pub(super) fn waiting(
    layout: Layout,
    grid: Grid,
    values: &[Option<u64>],
) -> Result<String, Failure> {
    let most = values.iter().flatten().copied().max().unwrap_or(0).max(1);
    svg(layout, 150, |area| {
        let label = |y: &f64| format!("{y:.0}");
        let rows = usize::try_from(most).unwrap_or(usize::MAX).min(4) + 1;
        let mut chart = axes(area, layout, grid.seconds, most as f64 * 1.05, rows, &label)?;
        let points = values.iter().enumerate().flat_map(|(column, value)| {
            let y = value.unwrap_or(0) as f64;
            [(grid.begin(column), y), (grid.begin(column + 1), y)]
        });
        let area = AreaSeries::new(points, 0.0, WAIT.mix(0.25).filled());
        draw(&mut chart, area.border_style(WAIT.stroke_width(2)))
    })
}

/// Size classes against time, the darker the more.
pub(super) fn heat(layout: Layout, map: &HeatMap, seconds: f64) -> Result<String, Failure> {
    let rows = map.classes.len();
    let cells = || map.rows.iter().flatten().copied();
    let most = cells().fold(0.0, f64::max).max(1.0);
    let height = 60 + 22 * u32::try_from(rows).unwrap_or(0);
    svg(layout, height, |area| {
        let label = |y: &f64| {
            let class = map.classes.get(*y as usize);
            let text = class.map(|bytes| crate::print::Bytes(*bytes).to_string());
            text.unwrap_or_default()
        };
        let mut chart = rows_chart(area, layout, seconds, rows, &label)?;
        let width = map.column.as_secs_f64();
        let cells = map.rows.iter().enumerate().flat_map(|(row, cells)| {
            let filled = cells.iter().enumerate().filter(|(_, bytes)| **bytes > 0.0);
            filled.map(move |(column, bytes)| {
                let (x, y) = (column as f64 * width, row as f64);
                // The least that is seen, so that nothing that was held looks like nothing.
                let shade = HEAT.mix(0.12 + 0.88 * bytes / most);
                Rectangle::new([(x, y + 0.05), (x + width, y + 0.95)], shade.filled())
            })
        });
        draw(&mut chart, cells)
    })
}

/// A chart of rows of equal height, labelled in their middle.
fn rows_chart<'a, 'b>(
    area: &'a Area<'b>,
    layout: Layout,
    seconds: f64,
    rows: usize,
    label: &dyn Fn(&f64) -> String,
) -> Result<Chart<'a, 'b>, Failure> {
    let chart = axes(area, layout, seconds, rows as f64, 0, &|_| String::new())?;
    let text = TextStyle::from(("sans-serif", layout.font))
        .color(&MUTED)
        .pos(plotters::style::text_anchor::Pos::new(
            plotters::style::text_anchor::HPos::Right,
            plotters::style::text_anchor::VPos::Center,
        ));
    for row in 0..rows {
        let (_, y) = chart.backend_coord(&(0.0, row as f64 + 0.5));
        let x = i32::try_from(layout.labels).unwrap_or(0) - 8;
        area.draw_text(&label(&(row as f64)), &text, (x, y))
            .map_err(|error| error.to_string())?;
    }
    Ok(chart)
}
