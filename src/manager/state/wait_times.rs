//! How long acquires have waited for admission, as a histogram.

use crate::snapshot::WaitTimes;
use hdrhistogram::Histogram;
use std::fmt;
use std::time::Duration;

/// The resolution: a microsecond, and the range up to a day.
const HIGHEST_MICROS: u64 = 24 * 60 * 60 * 1_000_000;
/// One percent.
const SIGNIFICANT_DIGITS: u8 = 2;

/// Written under the manager's lock. Made by the first wait, so that a manager without one pays nothing.
#[derive(Clone, Default)]
pub(crate) struct WaitRecord(Option<Box<Histogram<u64>>>);

impl WaitRecord {
    pub(crate) fn record(&mut self, waited: Duration) {
        let histogram = self.0.get_or_insert_with(|| {
            let made = Histogram::new_with_max(HIGHEST_MICROS, SIGNIFICANT_DIGITS);
            Box::new(made.expect("the range is valid"))
        });
        histogram.saturating_record(micros(waited));
    }

    pub(crate) fn summary(&self) -> WaitTimes {
        let Some(histogram) = &self.0 else {
            return WaitTimes::default();
        };
        let at = |quantile| Duration::from_micros(histogram.value_at_quantile(quantile));
        WaitTimes {
            count: histogram.len(),
            mean: Duration::from_secs_f64(histogram.mean() / 1e6),
            median: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            longest: Duration::from_micros(histogram.max()),
            buckets: histogram
                .iter_log(1, 2.0)
                .filter(|step| step.count_since_last_iteration() > 0)
                .map(|step| {
                    let below = Duration::from_micros(step.value_iterated_to().saturating_add(1));
                    (below, step.count_since_last_iteration())
                })
                .collect(),
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl fmt::Debug for WaitRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WaitRecord").field(&self.summary()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_tells_what_was_recorded() {
        let mut record = WaitRecord::default();
        assert_eq!(record.summary(), WaitTimes::default());
        for millis in 1..=100 {
            record.record(Duration::from_millis(millis));
        }
        record.record(Duration::MAX);
        let summary = record.summary();
        assert_eq!(summary.count, 101);
        let near = |found: Duration, millis: u64| {
            let wanted = Duration::from_millis(millis);
            assert!(
                found >= wanted && found < wanted.mul_f64(1.03),
                "{found:?} for {wanted:?}"
            );
        };
        near(summary.median, 51);
        near(summary.p90, 91);
        assert!(summary.longest >= Duration::from_secs(24 * 60 * 60));
        let counted: u64 = summary.buckets.iter().map(|(_, count)| count).sum();
        assert_eq!(counted, 101);
        assert!(summary.buckets.is_sorted());
    }
}
