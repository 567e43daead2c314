//! Holds threads up at random before they lock (`--cfg jitter`, see `scripts/jitter`), as a busy machine does now and then.
//! A test that fails so has taken something for done that was not.

use std::thread;
use std::time::Duration;

/// Nothing mostly; else a turn for the others, a moment, or more than a time slice.
pub(super) fn delay_at_random() {
    match fastrand::u32(..1000) {
        0..8 => thread::sleep(Duration::from_millis(15)),
        8..80 => thread::sleep(Duration::from_micros(fastrand::u64(..1500))),
        80..200 => thread::yield_now(),
        _ => {}
    }
}
