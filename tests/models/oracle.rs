//! A backend that knows what MLX's limit must be, at each call of the setter and throughout each guard's life.

#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, Ordering};
use mlx_wired::ffi::{Backend, BackendError, Device, DeviceKind, MemoryCounters, Support};
#[cfg(not(loom))]
use shuttle::sync::atomic::{AtomicU64, Ordering};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::claim::{Claim, Form};

/// A device whose setter is a point at which others run.
#[derive(Debug)]
pub(crate) struct Oracle {
    /// MLX's limit. Relaxed read-modify-writes, by the setter and by whoever looks: the checker tries all their
    /// orders, and nobody is synchronised by them.
    limit: AtomicU64,
    ledger: Mutex<Ledger>,
    /// What an epoch's end sets back.
    baseline: u64,
    /// What the limit was at first.
    initial: u64,
    synchronizes: bool,
    /// The most that the setter takes.
    maximum: u64,
}

/// What no model checker sees.
#[derive(Debug, Default)]
struct Ledger {
    live: BTreeMap<u64, Claim>,
    next: u64,
    ceiling: u64,
    /// How often each waiter, by its ticket, was passed by one that came later.
    passed: BTreeMap<u64, u64>,
    /// No call is to come.
    forbidden: bool,
    /// What all groups together may hold.
    budget: Option<u64>,
    /// How often that has changed.
    budgets: u64,
    /// What a policy counts as the baseline when it admits.
    admission_baseline: u64,
    /// By group, the forms of its policies: any may speak for it.
    forms: BTreeMap<&'static str, Vec<Form>>,
    /// By group, what it may count as the sum alone, since its policy may panic.
    moody: BTreeSet<&'static str>,
    /// Guards are given out unwired when a call has failed.
    proceeds: bool,
    /// The setter is never called.
    unwired: bool,
    /// Nor heeds any cap.
    admits_all: bool,
    in_flight: bool,
    calls: Vec<u64>,
    /// The calls that fail, by their number from 0.
    failing: BTreeSet<usize>,
    /// From which call on all fail.
    failing_from: Option<usize>,
    panicking: BTreeSet<usize>,
    /// A set failed: calls may now be repeated and the end may be owed.
    has_failed: bool,
    has_succeeded: bool,
    violations: Vec<String>,
}

impl Oracle {
    pub(crate) fn new(baseline: u64, ceiling: u64) -> Self {
        Self {
            limit: AtomicU64::new(baseline),
            ledger: Mutex::new(Ledger {
                ceiling,
                ..Ledger::default()
            }),
            baseline,
            initial: baseline,
            synchronizes: false,
            maximum: ceiling,
        }
    }

    /// With a configured baseline in place of MLX's own limit.
    pub(crate) fn overridden(mut self, baseline: u64) -> Self {
        self.baseline = baseline;
        self.ledger().admission_baseline = baseline;
        self
    }

    /// Releases that may lower the limit synchronise.
    pub(crate) fn synchronizing(mut self) -> Self {
        self.synchronizes = true;
        self
    }

    /// A policy that may speak for a group.
    pub(crate) fn knows(&self, group: &'static str, form: Form) {
        let mut ledger = self.ledger();
        let forms = ledger.forms.entry(group).or_default();
        if !forms.contains(&form) {
            forms.push(form);
        }
    }

    /// A group's policy may panic when it is asked for its limit.
    pub(crate) fn may_panic(&self, group: &'static str) {
        self.ledger().moody.insert(group);
    }

    /// Guards are given out unwired when a call has failed.
    pub(crate) fn proceeds(&self) {
        self.ledger().proceeds = true;
    }

    /// The manager never calls the setter, and clamps nothing; or even admits everything.
    pub(crate) fn unwired(&self, admits_all: bool) {
        let mut ledger = self.ledger();
        ledger.admits_all = admits_all;
        ledger.unwired = true;
        ledger.forbidden = true;
    }

    pub(crate) fn has_budget(&self) -> bool {
        self.ledger().budget.is_some()
    }

    /// Whether so many bytes are more than some policy, or the budget, ever admits.
    pub(crate) fn is_too_much(&self, bytes: u64) -> bool {
        let ledger = self.ledger();
        let baseline = ledger.admission_baseline;
        let caps = ledger.forms.values().flatten();
        let caps = caps.filter_map(|form| form.cap(ledger.ceiling));
        let least = caps.chain(ledger.budget).min();
        least.is_some_and(|cap| bytes + baseline > cap)
    }

    pub(crate) fn has_succeeded(&self) -> bool {
        self.ledger().has_succeeded
    }

    /// Something is wrong.
    pub(crate) fn tell(&self, what: String) {
        self.ledger().violation(what);
    }

    pub(crate) fn baseline(&self) -> u64 {
        self.baseline
    }

    /// The least and the most that the live guards may call for, or `None` if none drives.
    pub(crate) fn called_for(&self) -> Option<(u64, u64)> {
        self.ledger().called_for(self.baseline)
    }

    /// How many guards live, and their bytes.
    pub(crate) fn live(&self) -> (u64, u64) {
        let ledger = self.ledger();
        let bytes = ledger.live.values().map(|live| live.bytes).sum();
        (ledger.live.len() as u64, bytes)
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn fail(&self, calls: impl IntoIterator<Item = usize>) {
        self.ledger().failing.extend(calls);
    }

    /// From this call on all fail.
    pub(crate) fn fail_from(&self, call: usize) {
        self.ledger().failing_from = Some(call);
    }

    pub(crate) fn panic(&self, calls: impl IntoIterator<Item = usize>) {
        self.ledger().panicking.extend(calls);
    }

    /// What all groups together may hold, of those that are acquired from here on. Told before the manager of more, after
    /// it of less.
    pub(crate) fn set_budget(&self, bytes: Option<u64>) {
        let mut ledger = self.ledger();
        ledger.budget = bytes;
        ledger.budgets += 1;
    }

    /// How often the budget has changed.
    pub(crate) fn budgets(&self) -> u64 {
        self.ledger().budgets
    }

    pub(crate) fn set_ceiling(&self, bytes: u64) {
        self.ledger().ceiling = bytes;
    }

    /// From now on no call is to come.
    pub(crate) fn forbid_calls(&self) {
        self.ledger().forbidden = true;
    }

    /// From now on no call fails.
    pub(crate) fn heal(&self) {
        let mut ledger = self.ledger();
        ledger.failing.clear();
        ledger.failing_from = None;
        ledger.panicking.clear();
    }

    /// Somebody was admitted before those who have waited since before it came: `passed` names their tickets.
    pub(crate) fn passed(&self, waiters: impl Iterator<Item = u64>, allowed: u64) {
        let mut ledger = self.ledger();
        for waiter in waiters {
            let times = ledger.passed.entry(waiter).or_default();
            *times += 1;
            if *times > allowed {
                let times = *times;
                ledger.violation(format!("the waiter {waiter} was passed {times} times"));
            }
        }
        ledger.assert_rules();
    }

    pub(crate) fn calls(&self) -> Vec<u64> {
        self.ledger().calls.clone()
    }

    /// The limit in MLX.
    pub(crate) fn limit(&self) -> u64 {
        self.limit.fetch_add(0, Ordering::Relaxed)
    }

    /// What the live guards call for, at most the ceiling.
    pub(crate) fn needed(&self) -> u64 {
        self.ledger().needed(self.baseline)
    }

    /// A guard was returned: from here on it is protected.
    /// `since`: how often the budget had changed before it was acquired.
    pub(crate) fn began(&self, claim: Claim, since: u64) -> u64 {
        let key = {
            let mut ledger = self.ledger();
            let key = ledger.next;
            ledger.next += 1;
            ledger.live.insert(key, claim);
            ledger.check_admission(claim, since);
            key
        };
        self.look("a guard was returned");
        key
    }

    /// A guard is about to be released.
    pub(crate) fn ends(&self, key: u64) {
        self.look("a guard lives");
        self.ledger().live.remove(&key);
    }

    /// A guard is about to shrink, or has grown.
    pub(crate) fn resized(&self, key: u64, claim: Claim, since: u64) {
        {
            let mut ledger = self.ledger();
            let old = ledger.live.insert(key, claim);
            // What does not grow is not admitted: a budget that came later may be less than all that lives.
            if old.is_none_or(|old| old.bytes < claim.bytes) {
                ledger.check_admission(claim, since);
            }
        }
        self.look("a guard was resized");
    }

    fn look(&self, when: &str) {
        let limit = self.limit();
        let mut ledger = self.ledger();
        let needed = ledger.needed(self.baseline);
        if limit < needed {
            ledger.violation(format!("{when}: the limit is {limit}, not {needed}"));
        }
        ledger.assert_rules();
    }

    /// The end of a model: nothing lives, and the baseline is in force.
    pub(crate) fn finish(&self) {
        let limit = self.limit();
        let ledger = self.ledger();
        ledger.assert_rules();
        assert!(ledger.live.is_empty() && !ledger.in_flight);
        let expected = if ledger.has_succeeded {
            self.baseline
        } else {
            self.initial
        };
        assert_eq!(limit, expected, "the baseline, after {:?}", ledger.calls);
    }
}

impl Ledger {
    fn needed(&self, baseline: u64) -> u64 {
        let excused = self.unwired || (self.proceeds && self.has_failed);
        let called_for = self.called_for(baseline).filter(|_| !excused);
        called_for.map_or(0, |(least, _)| least)
    }

    fn called_for(&self, baseline: u64) -> Option<(u64, u64)> {
        if !self.live.values().any(|live| live.driving) {
            return None;
        }
        let groups: BTreeSet<_> = self.live.values().map(|live| live.group).collect();
        let bound = if self.unwired {
            u64::MAX
        } else {
            self.ceiling.max(baseline)
        };
        let bounds = groups.into_iter().map(|group| {
            let sizes = || {
                let members = self.live.values().filter(|live| live.group == group);
                members.map(|live| live.bytes)
            };
            let panicked = self.moody.contains(group).then_some(Form::Sum);
            let forms = self.forms[group].iter().copied().chain(panicked);
            let limits = forms.map(|form| {
                let limit = form.limit(baseline, sizes()).min(bound);
                match form {
                    Form::Device => limit.min(self.ceiling),
                    _ => limit,
                }
            });
            limits.fold((u64::MAX, 0), |(least, most), limit| {
                (least.min(limit), most.max(limit))
            })
        });
        bounds.reduce(|one, other| (one.0.max(other.0), one.1.max(other.1)))
    }

    fn check_admission(&mut self, claim: Claim, since: u64) {
        let group = self.live.values().filter(|live| live.group == claim.group);
        let sum: u64 = group.map(|live| live.bytes).sum();
        // Whoever came later may have had more room.
        let caps = self.forms[claim.group].iter();
        let most = caps
            .map(|form| form.cap(self.ceiling).unwrap_or(u64::MAX))
            .max();
        let with_baseline = match claim.form {
            Form::Custom(_) | Form::Own { .. } => sum,
            _ => sum + self.admission_baseline,
        };
        if most.is_some_and(|cap| with_baseline > cap) && !self.admits_all {
            self.violation(format!("{sum} bytes were admitted by {:?}", claim.form));
        }
        let total: u64 = self.live.values().map(|live| live.bytes).sum();
        // Nothing is revoked: what came before the budget changed may be more.
        if since == self.budgets && self.budget.is_some_and(|budget| total > budget) {
            self.violation(format!(
                "{total} bytes were admitted into {:?}",
                self.budget
            ));
        }
    }

    fn violation(&mut self, what: String) {
        let (calls, live) = (&self.calls, self.live.values());
        let live: Vec<_> = live.collect();
        self.violations
            .push(format!("{what}, after the calls {calls:?}, with {live:?}"));
    }

    fn assert_rules(&self) {
        assert!(self.violations.is_empty(), "{:#?}", self.violations);
    }
}

impl Backend for Oracle {
    fn device(&self) -> Device {
        let mut device = Device::new(DeviceKind::Metal, Support::Supported);
        device.max_recommended_working_set_size = Some(self.maximum);
        device.memory_size = Some(self.maximum * 2);
        device
    }

    /// The manager catches panics here, so what is wrong is told by whoever looks next.
    fn set_wired_limit(&self, bytes: u64) -> Result<u64, BackendError> {
        let fate = {
            let mut ledger = self.ledger();
            if ledger.in_flight {
                ledger.violation(format!(
                    "a second call, for {bytes}, while one is in flight"
                ));
            }
            if bytes > self.maximum {
                ledger.violation(format!("{bytes} is above the ceiling"));
            }
            if ledger.forbidden {
                ledger.violation(format!("{bytes} was set although nothing is wired"));
            }
            ledger.in_flight = true;
            let number = ledger.calls.len();
            ledger.calls.push(bytes);
            (
                ledger.failing.contains(&number)
                    || ledger.failing_from.is_some_and(|from| number >= from),
                ledger.panicking.contains(&number),
            )
        };
        let fails = fate.0 || fate.1;
        let previous = if fails {
            self.limit()
        } else {
            self.limit.swap(bytes, Ordering::Relaxed)
        };
        let mut ledger = self.ledger();
        ledger.in_flight = false;
        if fails {
            ledger.has_failed = true;
            drop(ledger);
            if fate.1 {
                // Without the panic hook's message.
                std::panic::resume_unwind(Box::new("the setter panics"));
            }
            return Err(BackendError::new("set_wired_limit"));
        }
        ledger.has_succeeded = true;
        let needed = ledger.needed(self.baseline);
        if bytes < needed {
            ledger.violation(format!(
                "lowered to {bytes} under guards that need {needed}"
            ));
        }
        let is_first = ledger.calls.len() == 1;
        if bytes == previous && !is_first && !ledger.has_failed {
            ledger.violation(format!("{bytes} was set again"));
        }
        Ok(previous)
    }

    fn synchronize(&self) -> Result<(), BackendError> {
        // Others run meanwhile.
        self.limit();
        Ok(())
    }

    fn synchronizes(&self) -> bool {
        self.synchronizes
    }

    fn memory(&self) -> Result<MemoryCounters, BackendError> {
        Ok(MemoryCounters::default())
    }
}
