//! What was measured: a line for each row, a verdict, and the same for machines.

use crate::failure::Failure;
use crate::machine::Machine;
use serde::{Deserialize, Serialize};
use std::fmt::Display;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// Within the bar.
    Ok,
    /// Not within the bar.
    Short,
    /// This machine or build cannot run it.
    Skip,
    /// Another's, for comparison.
    Peer,
    /// Ours, without a bar.
    Info,
}

/// One line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) value: Option<f64>,
    pub(crate) bar: Option<f64>,
    /// The time behind the ratio, where there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) nanoseconds: Option<f64>,
    pub(crate) verdict: Verdict,
}

/// What `--json` writes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) machine: Machine,
    /// Whether everything was only tried.
    #[serde(default)]
    quick: bool,
    pub(crate) rows: Vec<Row>,
}

impl Run {
    /// A run that measured.
    pub(crate) fn read(file: &Path) -> Result<Self, Failure> {
        let complain = |error: &dyn Display| format!("{}: {error}", file.display());
        let text = fs::read_to_string(file).map_err(|error| complain(&error))?;
        let run: Self = serde_json::from_str(&text).map_err(|error| complain(&error))?;
        if run.quick {
            let quick = "a quick run, which measures nothing: a whole one is needed";
            return Err(complain(&quick).into());
        }
        Ok(run)
    }
}

/// What is asked for, and what has come of it.
pub(crate) struct Report {
    filters: Vec<String>,
    quick: bool,
    rows: Vec<Row>,
}

impl Report {
    pub(crate) fn new(filters: Vec<String>, quick: bool) -> Self {
        Self {
            filters,
            quick,
            rows: Vec::new(),
        }
    }

    /// Whether everything is only to be tried.
    pub(crate) fn is_quick(&self) -> bool {
        self.quick
    }

    /// Whether this row is asked for.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| name.contains(filter))
    }

    /// A multiple of something measured in the same run, or a count; at most the bar.
    pub(crate) fn at_most(
        &mut self,
        name: impl Into<String>,
        value: f64,
        bar: f64,
        nanoseconds: Option<f64>,
    ) {
        // What is printed is what is judged.
        let within = shown(value).parse().is_ok_and(|shown: f64| shown <= bar);
        self.judged(name.into(), value, bar, nanoseconds, within);
    }

    /// Must be below another's value, not equal to it.
    pub(crate) fn below(&mut self, name: impl Into<String>, value: f64, other: f64) {
        self.judged(name.into(), value, other, None, value < other);
    }

    fn judged(
        &mut self,
        name: String,
        value: f64,
        bar: f64,
        nanoseconds: Option<f64>,
        within: bool,
    ) {
        let verdict = if within { Verdict::Ok } else { Verdict::Short };
        self.push(Row {
            name,
            value: Some(value),
            bar: Some(bar),
            nanoseconds,
            verdict,
        });
    }

    pub(crate) fn peer(&mut self, name: impl Into<String>, value: f64, nanoseconds: Option<f64>) {
        self.push(Row {
            name: name.into(),
            value: Some(value),
            bar: None,
            nanoseconds,
            verdict: Verdict::Peer,
        });
    }

    pub(crate) fn info(&mut self, name: impl Into<String>, value: f64, nanoseconds: Option<f64>) {
        self.push(Row {
            name: name.into(),
            value: Some(value),
            bar: None,
            nanoseconds,
            verdict: Verdict::Info,
        });
    }

    pub(crate) fn skip(&mut self, name: impl Into<String>, bar: Option<f64>) {
        self.push(Row {
            name: name.into(),
            value: None,
            bar,
            nanoseconds: None,
            verdict: Verdict::Skip,
        });
    }

    fn push(&mut self, row: Row) {
        if !self.wants(&row.name) {
            return;
        }
        if self.quick && row.verdict != Verdict::Skip {
            println!("{:<NAME$} {:>9} {:>9}  tried", row.name, "-", "-");
        } else {
            println!("{}", row.line());
        }
        self.rows.push(row);
    }

    /// Writes the rows for machines if asked to; says whether all are within their bars.
    pub(crate) fn finish(self, json: Option<File>) -> Result<ExitCode, Failure> {
        if self.rows.is_empty() {
            return Err(format!("no row's name contains {}", self.filters.join(" or ")).into());
        }
        let is_short = |row: &Row| row.verdict == Verdict::Short;
        let short = !self.quick && self.rows.iter().any(is_short);
        if let Some(mut file) = json {
            let run = Run {
                machine: Machine::this(),
                quick: self.quick,
                rows: self.rows,
            };
            serde_json::to_writer_pretty(&mut file, &run)?;
            writeln!(file)?;
        }
        Ok(ExitCode::from(u8::from(short)))
    }
}

/// The width of the names.
const NAME: usize = 44;

impl Row {
    fn line(&self) -> String {
        let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), shown);
        let verdict = format!("{:?}", self.verdict).to_lowercase();
        let (value, bar) = (number(self.value), number(self.bar));
        format!("{:<NAME$} {value:>9} {bar:>9}  {verdict}", self.name)
    }
}

/// Three decimals for ratios, more for small ones, none for counts.
pub(crate) fn shown(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        format!("{value}")
    } else if value < 0.01 {
        format!("{value:.6}")
    } else {
        format!("{value:.3}")
    }
}
