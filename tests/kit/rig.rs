//! A manager on a recording backend, with a clock that stands still.

use super::asleep::NotingClock;
use super::threads::{Acquiring, Pending, queued};
use mlx_wired::clock::{Clock, FakeClock};
use mlx_wired::ffi::{RecordingBackend, RecordingBuilder};
use mlx_wired::{Config, Error, Manager, Policy, SumPolicy, Ticket, Wait};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// The default settings, without the housekeeping thread, to the byte, and nothing is printed.
pub(crate) fn quiet() -> Config {
    Config::default()
        .housekeeping(false)
        .growth_step(0)
        .quiet(true)
}

/// [`quiet`], and every drop of the limit is worth a call at once.
pub(crate) fn eager() -> Config {
    quiet()
        .shrink_threshold_ratio(0.0)
        .shrink_cooldown(Duration::ZERO)
}

/// A manager on a device of which the test decides everything, with the settings and the time that a program has.
pub(crate) fn on(device: RecordingBuilder) -> (Manager, Arc<RecordingBackend>) {
    let backend = device.build();
    let manager = Manager::builder().backend(backend.clone()).build();
    (manager.expect("nothing is in the way"), backend)
}

/// A manager on a recording backend with a clock that stands still.
///
/// However it ends, the setter's rules must have been kept.
pub(crate) struct Rig {
    pub(crate) manager: Manager,
    pub(crate) backend: Arc<RecordingBackend>,
    pub(crate) clock: FakeClock,
    baseline: u64,
}

impl Rig {
    /// On Metal, nothing wired before.
    pub(crate) fn new(config: Config) -> Result<Self, Error> {
        Self::on(RecordingBackend::metal(), config)
    }

    pub(crate) fn on(device: RecordingBuilder, config: Config) -> Result<Self, Error> {
        Self::with(device, config, |clock| clock)
    }

    /// On Metal, on the clock that `around` makes of the one that stands still.
    pub(crate) fn clocked<C: Clock>(
        config: Config,
        around: impl FnOnce(FakeClock) -> C,
    ) -> Result<Self, Error> {
        Self::with(RecordingBackend::metal(), config, around)
    }

    fn with<C: Clock>(
        device: RecordingBuilder,
        config: Config,
        around: impl FnOnce(FakeClock) -> C,
    ) -> Result<Self, Error> {
        let backend = device.build();
        let clock = FakeClock::new();
        let manager = Manager::builder()
            .backend(backend.clone())
            .clock(NotingClock(around(clock.clone())))
            .config(config)
            .build()?;
        let baseline = backend.current_limit();
        Ok(Self {
            manager,
            backend,
            clock,
            baseline,
        })
    }

    pub(crate) fn ticket<P: Policy + Clone>(&self, policy: &P, bytes: u64) -> Ticket {
        self.manager.ticket(policy, bytes)
    }

    /// A thread that acquires and was seen to wait for admission, however long that takes.
    #[track_caller]
    pub(crate) fn queued(&self, ticket: &Ticket) -> Acquiring {
        queued(&self.manager, ticket, Wait::new())
    }

    /// [`queued`](Self::queued), within bounds.
    #[track_caller]
    pub(crate) fn queued_with(&self, ticket: &Ticket, wait: Wait) -> Acquiring {
        queued(&self.manager, ticket, wait)
    }

    /// What the epochs' ends must set back, if it is not the limit that was in force at the start.
    pub(crate) fn restoring(mut self, baseline: u64) -> Self {
        self.baseline = baseline;
        self
    }

    pub(crate) fn limit(&self) -> u64 {
        self.backend.current_limit()
    }

    pub(crate) fn calls(&self) -> usize {
        self.backend.call_count()
    }

    /// What the setter was asked for, call by call.
    pub(crate) fn requested(&self) -> Vec<u64> {
        let calls = self.backend.calls();
        calls.iter().map(|call| call.requested).collect()
    }

    /// The end of a test without armed faults: no guard lives, nobody waits, the baseline is back.
    #[track_caller]
    pub(crate) fn finish(self) -> Result<(), Error> {
        assert!(self.manager.waiting().is_empty(), "nobody waits");
        self.backend.assert_baseline(self.baseline);
        assert_eq!(self.backend.redundant_calls(), 0, "needless calls");
        Ok(())
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.backend.assert_rules();
        }
    }
}

/// The manager goes on: others are admitted, wired and restored.
#[track_caller]
pub(crate) fn assert_alive(rig: &Rig) {
    let ticket = rig.manager.ticket(&SumPolicy::uncapped(), 1 << 20);
    let others = Pending::spawn(move || ticket.acquire_owned());
    let guard = others.result().expect("others are admitted");
    assert!(rig.limit() >= 1 << 20);
    drop(guard);
}
