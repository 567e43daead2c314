//! What the tests share: a manager on a recording backend, threads that acquire, and policies of closures.

#[path = "support/asleep.rs"]
mod asleep;

pub(crate) use asleep::NotingClock;
use asleep::is_asleep;
use mlx_wired::clock::FakeClock;
use mlx_wired::ffi::{RecordingBackend, RecordingBuilder};
use mlx_wired::{
    Config, Context, Error, Event, EventKind, FixedPolicy, Manager, OwnedGuard, Policy, PolicyId,
    Sizes, Subscriber, SumPolicy, Ticket, Wait,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

/// Long enough for any machine that is not stuck.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const GIB: u64 = 1 << 30;
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// The default settings, without the housekeeping thread, to the byte, and nothing is printed.
pub(crate) fn quiet() -> Config {
    Config::default()
        .housekeeping(false)
        .growth_step(0)
        .quiet(true)
}

/// [`quiet`], and every drop of the limit is worth a call at once.
pub(crate) fn eager() -> Config {
    quiet()
        .shrink_threshold_ratio(0.0)
        .shrink_cooldown(Duration::ZERO)
}

/// A manager on a recording backend with a clock that stands still.
///
/// However it ends, the setter's rules must have been kept.
pub(crate) struct Rig {
    pub(crate) manager: Manager,
    pub(crate) backend: Arc<RecordingBackend>,
    pub(crate) clock: FakeClock,
    baseline: u64,
}

impl Rig {
    /// On Metal, nothing wired before.
    pub(crate) fn new(config: Config) -> Result<Self, Error> {
        Self::on(RecordingBackend::metal(), config)
    }

    pub(crate) fn on(device: RecordingBuilder, config: Config) -> Result<Self, Error> {
        let backend = device.build();
        let clock = FakeClock::new();
        let manager = Manager::builder()
            .backend(backend.clone())
            .clock(NotingClock(clock.clone()))
            .config(config)
            .build()?;
        let baseline = backend.current_limit();
        Ok(Self {
            manager,
            backend,
            clock,
            baseline,
        })
    }

    /// What the epochs' ends must set back, if it is not the limit that was in force at the start.
    pub(crate) fn restoring(mut self, baseline: u64) -> Self {
        self.baseline = baseline;
        self
    }

    pub(crate) fn limit(&self) -> u64 {
        self.backend.current_limit()
    }

    pub(crate) fn calls(&self) -> usize {
        self.backend.call_count()
    }

    /// What the setter was asked for, call by call.
    pub(crate) fn requested(&self) -> Vec<u64> {
        let calls = self.backend.calls();
        calls.iter().map(|call| call.requested).collect()
    }

    /// The end of a test without armed faults: no guard lives, nobody waits, the baseline is back.
    #[track_caller]
    pub(crate) fn finish(self) -> Result<(), Error> {
        assert!(self.manager.waiting().is_empty(), "nobody waits");
        self.backend.assert_baseline(self.baseline);
        assert_eq!(self.backend.redundant_calls(), 0, "needless calls");
        Ok(())
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.backend.assert_rules();
        }
    }
}

/// Something that another thread does.
pub(crate) struct Pending<T> {
    thread: ThreadId,
    result: Receiver<T>,
}

impl<T: Send + 'static> Pending<T> {
    pub(crate) fn spawn(f: impl FnOnce() -> T + Send + 'static) -> Self {
        Self::spawn_named("", f)
    }

    pub(crate) fn spawn_named(name: &str, f: impl FnOnce() -> T + Send + 'static) -> Self {
        let (sender, receiver) = mpsc::channel();
        let named = thread::Builder::new().name(name.to_owned());
        let spawned = named.spawn(move || {
            let result = f();
            // The test may have failed and gone.
            let _gone = sender.send(result);
        });
        let spawned = spawned.expect("there are threads");
        Self {
            thread: spawned.thread().id(),
            result: receiver,
        }
    }

    /// Its result.
    ///
    /// # Panics
    ///
    /// If the thread is stuck, or has panicked.
    #[track_caller]
    pub(crate) fn result(self) -> T {
        match self.result.recv_timeout(PATIENCE) {
            Ok(result) => result,
            Err(error) => panic!("the other thread is stuck or has panicked: {error}"),
        }
    }

    #[track_caller]
    pub(crate) fn assert_pending(&self) {
        assert!(
            matches!(self.result.try_recv(), Err(TryRecvError::Empty)),
            "the other thread still waits"
        );
    }

    /// Returns once the thread waits for admission and sleeps, on a [`NotingClock`]. Being in line is not enough:
    /// policies may be asked there once more, by the thread itself.
    #[track_caller]
    pub(crate) fn until_queued(&self, manager: &Manager) {
        let is_in_line = || manager.waiting().iter().any(|it| it.thread == self.thread);
        until(|| is_asleep(self.thread) && is_in_line(), "it waits");
    }
}

pub(crate) type Acquiring = Pending<Result<OwnedGuard, Error>>;

/// A thread that acquires.
pub(crate) fn acquiring(ticket: &Ticket, wait: Wait) -> Acquiring {
    let ticket = ticket.clone();
    Pending::spawn(move || ticket.acquire_owned_with(wait))
}

/// A thread that acquires and was seen to wait for admission.
#[track_caller]
pub(crate) fn queued(manager: &Manager, ticket: &Ticket, wait: Wait) -> Acquiring {
    let pending = acquiring(ticket, wait);
    pending.until_queued(manager);
    pending
}

/// A thread that holds a guard.
pub(crate) struct Worker {
    second: mpsc::Sender<(Ticket, Wait)>,
    result: Pending<Result<u64, Error>>,
    manager: Manager,
}

impl Worker {
    /// It has acquired `first`.
    #[track_caller]
    pub(crate) fn holding(manager: &Manager, first: &Ticket) -> Self {
        let first = first.clone();
        let (second, wanted) = mpsc::channel::<(Ticket, Wait)>();
        let (told, holds) = mpsc::channel();
        let result = Pending::spawn(move || {
            let _held = first.acquire()?;
            told.send(()).expect("the test waits");
            let (second, wait) = wanted.recv().expect("the test goes on");
            let guard = second.acquire_with(wait)?;
            Ok(guard.bytes())
        });
        holds.recv_timeout(PATIENCE).expect("it acquires the first");
        Self {
            second,
            result,
            manager: manager.clone(),
        }
    }

    /// It acquires `second` too.
    pub(crate) fn wants(self, second: &Ticket, wait: Wait) -> Pending<Result<u64, Error>> {
        let sent = self.second.send((second.clone(), wait));
        sent.expect("it holds the first");
        self.result
    }

    /// [`wants`](Self::wants), seen to wait.
    #[track_caller]
    pub(crate) fn waits(self, second: &Ticket, wait: Wait) -> Pending<Result<u64, Error>> {
        let manager = self.manager.clone();
        let pending = self.wants(second, wait);
        pending.until_queued(&manager);
        pending
    }
}

/// Makes so many groups that those which no ticket uses any more are forgotten, with their policies.
pub(crate) fn forget_unused_groups(manager: &Manager) {
    let groups: Vec<Ticket> = (1..=100)
        .map(|bytes| manager.ticket(&FixedPolicy::new(bytes), 1))
        .collect();
    drop(groups);
    // They are looked for when the next ticket is made.
    drop(manager.ticket(&FixedPolicy::new(1), 1));
}

/// Returns once `condition` holds.
#[track_caller]
pub(crate) fn until(condition: impl Fn() -> bool, what: &str) {
    let give_up = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < give_up, "never happened: {what}");
        thread::yield_now();
    }
}

/// The error without the names of those in the way, to be compared with its numbers.
pub(crate) fn numbers(mut error: Error) -> Error {
    if let Error::Timeout { contention, .. }
    | Error::NeverAdmissible { contention, .. }
    | Error::WouldDeadlock { contention, .. } = &mut error
    {
        **contention = Default::default();
    }
    error
}

/// The kinds of all events that are there.
pub(crate) fn kinds(events: &Subscriber) -> Vec<EventKind> {
    events.drain().map(|event| event.kind).collect()
}

/// The next event of which `wanted` is true.
#[track_caller]
pub(crate) fn next(events: &Subscriber, wanted: impl Fn(&EventKind) -> bool) -> Event {
    loop {
        match events.recv_timeout(PATIENCE) {
            Some(event) if wanted(&event.kind) => return event,
            Some(_) => {}
            None => panic!("the event never came"),
        }
    }
}

/// The manager goes on: others are admitted, wired and restored.
#[track_caller]
pub(crate) fn assert_alive(rig: &Rig) {
    let ticket = rig.manager.ticket(&SumPolicy::uncapped(), 1 << 20);
    let others = Pending::spawn(move || ticket.acquire_owned());
    let guard = others.result().expect("others are admitted");
    assert!(rig.limit() >= 1 << 20);
    drop(guard);
}

/// Waits inside a policy until the test lets it go on; after that it stops nobody.
#[derive(Debug, Clone, Default)]
pub(crate) struct Brake(Arc<(AtomicBool, AtomicBool)>);

impl Brake {
    pub(crate) fn stop(&self) {
        self.0.0.store(true, Ordering::SeqCst);
        until(|| self.0.1.load(Ordering::SeqCst), "the policy may go on");
    }

    pub(crate) fn wait_stopped(&self) {
        until(|| self.0.0.load(Ordering::SeqCst), "the policy was called");
    }

    pub(crate) fn release(&self) {
        self.0.1.store(true, Ordering::SeqCst);
    }
}

type Admits = dyn Fn(&Context, &Sizes<'_>, u64) -> bool + Send + Sync;
type Limits = dyn Fn(&Context, &Sizes<'_>) -> u64 + Send + Sync;
type Ever = dyn Fn(&Context, u64) -> bool + Send + Sync;

/// A policy of closures. Its group is its own, unless it is named.
#[derive(Clone)]
pub(crate) struct Custom {
    id: PolicyId,
    admits: Arc<Admits>,
    limits: Arc<Limits>,
    ever: Option<Arc<Ever>>,
    wants_sizes: bool,
}

impl Custom {
    /// baseline + sum, admits always.
    pub(crate) fn new() -> Self {
        Self {
            id: PolicyId::unique(),
            admits: Arc::new(|_, _, _| true),
            limits: Arc::new(|context, live| context.baseline.saturating_add(live.sum)),
            ever: None,
            wants_sizes: false,
        }
    }

    /// One guard at a time. Once the flag that comes with it is set, whoever asks is stopped by `brake`.
    pub(crate) fn one_at_a_time(brake: &Brake) -> (Self, Arc<AtomicBool>) {
        let (asked, armed) = (brake.clone(), Arc::new(AtomicBool::new(false)));
        let is_armed = armed.clone();
        let policy = Self::new().admits(move |_, live, _| {
            if is_armed.load(Ordering::SeqCst) {
                asked.stop();
            }
            live.count == 0
        });
        (policy, armed)
    }

    /// At most `cap` bytes at once.
    pub(crate) fn capped(cap: u64) -> Self {
        Self::new().admits(move |_, live, new| live.sum + new <= cap)
    }

    pub(crate) fn named(mut self, name: &str) -> Self {
        self.id = PolicyId::named(name);
        self
    }

    pub(crate) fn admits(
        mut self,
        f: impl Fn(&Context, &Sizes<'_>, u64) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.admits = Arc::new(f);
        self
    }

    pub(crate) fn limits(
        mut self,
        f: impl Fn(&Context, &Sizes<'_>) -> u64 + Send + Sync + 'static,
    ) -> Self {
        self.limits = Arc::new(f);
        self
    }

    pub(crate) fn ever(
        mut self,
        f: impl Fn(&Context, u64) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.ever = Some(Arc::new(f));
        self
    }

    pub(crate) fn with_sizes(mut self) -> Self {
        self.wants_sizes = true;
        self
    }
}

impl Policy for Custom {
    fn id(&self) -> PolicyId {
        self.id.clone()
    }

    fn limit(&self, context: &Context, live: &Sizes<'_>) -> u64 {
        (self.limits)(context, live)
    }

    fn can_admit(&self, context: &Context, live: &Sizes<'_>, new: u64) -> bool {
        (self.admits)(context, live, new)
    }

    fn can_ever_admit(&self, context: &Context, new: u64) -> bool {
        match &self.ever {
            Some(ever) => ever(context, new),
            None => {
                let mut best = context.clone();
                best.total_live = 0;
                best.pressure = 0.0;
                (self.admits)(&best, &Sizes::EMPTY, new)
            }
        }
    }

    fn wants_sizes(&self) -> bool {
        self.wants_sizes
    }
}
