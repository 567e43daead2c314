//! What a [`RecordingBackend`](super::RecordingBackend) keeps, and the rules it checks.

use std::thread::{self, ThreadId};

use super::builder::RecordingBuilder;
use crate::backend::{Device, MemoryCounters};

/// One call of the setter.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Call {
    /// The limit asked for.
    pub requested: u64,
    /// The limit in force before the call; while the call is in flight, when it began.
    pub previous: u64,
    /// What became of the call.
    pub outcome: Outcome,
    /// The thread that called.
    pub thread: ThreadId,
}

/// What became of a call of the setter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// It has not returned yet.
    InFlight,
    /// It succeeded, and the limit asked for is in force.
    Applied,
    /// It succeeded without effect, since the device has no wired memory.
    Ignored,
    /// It failed.
    Failed,
    /// It panicked.
    Panicked,
}

/// One call of [`Backend::synchronize`](crate::ffi::Backend::synchronize).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Synchronization {
    /// The thread that called.
    pub thread: ThreadId,
    /// The limit in force when it was called.
    pub limit: u64,
    /// How many calls of the setter had begun before it.
    pub after_calls: usize,
}

/// What a call beside the wired limit changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MemorySetting {
    /// The memory limit.
    MemoryLimit,
    /// The limit of the cache.
    CacheLimit,
    /// The cache itself, which is emptied.
    Cache,
    /// The record of the peak, which is reset.
    Peak,
}

impl MemorySetting {
    pub(super) fn call(self, bytes: u64) -> String {
        match self {
            Self::MemoryLimit => format!("RecordingBackend::set_memory_limit({bytes})"),
            Self::CacheLimit => format!("RecordingBackend::set_cache_limit({bytes})"),
            Self::Cache => "RecordingBackend::clear_cache()".to_owned(),
            Self::Peak => "RecordingBackend::reset_peak_memory()".to_owned(),
        }
    }
}

/// One call that changes the counters or a limit beside the wired one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryCall {
    /// What it changes.
    pub setting: MemorySetting,
    /// To what; 0 where there is nothing to say.
    pub bytes: u64,
}

/// Faults that can be switched while the backend is in use.
#[derive(Default)]
pub(super) struct Faults {
    pub(super) failing: bool,
    pub(super) fail_next: usize,
    pub(super) panic_next: usize,
    pub(super) synchronize: Option<Fault>,
    pub(super) memory: bool,
    pub(super) settings: Vec<(MemorySetting, Fault)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Fail,
    Panic,
}

/// Everything that changes.
pub(super) struct Record {
    pub(super) limit: u64,
    /// The limit in force was set by the last call, so that the caller knows it.
    known: bool,
    /// The highest limit that other code had in force, which may be set back.
    highest_foreign: u64,
    pub(super) in_flight: usize,
    pub(super) calls: Vec<Call>,
    pub(super) synchronizations: Vec<Synchronization>,
    pub(super) redundant: usize,
    pub(super) violations: Vec<String>,
    pub(super) forbidden: bool,
    pub(super) faults: Faults,
    pub(super) memory: MemoryCounters,
    pub(super) cache_limit: u64,
    pub(super) footprint: Option<u64>,
    pub(super) memory_calls: Vec<MemoryCall>,
}

impl Record {
    pub(super) fn new(config: &RecordingBuilder) -> Self {
        let initial_limit = config.initial_limit;
        Self {
            limit: initial_limit,
            known: false,
            highest_foreign: initial_limit,
            in_flight: 0,
            calls: Vec::new(),
            synchronizations: Vec::new(),
            redundant: 0,
            violations: Vec::new(),
            forbidden: false,
            faults: Faults::default(),
            memory: config.memory,
            cache_limit: config.cache_limit,
            footprint: None,
            memory_calls: Vec::new(),
        }
    }

    /// Enters a call that begins and checks the rules. Returns its number, counted from 1, and the
    /// fault that strikes it.
    pub(super) fn begin(
        &mut self,
        bytes: u64,
        config: &RecordingBuilder,
    ) -> (usize, Option<Fault>) {
        let number = self.calls.len() + 1;
        self.calls.push(Call {
            requested: bytes,
            previous: self.limit,
            outcome: Outcome::InFlight,
            thread: thread::current().id(),
        });
        self.check(number, bytes, config);
        self.in_flight += 1;

        let fault = if take_one(&mut self.faults.panic_next) || config.panic_calls.contains(&number)
        {
            Some(Fault::Panic)
        } else if take_one(&mut self.faults.fail_next)
            || self.faults.failing
            || config.fail_calls.contains(&number)
        {
            Some(Fault::Fail)
        } else {
            None
        };
        (number, fault)
    }

    fn check(&mut self, number: usize, bytes: u64, config: &RecordingBuilder) {
        let mut broken = Vec::new();
        if self.in_flight > 0 {
            broken.push(format!("began with {} in flight", self.in_flight));
        }
        if let Some(ceiling) = exceeded(bytes, config, self.highest_foreign) {
            broken.push(format!("is above the ceiling of {ceiling}"));
        }
        if !config.device.support.is_supported() {
            broken.push(format!(
                "goes to a device where it is {}",
                config.device.support
            ));
        }
        if self.forbidden {
            broken.push("came although calls are forbidden".to_owned());
        }
        let thread = thread::current();
        let name = thread.name().unwrap_or("unnamed");
        self.violations.extend(broken.into_iter().map(|what| {
            format!(
                "call {number}, set_wired_limit({bytes}) on thread `{name}` {:?}, {what}",
                thread.id()
            )
        }));
    }

    /// Carries a successful call out and returns the limit that was in force before it.
    pub(super) fn apply(&mut self, number: usize, bytes: u64, wired_memory: bool) -> u64 {
        if !wired_memory {
            self.end(number, Outcome::Ignored);
            return 0;
        }
        if self.known && self.limit == bytes {
            self.redundant += 1;
        }
        self.known = true;
        self.end(number, Outcome::Applied);
        std::mem::replace(&mut self.limit, bytes)
    }

    /// Ends the call with `outcome`.
    pub(super) fn end(&mut self, number: usize, outcome: Outcome) {
        self.in_flight -= 1;
        let call = &mut self.calls[number - 1];
        // Other code may have set the limit since the call began.
        call.previous = self.limit;
        call.outcome = outcome;
    }

    pub(super) fn foreign_set(&mut self, bytes: u64) -> u64 {
        self.known = false;
        self.highest_foreign = self.highest_foreign.max(bytes);
        std::mem::replace(&mut self.limit, bytes)
    }
}

/// The ceiling that a limit of `bytes` exceeds.
fn exceeded(bytes: u64, config: &RecordingBuilder, highest_foreign: u64) -> Option<u64> {
    let hard = Device::max_wired_limit(&config.device);
    let ceiling = config
        .expected_ceiling
        .map_or(hard, |expected| expected.max(highest_foreign).min(hard));
    (bytes > ceiling).then_some(ceiling)
}

fn take_one(count: &mut usize) -> bool {
    let some = *count > 0;
    *count = count.saturating_sub(1);
    some
}
