//! What was measured: a line for each row, a verdict, and the same for machines.

use serde::{Deserialize, Serialize};

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// Within the bar.
    Ok,
    /// Not within the bar.
    Short,
    /// This machine cannot run it.
    Skip,
    /// Somebody else, for comparison.
    Peer,
}

/// One line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) value: Option<f64>,
    pub(crate) bar: Option<f64>,
    /// Of one pair, where that was measured.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) nanoseconds: Option<f64>,
    pub(crate) verdict: Verdict,
}

/// All rows of a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) rows: Vec<Row>,
}

/// Where and when.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) system: String,
    pub(crate) date: String,
}

impl Report {
    /// A multiple of something measured in the same run, or a count; at most the bar.
    pub(crate) fn ratio(
        &mut self,
        name: String,
        value: f64,
        bar: Option<f64>,
        nanoseconds: Option<f64>,
    ) {
        // What is printed is what is judged.
        let shown = (value * 1000.0).round() / 1000.0;
        let verdict = match bar {
            Some(bar) if shown <= bar => Verdict::Ok,
            Some(_) => Verdict::Short,
            None => Verdict::Peer,
        };
        self.push(Row {
            name,
            value: Some(value),
            bar,
            nanoseconds,
            verdict,
        });
    }

    /// Must be below another's value, not equal to it.
    pub(crate) fn below(&mut self, name: String, value: f64, other: f64) {
        let verdict = if value < other {
            Verdict::Ok
        } else {
            Verdict::Short
        };
        self.push(Row {
            name,
            value: Some(value),
            bar: Some(other),
            nanoseconds: None,
            verdict,
        });
    }

    pub(crate) fn peer(&mut self, name: String, value: f64, nanoseconds: Option<f64>) {
        self.ratio(name, value, None, nanoseconds);
    }

    pub(crate) fn skip(&mut self, name: String, bar: Option<f64>) {
        self.push(Row {
            name,
            value: None,
            bar,
            nanoseconds: None,
            verdict: Verdict::Skip,
        });
    }

    fn push(&mut self, row: Row) {
        println!("{}", row.line());
        self.rows.push(row);
    }
}

impl Row {
    fn line(&self) -> String {
        let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), number);
        let verdict = format!("{:?}", self.verdict).to_lowercase();
        let (value, bar) = (number(self.value), number(self.bar));
        format!("{:<58} {value:>9} {bar:>9}  {verdict}", self.name)
    }
}

/// Three decimals for ratios, none for counts.
pub(crate) fn number(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        format!("{value}")
    } else if value < 0.01 {
        format!("{value:.6}")
    } else {
        format!("{value:.3}")
    }
}
