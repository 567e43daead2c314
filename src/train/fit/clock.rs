//! The time that passes take.

use crate::ffi::DeviceKind;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Tells how much time has gone by, from any origin.
#[derive(Clone)]
pub(super) struct Clock(Arc<dyn Fn() -> Duration + Send + Sync>);

impl Clock {
    pub(super) fn new(now: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The processor time of this process where the processor computes, which other programs do not lengthen. Elsewhere, and
    /// where the system does not tell, what the clock on the wall shows.
    pub(super) fn of(kind: DeviceKind) -> Self {
        let began = Instant::now();
        let by_processor = kind == DeviceKind::Cpu && processor_time().is_some();
        Self::new(move || {
            let processor = by_processor.then(processor_time).flatten();
            processor.unwrap_or_else(|| began.elapsed())
        })
    }

    pub(super) fn now(&self) -> Duration {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// What all threads of this process have computed so far, by clock_gettime(2).
#[cfg(unix)]
fn processor_time() -> Option<Duration> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` may be written to; the call keeps no pointer.
    let code = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    let (seconds, nanos) = (
        u64::try_from(time.tv_sec).ok()?,
        u32::try_from(time.tv_nsec).ok()?,
    );
    (code == 0).then(|| Duration::new(seconds, nanos))
}

#[cfg(not(unix))]
fn processor_time() -> Option<Duration> {
    None
}
