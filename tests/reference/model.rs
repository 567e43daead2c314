//! The contract's rules for one thread at a time, in plain data: who is admitted, who waits, what is told.
//!
//! Written from the rules, not from the coordinator: one list of live guards, one line of waiters, and after
//! each step the limit is decided anew (`limit.rs`). Nothing is kept that can be computed.

use crate::limit::{Epoch, HeldBack, Setter};
use crate::policies::{self, Rule, World};
use crate::words::{
    Counts, Live, Mode, Patience, Refusal, Request, Settings, Told, Uncovered, Waiter,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// Whose call has ended, and how.
pub(crate) type Done = (usize, Result<Told, Refusal>);

#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) now: Duration,
    pub(crate) settings: Settings,
    pub(crate) world: World,
    pub(crate) live: BTreeMap<u64, Live>,
    /// Growing guards first, each part in the order of coming into line.
    pub(crate) line: Vec<Waiter>,
    /// Those set aside, in the order of arrival.
    pub(crate) aside: Vec<Waiter>,
    /// How many waits have begun.
    pub(crate) arrivals: u64,
    /// Groups whose holds have changed since their waiters were judged.
    pub(crate) unjudged: BTreeSet<&'static str>,
    /// The arrivals of those that have come back into line since circles were looked for.
    pub(crate) returned: Vec<u64>,
    /// Something has happened since that may close a circle among those who wait.
    pub(crate) suspicious: bool,
    /// The arrivals of those in circles that were told of.
    pub(crate) told: BTreeSet<u64>,
    pub(crate) circles_told: u64,
    pub(crate) closed: bool,
    /// The mode was another one before.
    pub(crate) was_unwired: bool,
    /// Since when the pressure delays those in a line, or those aside there, without a break.
    pub(crate) delayed_since: BTreeMap<(&'static str, bool), Duration>,
    pub(crate) counts: Counts,
    pub(crate) done: Vec<Done>,
    /// The newest admitted rule of each group.
    pub(crate) speakers: BTreeMap<&'static str, Rule>,
    /// In the order in which tickets were made.
    pub(crate) groups: Vec<&'static str>,
    pub(crate) uncovered: Vec<Uncovered>,
    pub(crate) setter: Setter,
    /// The limit that was set last; nothing is known before.
    pub(crate) applied: Option<u64>,
    pub(crate) epoch: Option<Epoch>,
    pub(crate) epochs: u64,
    pub(crate) last_change: Option<Duration>,
    pub(crate) held_back: HeldBack,
}

impl Model {
    pub(crate) fn new(settings: Settings, initial_limit: u64, entries: &[usize]) -> Self {
        let mut groups = Vec::new();
        for entry in entries {
            let group = policies::group(*entry);
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
        Self {
            now: Duration::ZERO,
            settings,
            world: World::FRIENDLY,
            live: BTreeMap::new(),
            line: Vec::new(),
            aside: Vec::new(),
            arrivals: 0,
            unjudged: BTreeSet::new(),
            returned: Vec::new(),
            suspicious: false,
            told: BTreeSet::new(),
            circles_told: 0,
            closed: false,
            was_unwired: settings.mode != Mode::Wired,
            delayed_since: BTreeMap::new(),
            counts: Counts::default(),
            done: Vec::new(),
            speakers: BTreeMap::new(),
            groups,
            uncovered: Vec::new(),
            setter: Setter::new(initial_limit),
            applied: None,
            epoch: None,
            epochs: 0,
            last_change: None,
            held_back: HeldBack::default(),
        }
    }

    pub(crate) fn finish(&mut self, actor: usize, result: Result<Told, Refusal>) {
        self.done.push((actor, result));
    }

    /// All who wait: those in line, then those set aside.
    pub(crate) fn waiters(&self) -> impl Iterator<Item = &Waiter> + Clone {
        self.line.iter().chain(&self.aside)
    }

    pub(crate) fn sizes(&self, group: &str) -> Vec<u64> {
        let live = self.live.values().filter(|live| live.group == group);
        live.map(|live| live.bytes).collect()
    }

    pub(crate) fn in_use(&self, group: &str) -> u64 {
        self.sizes(group).iter().sum()
    }

    pub(crate) fn admission_baseline(&self) -> u64 {
        self.settings.baseline_override.unwrap_or(0)
    }

    pub(crate) fn release(&mut self, guard: u64) {
        let live = self.live.remove(&guard).expect("a live guard");
        self.note_hold(&live);
        self.examine(live.group);
        self.settle_all();
    }

    /// R26: what is leaked stays.
    pub(crate) fn leak(&mut self, guard: u64) {
        let live = self.live.get_mut(&guard).expect("a live guard");
        live.leaked = true;
        let group = live.group;
        self.unjudged.insert(group);
        self.suspicious = true;
        self.examine(group);
        self.settle_all();
    }

    pub(crate) fn shrink(&mut self, request: Request) {
        let (actor, group) = (request.actor, request.live.group);
        let speaker = self.speakers[group];
        if let Err(refusal) = self.count(request, None) {
            return self.finish(actor, Err(refusal));
        }
        // Less is not admitted.
        self.speakers.insert(group, speaker);
        self.uncovered.last_mut().expect("just counted").shrinks = true;
        self.examine(group);
        self.settle_all();
    }

    /// A waiter gives up: the next is examined.
    fn give_up(&mut self, arrival: u64) {
        let Waiter {
            request,
            patience,
            since,
            ..
        } = self.end_wait(arrival);
        let group = request.live.group;
        let (bytes, waited) = (request.live.bytes, self.now - since);
        let refusal = if patience == Patience::UntilCancelled {
            self.counts.cancellations += 1;
            Refusal::Cancelled {
                requested: bytes,
                waited,
            }
        } else {
            self.counts.timeouts += 1;
            self.usage(&request).timeout(bytes, waited)
        };
        self.finish(request.actor, Err(refusal));
        self.examine(group);
        if !self.uncovered.is_empty() {
            self.settle_all();
        }
    }

    /// The actor's token is cancelled. Does nothing unless it waits with one.
    pub(crate) fn cancel(&mut self, actor: usize) {
        let arrival = self.waiters().find(|waiter| {
            waiter.request.actor == actor && waiter.patience == Patience::UntilCancelled
        });
        if let Some(arrival) = arrival.map(|waiter| waiter.arrival) {
            self.give_up(arrival);
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        let deadlines = self.waiters().filter_map(Waiter::deadline);
        deadlines.chain(self.next_end_of_patience()).min()
    }

    /// The time goes on. No two deadlines are the same, and none is passed over. Whether one waits on whose patience ends now.
    pub(crate) fn advance_to(&mut self, to: Duration) -> bool {
        self.now = to;
        let due = |waiter: &Waiter| waiter.deadline().is_some_and(|at| at <= to);
        let arrival = self.waiters().find(|waiter| due(waiter));
        if let Some(arrival) = arrival.map(|waiter| waiter.arrival) {
            self.give_up(arrival);
        }
        self.end_patience()
    }

    pub(crate) fn maintain(&mut self) {
        self.settle_all();
    }

    /// R20.
    pub(crate) fn poke(&mut self) {
        self.unjudged.extend(&self.groups);
        self.examine_all();
        self.break_circles();
        self.settle_all();
    }

    /// R23 and R33. Whether the settings were taken.
    pub(crate) fn configure(&mut self, to: Settings) -> bool {
        if self.settings.may_change_only_while_idle(&to) {
            let idle = self.live.is_empty() && self.waiters().next().is_none();
            if idle {
                // A lingering epoch ends under the settings that it began with.
                self.end_linger();
            }
            if !idle {
                self.settle_all();
            }
            if !idle || self.epoch.is_some() {
                return false;
            }
            if to.mode != self.settings.mode {
                // What was set under the old mode says nothing under the new one.
                self.applied = None;
            }
        }
        self.was_unwired |= to.mode != Mode::Wired;
        if to.budget.is_some() != self.settings.budget.is_some() {
            self.delayed_since.clear();
        }
        self.settings = to;
        self.unjudged.extend(&self.groups);
        self.refuse_what_never_fits();
        self.examine_all();
        self.break_circles();
        self.settle_all();
        true
    }

    pub(crate) fn close(&mut self) {
        self.closed = true;
        let aside = std::mem::take(&mut self.aside);
        for waiter in std::mem::take(&mut self.line).into_iter().chain(aside) {
            self.finish(waiter.request.actor, Err(Refusal::Closed));
        }
        self.settle_all();
    }

    pub(crate) fn is_waiting(&self, actor: usize) -> bool {
        self.waiters().any(|waiter| waiter.request.actor == actor)
    }
}

/// What a failure tells of it.
impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (now, applied, epoch) = (self.now, self.applied, self.epoch);
        write!(f, "now {now:?}, applied {applied:?}, {epoch:?}")?;
        for (guard, live) in &self.live {
            let owned = if live.owned { ", owned" } else { "" };
            let hold = match (live.is_hold(), live.stays()) {
                (false, _) => String::new(),
                (true, true) => format!(", stays, room {}", live.room),
                (true, false) => format!(", evictable, room {}", live.room),
            };
            let (kind, bytes, group, actor) = (live.kind, live.bytes, live.group, live.actor);
            write!(
                f,
                "\n  guard {guard}: {kind:?} {bytes} of {group}, actor {actor}{owned}{hold}"
            )?;
        }
        for waiter in self.waiters() {
            let Request {
                guard, actor, live, ..
            } = &waiter.request;
            let (bytes, group, patience) = (live.bytes, live.group, waiter.patience);
            let aside = match (waiter.aside, waiter.delayed) {
                (_, true) => ", aside by the pressure",
                (true, false) => ", aside",
                (false, false) => "",
            };
            write!(
                f,
                "\n  waits: actor {actor} for guard {guard}, {bytes} of {group}, {patience:?}{aside}"
            )?;
        }
        Ok(())
    }
}
