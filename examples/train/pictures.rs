//! `--pictures`: the sweep without tickets and then with them, each with MLX's live arrays against time, drawn on the same
//! axes with the budget as a line.
//!
//! Without a background, in tones of middle brightness, so that a picture can be read on white and on black.

use crate::Failure;
use crate::data::{Fold, Wines};
use crate::options::Options;
use crate::report::{Mib, Report};
use crate::sizes::Sizes;
use crate::sweep::{self, Outcome};
use mlx_wired::Manager;
use mlx_wired::recorder::{Recorder, Recording};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// The library's recorder keeps 16,384 samples: half a minute of these.
const SAMPLED_EVERY: Duration = Duration::from_millis(2);

const SIZE: (u32, u32) = (660, 430);
const LETTERS: (&str, u32) = ("sans-serif", 27);
const TEXT: RGBColor = RGBColor(118, 118, 118);
const WITHIN: RGBColor = RGBColor(30, 135, 220);
const OVER: RGBColor = RGBColor(215, 80, 75);
const BUDGET: RGBColor = RGBColor(215, 120, 10);
/// How many columns a curve has, each as high as the highest sample in it.
const COLUMNS: usize = 280;
const MIB: f64 = (1 << 20) as f64;

/// A sweep, and what was sampled while it ran.
struct Seen {
    outcome: Outcome,
    /// Seconds from the start, and live arrays in MiB.
    curve: Vec<(f64, f64)>,
}

/// What both pictures have in common.
struct Axes {
    seconds: f64,
    mib: f64,
    /// In bytes.
    budget: u64,
}

/// Runs both sweeps, prints both tables and writes both pictures into `folder`.
pub(crate) fn run(
    wines: &Wines,
    sizes: &Sizes,
    folds: &[Fold],
    options: &Options,
    folder: &Path,
) -> Result<(), Failure> {
    let mut seen = Vec::new();
    for tickets in [false, true] {
        let options = Options {
            tickets,
            ..options.clone()
        };
        let sweep = see(sizes, folds, &options)?;
        let report = Report::new(wines, sizes, &sweep.outcome, &options);
        println!("{report}");
        report.check()?;
        seen.push(sweep);
    }
    let longest = seen.iter().map(|it| it.outcome.wall.as_secs_f64());
    let highest = seen.iter().map(|it| it.outcome.peak);
    let axes = Axes {
        seconds: longest.fold(1.0, f64::max),
        mib: highest.fold(sizes.budget, u64::max) as f64 / MIB,
        budget: sizes.budget,
    };
    for (sweep, (title, file)) in seen.iter().zip([
        ("Without tickets", "without-tickets.svg"),
        ("With tickets", "with-tickets.svg"),
    ]) {
        let file = folder.join(file);
        fs::write(&file, draw(title, sweep, &axes)?)
            .map_err(|error| format!("{}: {error}", file.display()))?;
        println!("{:<21} {}", "picture", file.display());
    }
    Ok(())
}

fn see(sizes: &Sizes, folds: &[Fold], options: &Options) -> Result<Seen, Failure> {
    let recorder = Recorder::new(Manager::shared()).in_background(SAMPLED_EVERY)?;
    let outcome = sweep::run(sizes, folds, options)?;
    let curve = curve(&recorder.finish());
    Ok(Seen { outcome, curve })
}

/// The highest sample of each column.
fn curve(recording: &Recording) -> Vec<(f64, f64)> {
    let samples = recording.samples().iter().filter_map(|sample| {
        let after = sample.time.saturating_duration_since(recording.begin());
        Some((after.as_secs_f64(), sample.memory?.active as f64 / MIB))
    });
    let width = recording.duration().as_secs_f64() / COLUMNS as f64;
    let mut highest = vec![0.0_f64; COLUMNS];
    for (seconds, mib) in samples {
        let column = ((seconds / width) as usize).min(COLUMNS - 1);
        highest[column] = highest[column].max(mib);
    }
    let columns = highest.into_iter().enumerate();
    columns
        .map(|(column, mib)| (column as f64 * width, mib))
        .collect()
}

/// What of the curve lies between two heights, as one shape: bars of their own would show their seams.
fn outline(curve: &[(f64, f64)], low: f64, high: f64) -> Vec<(f64, f64)> {
    let steps = curve.windows(2).flat_map(|pair| {
        let mib = pair[0].1.clamp(low, high);
        [(pair[0].0, mib), (pair[1].0, mib)]
    });
    let ends = [curve.last(), curve.first()].into_iter().flatten();
    steps
        .chain(ends.map(|(seconds, _)| (*seconds, low)))
        .collect()
}

fn draw(title: &str, sweep: &Seen, axes: &Axes) -> Result<String, Failure> {
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
    let text = |color: &RGBColor, x, y| {
        let style = LETTERS.into_font().color(color);
        style.pos(Pos::new(x, y))
    };
    let title_style = text(&TEXT, HPos::Left, VPos::Top);
    area.draw_text(&format!("{title}: live arrays, MiB"), &title_style, (10, 8))?;

    let mut chart = ChartBuilder::on(&area)
        .margin(10)
        .margin_top(58)
        .x_label_area_size(44)
        .y_label_area_size(52)
        .build_cartesian_2d(0.0..axes.seconds, 0.0..axes.mib * 1.16)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(TEXT.mix(0.35))
        .axis_style(TEXT)
        .label_style(text(&TEXT, HPos::Center, VPos::Center))
        .x_labels(6)
        .y_labels(5)
        .x_label_formatter(&|seconds| format!("{seconds:.0} s"))
        .y_label_formatter(&|mib| format!("{mib:.0}"))
        .draw()?;

    let budget = axes.budget as f64 / MIB;
    let within = outline(&sweep.curve, 0.0, budget);
    let over = outline(&sweep.curve, budget, f64::MAX);
    chart.draw_series([
        Polygon::new(within, WITHIN.filled()),
        Polygon::new(over, OVER.filled()),
    ])?;

    let line = BUDGET.stroke_width(3);
    chart.draw_series(LineSeries::new(
        [(0.0, budget), (axes.seconds, budget)],
        line,
    ))?;
    let label = format!("budget {}", Mib(axes.budget));
    let style = text(&BUDGET, HPos::Right, VPos::Bottom);
    chart.draw_series([Text::new(label, (axes.seconds, budget), style)])?;

    // MLX's own record of the peak, which misses nothing, where the samples are highest.
    let peak = sweep.outcome.peak as f64 / MIB;
    let highest = sweep.curve.iter().max_by(|a, b| a.1.total_cmp(&b.1));
    let at = highest.map_or(0.0, |(seconds, _)| *seconds);
    let color = if peak > budget { OVER } else { WITHIN };
    chart.draw_series([Circle::new((at, peak), 5, color.filled())])?;
    let label = format!("peak {}", Mib(sweep.outcome.peak));
    // Beside the point, on the side that has room.
    let (side, x) = if at < axes.seconds / 2.0 {
        (HPos::Left, at + 0.02 * axes.seconds)
    } else {
        (HPos::Right, at - 0.02 * axes.seconds)
    };
    chart.draw_series([Text::new(
        label,
        (x, peak),
        text(&color, side, VPos::Bottom),
    )])?;
    area.present()?;
    // They borrow the text.
    drop((chart, area));
    Ok(svg)
}
