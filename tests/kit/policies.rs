//! Policies of closures, and one that stops where it is asked.

use super::threads::until;
use mlx_wired::{Context, FixedPolicy, Manager, OwnedGuard, Policy, PolicyId, Sizes, Ticket};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Makes so many groups that those which no ticket uses any more are forgotten, with their policies.
pub(crate) fn forget_unused_groups(manager: &Manager) {
    let groups: Vec<Ticket> = (1..=100)
        .map(|bytes| manager.ticket(&FixedPolicy::new(bytes), 1))
        .collect();
    drop(groups);
    // They are looked for when the next ticket is made.
    drop(manager.ticket(&FixedPolicy::new(1), 1));
}

/// Waits inside a policy until the test lets it go on; after that it stops nobody.
#[derive(Debug, Clone, Default)]
pub(crate) struct Brake(Arc<(AtomicBool, AtomicBool)>);

impl Brake {
    pub(crate) fn stop(&self) {
        self.0.0.store(true, Ordering::SeqCst);
        until("the policy may go on", || self.0.1.load(Ordering::SeqCst));
    }

    pub(crate) fn wait_stopped(&self) {
        until("the policy was called", || self.0.0.load(Ordering::SeqCst));
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
    label: String,
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
            label: "Custom".to_owned(),
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

    /// Admits always, and releases a guard when it is asked for the first time.
    pub(crate) fn releasing(guard: OwnedGuard) -> Self {
        let guard = Mutex::new(Some(guard));
        Self::new().admits(move |_, _, _| {
            drop(guard.lock().take());
            true
        })
    }

    /// Admits always, once the brake that comes with it is released.
    pub(crate) fn slow() -> (Self, Brake) {
        let brake = Brake::default();
        let asked = brake.clone();
        let policy = Self::new().admits(move |_, _, _| {
            asked.stop();
            true
        });
        (policy.ever(|_, _| true), brake)
    }

    /// At most `cap` bytes at once.
    pub(crate) fn capped(cap: u64) -> Self {
        Self::new().admits(move |_, live, new| live.sum + new <= cap)
    }

    /// At most so many bytes at once as what comes with it says; more may come.
    pub(crate) fn adjustable(capacity: u64) -> (Self, Arc<AtomicU64>) {
        let capacity = Arc::new(AtomicU64::new(capacity));
        let now = capacity.clone();
        let policy = Self::new()
            .admits(move |_, live, new| live.sum + new <= now.load(Ordering::SeqCst))
            .ever(|_, _| true);
        (policy, capacity)
    }

    pub(crate) fn named(mut self, name: &str) -> Self {
        self.id = PolicyId::named(name);
        self
    }

    /// What people read of it.
    pub(crate) fn called(mut self, label: &str) -> Self {
        label.clone_into(&mut self.label);
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

    fn label(&self) -> String {
        self.label.clone()
    }

    fn wants_sizes(&self) -> bool {
        self.wants_sizes
    }
}
