//! New settings, and new measurements of the device, while guards live (rules R23, R33 and R41).
//!
//! Nothing is revoked. What is admitted from here on goes by the new caps; what waits is judged again: refused if it
//! can never be admitted now, admitted if it fits, and looked at for deadlocks. The limit follows in a session.

use crate::Error;
use crate::config::Config;
use crate::event::EventKind;
use crate::fork;
use crate::manager::inner::Inner;
use crate::manager::inner::locked::Locked;
use crate::manager::state::settings;
use crate::manager::state::settings::{Measurement, Settings};
use crate::sync::Ordering;
use crate::user_code;

impl Inner {
    /// Examines the device's budget, every queue and the limit.
    pub(crate) fn poke(&self) -> Result<(), Error> {
        fork::check()?;
        if user_code::is_inside(self.address()) {
            return Err(Error::Reentrant);
        }
        let measured = self.measure();
        let mut core = self.lock();
        self.apply_measurement(&mut core, measured);
        for state in core.groups.all_mut() {
            state.version += 1;
        }
        core.mark_all();
        self.pump_all_and_reconcile(&mut core);
        Ok(())
    }

    /// Goes by the device's budget as it is now, and does the pending work that is due.
    pub(crate) fn maintain(&self) {
        // Inside a policy or the backend, the call around it does the work.
        let measured = if user_code::is_inside(self.address()) {
            None
        } else {
            self.measure()
        };
        let mut core = self.lock();
        if self.apply_measurement(&mut core, measured) {
            self.pump_all_and_reconcile(&mut core);
        } else {
            self.reconcile(&mut core);
        }
    }

    pub(crate) fn configure(&self, config: Config) -> Result<(), Error> {
        if user_code::is_inside(self.address()) {
            return Err(Error::Reentrant);
        }
        settings::check(&config, &self.device)?;
        let measured = self.measure();
        let mut core = self.lock();
        if let Some(field) = settings::idle_only_change(&core.config, &config) {
            self.require_idle(&mut core, field)?;
            if settings::mode(&config, self.environment.as_deref()) != core.mode {
                // What was set under the old mode says nothing under the new one.
                core.known = false;
                core.applied = 0;
            }
        }
        let measured = measured.filter(|measured| measured.number > core.measured.number);
        let measured = measured.unwrap_or(core.measured);
        self.apply_settings(&mut core, config, measured);
        self.pump_all_and_reconcile(&mut core);
        Ok(())
    }

    /// Ends a lingering epoch, and closes the gates; or says that guards live.
    fn require_idle(&self, core: &mut Locked<'_>, field: &'static str) -> Result<(), Error> {
        let lingers = core.epoch.open && core.live() == 0 && core.waiters() == 0 && !core.busy;
        if lingers {
            // A lingering epoch ends under the settings it began with.
            core.pending_work.lingered = true;
            self.reconcile(core);
        }
        // From here on no demand is added without the lock; those added before are in the words.
        core.close_gates();
        let idle = core
            .listed_groups()
            .all(|state| state.waiters().next().is_none() && !state.is_live(state.shared.read()));
        if idle && !core.busy && !core.epoch.open {
            return Ok(());
        }
        // An end that failed just now is not tried again: until it is, all gates stay closed.
        if !lingers || core.pending_work.retry_at.is_none() {
            self.reconcile(core);
        }
        Err(Error::Busy { field })
    }

    /// Measures what a device without wired memory can hold, without the lock. `None` where there is nothing to measure, and
    /// after a panic.
    fn measure(&self) -> Option<Measurement> {
        if self.device.support.is_supported() {
            return None;
        }
        let (number, admitted) = {
            let mut core = self.lock();
            core.measurements += 1;
            (core.measurements, core.total_live())
        };
        let budget = user_code::call(self.address(), || self.backend.budget(admitted)).ok()?;
        Some(Measurement { number, budget })
    }

    /// Goes by a measurement from here on, unless one that began later came first. Returns whether the budget has changed.
    fn apply_measurement(&self, core: &mut Locked<'_>, measured: Option<Measurement>) -> bool {
        let Some(measured) = measured.filter(|it| it.number > core.measured.number) else {
            return false;
        };
        let settings = self.settings(&core.config, measured);
        if settings.budget == core.device_budget {
            core.measured = measured;
            return false;
        }
        let config = core.config.clone();
        self.apply_settings(core, config, measured);
        true
    }

    fn settings(&self, config: &Config, measured: Measurement) -> Settings {
        let environment = self.environment.as_deref();
        Settings::of(config, &self.device, measured.budget, environment)
    }

    /// Goes by these settings and this measurement from here on. The caller examines the queues and the limit, which
    /// refuses those that wait and can never be admitted any more, and opens the gates again.
    fn apply_settings(&self, core: &mut Locked<'_>, config: Config, measured: Measurement) {
        let settings = self.settings(&config, measured);
        // From here on no demand is added without the lock. Every word is read by a read-modify-write after that: what was
        // added before is counted when the queues are judged, and what is added later finds a closed cover.
        core.close_gates();
        for state in core.listed_groups() {
            state.shared.read();
        }
        let from = core.device_budget;
        if core.config.budget.is_some() != config.budget.is_some() {
            core.forget_delays();
        }
        core.config = config;
        core.measured = measured;
        core.mode = settings.mode;
        core.ceiling = settings.ceiling;
        core.device_budget = settings.budget;
        core.settings_version += 1;
        self.finishes_each
            .store(settings.finishes_each, Ordering::Relaxed);
        core.resolve_formulas();
        if core.device_budget != from {
            let kind = EventKind::BudgetChanged {
                from,
                to: core.device_budget,
            };
            self.emit(core, kind, None, |_| {});
        }
        // The caller pumps: then those that wait and can never be admitted any more are refused.
        core.mark_all();
    }

    /// Examines every queue, the deadlocks and the limit.
    fn pump_all_and_reconcile(&self, core: &mut Locked<'_>) {
        let groups: Vec<_> = core
            .listed_groups()
            .map(|state| state.shared.clone())
            .collect();
        for (index, group) in groups.iter().enumerate() {
            if index == 0 || core.config.budget.is_none() {
                self.pump(core, group.index);
            } else {
                // All groups have one queue, which was examined.
                self.clear_waiters_if_unneeded(core, group.index);
            }
        }
        self.break_deadlocks(core);
        self.reconcile(core);
        self.reconcile_deferred(core);
    }
}
