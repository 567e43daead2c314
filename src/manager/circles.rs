//! Circles: threads that wait for what they hold themselves, alone or together.
//!
//! Before a demand is queued, the waits are reduced: whoever could be admitted if all were released that no stuck
//! thread holds is not stuck; what it holds and what it asked for will be released, and the next in line is tried. A
//! thread that is still stuck when nothing changes any more waits in a circle, and if the newcomer is among
//! them, it has closed it. Owned guards are held by no thread, and a waiter with a deadline or a token may give
//! up, so neither makes anybody stuck: a circle reported is a circle.

use super::Inner;
use super::core::Locked;
use super::judge::{Live, Verdict};
use super::queue::Waiter;
use super::registry::Holder;
use crate::Error;
use crate::sync::Arc;
use std::collections::{BTreeMap, HashSet};
use std::thread::ThreadId;

/// The waiters of one line, in its order.
type Line = Vec<Arc<Waiter>>;

impl Inner {
    /// Refuses a demand whose wait would close a circle.
    pub(super) fn check_circle(
        &self,
        core: &mut Locked<'_>,
        newcomer: &Arc<Waiter>,
        key: u64,
    ) -> Result<(), Error> {
        let holders = self.holders();
        let own = newcomer.thread;
        // Nearly always: a thread that holds nothing closes no circle.
        if !holders
            .iter()
            .any(|holder| holder.bound && holder.thread == own)
        {
            return Ok(());
        }
        loop {
            let waits = core.stats.waits;
            let lines = self.lines(core, newcomer, key);
            let stuck = self.stuck_threads(core, lines, &holders, own)?;
            if !stuck.contains(&own) {
                return Ok(());
            }
            // A policy was asked without the lock: only waits that stood still make a circle.
            let still = self.lines(core, newcomer, key);
            let moved = core.stats.waits != waits
                || still
                    .values()
                    .flatten()
                    .any(|waiter| waiter.outcome.lock().is_some());
            if !moved {
                return Err(self.would_deadlock(newcomer, &holders, &stuck));
            }
        }
    }

    /// The lines as they would be with the newcomer. With a budget over all groups there is one.
    fn lines(&self, core: &Locked<'_>, newcomer: &Arc<Waiter>, key: u64) -> BTreeMap<usize, Line> {
        let one_line = core.config.budget.is_some();
        let mut keyed: Vec<(u64, usize, Arc<Waiter>)> = core
            .live_groups()
            .flat_map(|state| {
                let index = state.shared.index;
                state
                    .queue
                    .iter()
                    .map(move |(key, waiter)| (*key, index, waiter.clone()))
            })
            .collect();
        keyed.push((key, newcomer.ticket.group().index, newcomer.clone()));
        keyed.sort_by_key(|(key, ..)| *key);
        let mut lines: BTreeMap<usize, Line> = BTreeMap::new();
        for (_, index, waiter) in keyed {
            lines
                .entry(if one_line { 0 } else { index })
                .or_default()
                .push(waiter);
        }
        lines
    }

    /// The threads that no release by others can free.
    fn stuck_threads(
        &self,
        core: &mut Locked<'_>,
        mut lines: BTreeMap<usize, Line>,
        holders: &[Holder],
        own: ThreadId,
    ) -> Result<HashSet<ThreadId>, Error> {
        let mut stuck: HashSet<ThreadId> = lines
            .values()
            .flatten()
            .filter(|waiter| waiter.thread == own || !waiter.may_give_up)
            .map(|waiter| waiter.thread)
            .collect();
        loop {
            let mut freed = None;
            for (index, line) in &lines {
                let Some(head) = line.first() else { continue };
                if !stuck.contains(&head.thread) || self.can_free(core, head, holders, &stuck)? {
                    freed = Some(*index);
                    break;
                }
            }
            let Some(line) = freed.and_then(|index| lines.get_mut(&index)) else {
                return Ok(stuck);
            };
            let head = line.remove(0);
            stuck.remove(&head.thread);
        }
    }

    /// Whether a waiter could be admitted if everything were released that no stuck thread holds.
    fn can_free(
        &self,
        core: &mut Locked<'_>,
        waiter: &Waiter,
        holders: &[Holder],
        stuck: &HashSet<ThreadId>,
    ) -> Result<bool, Error> {
        let index = waiter.ticket.group().index;
        let mut held: Vec<&Holder> = holders
            .iter()
            .filter(|holder| holder.bound && stuck.contains(&holder.thread))
            .collect();
        if let Some(from) = &waiter.from
            && let Some(own) = held.iter().position(|holder| holder.ticket == from.id())
        {
            held.swap_remove(own);
        }
        if let Some(budget) = core.config.budget {
            let sum = held
                .iter()
                .fold(0_u64, |sum, holder| sum.saturating_add(holder.bytes));
            if sum.saturating_add(waiter.ticket.bytes()) > budget {
                return Ok(false);
            }
        }
        let in_group = held.iter().filter(|holder| holder.group == index);
        let live = Live::of(in_group.map(|holder| holder.bytes).collect());
        // A policy that panics here is asked again at admission, where it is told of.
        Ok(self.judge_among(core, &waiter.ticket, &live)? == Verdict::Admit)
    }

    fn would_deadlock(
        &self,
        newcomer: &Waiter,
        holders: &[Holder],
        stuck: &HashSet<ThreadId>,
    ) -> Error {
        let group = newcomer.ticket.group().index;
        // The newcomer's own guard first, then one in the group it waits for; the largest of those.
        let culprit = holders
            .iter()
            .filter(|holder| holder.bound && stuck.contains(&holder.thread))
            .max_by_key(|holder| {
                (
                    holder.thread == newcomer.thread,
                    holder.group == group,
                    holder.bytes,
                )
            });
        Error::WouldDeadlock {
            requested: newcomer.ticket.bytes(),
            held: culprit.map_or(0, |holder| holder.bytes),
            held_at: culprit.map_or(newcomer.place, |holder| holder.place),
            threads: stuck.len(),
        }
    }
}
