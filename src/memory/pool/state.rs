//! The pool under its lock: what is in use of which account, what is idle, and which threads wait.
//!
//! Nothing here maps, unmaps, admits or wakes: what follows from a change is put into [`After`], and done without the lock.
//!
//! Of the bytes in use each is counted in `in_use` and in one account, from the moment it is promised to a call until
//! the buffer is returned. `in_use + idle` never exceeds the limit: a promise evicts idle blocks first, and a return only
//! moves bytes from one to the other.

use super::block::Block;
use super::classes;
use super::error::{PoolError, PoolUser};
use super::shelves::Shelves;
use super::stats::PoolStats;
use crate::PressureLevel;
use crate::clock::Waker;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A demand: how many bytes, and of which account.
#[derive(Debug, Clone, Copy)]
pub(super) struct Need {
    pub(super) len: u64,
    pub(super) account: usize,
    /// Whether it is a buffer that the program uses, not one that is prepared.
    pub(super) is_counted: bool,
}

/// What a demand was given: bytes in use, and an idle block or the right to map one.
pub(super) struct Allotment {
    pub(super) capacity: u64,
    pub(super) block: Option<Block>,
    /// What made room for it: to be unmapped before it is mapped.
    pub(super) evicted: Vec<Block>,
}

/// What is to be done without the lock.
#[derive(Default)]
pub(super) struct After {
    pub(super) unmap: Vec<Block>,
    pub(super) wake: Vec<Waker>,
}

impl After {
    pub(super) fn finish(self) {
        drop(self.unmap);
        for waker in self.wake {
            waker.wake();
        }
    }
}

/// A thread that waits for a buffer.
struct Waiter {
    number: u64,
    need: Need,
    waker: Waker,
}

#[derive(Default)]
struct Counts {
    hits: u64,
    misses: u64,
    waits: u64,
    refused: u64,
    evicted_blocks: u64,
    evicted_bytes: u64,
    peak_in_use: u64,
    peak: u64,
}

pub(super) struct State {
    limit: u64,
    /// As it was built.
    idle_limit: u64,
    /// The idle limit now.
    idle_limit_now: u64,
    level: PressureLevel,
    /// What the pool held when the pressure left normal.
    held_at_onset: u64,
    shelves: Shelves,
    in_use: u64,
    /// Of those in use, the bytes that are still to be mapped.
    promised: u64,
    users: Vec<PoolUser>,
    /// In the order of arrival.
    queue: VecDeque<Waiter>,
    /// What waiters were given, and have not taken yet.
    granted: Vec<(u64, Allotment)>,
    next_waiter: u64,
    counts: Counts,
    /// Wakes the thread that unmaps what has been idle for too long, while there is one.
    pub(super) housekeeper: Option<Waker>,
}

impl State {
    pub(super) fn new(limit: u64, idle_limit: u64) -> Self {
        Self {
            limit,
            idle_limit,
            idle_limit_now: idle_limit,
            level: PressureLevel::Normal,
            held_at_onset: 0,
            shelves: Shelves::new(),
            in_use: 0,
            promised: 0,
            users: Vec::new(),
            queue: VecDeque::new(),
            granted: Vec::new(),
            next_waiter: 0,
            counts: Counts::default(),
            housekeeper: None,
        }
    }

    /// The account of a name.
    pub(super) fn account(&mut self, name: &Arc<str>) -> usize {
        let known = self.users.iter().position(|user| user.name == *name);
        known.unwrap_or_else(|| {
            let name = name.clone();
            self.users.push(PoolUser { name, bytes: 0 });
            self.users.len() - 1
        })
    }

    /// What a demand is given now: nothing while other demands wait, or where it does not fit.
    pub(super) fn try_allot(&mut self, need: Need) -> Option<Allotment> {
        if !self.queue.is_empty() {
            return None;
        }
        self.allot(need)
    }

    fn allot(&mut self, need: Need) -> Option<Allotment> {
        let fits = |capacity: &u64| *capacity <= self.limit - self.in_use;
        // The last bytes of the limit can be had, too, in a block of no class; it would not stay idle.
        let exact = Some(classes::exact(need.len)).filter(|_| need.is_counted);
        let capacity = classes::capacity(need.len).filter(fits);
        let capacity = capacity.or_else(|| exact.filter(fits))?;
        let block = self.shelves.remove_newest(capacity);
        self.count(need, capacity, block.is_some());
        let mut evicted = Vec::new();
        while self.held() > self.limit
            && let Some(block) = self.evict()
        {
            evicted.push(block);
        }
        self.note_peak();
        Some(Allotment {
            capacity,
            block,
            evicted,
        })
    }

    fn count(&mut self, need: Need, capacity: u64, is_hit: bool) {
        self.in_use += capacity;
        self.users[need.account].bytes += capacity;
        if !is_hit {
            self.promised += capacity;
        } else if need.is_counted {
            self.counts.hits += 1;
        }
    }

    /// What was promised is there.
    pub(super) fn mapped(&mut self, need: Need, capacity: u64) {
        self.promised -= capacity;
        if need.is_counted {
            self.counts.misses += 1;
        }
        self.note_peak();
    }

    fn note_peak(&mut self) {
        let in_use = self.in_use - self.promised;
        self.counts.peak_in_use = self.counts.peak_in_use.max(in_use);
        self.counts.peak = self.counts.peak.max(in_use + self.shelves.bytes());
    }

    /// Of what was promised nothing came.
    pub(super) fn undo(&mut self, need: Need, capacity: u64, after: &mut After) {
        self.promised -= capacity;
        self.counts.refused += 1;
        self.subtract_in_use(need.account, capacity, after);
    }

    /// Bytes that are no longer in use, nor idle.
    pub(super) fn subtract_in_use(&mut self, account: usize, capacity: u64, after: &mut After) {
        self.in_use -= capacity;
        self.users[account].bytes -= capacity;
        self.allot_to_waiters(after);
    }

    /// A buffer comes back. A block that does not stay idle is in use until it has been unmapped and
    /// [subtracted](Self::subtract_in_use).
    pub(super) fn return_block(
        &mut self,
        account: usize,
        block: Block,
        now: Instant,
        after: &mut After,
    ) -> Option<Block> {
        let capacity = block.capacity();
        // A block larger than all that may be idle would evict all others first.
        if capacity > self.idle_limit_now {
            return Some(block);
        }
        let unkept = self.shelves.insert(block, now);
        if unkept.is_none() {
            self.subtract_in_use(account, capacity, after);
            self.evict_to(self.idle_limit_now, after);
        }
        unkept
    }

    /// Gives waiters what there is, in the order in which they came.
    fn allot_to_waiters(&mut self, after: &mut After) {
        while let Some(head) = self.queue.front()
            && let Some(allotment) = self.allot(head.need)
            && let Some(head) = self.queue.pop_front()
        {
            self.granted.push((head.number, allotment));
            after.wake.push(head.waker);
        }
    }

    /// Puts a demand in the queue, and returns its number there.
    pub(super) fn enqueue(&mut self, need: Need, waker: Waker) -> u64 {
        let number = self.next_waiter;
        self.next_waiter += 1;
        self.counts.waits += 1;
        self.queue.push_back(Waiter {
            number,
            need,
            waker,
        });
        number
    }

    /// What a waiter was given.
    pub(super) fn remove_granted(&mut self, number: u64) -> Option<Allotment> {
        let index = self.granted.iter().position(|(of, _)| *of == number)?;
        Some(self.granted.swap_remove(index).1)
    }

    /// A waiter leaves without a buffer. Later waiters may fit.
    pub(super) fn remove_waiter(&mut self, number: u64, after: &mut After) {
        self.queue.retain(|waiter| waiter.number != number);
        self.allot_to_waiters(after);
    }

    /// Whether no return of other buffers makes room for it.
    pub(super) fn is_too_large(&self, need: Need) -> bool {
        classes::exact(need.len) > self.limit
    }

    /// A demand that was given nothing, and is told nothing.
    pub(super) fn refuse_without_error<T>(&mut self) -> Option<T> {
        self.counts.refused += 1;
        None
    }

    /// The error of a demand that was given nothing.
    pub(super) fn refuse(&mut self, need: Need, waited: Duration) -> PoolError {
        self.counts.refused += 1;
        let name = self.name(need.account);
        let (requested, limit) = (need.len, self.limit);
        if self.is_too_large(need) {
            return PoolError::TooLarge {
                name,
                requested,
                limit,
            };
        }
        PoolError::Full {
            name,
            requested,
            in_use: self.in_use,
            limit,
            waiting: self.queue.len(),
            waited,
            users: self.users(),
        }
    }

    /// The accounts with buffers in use, the largest first.
    fn users(&self) -> Vec<PoolUser> {
        let users = self.users.iter().filter(|user| user.bytes > 0);
        let mut users: Vec<PoolUser> = users.cloned().collect();
        users.sort_by_key(|user| std::cmp::Reverse(user.bytes));
        users
    }

    pub(super) fn name(&self, account: usize) -> Arc<str> {
        self.users[account].name.clone()
    }

    fn held(&self) -> u64 {
        // What is promised may be absurd, where there is no limit.
        self.in_use.saturating_add(self.shelves.bytes())
    }

    fn evict(&mut self) -> Option<Block> {
        let block = self.shelves.remove_oldest()?;
        self.counts.evicted_blocks += 1;
        self.counts.evicted_bytes += block.capacity();
        Some(block)
    }

    /// Evicts until no more than `most` bytes are idle, and returns how many went.
    pub(super) fn evict_to(&mut self, most: u64, after: &mut After) -> u64 {
        let before = self.shelves.bytes();
        while self.shelves.bytes() > most
            && let Some(block) = self.evict()
        {
            after.unmap.push(block);
        }
        before - self.shelves.bytes()
    }

    /// Evicts what was returned at `bound` or before, and tells since when the oldest of the rest is idle.
    pub(super) fn evict_until(&mut self, bound: Instant, after: &mut After) -> Option<Instant> {
        loop {
            let oldest = self.shelves.oldest()?;
            if oldest > bound {
                return Some(oldest);
            }
            after.unmap.extend(self.evict());
        }
    }

    /// Since when the oldest block is idle.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.shelves.oldest()
    }

    pub(super) fn idle(&self) -> u64 {
        self.shelves.bytes()
    }

    /// The most that may be idle.
    pub(super) fn idle_limit_now(&self) -> u64 {
        self.idle_limit_now
    }

    /// Evicts the share of a level, and lowers or raises what may be idle.
    pub(super) fn set_pressure(&mut self, level: PressureLevel, after: &mut After) -> u64 {
        if level == self.level {
            return 0;
        }
        if self.level == PressureLevel::Normal {
            self.held_at_onset = self.held().min(self.idle_limit);
        }
        let rises = level > self.level;
        self.level = level;
        let left = |bytes: u64| match level {
            PressureLevel::Normal => bytes,
            PressureLevel::Warning => bytes / 2,
            PressureLevel::Urgent => bytes / 4,
            PressureLevel::Critical => 0,
        };
        self.idle_limit_now = match level {
            PressureLevel::Normal => self.idle_limit,
            _ => left(self.held_at_onset),
        };
        let idle = self.shelves.bytes();
        let target = if rises { left(idle) } else { idle };
        self.evict_to(target.min(self.idle_limit_now), after)
    }

    /// Nothing is kept from now on.
    pub(super) fn close(&mut self, after: &mut After) {
        (self.idle_limit, self.idle_limit_now) = (0, 0);
        self.evict_to(0, after);
        after.wake.extend(self.housekeeper.take());
    }

    pub(super) fn stats(&self) -> PoolStats {
        let counts = &self.counts;
        PoolStats {
            hits: counts.hits,
            misses: counts.misses,
            waits: counts.waits,
            refused: counts.refused,
            evicted_blocks: counts.evicted_blocks,
            evicted_bytes: counts.evicted_bytes,
            in_use: self.in_use,
            idle: self.shelves.bytes(),
            idle_blocks: self.shelves.blocks(),
            peak_in_use: counts.peak_in_use,
            peak: counts.peak,
            waiting: self.queue.len(),
            limit: self.limit,
            idle_limit: self.idle_limit_now,
            users: self.users(),
        }
    }
}
