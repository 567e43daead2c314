//! Queues that admit no waiter, and how they are told of (rule R30).
//!
//! A group has a queue; under a budget over all groups there is one for them all. A [`Stall`] says since when the
//! queue has admitted no waiter, and how often that was told. The first notice is due after
//! [`Config::stall_after`](crate::Config::stall_after), the next after twice that time, and so on; an admission from
//! the queue begins it anew.
//!
//! No thread keeps the time, and no waiter is woken to keep it (R17). Each waiter wakes by itself when the next notice
//! is due, and at the latest after the time of a first notice, since an admission may bring the next notice forward. It
//! looks under the lock, at a cost of O(log n): the first in the queue tells, all others sleep on. So the first in the
//! queue is always awake in time, whichever way it became the first. A waiter that is set aside is in no queue: it
//! tells of itself.
//!
//! A notice walks over no queue and makes no snapshot. The largest guard in the way is looked for without the lock, and
//! only if the notice is given to a subscriber or printed. Nothing is held while the line on stderr is written.

use crate::event::EventKind;
use crate::manager::admission::judge::is_below_most;
use crate::manager::inner::Inner;
use crate::manager::state::core::Core;
use crate::manager::state::demand::Demand;
use crate::manager::state::stall::Stall;
use crate::manager::state::stall::earlier;
use crate::manager::state::waiter::Enqueued;
use crate::manager::state::waiter::Waiter;
use crate::print::Bytes;
use crate::print::Name;
use crate::snapshot::Holder;
use crate::snapshot::WaitReason;
use crate::sync::Arc;
use crate::trace;
use std::fmt;
use std::io::{self, Write};
use std::time::{Duration, Instant};

/// What a shorter time counts as, so that no waiter is busy with looking.
const SHORTEST: Duration = Duration::from_micros(100);

impl Core {
    /// Does something with the stall of a waiter: that of its queue, or its own while it is set aside. Whether all
    /// groups have one queue may change while waiters wait, so both kinds are kept at all times.
    fn with_stall<R>(&mut self, waiter: &Waiter, f: impl FnOnce(&mut Stall) -> R) -> Option<R> {
        if self.is_set_aside(waiter) {
            return waiter.set_aside_since.lock().as_mut().map(f);
        }
        let stall = match self.config.budget {
            Some(_) => &mut self.stall,
            None => &mut self.group_mut(waiter.request.group().index).stall,
        };
        stall.as_mut().map(f)
    }

    /// Notes that a waiter of a group was admitted.
    pub(crate) fn note_progress(&mut self, index: usize, now: Instant) {
        let begun = Some(Stall::begin(now));
        self.group_mut(index).stall = begun;
        self.stall = begun;
    }
}

/// When a waiter that has looked at its queue now looks again; never if it began without a time to stall after.
pub(crate) fn next_stall_check(core: &mut Core, waiter: &Waiter, now: Instant) -> Option<Instant> {
    let after = waiter.stall_after?.max(SHORTEST);
    let due = core.with_stall(waiter, |it| it.due(after));
    earlier(due.flatten(), now.checked_add(after))
}

/// What is told of a queue.
struct Notice {
    waited: Duration,
    stood: Duration,
    behind: u64,
    why: WaitReason,
}

impl Inner {
    /// Tells of a waiter's queue if it stands still and the waiter is its first. Returns when it is to look again.
    pub(crate) fn report_stall(&self, enqueued: &Enqueued) -> Option<Instant> {
        let waiter = &*enqueued.waiter;
        let after = waiter.stall_after?.max(SHORTEST);
        let index = waiter.request.group().index;
        let mut core = self.lock();
        // An outcome that came meanwhile has left its wake-up: the thread does not sleep on.
        if waiter.outcome.lock().is_some() {
            return None;
        }
        let now = self.clock.now();
        let is_set_aside = core.is_set_aside(waiter);
        let reports = is_set_aside || self.head_key(&core, index) == Some(waiter.key());
        if !core.with_stall(waiter, |it| it.is_due(after, now))? {
            return next_stall_check(&mut core, waiter, now);
        }
        if !reports {
            // The first is about to tell. If it gives up before, this one may be the first.
            return now.checked_add(after / 8);
        }
        let since = core.with_stall(waiter, |it| {
            it.note_report(after, now);
            it.since
        })?;
        let stood = now.saturating_duration_since(since);
        let behind = if is_set_aside {
            0
        } else {
            core.queue_length(index) - 1
        };
        core.stats.stalls += 1;
        let notice = Notice {
            waited: now.saturating_duration_since(waiter.since),
            stood,
            behind,
            why: self.wait_reason(&core, waiter.demand()),
        };
        let quiet = self.quiet || core.config.quiet;
        let next = next_stall_check(&mut core, waiter, now);
        drop(core);
        self.hand_notice(waiter, notice, quiet);
        next
    }

    /// Why the first waiter of a queue, or one that is set aside, waits, as far as that can be told without asking its
    /// policy.
    pub(crate) fn wait_reason(&self, core: &Core, demand: Demand<'_>) -> WaitReason {
        let request = demand.request;
        if demand
            .waiter
            .is_some_and(|waiter| core.is_set_aside(waiter))
        {
            if let Some(why) = self.delayed_by(core, demand) {
                return why;
            }

            let groups = core.scope_groups(request.group().index);
            let held = groups.map(|state| state.pinned.bytes());
            return WaitReason::Holds {
                held: held.fold(0, u64::saturating_add),
                capacity: core.config.budget.or_else(|| self.capacity(core, request)),
            };
        }
        if let Some(budget) = core.config.budget
            && !self.fits_budget(core, demand)
        {
            let in_use = core.total_live();
            return WaitReason::Budget { in_use, budget };
        }
        if let Some(most) = request.most().filter(|_| !is_below_most(core, demand)) {
            let group = request.group();
            let active = group.active(group.load());
            return WaitReason::AtMost { active, most };
        }
        if let Some(why) = self.delayed_by(core, demand) {
            return why;
        }
        if !request.group().custom {
            return WaitReason::Work {
                in_use: request.group().load().sum(),
                capacity: self.capacity(core, request),
            };
        }
        if core.pressure > 0.0 {
            WaitReason::Pressure(core.pressure)
        } else {
            WaitReason::Policy
        }
    }

    /// Hands a notice to the subscribers, or to stderr if the program would not learn of it otherwise.
    fn hand_notice(&self, waiter: &Waiter, notice: Notice, quiet: bool) {
        let is_reported = self.is_watched() || trace::wants_warnings();
        if !is_reported && quiet {
            return;
        }
        let largest = self.largest_in_the_way(waiter).map(Arc::new);
        if !is_reported {
            let text = StallText {
                waiter,
                notice: &notice,
                largest: largest.as_deref(),
            };
            // In one write, since other code writes there too. Nothing can be done about an error.
            let _unheard = io::stderr().write_all(format!("{text}\n").as_bytes());
            return;
        }
        let Notice {
            waited,
            stood,
            behind,
            why,
        } = notice;
        let kind = EventKind::WaitStalled {
            waited,
            stood,
            behind,
            why,
            largest,
        };
        self.emit(&mut self.lock(), kind, Some(&waiter.request), |event| {
            event.place = Some(waiter.location);
        });
    }

    /// The largest of the live guards in a waiter's way that were looked at; not the one that it grows.
    fn largest_in_the_way(&self, waiter: &Waiter) -> Option<Holder> {
        let grown = waiter.from.as_ref().map(|from| (from.id(), waiter.thread));
        let mut holders = self.in_the_way(&waiter.request).into_iter();
        holders.find(|holder| Some((holder.ticket, holder.thread)) != grown)
    }
}

/// A notice as it is printed.
struct StallText<'a> {
    waiter: &'a Waiter,
    notice: &'a Notice,
    largest: Option<&'a Holder>,
}

impl fmt::Display for StallText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Notice {
            waited,
            stood,
            behind,
            why,
        } = self.notice;
        let request = &self.waiter.request;
        write!(
            f,
            "mlx-wired: {} has waited {waited:.1?} for {} at {}, {behind} more wait behind it, its queue has admitted no waiter \
             for {stood:.1?}: {why}",
            Name::new(request.name()),
            Bytes(request.bytes()),
            self.waiter.location,
        )?;
        let Some(holder) = self.largest else {
            return Ok(());
        };
        let name = holder.label.as_ref().unwrap_or(&holder.policy);
        write!(
            f,
            "; the largest guard in its way: {}, {}, acquired at {}",
            Name::new(name),
            Bytes(holder.bytes),
            holder.place
        )
    }
}
