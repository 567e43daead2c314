//! The thread that does pending work when it is due. It lives only while there is any.

use crate::manager::inner::Inner;
use crate::manager::inner::locked::Locked;
use crate::sync::Weak;
use crate::time::{Clock, Sleeper};
use std::time::Instant;

impl Inner {
    /// Sees to it that pending work is done when it is due.
    pub(crate) fn schedule_pending_work(&self, core: &mut Locked<'_>) {
        self.start_housekeeping(core);
        if core.abandoned && core.pending_work.retry_at.is_some() && core.housekeeper.is_some() {
            core.kept = self.this.upgrade().map(|this| this as _);
        }
    }

    fn start_housekeeping(&self, core: &mut Locked<'_>) {
        if let Some(waker) = core.housekeeper.clone() {
            core.wake(waker);
            return;
        }
        if core.pending_work.due().is_none() || !core.config.housekeeping {
            return;
        }
        let sleeper = Sleeper::new();
        let waker = sleeper.waker();
        let (this, clock) = (self.this.clone(), self.clock.clone());
        let spawned = crate::sync::spawn("mlx-wired housekeeping", move || {
            run_housekeeping(&this, &*clock, &sleeper);
        });
        core.housekeeping_failed = spawned.is_err();
        if core.housekeeping_failed {
            // The thread did not start: every transition looks instead, and tries again to start it.
            core.close_gates();
        } else {
            core.housekeeper = Some(waker);
        }
    }
}

fn run_housekeeping(this: &Weak<Inner>, clock: &dyn Clock, sleeper: &Sleeper) {
    loop {
        let sleep = {
            let Some(inner) = this.upgrade() else { return };
            do_due_work(&inner)
        };
        match sleep {
            Sleep::Until(due) => clock.park(sleeper, Some(due)),
            Sleep::UntilWoken => clock.park(sleeper, None),
            Sleep::Never => return,
        }
    }
}

/// What the thread does next.
enum Sleep {
    Until(Instant),
    /// A session runs, and wakes this thread at its end.
    UntilWoken,
    /// No work is pending any more.
    Never,
}

/// Does what is due.
fn do_due_work(inner: &Inner) -> Sleep {
    let mut core = inner.lock();
    if !core.config.housekeeping {
        // Housekeeping was switched off: every transition looks instead.
        core.housekeeper = None;
        core.kept = None;
        return Sleep::Never;
    }
    if core.busy {
        return Sleep::UntilWoken;
    }
    let now = inner.clock.now();
    if core.pending_work.due().is_some_and(|due| due <= now) {
        inner.reconcile(&mut core);
    }
    if core.pending_work.retry_at.is_none() {
        // Not the last reference: the caller has another.
        core.kept = None;
    }
    match core.pending_work.due() {
        Some(due) => Sleep::Until(due),
        None => {
            core.housekeeper = None;
            Sleep::Never
        }
    }
}
