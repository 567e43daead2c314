//! A run's pairs as a picture: what they cost as more threads do nothing else.
//!
//! Without a background, in tones of middle brightness, so that it can be read on white and on black; with large
//! letters, so that it can be read on a telephone.

use crate::failure::Failure;
use crate::report::{Run, Verdict};
use plotters::coord::Shift;
use plotters::coord::combinators::IntoLogRange;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const SIZE: (u32, u32) = (660, 560);
const TEXT: RGBColor = RGBColor(118, 118, 118);
const LETTERS: (&str, u32) = ("sans-serif", 28);
/// Room for the names, in pixels: where the lines end.
const NAMES: u32 = 185;
/// The least distance between two names, in pixels.
const APART: i32 = 28;

/// What is drawn, and how: BASE is the axis, and some have each other's costs.
const DRAWN: [(&str, &str, RGBColor, u32); 6] = [
    ("sum-uncapped", "uncapped Sum", RGBColor(30, 135, 220), 4),
    ("sum-capped", "capped Sum", RGBColor(20, 160, 120), 4),
    ("std Mutex", "std Mutex", RGBColor(215, 120, 10), 2),
    ("mlxrs", "mlxrs", RGBColor(190, 100, 190), 2),
    ("tokio", "tokio", RGBColor(215, 80, 75), 2),
    ("async-lock", "async-lock", RGBColor(130, 130, 50), 2),
];

struct Line {
    label: &'static str,
    color: RGBColor,
    width: u32,
    /// Threads, and multiples of BASE.
    points: Vec<(f64, f64)>,
}

pub(crate) fn draw(run: &Path, picture: &Path) -> Result<(), Failure> {
    let run = Run::read(run)?;
    let lines = lines(&run);
    if lines.is_empty() {
        return Err("the run has no pairs".into());
    }
    let mut svg = String::new();
    draw_lines(
        &lines,
        SVGBackend::with_string(&mut svg, SIZE).into_drawing_area(),
    )?;
    fs::write(picture, svg).map_err(|error| format!("{}: {error}", picture.display()).into())
}

fn lines(run: &Run) -> Vec<Line> {
    let mut costs: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    for row in run.rows.iter().filter(|row| row.verdict != Verdict::Skip) {
        let parts: Vec<&str> = row.name.split('/').collect();
        if let (["pairs", name, threads], Some(ratio)) = (&parts[..], row.value)
            && let Ok(threads) = threads.parse()
        {
            costs.entry(name).or_default().push((threads, ratio));
        }
    }
    let line = |(name, label, color, width)| {
        costs.remove(name).map(|points| Line {
            label,
            color,
            width,
            points,
        })
    };
    DRAWN.into_iter().filter_map(line).collect()
}

fn draw_lines(lines: &[Line], area: DrawingArea<SVGBackend<'_>, Shift>) -> Result<(), Failure> {
    let points = || lines.iter().flat_map(|line| &line.points);
    let threads = points().map(|(threads, _)| *threads).fold(2.0, f64::max);
    let highest = points().map(|(_, ratio)| *ratio).fold(4.0, f64::max);
    let text = LETTERS.into_font().color(&TEXT);

    let (title, area) = area.split_vertically(44);
    let title_style = text.clone().pos(Pos::new(HPos::Left, VPos::Top));
    title.draw_text("acquire + drop, multiples of BASE", &title_style, (10, 10))?;
    let mut chart = ChartBuilder::on(&area)
        .margin(10)
        .margin_right(NAMES)
        .x_label_area_size(72)
        .y_label_area_size(64)
        .build_cartesian_2d(
            (1.0..threads)
                .log_scale()
                .base(2.0)
                .with_key_points(doublings(threads)),
            (0.9..highest * 1.1)
                .log_scale()
                .with_key_points(steps(highest)),
        )?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(TEXT.mix(0.35))
        .axis_style(TEXT)
        .label_style(text.clone())
        .x_label_formatter(&|threads| format!("{threads:.0}"))
        .y_label_formatter(&|ratio| format!("{ratio:.0}"))
        .x_desc("threads")
        .draw()?;

    let mut ends = Vec::new();
    for line in lines {
        let style = line.color.stroke_width(line.width);
        chart.draw_series(LineSeries::new(line.points.iter().copied(), style))?;
        let dot = |point: &(f64, f64)| Circle::new(*point, line.width + 2, line.color.filled());
        chart.draw_series(line.points.iter().map(dot))?;
        if let Some(last) = line.points.last() {
            ends.push((chart.backend_coord(last), line));
        }
    }
    // The names stand where the lines end, from the top down, moved apart where lines end close together.
    ends.sort_by_key(|((_, y), _)| *y);
    let area = area.strip_coord_spec();
    let top = area.get_pixel_range().1.start;
    let mut lowest = i32::MIN / 2;
    for ((x, y), line) in ends {
        lowest = y.max(lowest + APART);
        let style = LETTERS
            .into_font()
            .color(&line.color)
            .pos(Pos::new(HPos::Left, VPos::Center));
        area.draw_text(line.label, &style, (x + 14, lowest - top))?;
    }
    area.present()?;
    Ok(())
}

/// 1, 2, 4 and so on.
fn doublings(last: f64) -> Vec<f64> {
    let powers = (0..).map(|power| f64::from(1_u32 << power));
    powers.take_while(|threads| *threads <= last).collect()
}

/// 1, 2, 5, 10 and so on.
fn steps(last: f64) -> Vec<f64> {
    let powers = (0..).map(|power| 10_f64.powi(power));
    let steps = powers.flat_map(|power| [power, 2.0 * power, 5.0 * power]);
    steps.take_while(|step| *step <= last).collect()
}
