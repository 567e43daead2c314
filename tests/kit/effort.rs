//! What work takes.

use cpu_time::ThreadTime;
use std::time::Duration;

/// The processor time that this thread spends on `work`. Unlike the time that passes, it does not grow while other threads
/// have the processor.
pub(crate) fn effort(work: impl FnOnce()) -> Duration {
    let begin = ThreadTime::now();
    work();
    begin.elapsed()
}
