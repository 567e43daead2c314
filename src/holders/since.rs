//! Times as numbers that an atomic holds; 0 is none.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// What [`encode`] gives for the origin, so that times before it are numbers too.
const AT_ORIGIN: u64 = 1 << 62;

/// A process-wide moment from which recorded times count.
fn origin() -> Instant {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    *ORIGIN.get_or_init(Instant::now)
}

/// A time as a number that is not 0.
pub(super) fn encode(at: Instant) -> u64 {
    let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let origin = origin();
    match at.checked_duration_since(origin) {
        Some(after) => AT_ORIGIN.saturating_add(nanos(after)),
        None => AT_ORIGIN.saturating_sub(nanos(origin - at)).max(1),
    }
}

pub(super) fn decode(number: u64) -> Option<Instant> {
    match number.checked_sub(AT_ORIGIN) {
        Some(after) => origin().checked_add(Duration::from_nanos(after)),
        None if number == 0 => None,
        None => origin().checked_sub(Duration::from_nanos(AT_ORIGIN - number)),
    }
}
