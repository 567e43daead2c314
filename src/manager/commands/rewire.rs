//! Promoting what did not fit (R38).
//!
//! MLX wires buffers that did not fit under an earlier limit only inside a change of the limit. So a program that has given
//! memory back asks for one: the limit goes a byte up, or the byte down again.

use crate::Error;
use crate::fork;
use crate::manager::inner::Inner;
use crate::manager::inner::locked::Locked;
use crate::sync::Ordering;
use crate::user_code;

impl Inner {
    /// Changes the limit by a byte while driving guards live. Tells whether a call was made.
    pub(crate) fn rewire(&self) -> Result<bool, Error> {
        fork::check()?;
        if user_code::is_inside(self.address()) {
            return Err(Error::Reentrant);
        }
        let mut core = self.lock();
        while core.busy {
            core.sleepers += 1;
            let seen = self.calls_word.load(Ordering::Acquire);
            core.unlocked(|| crate::sync::wait(&self.calls_word, seen));
            core.sleepers -= 1;
        }
        let calls = core.stats.setter_calls;
        core.busy = true;
        let moved = self.move_by_a_byte(&mut core);
        // What was published for the old limit is decided anew, and what else is called for is done.
        self.run_session(&mut core);
        moved?;
        Ok(core.stats.setter_calls > calls)
    }

    /// The change itself, with `busy` set and nothing else to be done about the limit.
    fn move_by_a_byte(&self, core: &mut Locked<'_>) -> Result<(), Error> {
        self.ask_policies(core);
        let view = self.close_and_read(core);
        let driven = view.iter().any(|(_, word)| word.driving() > 0);
        if !core.is_wired() || !core.epoch.open || !driven {
            return Ok(());
        }
        let applied = core.applied;
        let wanted = core.limit_for(core.rounded(Self::called_for(core, &view)));
        if applied < wanted {
            // The session raises it, which promotes as well.
            return Ok(());
        }
        // It is no shrink and no growth: the cooldown goes on.
        let last_change = core.last_change;
        let steps: &[u64] = if applied == wanted.saturating_add(1) {
            &[wanted]
        } else if applied < core.bound() {
            &[applied + 1]
        } else {
            // The one exception to R4: there is no byte above the ceiling.
            &[applied.saturating_sub(1), applied]
        };
        for limit in steps {
            let raises = *limit > core.applied;
            // A raise leaves what is covered covered; of a lower limit the covers stay closed until it is decided anew.
            let covered = core.epoch_limit().filter(|_| raises && steps.len() == 1);
            self.publish(core, &view, covered);
            if !self.set_limit(core, *limit, None, raises)
                && let Some(error) = core.take_failure()
            {
                return Err(*error);
            }
        }
        core.last_change = last_change;
        Ok(())
    }
}
