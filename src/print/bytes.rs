//! Sizes, as they are printed for people.

use std::fmt;

/// Bytes for people: in the largest unit that leaves at least 1, rounded to two digits.
///
/// ```
/// use mlx_wired::print::Bytes;
///
/// assert_eq!(Bytes(3 << 29).to_string(), "1.50 GiB");
/// assert_eq!(Bytes(64 << 20).to_string(), "64 MiB");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        let mut value = self.0 as f64 / 1024.0;
        let mut unit = 0;
        while value >= 1024.0 && unit + 1 < UNITS.len() {
            value /= 1024.0;
            unit += 1;
        }
        let digits = if value.fract() == 0.0 { 0 } else { 2 };
        write!(f, "{value:.digits$} {}", UNITS[unit])
    }
}
