//! Deadlocks: threads that wait for what they hold themselves, alone or together.
//!
//! The waits are reduced: a waiter that could be admitted if every guard but those of pinned demands (R26), and those
//! that stuck threads hold, were released is not stuck. What it holds and what it asked for will be released, so the
//! next is tried. A thread that is still stuck when nothing changes any more is in a deadlock. For a waiter that is set
//! aside the pinned demands count only where a stuck thread has them, or where they are leaked: it waits for pinned
//! demands. Owned guards are held by no thread, except by one that waits to grow them, and a waiter that may still
//! overtake those before it does not count as behind them. None of these makes any thread stuck, so a deadlock reported
//! is a deadlock.
//!
//! A waiter with a deadline or a token may give up. A deadlock with one in it fails no wait: an event tells of it,
//! once.
//!
//! A newcomer that holds something is looked at before it waits; so is a waiter that has come back into the queue. A
//! deadlock may also be completed while all its threads wait already: a pinned demand is admitted or grows, a guard is
//! leaked, overtaking is used up, or settings change. Then it is broken at one of them. And it may be completed while a
//! newcomer looks for it, since policies are asked without the lock. So a newcomer that was disturbed looks again once
//! it waits.
//!
//! A policy that panics when it is asked here ends the wait that it was asked about.

use crate::Error;
use crate::event::EventKind;
use crate::manager::admission::pump::MOST_PASSED;
use crate::manager::admission::supposed::Supposed;
use crate::manager::inner::Inner;
use crate::manager::inner::locked::Locked;
use crate::manager::state::group::Group;
use crate::manager::state::waiter::Waiter;
use crate::print::ThreadLabel;
use crate::snapshot::Holder;
use crate::snapshot::HolderState;
use crate::sync::{Arc, Ordering, ThreadId};
use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

/// A waiter, and where it waits.
#[derive(Clone)]
struct Row {
    waiter: Arc<Waiter>,
    set_aside: bool,
}

impl Row {
    /// Growing guards first, then those in the queue, then those set aside; each in their order.
    fn order(&self) -> (bool, u64) {
        let key = if self.set_aside {
            self.waiter.number
        } else {
            self.waiter.key()
        };
        (self.set_aside, key)
    }
}

/// The waits and the guards at one moment.
struct Waits {
    rows: Vec<Row>,
    /// How often each of them was overtaken.
    overtaken: Vec<u64>,
    /// What is held by threads: neither owned guards nor leaked ones.
    holders: Vec<Holder>,
}

impl Waits {
    /// Whether a waiter's thread holds something.
    fn has_guard(&self, waiter: &Waiter) -> bool {
        let mut holders = self.holders.iter();
        holders.any(|holder| holder.thread == waiter.thread)
    }
}

/// Which threads count as stuck to begin with.
#[derive(Clone, Copy)]
struct Supposing {
    /// Threads that may give up count, too.
    all: bool,
    /// What this thread holds counts as released.
    released: Option<ThreadId>,
}

impl Supposing {
    const NOTHING: Self = Self {
        all: false,
        released: None,
    };
}

/// A wait whose policy panicked, and the error for it.
struct Panicked(Arc<Waiter>, Error);

impl Inner {
    /// Refuses a demand whose wait would complete a deadlock. `set_aside`: it will be set aside.
    pub(crate) fn refuse_deadlock(
        &self,
        core: &mut Locked<'_>,
        newcomer: &Arc<Waiter>,
        set_aside: bool,
    ) -> Result<(), Error> {
        // Nearly always: a thread without guards completes no deadlock.
        if !newcomer.has_guard {
            return Ok(());
        }
        let row = Row {
            waiter: Arc::clone(newcomer),
            set_aside,
        };
        loop {
            let waits = self.list_waits(core, Some(row.clone()));
            match self.find_deadlock(core, &waits, newcomer) {
                Ok(None) => return Ok(()),
                Ok(Some(_)) if !self.is_unchanged(core, &waits, Some(&row)) => {}
                Ok(Some(stuck)) => return Err(self.deadlock_error(core, newcomer, waits, &stuck)),
                Err(Panicked(waiter, error)) if Arc::ptr_eq(&waiter, newcomer) => {
                    return Err(error);
                }
                Err(panicked) => {
                    if let Some(group) = self.end_panicked_wait(core, panicked) {
                        // The caller holds a judge lock: those behind are examined after it.
                        core.defer_group(&group);
                    }
                }
            }
        }
    }

    /// Ends the wait of a waiter that has come back into the queue, if it completes a deadlock there.
    pub(crate) fn refuse_returned_deadlock(&self, core: &mut Locked<'_>, returned: &Arc<Waiter>) {
        let group = returned.request.group().clone();
        while returned.has_guard && core.group(group.index).has_waiter(returned) {
            let waits = self.list_waits(core, None);
            let group = match self.find_deadlock(core, &waits, returned) {
                Ok(None) => return,
                Ok(Some(_)) if !self.is_unchanged(core, &waits, None) => None,
                Ok(Some(stuck)) => {
                    core.remove_waiter(returned);
                    let error = self.deadlock_error(core, returned, waits, &stuck);
                    self.resolve(core, returned, Err(error));
                    Some(group.clone())
                }
                Err(panicked) => self.end_panicked_wait(core, panicked),
            };
            if let Some(group) = group {
                self.pump(core, group.index);
            }
        }
    }

    /// The threads of a deadlock that a waiter's thread is in, if none of them may give up. If some may, an event tells
    /// of it.
    fn find_deadlock(
        &self,
        core: &mut Locked<'_>,
        waits: &Waits,
        waiter: &Waiter,
    ) -> Result<Option<HashSet<ThreadId>>, Panicked> {
        if !waits.has_guard(waiter) {
            return Ok(None);
        }
        let stuck = self.stuck_threads(core, waits, Supposing::NOTHING)?;
        if stuck.contains(&waiter.thread) {
            return Ok(Some(stuck));
        }
        self.report_deadlock_with_deadline(core, waits, Some(waiter.thread))?;
        Ok(None)
    }

    /// Tells of a deadlock with a deadline or token in it, once.
    fn report_deadlock_with_deadline(
        &self,
        core: &mut Locked<'_>,
        waits: &Waits,
        of: Option<ThreadId>,
    ) -> Result<(), Panicked> {
        if !waits.rows.iter().any(|row| row.waiter.may_give_up) {
            return Ok(());
        }
        let all = Supposing {
            all: true,
            ..Supposing::NOTHING
        };
        let stuck = self.stuck_threads(core, waits, all)?;
        if stuck.is_empty() || of.is_some_and(|thread| !stuck.contains(&thread)) {
            return Ok(());
        }
        let in_deadlock = || {
            let rows = waits.rows.iter().map(|row| &row.waiter);
            rows.filter(|waiter| stuck.contains(&waiter.thread))
        };
        let numbers: BTreeSet<u64> = in_deadlock().map(|waiter| waiter.number).collect();
        // Threads that hold nothing complete no deadlock: they wait for what is leaked.
        let is_deadlock = in_deadlock().any(|waiter| waits.has_guard(waiter));
        if !is_deadlock || numbers.is_subset(&core.reported_deadlocks) {
            return Ok(());
        }
        let threads = in_deadlock()
            .map(|waiter| ThreadLabel(waiter.thread_name.as_deref(), waiter.thread).to_string())
            .collect();
        core.reported_deadlocks.extend(numbers);
        let waiting: BTreeSet<u64> = waits.rows.iter().map(|row| row.waiter.number).collect();
        core.reported_deadlocks
            .retain(|number| waiting.contains(number));
        self.emit(
            core,
            EventKind::CircleWithDeadline { threads },
            None,
            |_| {},
        );
        Ok(())
    }

    /// Ends waits until no deadlock is left. For changes that may complete one among those that wait already, and for a
    /// newcomer that was disturbed while it looked for one.
    pub(crate) fn break_deadlocks(&self, core: &mut Locked<'_>) {
        while core.waiting_with_guards > 0 {
            let waits = self.list_waits(core, None);
            let stuck = self.stuck_threads(core, &waits, Supposing::NOTHING);
            let found = stuck.and_then(|stuck| {
                let first = self.choose_wait_to_end(core, &waits, &stuck)?;
                Ok(first.map(|waiter| (Arc::clone(waiter), stuck)))
            });
            let group = match found {
                Err(panicked) => self.end_panicked_wait(core, panicked),
                Ok(_) if !self.is_unchanged(core, &waits, None) => None,
                Ok(None) => match self.report_deadlock_with_deadline(core, &waits, None) {
                    Ok(()) => return,
                    Err(panicked) => self.end_panicked_wait(core, panicked),
                },
                Ok(Some((waiter, stuck))) => {
                    let group = waiter.request.group().clone();
                    core.remove_waiter(&waiter);
                    let error = self.deadlock_error(core, &waiter, waits, &stuck);
                    self.resolve(core, &waiter, Err(error));
                    Some(group)
                }
            };
            // Later waiters may fit.
            if let Some(group) = group {
                self.pump(core, group.index);
            }
        }
    }

    /// Ends a wait whose policy panicked, unless it is over already. Returns the group that it waited in.
    fn end_panicked_wait(&self, core: &mut Locked<'_>, panicked: Panicked) -> Option<Arc<Group>> {
        let Panicked(waiter, error) = panicked;
        let group = waiter.request.group();
        core.remove_waiter(&waiter)?;
        self.resolve(core, &waiter, Err(error));
        Some(group.clone())
    }

    /// The first waiter such that a release of its own guards would free the rest. If there is none, the one with the largest
    /// guards.
    fn choose_wait_to_end<'a>(
        &self,
        core: &mut Locked<'_>,
        waits: &'a Waits,
        stuck: &HashSet<ThreadId>,
    ) -> Result<Option<&'a Arc<Waiter>>, Panicked> {
        let held = |thread| {
            let own = waits.holders.iter().filter(|h| h.thread == thread);
            own.map(|holder| holder.bytes).reduce(u64::saturating_add)
        };
        let mut holding: Vec<_> = waits
            .rows
            .iter()
            .map(|row| &row.waiter)
            .filter(|waiter| stuck.contains(&waiter.thread) && held(waiter.thread).is_some())
            .collect();
        // By arrival, whether they are in the queue or set aside.
        holding.sort_by_key(|waiter| waiter.order());
        for waiter in &holding {
            let supposing = Supposing {
                released: Some(waiter.thread),
                ..Supposing::NOTHING
            };
            let mut others = self.stuck_threads(core, waits, supposing)?;
            others.remove(&waiter.thread);
            if others.is_empty() {
                return Ok(Some(waiter));
            }
        }
        Ok(holding.into_iter().max_by_key(|w| held(w.thread)))
    }

    /// The present waits, and those that would be with the newcomer.
    fn list_waits(&self, core: &mut Locked<'_>, newcomer: Option<Row>) -> Waits {
        let mut rows = list_rows(core);
        rows.extend(newcomer);
        rows.sort_by_key(Row::order);
        core.keep_until_unlocked(rows.iter().map(|row| &row.waiter));
        let mut holders = self.holders_of(&core.groups_with_lists());
        holders.retain(|holder| holder.bound && holder.state != HolderState::Leaked);
        Waits {
            overtaken: overtaken_counts(&rows),
            rows,
            holders,
        }
    }

    /// Whether the same waiters wait still, and may be overtaken as often: policies are asked without the lock. A thread
    /// that waits releases nothing, so what they hold is the same too.
    fn is_unchanged(&self, core: &Locked<'_>, waits: &Waits, newcomer: Option<&Row>) -> bool {
        let mut now = list_rows(core);
        now.extend(newcomer.cloned());
        now.sort_by_key(Row::order);
        let same =
            |(a, b): (&Row, &Row)| Arc::ptr_eq(&a.waiter, &b.waiter) && a.set_aside == b.set_aside;
        now.len() == waits.rows.len()
            && now.iter().zip(&waits.rows).all(same)
            && waits.overtaken == overtaken_counts(&waits.rows)
    }

    /// The threads that no release by others can free.
    ///
    /// A policy that goes by something outside may change its mind between two questions. Asked about everything twice,
    /// its answers are of one mind at least once.
    fn stuck_threads(
        &self,
        core: &mut Locked<'_>,
        waits: &Waits,
        supposing: Supposing,
    ) -> Result<HashSet<ThreadId>, Panicked> {
        let mut stuck = self.reduce_waits(core, waits, supposing)?;
        let asks = |row: &Row| row.waiter.request.group().custom;
        if !stuck.is_empty() && waits.rows.iter().any(asks) {
            let again = self.reduce_waits(core, waits, supposing)?;
            stuck.retain(|thread| again.contains(thread));
        }
        Ok(stuck)
    }

    /// [`stuck_threads`](Self::stuck_threads), with each policy asked once about each wait.
    fn reduce_waits(
        &self,
        core: &mut Locked<'_>,
        waits: &Waits,
        supposing: Supposing,
    ) -> Result<HashSet<ThreadId>, Panicked> {
        // By scope, those in its queue and those set aside. A budget over all groups makes them one scope.
        let mut queues: BTreeMap<(Option<usize>, bool), VecDeque<&Row>> = BTreeMap::new();
        let mut stuck = HashSet::new();
        for row in &waits.rows {
            let group = row.waiter.request.group().index;
            let scope = core.config.budget.is_none().then_some(group);
            queues
                .entry((scope, row.set_aside))
                .or_default()
                .push_back(row);
            if supposing.all || !row.waiter.may_give_up {
                stuck.insert(row.waiter.thread);
            }
        }
        let allowed = core.config.overtaking;
        loop {
            let mut supposed = Supposed::new(waits.holders.iter().filter(|holder| {
                stuck.contains(&holder.thread) && supposing.released != Some(holder.thread)
            }));
            // What is freed in this pass admits others in the next.
            let mut freed = false;
            for queue in queues.values_mut() {
                let mut index = 0;
                while let Some(row) = queue.get(index) {
                    let waiter = &row.waiter;
                    // A demand to be pinned overtakes none in the queue, and none set aside passes an earlier one.
                    let behind = index > 0
                        && waiter.request.is_pinned()
                        && (!row.set_aside || waiter.is_new_pinned());
                    let frees = !stuck.contains(&waiter.thread)
                        || (!behind
                            && self
                                .could_join(core, waiter, row.set_aside, &mut supposed)
                                .map_err(|error| Panicked(waiter.clone(), error))?);
                    if frees {
                        freed |= stuck.remove(&waiter.thread) && waiter.has_guard;
                        queue.remove(index);
                        continue;
                    }
                    // Under the manager's lock.
                    let overtaken = waiter.overtaken.load(Ordering::Relaxed);
                    if !row.set_aside && (overtaken >= allowed || index >= MOST_PASSED) {
                        break;
                    }
                    index += 1;
                }
            }
            if !freed {
                return Ok(stuck);
            }
        }
    }

    fn deadlock_error(
        &self,
        core: &Locked<'_>,
        waiter: &Waiter,
        waits: Waits,
        stuck: &HashSet<ThreadId>,
    ) -> Error {
        let group = waiter.request.group().index;
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
        let (held, held_at) = culprit.map_or((0, waiter.location), |it| (it.bytes, it.place));
        let mut contention = self.contention(core, group, None);
        contention.policy = waiter.request.policy_label().clone();
        contention.guards = holders.len();
        contention.name(holders);
        Error::WouldDeadlock {
            requested: waiter.request.bytes(),
            held,
            held_at,
            threads: stuck.len(),
            contention,
        }
    }
}

/// Every waiter.
fn list_rows(core: &Locked<'_>) -> Vec<Row> {
    let mut rows = Vec::new();
    for state in core.listed_groups() {
        for (waiters, set_aside) in [(&state.queue, false), (&state.set_aside, true)] {
            rows.extend(waiters.values().map(|waiter| Row {
                waiter: Arc::clone(waiter),
                set_aside,
            }));
        }
    }
    rows
}

fn overtaken_counts(rows: &[Row]) -> Vec<u64> {
    // Relaxed: under the manager's lock.
    rows.iter()
        .map(|row| row.waiter.overtaken.load(Ordering::Relaxed))
        .collect()
}
