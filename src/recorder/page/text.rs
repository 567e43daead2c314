//! Text and times in the page.

use crate::print::Name;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

/// Text in HTML.
pub(super) struct Escaped<T>(pub(super) T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
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

/// A label, safe to print; one of nothing is still something to look at.
pub(super) fn label(label: &str) -> String {
    match label.trim() {
        "" => "(empty)".to_owned(),
        _ => Name::new(label).to_string(),
    }
}

/// A duration in the unit that leaves few digits; one of nothing is a dash.
#[derive(Clone, Copy)]
pub(super) struct Time(pub(super) Duration);

impl Display for Time {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        const MINUTE: u64 = 60;
        const HOUR: u64 = 60 * MINUTE;
        let (nanos, seconds) = (self.0.as_nanos(), self.0.as_secs());
        match seconds {
            _ if nanos == 0 => f.write_str("–"),
            0 if nanos < 1_000 => write!(f, "{nanos} ns"),
            // What would be rounded to a thousand is one of the next unit.
            0 if nanos < 999_950 => write!(f, "{:.1} µs", nanos as f64 / 1e3),
            0 if nanos < 999_950_000 => write!(f, "{:.1} ms", nanos as f64 / 1e6),
            0..100 => write!(f, "{:.1} s", self.0.as_secs_f64()),
            100..HOUR => write!(f, "{} min {} s", seconds / MINUTE, seconds % MINUTE),
            _ => write!(f, "{} h {} min", seconds / HOUR, seconds % HOUR / MINUTE),
        }
    }
}

/// How long a recording is.
pub(super) fn length(duration: Duration) -> String {
    match duration {
        Duration::ZERO => "no time".to_owned(),
        _ => Time(duration).to_string(),
    }
}

/// A number of things.
pub(super) fn count(number: usize, one: &str, more: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        number => format!("{number} {more}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_few_digits_and_a_unit() {
        let times = [
            0,
            7,
            12_340,
            999_960,
            7_600_000,
            999_960_000,
            34_500_000_000,
        ];
        let texts = times.map(|nanos| Time(Duration::from_nanos(nanos)).to_string());
        assert_eq!(
            texts,
            [
                "–", "7 ns", "12.3 µs", "1.0 ms", "7.6 ms", "1.0 s", "34.5 s"
            ]
        );
        let long = [60, 100, 3_599, 3_600, 90_060]
            .map(|seconds| Time(Duration::from_secs(seconds)).to_string());
        assert_eq!(
            long,
            [
                "60.0 s",
                "1 min 40 s",
                "59 min 59 s",
                "1 h 0 min",
                "25 h 1 min"
            ]
        );
    }
}
