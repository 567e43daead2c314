//! A backend that knows what MLX's limit must be, at each call of the setter and throughout each guard's life.

#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, Ordering};
use mlx_wired::ffi::{Backend, BackendError, Device, DeviceKind, MemoryCounters, Support};
#[cfg(not(loom))]
use shuttle::sync::atomic::{AtomicU64, Ordering};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::claim::Claim;

/// A device whose setter is a point at which others run.
#[derive(Debug)]
pub(crate) struct Oracle {
    /// MLX's limit. Relaxed read-modify-writes, by the setter and by whoever looks: the checker tries all their
    /// orders, and nobody is synchronised by them.
    limit: AtomicU64,
    ledger: Mutex<Ledger>,
    baseline: u64,
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
    in_flight: bool,
    calls: Vec<u64>,
    /// The calls that fail, by their number from 0.
    failing: BTreeSet<usize>,
    panicking: BTreeSet<usize>,
    /// A set failed: calls may now be repeated and the end may be owed.
    has_failed: bool,
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
            maximum: ceiling,
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn fail(&self, calls: impl IntoIterator<Item = usize>) {
        self.ledger().failing.extend(calls);
    }

    pub(crate) fn panic(&self, calls: impl IntoIterator<Item = usize>) {
        self.ledger().panicking.extend(calls);
    }

    pub(crate) fn set_budget(&self, bytes: Option<u64>) {
        self.ledger().budget = bytes;
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
    pub(crate) fn began(&self, claim: Claim) -> u64 {
        let key = {
            let mut ledger = self.ledger();
            let key = ledger.next;
            ledger.next += 1;
            ledger.live.insert(key, claim);
            ledger.check_admission(claim);
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
    pub(crate) fn resized(&self, key: u64, claim: Claim) {
        {
            let mut ledger = self.ledger();
            ledger.live.insert(key, claim);
            ledger.check_admission(claim);
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
        assert_eq!(
            limit, self.baseline,
            "the baseline, after {:?}",
            ledger.calls
        );
    }
}

impl Ledger {
    fn needed(&self, baseline: u64) -> u64 {
        if !self.live.values().any(|live| live.driving) {
            return 0;
        }
        let limits = self.live.values().map(|one| {
            let group = self.live.values().filter(|other| other.group == one.group);
            one.form.limit(baseline, group.map(|other| other.bytes))
        });
        limits.max().unwrap_or(0).min(self.ceiling.max(baseline))
    }

    fn check_admission(&mut self, claim: Claim) {
        let group = self.live.values().filter(|live| live.group == claim.group);
        let sum: u64 = group.map(|live| live.bytes).sum();
        if claim.form.cap(self.ceiling).is_some_and(|cap| sum > cap) {
            self.violation(format!("{sum} bytes were admitted by {:?}", claim.form));
        }
        let total: u64 = self.live.values().map(|live| live.bytes).sum();
        if self.budget.is_some_and(|budget| total > budget) {
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
                ledger.failing.contains(&number),
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
        Ok(())
    }

    fn synchronizes(&self) -> bool {
        false
    }

    fn memory(&self) -> Result<MemoryCounters, BackendError> {
        Ok(MemoryCounters::default())
    }
}
