//! What a manager was built with, and its state at first.

use crate::backend::Device;
use crate::config::Config;
use crate::event::Journal;
use crate::manager::state::core::Core;
use crate::manager::state::figures::Figures;
use crate::manager::state::groups::Groups;
use crate::manager::state::pending_work::PendingWork;
use crate::manager::state::settings::{Measurement, Settings};
use crate::manager::state::wait_times::WaitRecord;
use crate::snapshot::Stats;
use crate::sync::Arc;
use crate::trace::Kept;

/// What a manager was built with.
pub(crate) struct Built {
    pub(crate) config: Config,
    pub(crate) settings: Settings,
    pub(crate) measured: Measurement,
}

impl Built {
    /// The state of a manager that has done nothing yet.
    pub(crate) fn core(&self, device: &Device) -> Core {
        let Self {
            config,
            settings,
            measured,
        } = self;
        let core = Core {
            mode: settings.mode,
            supported: device.support.is_supported(),
            ceiling: settings.ceiling,
            maximum: device.max_wired_limit(),
            device_budget: settings.budget,
            measured: *measured,
            measurements: 0,
            config: config.clone(),
            settings_version: 0,
            figures: Arc::new(Figures::default()),
            groups: Groups::default(),
            busy: false,
            left_over: false,
            applied: 0,
            grown: 0,
            known: false,
            guaranteed: None,
            standing: None,
            epoch: Default::default(),
            pending_work: PendingWork::default(),
            last_change: None,
            uncovered: Default::default(),
            queued: 0,
            set_aside_count: 0,
            waiting_with_guards: 0,
            stall: None,
            delayed_since: Default::default(),
            above_ceiling: false,
            sleepers: 0,
            closed: false,
            abandoned: false,
            pressure: 0.0,
            housekeeper: None,
            housekeeping_failed: false,
            kept: None,
            deferred: Vec::new(),
            replaced: Vec::new(),
            returned: Vec::new(),
            may_deadlock: false,
            reported_deadlocks: Default::default(),
            stats: Stats::default(),
            wait_times: WaitRecord::default(),
            traced: Kept::default(),
            journal: Journal::default(),
            reported_skipping: false,
            limit_event_due: false,
            times_locked: 0,
        };
        core.publish_figures();
        core
    }
}
