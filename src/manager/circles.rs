//! Circles: threads that wait for what they hold themselves, alone or together.
//!
//! Before a demand is queued, the waits are reduced: whoever could be admitted if all were released that no stuck
//! thread holds is not stuck; what it holds and what it asked for will be released, and the next in line is tried. A
//! thread that is still stuck when nothing changes any more waits in a circle, and if the newcomer is among
//! them, it has closed it. Owned guards are held by no thread, except by one that waits to grow them; a waiter with a
//! deadline or a token may give up; and a waiter that may still overtake those before it does not count as behind them.
//! None of these makes anybody stuck, so a circle reported is a circle.
//!
//! A circle may also close while everybody waits already: overtaking is used up, or a policy holds less than it did.
//! Then the circle is broken at the first in line whose own guards are part of it. And it may close while a newcomer
//! looks for it, since policies are asked without the lock: so whoever was disturbed looks again once it is in line.
//!
//! A policy that panics when it is asked here ends the wait that it was asked about.

use super::Inner;
use super::group::Group;
use super::judge::Live;
use super::locked::Locked;
use super::queue::Waiter;
use super::registry::Holder;
use crate::Error;
use crate::holders;
use crate::sync::{Arc, Ordering, ThreadId};
use std::collections::{BTreeMap, HashSet};

/// Who waits for what, and who holds what, at one moment.
struct Waits {
    /// With their keys in the queues, in the order of arrival.
    waiters: Vec<(u64, Arc<Waiter>)>,
    /// How often each of them was overtaken.
    overtaken: Vec<u64>,
    /// What is held by threads: not owned guards.
    holders: Vec<Holder>,
}

/// A wait whose policy panicked, its key, and the error for it.
struct Panicked(u64, Arc<Waiter>, Error);

impl Inner {
    /// Refuses a demand whose wait would close a circle.
    pub(super) fn check_circle(
        &self,
        core: &mut Locked<'_>,
        newcomer: &Arc<Waiter>,
        key: u64,
    ) -> Result<(), Error> {
        // Nearly always: a thread that holds nothing closes no circle. Who grows holds what it grows.
        if newcomer.from.is_none() && !holders::thread_holds() {
            return Ok(());
        }
        let own = newcomer.thread;
        loop {
            let waits = self.waits(core, Some((key, newcomer)));
            let stuck = match self.stuck_threads(core, &waits, Some(own), None) {
                Ok(stuck) => stuck,
                Err(Panicked(whose, _, error)) if whose == key => return Err(error),
                Err(panicked) => {
                    if let Some(group) = self.refuse(core, panicked) {
                        // The caller holds a judge: those behind are examined after it.
                        core.revisit_later(&group);
                    }
                    continue;
                }
            };
            if !stuck.contains(&own) {
                return Ok(());
            }
            if self.stands(core, &waits, Some(key)) {
                return Err(self.would_deadlock(core, newcomer, waits, &stuck));
            }
        }
    }

    /// Ends waits until no circle is left. For changes that may close one among those who wait already, and for a
    /// newcomer who was disturbed while it looked for one.
    pub(super) fn break_circles(&self, core: &mut Locked<'_>) {
        while core.waiters() > 0 {
            let waits = self.waits(core, None);
            let stuck = self.stuck_threads(core, &waits, None, None);
            let found = stuck.and_then(|stuck| {
                let first = self.first_in_circle(core, &waits, &stuck)?;
                Ok(first.map(|(key, waiter)| (*key, Arc::clone(waiter), stuck)))
            });
            let group = match found {
                Err(panicked) => self.refuse(core, panicked),
                Ok(_) if !self.stands(core, &waits, None) => None,
                Ok(None) => return,
                Ok(Some((key, waiter, stuck))) => {
                    let group = waiter.ticket.group().clone();
                    core.dequeue(group.index, key);
                    let error = self.would_deadlock(core, &waiter, waits, &stuck);
                    self.resolve(core, &waiter, Err(error));
                    Some(group)
                }
            };
            // Those behind it may fit.
            if let Some(group) = group {
                self.pump(core, group.index);
            }
        }
    }

    /// Ends a wait whose policy panicked, unless it is over already. Returns the group whose queue it was in.
    fn refuse(&self, core: &mut Locked<'_>, panicked: Panicked) -> Option<Arc<Group>> {
        let Panicked(key, waiter, error) = panicked;
        let group = waiter.ticket.group();
        core.dequeue(group.index, key)?;
        self.resolve(core, &waiter, Err(error));
        Some(group.clone())
    }

    /// The first in line that would be admitted were its own guards released, since it waits for itself. Where more than
    /// one thread must release before anybody goes on: who holds the most.
    fn first_in_circle<'a>(
        &self,
        core: &mut Locked<'_>,
        waits: &'a Waits,
        stuck: &HashSet<ThreadId>,
    ) -> Result<Option<&'a (u64, Arc<Waiter>)>, Panicked> {
        let held = |thread| {
            let own = waits.holders.iter().filter(|h| h.thread == thread);
            own.map(|holder| holder.bytes).reduce(u64::saturating_add)
        };
        let holding: Vec<_> = waits
            .waiters
            .iter()
            .filter(|(_, waiter)| stuck.contains(&waiter.thread) && held(waiter.thread).is_some())
            .collect();
        for found in &holding {
            let own = found.1.thread;
            let others = self.stuck_threads(core, waits, None, Some(own))?;
            if !others.contains(&own) {
                return Ok(Some(found));
            }
        }
        Ok(holding.into_iter().max_by_key(|(_, w)| held(w.thread)))
    }

    /// The present waits, and those that would be with the newcomer.
    fn waits(&self, core: &mut Locked<'_>, newcomer: Option<(u64, &Arc<Waiter>)>) -> Waits {
        let queued = core.live_groups().flat_map(|state| &state.queue);
        let mut waiters: Vec<_> = queued.map(|(key, waiter)| (*key, waiter.clone())).collect();
        waiters.extend(newcomer.map(|(key, waiter)| (key, waiter.clone())));
        waiters.sort_by_key(|(key, _)| *key);
        core.keep(waiters.iter().map(|(_, waiter)| waiter));
        let mut holders = self.holders_of(&core.listing_groups());
        holders.retain(|holder| holder.bound);
        Waits {
            overtaken: overtaken(waiters.iter().map(|(_, waiter)| waiter)),
            waiters,
            holders,
        }
    }

    /// Whether the same waiters wait still, and may be overtaken as often: policies are asked without the lock. Who
    /// waits releases nothing, so what they hold is the same too.
    fn stands(&self, core: &Locked<'_>, waits: &Waits, newcomer: Option<u64>) -> bool {
        let queued = core.live_groups().flat_map(|state| state.queue.keys());
        let mut now: Vec<u64> = queued.copied().chain(newcomer).collect();
        now.sort_unstable();
        now.iter().eq(waits.waiters.iter().map(|(key, _)| key))
            && waits.overtaken == overtaken(waits.waiters.iter().map(|(_, waiter)| waiter))
    }

    /// The threads that no release by others can free. `own` counts as one that does not give up; what `released`
    /// holds counts as released.
    ///
    /// A policy that goes by something outside may change its mind between two questions. Asked about everything twice,
    /// its answers are of one mind at least once.
    fn stuck_threads(
        &self,
        core: &mut Locked<'_>,
        waits: &Waits,
        own: Option<ThreadId>,
        released: Option<ThreadId>,
    ) -> Result<HashSet<ThreadId>, Panicked> {
        let mut stuck = self.reduce(core, waits, own, released)?;
        let asks = |(_, waiter): &(u64, Arc<Waiter>)| waiter.ticket.group().custom;
        if !stuck.is_empty() && waits.waiters.iter().any(asks) {
            let again = self.reduce(core, waits, own, released)?;
            stuck.retain(|thread| again.contains(thread));
        }
        Ok(stuck)
    }

    /// [`stuck_threads`](Self::stuck_threads), with each policy asked once about each wait.
    fn reduce(
        &self,
        core: &mut Locked<'_>,
        waits: &Waits,
        own: Option<ThreadId>,
        released: Option<ThreadId>,
    ) -> Result<HashSet<ThreadId>, Panicked> {
        // By group; with a budget over all groups there is one line.
        let mut lines: BTreeMap<Option<usize>, Vec<&(u64, Arc<Waiter>)>> = BTreeMap::new();
        let mut stuck = HashSet::new();
        for place @ (_, waiter) in &waits.waiters {
            let index = waiter.ticket.group().index;
            let line = core.config.budget.is_none().then_some(index);
            lines.entry(line).or_default().push(place);
            if own == Some(waiter.thread) || !waiter.may_give_up {
                stuck.insert(waiter.thread);
            }
        }
        let allowed = core.config.overtaking;
        'reduce: loop {
            let held: Vec<&Holder> = waits
                .holders
                .iter()
                .filter(|holder| stuck.contains(&holder.thread) && released != Some(holder.thread))
                .collect();
            for line in lines.values_mut() {
                for place in 0..line.len() {
                    let (key, waiter) = line[place];
                    let frees = !stuck.contains(&waiter.thread)
                        || self
                            .can_free(core, waiter, &held)
                            .map_err(|error| Panicked(*key, waiter.clone(), error))?;
                    if frees {
                        stuck.remove(&waiter.thread);
                        line.remove(place);
                        continue 'reduce;
                    }
                    // Under the manager's lock.
                    if waiter.overtaken.load(Ordering::Relaxed) >= allowed {
                        break;
                    }
                }
            }
            return Ok(stuck);
        }
    }

    /// Whether a waiter could be admitted if only these were held.
    fn can_free(
        &self,
        core: &mut Locked<'_>,
        waiter: &Waiter,
        held: &[&Holder],
    ) -> Result<bool, Error> {
        let mut held = held.to_vec();
        // A growing guard asks for its new size in place of what it holds.
        if let Some(from) = &waiter.from
            && let Some(own) = held
                .iter()
                .position(|holder| holder.ticket == from.id() && holder.thread == waiter.thread)
        {
            held.swap_remove(own);
        }
        let sum = |sum: u64, holder: &&Holder| sum.saturating_add(holder.bytes);
        let total = held.iter().fold(0, sum);
        let budget = core.config.budget.unwrap_or(u64::MAX);
        if total.saturating_add(waiter.ticket.bytes()) > budget {
            return Ok(false);
        }
        let group = waiter.ticket.group().index;
        let in_group = held.iter().filter(|holder| holder.group == group);
        let mut live = Live::of(in_group.map(|holder| holder.bytes).collect());
        let waits = self.are_in_the_way(core, &waiter.ticket, &mut live, total)?;
        Ok(!waits)
    }

    fn would_deadlock(
        &self,
        core: &Locked<'_>,
        waiter: &Waiter,
        waits: Waits,
        stuck: &HashSet<ThreadId>,
    ) -> Error {
        let group = waiter.ticket.group().index;
        let mut holders = waits.holders;
        holders.retain(|holder| stuck.contains(&holder.thread));
        // The waiter's own guard first, then one in the group it waits for; the largest of those.
        let culprit = holders.iter().max_by_key(|holder| {
            (
                holder.thread == waiter.thread,
                holder.group == group,
                holder.bytes,
            )
        });
        let (held, held_at) = culprit.map_or((0, waiter.place), |it| (it.bytes, it.place));
        let mut contention = self.contention(core, group, None);
        contention.policy = waiter.ticket.policy_label().clone();
        contention.guards = holders.len();
        contention.name(holders);
        Error::WouldDeadlock {
            requested: waiter.ticket.bytes(),
            held,
            held_at,
            threads: stuck.len(),
            contention,
        }
    }
}

fn overtaken<'a>(waiters: impl Iterator<Item = &'a Arc<Waiter>>) -> Vec<u64> {
    // Relaxed: under the manager's lock.
    waiters
        .map(|waiter| waiter.overtaken.load(Ordering::Relaxed))
        .collect()
}
