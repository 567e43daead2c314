//! R1, R16, R18, R21 and R25 in the model: who is admitted, who waits, who is next. What a demand fits beside is in
//! `beside.rs`.

use crate::model::Model;
use crate::policies::Judging;
use crate::words::{GROUP_BYTES, Mode, Patience, Refusal, Request, Uncovered, Usage, Waiter};
use std::time::Duration;

impl Model {
    /// R1, R25 and R26b: whether the demand may join now, in place of what a growing guard has.
    pub(crate) fn fits(&self, request: &Request) -> bool {
        if self.settings.mode == Mode::Off {
            return true;
        }
        let mut others = self.live.clone();
        others.remove(&request.guard);
        let active = others.values().filter(|live| {
            live.group == request.live.group && live.kind == mlx_wired::Kind::Active
        });
        if !request.grows && request.live.is_one_too_many(active.count()) {
            return false;
        }
        let live = others.values();
        let sizes: Vec<u64> = live
            .filter(|live| live.group == request.live.group)
            .map(|live| live.bytes)
            .collect();
        let total: u64 = others.values().map(|live| live.bytes).sum();
        let new = request.live.bytes;
        if self
            .settings
            .budget
            .is_some_and(|budget| total.saturating_add(new) > budget)
        {
            return false;
        }
        let now = Judging {
            baseline: self.admission_baseline(),
            device: self.settings.device(),
            total_live: total,
            world: self.world,
        };
        request.live.rule.admits(&now, &sizes, new) && self.leaves_rooms(request)
    }

    /// R18: whether it could be admitted at the best of times.
    pub(crate) fn never(&self, request: &Request) -> Option<Refusal> {
        if self.settings.mode == Mode::Off {
            return None;
        }
        let (rule, size) = (request.live.rule, request.live.bytes);
        let over_budget = self.settings.budget.is_some_and(|budget| size > budget);
        let device = self.settings.device();
        let ever = rule.ever_admits(self.admission_baseline(), device, size);
        if !over_budget && ever && self.leaves_rooms_of(request, &Vec::new()) {
            return None;
        }
        Some(Refusal::Never {
            size,
            capacity: rule
                .capacity(self.admission_baseline(), device)
                .into_iter()
                .chain(self.settings.budget)
                .min(),
        })
    }

    /// R33: new settings may have made a wait hopeless.
    pub(crate) fn refuse_what_never_fits(&mut self) {
        for waiter in std::mem::take(&mut self.line) {
            match self.never(&waiter.request) {
                Some(refusal) => self.finish(waiter.request.actor, Err(refusal)),
                None => self.line.push(waiter),
            }
        }
    }

    /// Whether two groups' demands wait in one line: their own, or with a budget the only one.
    pub(crate) fn same_line(&self, a: &str, b: &str) -> bool {
        self.settings.budget.is_some() || a == b
    }

    /// Acquires or grows. The result is in `done`, unless it waits.
    pub(crate) fn enter(&mut self, request: Request, patience: Patience) {
        let actor = request.actor;
        match self.try_enter(request, patience) {
            Ok(true) => self.settle_all(),
            Ok(false) => {}
            Err(refusal) => self.finish(actor, Err(refusal)),
        }
    }

    /// Whether it is a transition: a guard was admitted, here or of those who wait.
    fn try_enter(&mut self, request: Request, patience: Patience) -> Result<bool, Refusal> {
        let (bytes, group) = (request.live.bytes, request.live.group);
        if self.closed {
            return Err(Refusal::Closed);
        }
        if bytes > GROUP_BYTES {
            let full = Refusal::Full { requested: bytes };
            return Err(self.never(&request).unwrap_or(full));
        }
        let mut ahead = self
            .line
            .iter()
            .filter(|waiter| self.same_line(waiter.request.live.group, group));
        // Growing is examined before the queue (R21).
        let new_hold = request.live.is_hold() && !request.grows;
        let behind = new_hold && self.is_behind_one_aside(group);
        let first = ahead.all(|waiter| request.grows && !waiter.request.grows) && !behind;
        let fits = first && self.fits(&request);
        let delayed = fits && self.is_delayed(&request, None);
        if fits && !delayed {
            self.count(request, None)?;
            self.examine_if_unjudged(group);
            return Ok(true);
        }
        if let Some(never) = self.never(&request) {
            return Err(never);
        }
        let aside = self.waits_for_holds(&request)? || behind;
        let usage = self.usage(&request);
        match patience {
            Patience::Try => return Err(usage.would_block(bytes)),
            Patience::For(Duration::ZERO) => return Err(usage.timeout(bytes, Duration::ZERO)),
            _ => {}
        }
        let mut waiter = Waiter {
            request,
            patience,
            since: self.now,
            arrival: self.arrivals,
            overtaken: 0,
            aside,
            delayed: false,
            delayed_until: None,
        };
        self.arrivals += 1;
        if self.closes_a_circle(&waiter) {
            return Err(Refusal::WouldDeadlock { requested: bytes });
        }
        self.counts.waits += 1;
        if delayed && !aside {
            waiter.delayed = new_hold;
            waiter.aside = new_hold;
            self.delay(&mut waiter);
        }
        self.line_up(waiter);
        let passes = !first && self.settings.overtaking > 0;
        if passes {
            self.examine(group);
        }
        Ok(passes)
    }

    /// To the end of its line, or to those set aside.
    pub(crate) fn line_up(&mut self, waiter: Waiter) {
        if waiter.aside {
            self.aside.push(waiter);
            self.aside.sort_by_key(|waiter| waiter.arrival);
            return;
        }
        let growing = self.line.iter().filter(|w| w.request.grows).count();
        let place = if waiter.request.grows {
            growing
        } else {
            self.line.len()
        };
        self.line.insert(place, waiter);
    }

    /// What a demand meets: its group, or all of them if the budget over them leaves less.
    pub(crate) fn usage(&self, request: &Request) -> Usage {
        let group = request.live.group;
        let line = self.line.iter();
        let line = line.filter(|waiter| self.same_line(waiter.request.live.group, group));
        let baseline = self.admission_baseline();
        let of_group = Usage {
            in_use: self.in_use(group),
            capacity: request.live.rule.capacity(baseline, self.settings.device()),
            waiting: line.count(),
        };
        let Some(budget) = self.settings.budget else {
            return of_group;
        };
        let of_all = Usage {
            in_use: self.live.values().map(|live| live.bytes).sum(),
            capacity: Some(budget),
            ..of_group
        };
        let room = |usage: &Usage| {
            let capacity = usage.capacity.unwrap_or(u64::MAX);
            capacity.saturating_sub(usage.in_use)
        };
        if room(&of_group) < room(&of_all) {
            of_group
        } else {
            of_all
        }
    }

    /// Counts an admitted demand.
    pub(crate) fn count(
        &mut self,
        request: Request,
        waited: Option<Duration>,
    ) -> Result<(), Refusal> {
        let held = self.live.get(&request.guard).map_or(0, |live| live.bytes);
        let others = self.in_use(request.live.group) - held;
        if others + request.live.bytes > GROUP_BYTES {
            return Err(Refusal::Full {
                requested: request.live.bytes,
            });
        }
        let group = request.live.group;
        // R2.
        self.speakers.insert(group, request.live.rule);
        let guard = request.guard;
        // Only what is let in or grows may close a circle; one that shrinks does no harm.
        self.suspicious |= request.live.is_hold();
        self.note_hold(&request.live);
        let before = self.live.insert(guard, request.live);
        self.uncovered.push(Uncovered {
            guard,
            actor: request.actor,
            before,
            sizes: self.sizes(group),
            waited,
            covered: self.is_covered(guard),
            wanted: self.called_for_by(group, &self.sizes(group)),
            shrinks: false,
        });
        Ok(())
    }

    /// Judges again, then admits, until nothing is left to do. Then looks for circles that this may have closed.
    pub(crate) fn examine(&mut self, group: &'static str) {
        loop {
            self.judge_again(group);
            self.take_back_delayed(group);
            let let_in = self.admit_from_line(group);
            if !let_in && !self.is_unjudged(group) && !self.is_to_take_back(group) {
                break;
            }
        }
        self.note_undelayed(group);
        self.look_for_circles();
    }

    /// [`examine`](Self::examine) after an admission past the line, which is no concern of theirs unless it is a hold.
    fn examine_if_unjudged(&mut self, group: &'static str) {
        if !self.unjudged.is_empty() {
            self.examine(group);
        }
    }

    /// R16: admits from the head of the line while it fits. Whether a hold was let in, which those behind it may not fit
    /// beside.
    fn admit_from_line(&mut self, group: &'static str) -> bool {
        let allowed = self.settings.overtaking;
        let mut place = 0;
        let mut passed = Vec::new();
        while place < self.line.len() {
            let waiter = &self.line[place];
            if !self.same_line(waiter.request.live.group, group) {
                place += 1;
                continue;
            }
            let is_hold = waiter.request.live.is_hold();
            let overtakes_none = is_hold && !passed.is_empty();
            let waits = overtakes_none || !self.fits(&waiter.request);
            let delayed = !waits && self.is_delayed(&waiter.request, Some(waiter));
            if delayed {
                let mut waiter = self.line.remove(place);
                if waiter.is_new_hold() {
                    waiter.delayed = true;
                    waiter.aside = true;
                    self.delay(&mut waiter);
                    self.line_up(waiter);
                    continue;
                }
                self.delay(&mut waiter);
                self.line.insert(place, waiter);
            } else if waits && passed.is_empty() {
                self.note_first_waits(group);
            }
            let waiter = &self.line[place];
            if waits || delayed {
                if waiter.overtaken >= allowed {
                    return false;
                }
                passed.push(place);
                place += 1;
                continue;
            }
            let waiter = self.line.remove(place);
            let (actor, waited) = (waiter.request.actor, Some(self.now - waiter.since));
            if let Err(refusal) = self.count(waiter.request, waited) {
                self.finish(actor, Err(refusal));
                continue;
            }
            if is_hold {
                return true;
            }
            for passed in &passed {
                self.line[*passed].overtaken += 1;
            }
            if passed.iter().any(|p| self.line[*p].overtaken >= allowed) {
                // Who might have overtaken is behind a head now, which may be waiting for it.
                self.suspicious = true;
                return false;
            }
        }
        false
    }

    pub(crate) fn examine_all(&mut self) {
        for group in self.groups.clone() {
            self.examine(group);
        }
    }
}
