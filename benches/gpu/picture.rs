//! A run's sets as a picture: jobs a minute by the number of workers without tickets, and with tickets. What ran several times,
//! with tickets and by the best number by hand, is drawn by its median, and with its range.
//!
//! Without a background, in tones of middle brightness, so that it can be read on white and on black.

use crate::Failure;
use crate::report::{Row, Run};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::fs;
use std::path::Path;

const SIZE: (u32, u32) = (960, 400);
const LETTERS: (&str, u32) = ("sans-serif", 22);
const TEXT: RGBColor = RGBColor(118, 118, 118);
const ALL_ENDED: RGBColor = RGBColor(30, 135, 220);
const SOME_FAILED: RGBColor = RGBColor(215, 80, 75);
const TICKETS: RGBColor = RGBColor(20, 160, 120);

/// One set's rows.
struct Set<'a> {
    title: String,
    by_hand: Vec<Turn>,
    best_by_hand: Option<f64>,
    with_tickets: f64,
    rows: &'a [Row],
    name: &'a str,
}

/// What came of a number of workers without tickets.
struct Turn {
    workers: f64,
    /// None is known of a program that aborted.
    a_minute: Option<f64>,
    ended: f64,
    all_ended: bool,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

pub(crate) fn draw(run: &Path, picture: &Path) -> Result<(), Failure> {
    let run = Run::read(run)?;
    let sets: Option<Vec<Set>> = [
        ("even", "jobs of one size"),
        ("mixed", "jobs of three sizes"),
    ]
    .into_iter()
    .map(|(name, jobs)| Set::of(&run.rows, name, jobs))
    .collect();
    let sets =
        sets.ok_or("the run has not both sets with tickets: a whole run on a card is needed")?;
    let highest = sets.iter().map(Set::highest).fold(0.0, f64::max);
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
    let halves = area.split_evenly((1, 2));
    for (set, half) in sets.iter().zip(&halves) {
        set.draw(half, 1.5 * highest)?;
    }
    area.present()?;
    drop((halves, area));
    fs::write(picture, svg).map_err(|error| format!("{}: {error}", picture.display()).into())
}

impl<'a> Set<'a> {
    fn of(rows: &'a [Row], name: &'a str, sizes: &str) -> Option<Self> {
        let mut set = Self {
            title: String::new(),
            by_hand: Vec::new(),
            best_by_hand: None,
            with_tickets: 0.0,
            rows,
            name,
        };
        let jobs = set.value("jobs")?;
        set.title = format!("{name}: {jobs} {sizes}");
        set.best_by_hand = set.value("best-by-hand/workers");
        set.with_tickets = set.value("tickets/jobs-a-minute")?;
        let points = (1..=64_u8).filter_map(|workers| {
            let ended = set.value(&format!("without-tickets/{workers}/ended"))?;
            let mut a_minute = set.value(&format!("without-tickets/{workers}/jobs-a-minute"));
            let mut all_ended = ended == jobs && a_minute.is_some();
            if set.best_by_hand == Some(f64::from(workers)) {
                a_minute = set.value("best-by-hand/jobs-a-minute").or(a_minute);
                all_ended &= set.value("best-by-hand/failed-turns") == Some(0.0);
            }
            Some(Turn {
                workers: f64::from(workers),
                a_minute,
                ended,
                all_ended,
            })
        });
        set.by_hand = points.collect();
        Some(set)
    }

    fn value(&self, rest: &str) -> Option<f64> {
        let name = format!("sets/{}/{rest}", self.name);
        self.rows.iter().find(|row| row.name == name)?.value
    }

    /// From the fewest to the most jobs a minute of what ran several times.
    fn range(&self, way: &str) -> Option<(f64, f64)> {
        let turn = |number| self.value(&format!("{way}/{number}/jobs-a-minute"));
        let turns = (1..=64).filter_map(turn).map(|it| (it, it));
        turns.reduce(|all, one| (all.0.min(one.0), all.1.max(one.1)))
    }

    fn highest(&self) -> f64 {
        let by_hand = self.by_hand.iter().filter_map(|turn| turn.a_minute);
        by_hand.fold(self.with_tickets, f64::max)
    }

    fn failed(&self) -> impl Iterator<Item = &Turn> {
        self.by_hand.iter().filter(|turn| !turn.all_ended)
    }

    fn of_tickets(&self) -> String {
        // A turn that did not end all jobs has failed.
        let is_whole = self.value("tickets/failed-turns") == Some(0.0);
        // The whole runs of 2026-11-30 do not say that there were seven.
        let workers = self.value("tickets/workers").unwrap_or(7.0);
        let ended = if is_whole { "all end" } else { "not all end" };
        format!("with tickets, {workers} workers: {ended} (median, range)")
    }

    fn of_failed(&self) -> String {
        let numbers = format!(
            "{} of {} numbers",
            self.failed().count(),
            self.by_hand.len()
        );
        if self.failed().all(|turn| turn.ended == 0.0) {
            format!("without: none ends ({numbers})")
        } else {
            format!("without: some fail ({numbers})")
        }
    }

    fn draw(&self, area: &Area, top: f64) -> Result<(), Failure> {
        let text = LETTERS.into_font().color(&TEXT);
        let (head, area) = area.split_vertically(36);
        let left = text.clone().pos(Pos::new(HPos::Left, VPos::Top));
        head.draw_text(&self.title, &left, (14, 10))?;
        let last = self.by_hand.last().map_or(1.0, |turn| turn.workers);
        let mut chart = ChartBuilder::on(&area)
            .margin(8)
            .x_label_area_size(56)
            .y_label_area_size(72)
            .build_cartesian_2d(0.2..last + 0.8, 0.0..top)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(TEXT.mix(0.35))
            .axis_style(TEXT)
            .label_style(text)
            .x_labels(self.by_hand.len())
            .y_labels(5)
            .x_label_formatter(&|workers| format!("{workers:.0}"))
            .y_label_formatter(&|a_minute| format!("{a_minute:.0}"))
            .x_desc("workers")
            .y_desc("jobs a minute")
            .draw()?;
        let bars = self.by_hand.iter().map(|turn| {
            let color = if turn.all_ended {
                ALL_ENDED
            } else {
                SOME_FAILED
            };
            let (left, right) = (turn.workers - 0.35, turn.workers + 0.35);
            let top = turn.a_minute.unwrap_or(0.0);
            Rectangle::new([(left, 0.0), (right, top)], color.filled())
        });
        chart.draw_series(bars)?;
        // A number at which no job ended has a bar without height.
        let crosses = self.failed().map(|turn| {
            let at = (turn.workers, turn.a_minute.unwrap_or(0.0) + 0.04 * top);
            Cross::new(at, 7, SOME_FAILED.stroke_width(3))
        });
        chart.draw_series(crosses)?;
        let by_hand = self.best_by_hand.zip(self.range("best-by-hand"));
        chart.draw_series(by_hand.map(|(workers, (least, most))| {
            PathElement::new([(workers, least), (workers, most)], TEXT.stroke_width(3))
        }))?;
        chart.draw_series(self.range("tickets").map(|(least, most)| {
            let band = [(0.2, least), (last + 0.8, most)];
            Rectangle::new(band, TICKETS.mix(0.3).filled())
        }))?;
        let line = [(0.2, self.with_tickets), (last + 0.8, self.with_tickets)];
        chart.draw_series([PathElement::new(line, TICKETS.stroke_width(2))])?;
        let mut legend = vec![
            (TICKETS, self.of_tickets()),
            (
                ALL_ENDED,
                "without: all end (the best: median, range)".to_owned(),
            ),
        ];
        if self.failed().next().is_some() {
            legend.push((SOME_FAILED, self.of_failed()));
        }
        let plain = area.strip_coord_spec();
        for (row, (color, label)) in (0..).zip(legend) {
            let style = ("sans-serif", 18).into_font().color(&color);
            plain.draw_text(&label, &style, (92, 12 + 22 * row))?;
        }
        Ok(())
    }
}
