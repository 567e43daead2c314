//! Empty charts: their sizes, their axes, and how something is drawn into them.

use super::inks::{GRID, MUTED};
use super::ticks::Ticks;
use crate::recorder::series::Grid;
use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use std::ops::Range;
use std::time::Duration;

pub(super) type Failure = Box<dyn std::error::Error + Send + Sync>;
pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub(super) type Chart<'a, 'b> =
    ChartContext<'a, SVGBackend<'b>, Cartesian2d<TimeAxis, RangedCoordf64>>;

/// How a chart is laid out: for a wide page, or for a phone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) width: u32,
    pub(super) labels: u32,
    pub(super) ticks: usize,
    pub(super) font: u32,
}

impl Layout {
    pub(super) const WIDE: Self = Self {
        width: 1000,
        labels: 76,
        ticks: 10,
        font: 13,
    };
    pub(super) const NARROW: Self = Self {
        width: 360,
        labels: 62,
        ticks: 4,
        font: 12,
    };
    /// What is left free at the right.
    pub(super) const RIGHT: u32 = 14;
    /// What is above and below the chart's own area.
    pub(super) const AROUND: u32 = 38;

    pub(super) fn is_narrow(self) -> bool {
        self.width == Self::NARROW.width
    }

    /// The width of the chart's own area.
    pub(super) fn inside(self) -> u32 {
        self.width - self.labels - Self::RIGHT
    }

    /// As many columns as can be told apart.
    pub(super) fn grid(self, duration: Duration) -> Grid {
        Grid::new((self.inside() / 2) as usize, duration)
    }
}

/// The time, in seconds, with round marks.
pub(super) struct TimeAxis {
    seconds: RangedCoordf64,
    ticks: Ticks,
}

impl Ranged for TimeAxis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        self.seconds.map(value, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.at.clone()
    }

    fn range(&self) -> Range<f64> {
        self.seconds.range()
    }
}

impl ValueFormatter<f64> for TimeAxis {
    fn format_ext(&self, value: &f64) -> String {
        self.ticks.label(*value)
    }
}

/// Draws into an SVG of this height.
pub(super) fn svg(
    layout: Layout,
    height: u32,
    draw: impl FnOnce(&Area<'_>) -> Result<(), Failure>,
) -> Result<String, Failure> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, (layout.width, height)).into_drawing_area();
        draw(&area)?;
        area.present().map_err(|error| error.to_string())?;
    }
    Ok(text)
}

/// The empty chart: seconds against something.
pub(super) fn axes<'a, 'b>(
    area: &'a Area<'b>,
    layout: Layout,
    seconds: f64,
    highest: f64,
    rows: usize,
    label: &dyn Fn(&f64) -> String,
) -> Result<Chart<'a, 'b>, Failure> {
    let time = TimeAxis {
        seconds: (0.0..seconds).into(),
        ticks: Ticks::new(seconds, layout.ticks),
    };
    let mut chart = ChartBuilder::on(area)
        .margin_top(10)
        .margin_right(Layout::RIGHT)
        .x_label_area_size(28)
        .y_label_area_size(layout.labels)
        .build_cartesian_2d(time, 0.0..highest)
        .map_err(|error| error.to_string())?;
    let text = TextStyle::from(("sans-serif", layout.font)).color(&MUTED);
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(MUTED)
        .label_style(text)
        .y_labels(rows)
        .y_label_formatter(label)
        .draw()
        .map_err(|error| error.to_string())?;
    Ok(chart)
}

/// Draws a series; the backend writes to memory, which does not fail.
pub(super) fn draw<'a, 'b: 'a, E, R>(chart: &mut Chart<'a, 'b>, elements: R) -> Result<(), Failure>
where
    for<'c> &'c E: plotters::element::PointCollection<'c, (f64, f64)>,
    E: plotters::element::Drawable<SVGBackend<'b>>,
    R: IntoIterator<Item = E>,
{
    chart
        .draw_series(elements)
        .map(|_| ())
        .map_err(|error| error.to_string().into())
}
