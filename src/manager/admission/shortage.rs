//! Giving back before waiting for pinned demands (R27).
//!
//! A program registers *reclaimers*: functions that give back pinned demands which it can do without, such as the model
//! that was not used for the longest time. The first waiter that is set aside in its scope asks them, if it would fit
//! beside what is not evictable. It asks on its own thread, with nothing held, in the order of registration, until it
//! is in the queue. It asks again each second while it waits.
//!
//! A waiter that becomes the first is woken for it. One thread asks at a time in a manager, and no thread waits for
//! that: the asking thread wakes the first of each scope when it has ended. Without reclaimers a waiter that is set
//! aside pays one load.

use crate::event::EventKind;
use crate::fork;
use crate::manager::inner::Inner;
use crate::manager::inner::locked::Locked;
use crate::manager::state::key::next_key;
use crate::manager::state::reclaimers::Reclaim;
use crate::manager::state::reclaimers::Shortage;
use crate::manager::state::waiter::Waiter;
use crate::sync::{Arc, Ordering, Weak};
use crate::user_code;
use std::fmt;
use std::time::Duration;

/// How long a waiter that has asked waits before it asks again.
pub(crate) const AGAIN: Duration = Duration::from_secs(1);

/// Keeps a reclaimer registered until it is dropped. A call in flight then ends by itself.
#[must_use = "dropping it ends the registration"]
pub struct Reclaimer {
    manager: Weak<Inner>,
    number: u64,
}

impl Drop for Reclaimer {
    fn drop(&mut self) {
        if fork::is_child() {
            return;
        }
        let Some(inner) = self.manager.upgrade() else {
            return;
        };
        let reclaimers = &inner.reclaimers;
        let mut all = reclaimers.all.lock();
        let index = all.iter().position(|(number, _)| *number == self.number);
        let removed = index.map(|index| all.remove(index));
        // Relaxed: a waiter that misses it finds the list without it.
        reclaimers.count.store(all.len() as u64, Ordering::Relaxed);
        drop(all);
        // The user's destructor runs without the lock.
        let _caught = user_code::catch(|| drop(removed));
    }
}

impl fmt::Debug for Reclaimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reclaimer")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl Inner {
    /// Registers a reclaimer, and wakes those that are set aside already.
    pub(crate) fn on_shortage(&self, reclaim: Arc<Reclaim>) -> Reclaimer {
        let manager = self.this.clone();
        if fork::is_child() {
            // No thread waits here, so it is never called.
            let number = next_key();
            return Reclaimer { manager, number };
        }
        let number = {
            let mut all = self.reclaimers.all.lock();
            // Under the list's lock, so that the list is in the order of the numbers.
            let number = next_key();
            all.push((number, reclaim));
            let count = all.len() as u64;
            // Relaxed: those that wait already are woken below, under the manager's lock.
            self.reclaimers.count.store(count, Ordering::Relaxed);
            number
        };
        let mut core = self.lock();
        // `asker` is not kept up while no reclaimer is registered.
        core.groups.all_mut().for_each(|state| state.asker = None);
        let set_aside: Vec<Arc<Waiter>> = core
            .listed_groups()
            .flat_map(|state| state.set_aside.values().cloned())
            .collect();
        core.keep_until_unlocked(&set_aside);
        for waiter in set_aside {
            core.wake(waiter.waker.clone());
        }
        Reclaimer { manager, number }
    }

    /// Whether any reclaimer is registered.
    pub(crate) fn has_reclaimers(&self) -> bool {
        // Relaxed: registering wakes those that wait already.
        self.reclaimers.count.load(Ordering::Relaxed) > 0
    }

    /// Asks the reclaimers on behalf of a waiter of this thread, if it is the first that is set aside in its scope and
    /// would fit beside what is not evictable. Stops once it is in the queue, has its outcome or is over. False if
    /// another thread asks, which wakes this one when it has ended.
    pub(crate) fn ask_for_memory(&self, waiter: &Arc<Waiter>, is_over: impl Fn() -> bool) -> bool {
        let asking = &self.reclaimers.asking;
        // Acquire: what the last thread to ask has done. A failure orders nothing: see below.
        let taken = asking.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed);
        if taken.is_err() {
            return false;
        }
        let mut asked = 0;
        while !is_over() {
            let Some(shortage) = self.shortage(&mut self.lock(), waiter) else {
                break;
            };
            // Taken last, just before the call: a handle that was dropped meanwhile has ended the registration.
            let Some((number, reclaim)) = self.reclaimers.next(asked) else {
                break;
            };
            asked = number + 1;
            let _reclaiming = user_code::Reclaiming::begin(self.address());
            if let Err(message) = user_code::catch(|| reclaim(&shortage)) {
                let kind = EventKind::ReclaimerPanicked(message);
                self.emit(&mut self.lock(), kind, Some(&waiter.request), |_| {});
            }
            // The last to have it, if it was taken out meanwhile: then the user's destructor runs here.
            let _caught = user_code::catch(|| drop(reclaim));
        }
        asking.store(false, Ordering::Release);
        // Under the lock, after the store: a waiter that was turned away is set aside there already.
        let mut core = self.lock();
        let groups: Vec<usize> = core
            .listed_groups()
            .filter(|state| !state.set_aside.is_empty())
            .map(|state| state.shared.index)
            .collect();
        for index in groups {
            if let Some(first) = core.first_set_aside(index)
                && first.number != waiter.number
            {
                let waker = first.waker.clone();
                core.wake(waker);
            }
        }
        true
    }

    /// Wakes the first that is set aside in a group's scope, unless it was woken for that already.
    pub(crate) fn wake_first_to_ask(&self, core: &mut Locked<'_>, index: usize) {
        if !self.has_reclaimers() {
            return;
        }
        let first = core.first_set_aside(index);
        // The pressure alone is no reason to ask.
        let first = first.filter(|first| !core.is_delayed_aside(first));
        let first = first.map(|it| (it.request.group().index, it.number, it.waker.clone()));
        let groups = core.scope_groups(index).map(|state| state.shared.index);
        for index in groups.collect::<Vec<_>>() {
            let here = first.as_ref().filter(|(group, ..)| *group == index);
            let asker = here.map(|(_, number, _)| *number);
            let before = std::mem::replace(&mut core.group_mut(index).asker, asker);
            if let Some((.., waker)) = here
                && before != asker
            {
                core.wake(waker.clone());
            }
        }
    }

    /// What a waiter lacks, if it may ask for it.
    fn shortage(&self, core: &mut Locked<'_>, waiter: &Arc<Waiter>) -> Option<Shortage> {
        let index = waiter.request.group().index;
        if !core.group(index).set_aside.contains_key(&waiter.number) {
            return None;
        }
        let first = core.first_set_aside(index).map(|first| first.number);
        let fits = self.fits_beside_unevictable(core, waiter.demand());
        // It may have come back into the queue while a policy was asked without the lock.
        let is_set_aside = core.is_set_aside(waiter) && !core.is_delayed_aside(waiter);
        if first != Some(waiter.number) || fits != Ok(true) || !is_set_aside {
            return None;
        }
        let evictable = core
            .scope_groups(index)
            .flat_map(|state| state.pinned.evictable());
        let mut evictable: Vec<_> = evictable.collect();
        evictable.sort_by_key(|(key, _)| *key);
        Some(Shortage {
            missing: self.missing(core, waiter.demand()),
            group: index,
            evictable: evictable
                .into_iter()
                .map(|(_, told)| Arc::clone(told))
                .collect(),
        })
    }
}
