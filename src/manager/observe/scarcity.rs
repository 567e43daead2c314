//! Events of memory that becomes scarce (rule R39).

use crate::event::EventKind;
use crate::kind::Kind;
use crate::manager::inner::Inner;
use crate::manager::state::core::Core;
use crate::manager::state::request::Request;
use crate::trace;

impl Inner {
    /// Notes the live bytes of all groups, and tells once when they have passed the ceiling, until they fell below.
    #[inline]
    pub(crate) fn note_live_bytes(&self, core: &mut Core, bytes: u64) {
        if (bytes > core.ceiling) != core.above_ceiling {
            self.toggle_above_ceiling(core, bytes);
        }
    }

    #[cold]
    #[inline(never)]
    fn toggle_above_ceiling(&self, core: &mut Core, bytes: u64) {
        core.above_ceiling = !core.above_ceiling;
        if core.above_ceiling {
            let ceiling = core.ceiling;
            let kind = EventKind::LiveAboveCeiling { bytes, ceiling };
            self.emit(core, kind, None, |_| {});
        }
    }

    /// The ceiling under which a model of so many bytes is to be wired. Tells if the model is near it.
    pub(crate) fn ceiling_for(&self, model: u64) -> u64 {
        let mut core = self.lock();
        let ceiling = core.ceiling;
        if is_near(model, ceiling) {
            let kind = EventKind::ModelNearCeiling { model, ceiling };
            self.emit(&mut core, kind, None, |event| event.size = Some(model));
        }
        ceiling
    }

    /// Whether an event of scarce memory reaches a subscriber.
    pub(crate) fn wants_scarcity_events(&self) -> bool {
        self.is_watched()
            || trace::wants(&EventKind::LiveAboveCeiling {
                bytes: 0,
                ceiling: 0,
            })
    }

    /// Tells of a resident guard that comes near the ceiling by its admission, or by growing from what it had.
    #[inline]
    pub(crate) fn note_resident(&self, core: &mut Core, request: &Request, from: Option<&Request>) {
        if request.kind() == Kind::Resident
            && is_near(request.bytes(), core.ceiling)
            && !from.is_some_and(|from| is_near(from.bytes(), core.ceiling))
        {
            self.emit_near_ceiling(core, request);
        }
    }

    #[cold]
    #[inline(never)]
    fn emit_near_ceiling(&self, core: &mut Core, request: &Request) {
        let kind = EventKind::ModelNearCeiling {
            model: request.bytes(),
            ceiling: core.ceiling,
        };
        self.emit(core, kind, Some(request), |_| {});
    }
}

/// Whether a model of so many bytes leaves less than a tenth of the ceiling, as in mlx-lm's `wired_limit`.
fn is_near(model: u64, ceiling: u64) -> bool {
    model > ceiling / 10 * 9
}
