//! The marks of a time axis.

/// Where a time axis is marked, and in which unit.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ticks {
    /// In seconds.
    pub(super) at: Vec<f64>,
    unit: Unit,
    decimals: usize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Unit {
    seconds: f64,
    name: &'static str,
}

const UNITS: [Unit; 6] = [
    Unit {
        seconds: 1e-9,
        name: "ns",
    },
    Unit {
        seconds: 1e-6,
        name: "µs",
    },
    Unit {
        seconds: 1e-3,
        name: "ms",
    },
    Unit {
        seconds: 1.0,
        name: "s",
    },
    Unit {
        seconds: 60.0,
        name: "min",
    },
    Unit {
        seconds: 3600.0,
        name: "h",
    },
];

impl Ticks {
    /// At most `most` marks beside the one at the beginning, at round times.
    pub(super) fn new(seconds: f64, most: usize) -> Self {
        // So many of a unit that marks need few decimals; of minutes and hours none, since they are not read in tenths.
        let fits =
            |unit: &&Unit| seconds >= unit.seconds * if unit.seconds > 1.0 { 6.0 } else { 2.0 };
        let unit = *UNITS.iter().rev().find(fits).unwrap_or(&UNITS[0]);
        let total = seconds / unit.seconds;
        let least = total / most.max(1) as f64;
        let power = 10_f64.powf(least.log10().floor());
        let round = [1.0, 2.0, 5.0, 10.0].map(|digit| digit * power);
        // Minutes and seconds are divided as on a clock, too.
        let of_a_clock = match unit.name {
            "s" | "min" => [15.0, 30.0],
            _ => [f64::INFINITY; 2],
        };
        // Rounding must not cost a mark at the very end.
        let wide_enough = |step: &f64| *step >= least * (1.0 - 1e-9);
        let steps = round.into_iter().chain(of_a_clock).filter(wide_enough);
        let step = steps.fold(f64::INFINITY, f64::min);
        let decimals = (-step.log10()).ceil().clamp(0.0, 3.0) as usize;
        let count = (total / step * (1.0 + 1e-9)).floor() as usize;
        Self {
            at: (0..=count.min(most))
                .map(|n| n as f64 * step * unit.seconds)
                .collect(),
            unit,
            decimals,
        }
    }

    pub(super) fn label(&self, seconds: f64) -> String {
        let (value, decimals) = (seconds / self.unit.seconds, self.decimals);
        format!("{value:.decimals$} {}", self.unit.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(seconds: f64) -> Vec<String> {
        let ticks = Ticks::new(seconds, 5);
        ticks.at.iter().map(|at| ticks.label(*at)).collect()
    }

    #[test]
    fn marks_are_round_and_say_their_unit() {
        assert_eq!(labels(5.0), ["0 s", "1 s", "2 s", "3 s", "4 s", "5 s"]);
        assert_eq!(labels(60.0), ["0 s", "15 s", "30 s", "45 s", "60 s"]);
        assert_eq!(labels(240.0), ["0 s", "50 s", "100 s", "150 s", "200 s"]);
        assert_eq!(labels(7_000.0), ["0 min", "30 min", "60 min", "90 min"]);
        assert_eq!(labels(2.0), ["0.0 s", "0.5 s", "1.0 s", "1.5 s", "2.0 s"]);
        assert_eq!(labels(40e-6), ["0 µs", "10 µs", "20 µs", "30 µs", "40 µs"]);
        assert_eq!(
            labels(90_000.0),
            ["0 h", "5 h", "10 h", "15 h", "20 h", "25 h"]
        );
    }

    #[test]
    fn no_duration_has_more_marks_than_there_is_room_for() {
        for exponent in -9..9 {
            for digit in 1..100 {
                let seconds = f64::from(digit) * 10_f64.powi(exponent);
                let ticks = Ticks::new(seconds, 4);
                let inside = ticks.at.iter().all(|at| *at <= seconds * (1.0 + 1e-6));
                assert!(
                    inside && (2..=5).contains(&ticks.at.len()),
                    "{seconds}: {ticks:?}"
                );
            }
        }
    }
}
