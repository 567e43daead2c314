//! Which releases finish their work first, and whether they may synchronise for that.

use crate::backend::BackendError;
use crate::config::SyncOnRelease;
use crate::event::EventKind;
use crate::manager::inner::Inner;
use crate::sync::Ordering;
use crate::trace;
use crate::user_code;

impl Inner {
    /// Whether each release of a driving guard finishes its work first, by its hook if not by synchronising.
    pub(crate) fn finishes_each(&self) -> bool {
        // Relaxed: a thread that begins a release after the settings have changed came here after that.
        self.finishes_each.load(Ordering::Relaxed)
    }

    /// Whether a release synchronises: `each`, since all do, or since it `may_lower` a wired limit.
    pub(crate) fn synchronizes_now(&self, each: bool, may_lower: bool) -> bool {
        let is_due = {
            let core = self.lock();
            let never = core.config.sync_on_release == SyncOnRelease::Never;
            !never && (each || (may_lower && core.is_wired()))
        };
        if !is_due {
            return false;
        }
        let may = user_code::catch(|| self.backend.synchronizes()).unwrap_or(false);
        if each && !may {
            self.emit_skipped_synchronization();
        }
        may
    }

    pub(crate) fn synchronize(&self) -> Result<(), BackendError> {
        self.backend.synchronize()
    }

    /// Tells that a release does not synchronise, once a subscriber listens.
    fn emit_skipped_synchronization(&self) {
        let kind = EventKind::SynchronizationSkipped;
        let mut core = self.lock();
        if !core.reported_skipping && (self.is_watched() || trace::wants(&kind)) {
            core.reported_skipping = true;
            self.emit(&mut core, kind, None, |_| {});
        }
    }
}
