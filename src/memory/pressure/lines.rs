//! The lines between the levels.

use super::source::Reading;
use crate::PressureLevel;
use crate::memory::Error;

/// By so much less a level is left than it is entered, but at half of that line at the latest: nothing is below zero.
const LEAVE: f64 = 0.05;
/// No line is lower.
const LEAST: f64 = 0.05;

/// Where levels begin, of each kind of reading: warning, urgent, critical.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Lines {
    pub(super) used: [f64; 3],
    pub(super) stalled: [f64; 3],
}

impl Default for Lines {
    fn default() -> Self {
        Self {
            used: [0.75, 0.85, 0.95],
            // systemd's default for a service is 200 ms in 2 s.
            stalled: [0.10, 0.25, 0.50],
        }
    }
}

/// Which of the two lines of a level counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Enter,
    Leave,
}

impl Side {
    fn of(self, line: f64) -> f64 {
        match self {
            Self::Enter => line,
            Self::Leave => (line - LEAVE).max(line / 2.0),
        }
    }
}

impl Lines {
    pub(super) fn set(lines: &mut [f64; 3], level: PressureLevel, line: f64) {
        // Normal has no line: one that is set for it is refused below.
        match level {
            PressureLevel::Normal => lines[0] = f64::NAN,
            level => lines[level as usize - 1] = line,
        }
    }

    /// Refuses lines that make no sense.
    pub(super) fn validate(&self) -> Result<(), Error> {
        for lines in [self.used, self.stalled] {
            let fit = lines.iter().all(|line| *line >= LEAST && *line <= 1.0);
            if !fit || !lines.is_sorted_by(|a, b| a < b) {
                return Err(Error::Lines { lines });
            }
        }
        Ok(())
    }

    /// The highest level whose line a use has reached.
    pub(super) fn of_use(&self, reading: &Reading, side: Side) -> PressureLevel {
        let fraction = reading.fraction().unwrap_or(0.0);
        highest(&self.used, fraction, side)
    }

    pub(super) fn of_stalls(&self, share: f64, side: Side) -> PressureLevel {
        highest(&self.stalled, share, side)
    }

    /// How much of a use must go so that it is below where `level` is left; `None` if nothing.
    pub(super) fn over(&self, level: PressureLevel, reading: &Reading) -> Option<u64> {
        let (used, of) = reading.get_used()?;
        let line = *self.used.get((level as usize).checked_sub(1)?)?;
        let below = (Side::Leave.of(line) * of as f64) as u64;
        // On the line is not below it.
        (used.checked_sub(below)?).checked_add(1)
    }
}

fn highest(lines: &[f64; 3], value: f64, side: Side) -> PressureLevel {
    const LEVELS: [PressureLevel; 4] = [
        PressureLevel::Normal,
        PressureLevel::Warning,
        PressureLevel::Urgent,
        PressureLevel::Critical,
    ];
    let reached = lines
        .iter()
        .take_while(|line| value >= side.of(**line))
        .count();
    LEVELS[reached]
}

#[cfg(test)]
mod tests {
    use super::*;
    use PressureLevel::{Critical, Normal, Urgent, Warning};

    #[test]
    fn a_level_begins_on_its_line_and_is_left_five_points_below() {
        let lines = Lines::default();
        for (used, enter, leave) in [
            (69, Normal, Normal),
            (70, Normal, Warning),
            (75, Warning, Warning),
            (80, Warning, Urgent),
            (85, Urgent, Urgent),
            (90, Urgent, Critical),
            (95, Critical, Critical),
            (300, Critical, Critical),
        ] {
            let reading = Reading::used(used, 100);
            assert_eq!(lines.of_use(&reading, Side::Enter), enter, "{used}");
            assert_eq!(lines.of_use(&reading, Side::Leave), leave, "{used}");
        }
    }

    #[test]
    fn to_set_one_line_leaves_the_others() {
        let mut lines = Lines::default();
        Lines::set(&mut lines.used, Urgent, 0.8);
        assert_eq!(lines.used, [0.75, 0.8, 0.95]);
        assert!(lines.validate().is_ok());
    }

    #[test]
    fn lines_that_make_no_sense_are_refused() {
        for (level, line) in [
            (Urgent, 0.7),
            (Urgent, 0.95),
            (Warning, 0.01),
            (Critical, 1.1),
            (Critical, f64::NAN),
            (Normal, 0.5),
        ] {
            let mut lines = Lines::default();
            Lines::set(&mut lines.stalled, level, line);
            Lines::set(&mut lines.used, level, line);
            assert!(lines.validate().is_err(), "{level} at {line}");
        }
    }

    #[test]
    fn what_is_missing_ends_below_the_leave_line() {
        let lines = Lines::default();
        assert_eq!(lines.over(Warning, &Reading::used(80, 100)), Some(11));
        assert_eq!(lines.over(Warning, &Reading::used(69, 100)), None);
        assert_eq!(lines.over(Normal, &Reading::used(80, 100)), None);
        assert_eq!(lines.over(Warning, &Reading::stalled(0.9)), None);
    }
}
