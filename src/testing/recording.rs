//! A backend without a device, for tests.

mod builder;
mod gate;
mod memory;
mod record;

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::thread::{self, ThreadId};
use std::time::Duration;

use self::record::{Fault, Record};
use crate::backend::{Backend, BackendError, Device, DeviceKind, MemoryCounters};
use crate::sync::unmodelled::{Mutex, MutexGuard};

pub use self::builder::RecordingBuilder;
pub use self::gate::Gate;
pub use self::record::{Call, MemoryCall, MemorySetting, Outcome, Synchronization};

/// A backend that behaves like MLX on Metal, records each call and checks the rules of calling.
///
/// It follows Metal: the setter fails above the recommended working set, returns the limit that was
/// in force before, and there is no getter for the code under test. On a CUDA or CPU device the
/// setter succeeds, does nothing and answers 0. Calls can be given a [cost](RecordingBuilder::cost),
/// be [held back](Self::gate) and be made to [fail](RecordingBuilder::fail_call) or
/// [panic](RecordingBuilder::panic_call), and it can play [other code](Self::foreign_set) that sets
/// the limit too.
///
/// The rules, which [`assert_rules`](Self::assert_rules) demands: no call begins while another is in
/// flight, none is above the ceiling, none goes to a device without wired memory and none comes
/// while calls are [forbidden](Self::forbid_calls).
///
/// ```
/// use mlx_wired::ffi::{Backend, RecordingBackend};
///
/// let backend = RecordingBackend::metal()
///     .recommended(48 << 30)
///     .initial_limit(1 << 30)
///     .build();
/// assert_eq!(backend.set_wired_limit(4 << 30), Ok(1 << 30));
/// assert_eq!(backend.current_limit(), 4 << 30);
/// backend.assert_rules();
///
/// assert!(backend.set_wired_limit(49 << 30).is_err());
/// assert_eq!(backend.violations().len(), 1);
/// ```
pub struct RecordingBackend {
    config: RecordingBuilder,
    record: Mutex<Record>,
    cost: Mutex<Duration>,
    budget: Mutex<Option<u64>>,
    gate: Mutex<Option<Arc<gate::Shared>>>,
    synchronize_gate: Mutex<Option<Arc<gate::Shared>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

impl RecordingBackend {
    /// A Metal device on which wiring is supported: 48 GiB recommended of 64 GiB.
    pub fn metal() -> RecordingBuilder {
        RecordingBuilder::metal()
    }

    /// A CUDA device with 80 GiB, without wired memory.
    pub fn cuda() -> RecordingBuilder {
        RecordingBuilder::cuda()
    }

    /// A CPU with 16 GiB, without wired memory.
    pub fn cpu() -> RecordingBuilder {
        RecordingBuilder::cpu()
    }

    fn new(config: RecordingBuilder) -> Self {
        Self {
            record: Mutex::new(Record::new(&config)),
            cost: Mutex::new(config.cost),
            budget: Mutex::new(config.device.budget),
            gate: Mutex::new(None),
            synchronize_gate: Mutex::new(None),
            config,
        }
    }

    // What happened.

    /// All calls of the setter in the order in which they began.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.record).calls.clone()
    }

    /// How many calls of the setter have begun.
    #[must_use]
    pub fn call_count(&self) -> usize {
        lock(&self.record).calls.len()
    }

    /// How many calls set the limit that the same caller had set just before: they were not needed.
    /// The first call is never counted, nor the first after [`foreign_set`](Self::foreign_set): what is in
    /// force then cannot be known.
    #[must_use]
    pub fn redundant_calls(&self) -> usize {
        lock(&self.record).redundant
    }

    /// The limit in force. MLX has no such getter: it is for assertions only.
    #[must_use]
    pub fn current_limit(&self) -> u64 {
        lock(&self.record).limit
    }

    /// All calls of [`Backend::synchronize`], in order.
    #[must_use]
    pub fn synchronizations(&self) -> Vec<Synchronization> {
        lock(&self.record).synchronizations.clone()
    }

    /// How many times the thread has called [`Backend::synchronize`].
    #[must_use]
    pub fn synchronizations_on(&self, thread: ThreadId) -> usize {
        lock(&self.record)
            .synchronizations
            .iter()
            .filter(|s| s.thread == thread)
            .count()
    }

    // What was wrong.

    /// Every breach of the rules, in the order in which they happened.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        lock(&self.record).violations.clone()
    }

    /// # Panics
    ///
    /// If a rule was broken, with the list of all breaches.
    #[track_caller]
    pub fn assert_rules(&self) {
        let violations = self.violations();
        assert!(violations.is_empty(), "{}", list(&violations));
    }

    /// Asserts that `baseline` is in force and that no call is in flight: what must hold whenever no
    /// guard that raises the limit lives.
    ///
    /// # Panics
    ///
    /// If that is not so, with all calls.
    #[track_caller]
    pub fn assert_baseline(&self, baseline: u64) {
        let record = lock(&self.record);
        let (limit, in_flight, calls) = (record.limit, record.in_flight, record.calls.clone());
        drop(record);
        assert!(
            limit == baseline && in_flight == 0,
            "the limit is {limit} with {in_flight} calls in flight, not the baseline {baseline}; \
             the calls were {calls:#?}"
        );
    }

    // What is to happen.

    /// Sets the limit as other code would, and returns the one before. It is not a call: it is not
    /// recorded, costs nothing, and no rule applies.
    pub fn foreign_set(&self, bytes: u64) -> u64 {
        lock(&self.record).foreign_set(bytes)
    }

    /// From now on each call of the setter is a breach of the rules.
    pub fn forbid_calls(&self) {
        lock(&self.record).forbidden = true;
    }

    /// Ends [`forbid_calls`](Self::forbid_calls).
    pub fn allow_calls(&self) {
        lock(&self.record).forbidden = false;
    }

    /// Shuts a gate before the setter: each call that begins from now on waits there, in flight, until
    /// the test lets it through. It replaces an earlier gate, whose calls stay with it.
    ///
    /// ```
    /// use std::thread;
    /// use mlx_wired::ffi::{Backend, RecordingBackend};
    ///
    /// let backend = RecordingBackend::metal().build();
    /// let gate = backend.gate();
    /// thread::scope(|s| {
    ///     s.spawn(|| backend.set_wired_limit(1 << 30));
    ///     gate.wait_entered(1); // the call is in flight and stays so
    ///     assert_eq!(backend.current_limit(), 0);
    ///     gate.open();
    /// });
    /// assert_eq!(backend.current_limit(), 1 << 30);
    /// ```
    pub fn gate(&self) -> Gate {
        let (gate, shared) = Gate::shut();
        *lock(&self.gate) = Some(shared);
        gate
    }

    /// Shuts a gate before [`Backend::synchronize`], as [`gate`](Self::gate) does before the setter.
    pub fn synchronize_gate(&self) -> Gate {
        let (gate, shared) = Gate::shut();
        *lock(&self.synchronize_gate) = Some(shared);
        gate
    }

    /// Changes how long each call of the setter takes.
    pub fn set_cost(&self, cost: Duration) {
        *lock(&self.cost) = cost;
    }

    /// Changes the budget of a device without wired memory, as a container's limit changes: a manager goes by it from its
    /// next [`poke`](crate::Manager::poke) on.
    pub fn set_budget(&self, bytes: u64) {
        *lock(&self.budget) = Some(bytes);
    }

    /// Switches on or off that every call of the setter fails.
    pub fn set_failing(&self, failing: bool) {
        lock(&self.record).faults.failing = failing;
    }

    /// Makes the next `calls` calls of the setter fail.
    pub fn fail_next(&self, calls: usize) {
        lock(&self.record).faults.fail_next = calls;
    }

    /// Makes the next `calls` calls of the setter panic.
    pub fn panic_next(&self, calls: usize) {
        lock(&self.record).faults.panic_next = calls;
    }

    /// Switches on or off that synchronising fails.
    pub fn fail_synchronize(&self, failing: bool) {
        lock(&self.record).faults.synchronize = failing.then_some(Fault::Fail);
    }

    /// Switches on or off that synchronising panics.
    pub fn panic_synchronize(&self, panicking: bool) {
        lock(&self.record).faults.synchronize = panicking.then_some(Fault::Panic);
    }

    /// Switches on or off that the memory counters cannot be read.
    pub fn fail_memory(&self, failing: bool) {
        lock(&self.record).faults.memory = failing;
    }

    /// Changes the memory counters.
    pub fn update_memory(&self, change: impl FnOnce(&mut MemoryCounters)) {
        // Not under the lock: `change` is the test's and may look at the backend.
        let mut counters = lock(&self.record).memory;
        change(&mut counters);
        lock(&self.record).memory = counters;
    }
}

impl RecordingBuilder {
    /// Makes the backend.
    #[must_use]
    pub fn build(self) -> Arc<RecordingBackend> {
        Arc::new(RecordingBackend::new(self))
    }
}

impl Backend for RecordingBackend {
    fn device(&self) -> Device {
        let budget = *lock(&self.budget);
        Device {
            budget,
            ..self.config.device.clone()
        }
    }

    fn set_wired_limit(&self, bytes: u64) -> Result<u64, BackendError> {
        let (number, fault) = lock(&self.record).begin(bytes, &self.config);
        let mut flight = Flight {
            backend: self,
            number,
            landed: false,
        };

        let gate = lock(&self.gate).clone();
        if let Some(gate) = gate {
            gate.go_through();
        }
        let cost = *lock(&self.cost);
        if !cost.is_zero() {
            thread::sleep(cost);
        }

        if fault == Some(Fault::Panic) {
            panic!("call {number}, set_wired_limit({bytes}), panics as the test asked");
        }
        let previous = self.current_limit();
        let refusal = self.refusal(bytes, previous, fault);

        let mut record = lock(&self.record);
        flight.landed = true;
        match refusal {
            None => {
                let wired_memory = self.config.device.kind == DeviceKind::Metal;
                Ok(record.apply(number, bytes, wired_memory))
            }
            Some(message) => {
                record.end(number, Outcome::Failed);
                Err(
                    BackendError::new(format!("RecordingBackend::set_wired_limit({bytes})"))
                        .with_code(1)
                        .with_message(message),
                )
            }
        }
    }

    fn synchronize(&self) -> Result<(), BackendError> {
        let mut record = lock(&self.record);
        let synchronization = Synchronization {
            thread: thread::current().id(),
            limit: record.limit,
            after_calls: record.calls.len(),
        };
        record.synchronizations.push(synchronization);
        let fault = record.faults.synchronize;
        drop(record);

        let gate = lock(&self.synchronize_gate).clone();
        if let Some(gate) = gate {
            gate.go_through();
        }
        match fault {
            None => Ok(()),
            Some(Fault::Fail) => Err(BackendError::new("RecordingBackend::synchronize()")
                .with_code(1)
                .with_message("the test asked for it")),
            Some(Fault::Panic) => panic!("synchronize panics as the test asked"),
        }
    }

    fn memory(&self) -> Result<MemoryCounters, BackendError> {
        let record = lock(&self.record);
        if record.faults.memory {
            return Err(BackendError::new("RecordingBackend::memory()")
                .with_code(1)
                .with_message("the test asked for it"));
        }
        Ok(record.memory)
    }

    fn reset_peak_memory(&self) -> Result<(), BackendError> {
        self.change_memory(MemorySetting::Peak, 0).map(drop)
    }

    fn set_memory_limit(&self, bytes: u64) -> Result<u64, BackendError> {
        self.change_memory(MemorySetting::MemoryLimit, bytes)
    }

    fn set_cache_limit(&self, bytes: u64) -> Result<u64, BackendError> {
        self.change_memory(MemorySetting::CacheLimit, bytes)
    }

    fn clear_cache(&self) -> Result<(), BackendError> {
        self.change_memory(MemorySetting::Cache, 0).map(drop)
    }

    fn footprint(&self) -> Option<u64> {
        lock(&self.record).footprint
    }

    fn version(&self) -> Option<String> {
        self.config.version.map(str::to_owned)
    }

    fn exclusive(&self) -> Option<&'static str> {
        self.config.exclusive
    }

    fn synchronizes(&self) -> bool {
        self.config.synchronizes
    }
}

impl RecordingBackend {
    /// Why a call fails, if it does.
    fn refusal(&self, bytes: u64, previous: u64, fault: Option<Fault>) -> Option<&'static str> {
        let maximum = self.config.device.max_recommended_working_set_size;
        let metal = self.config.device.kind == DeviceKind::Metal;
        if metal && maximum.is_some_and(|maximum| bytes > maximum) {
            // MLX's own words.
            return Some(
                "[metal::set_wired_limit] Setting a wired limit larger than the maximum working \
                 set size is not allowed.",
            );
        }
        let fail_when = self.config.fail_when.as_ref();
        if fault.is_some() || fail_when.is_some_and(|f| f(bytes, previous)) {
            return Some("the test asked for it");
        }
        None
    }
}

/// A call in flight; one that unwinds is entered as panicked.
struct Flight<'a> {
    backend: &'a RecordingBackend,
    number: usize,
    landed: bool,
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        if !self.landed {
            lock(&self.backend.record).end(self.number, Outcome::Panicked);
        }
    }
}

impl fmt::Debug for RecordingBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let record = lock(&self.record);
        f.debug_struct("RecordingBackend")
            .field("kind", &self.config.device.kind)
            .field("limit", &record.limit)
            .field("calls", &record.calls.len())
            .field("violations", &record.violations)
            .finish_non_exhaustive()
    }
}

fn list(violations: &[String]) -> String {
    let mut text = format!("{} breaches of the setter's rules:", violations.len());
    for violation in violations {
        write!(text, "\n  {violation}").expect("writing to a string does not fail");
    }
    text
}
