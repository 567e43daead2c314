//! A policy that is not built in, and lets others run while it is asked.

use super::oracle::Oracle;
use super::world::Held;
use mlx_wired::{Context, OwnedGuard, Policy, PolicyId, Sizes};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// baseline + sum, within a cap.
#[derive(Clone)]
pub(crate) struct Custom {
    id: PolicyId,
    cap: u64,
    oracle: Arc<Oracle>,
    pub(crate) script: Arc<Script>,
}

/// What its methods do besides. No model checker sees these words: they are read where others could run anyway.
#[derive(Default)]
pub(crate) struct Script {
    /// Which call of `can_admit` panics, from 1; 0 is none.
    pub(crate) panics_in_admit: AtomicUsize,
    /// Which call of `limit` panics, from 1; 0 is none.
    pub(crate) panics_in_limit: AtomicUsize,
    /// What its limit is above the sum.
    pub(crate) extra: AtomicU64,
    /// Refuses everything for now.
    pub(crate) shut: AtomicBool,
    /// It is to note when it is asked about admission.
    pub(crate) notes: AtomicBool,
    /// It was asked since.
    pub(crate) was_asked: AtomicBool,
    /// What it releases when it is asked about admission, and about the limit.
    releases: [Mutex<Option<Held<OwnedGuard>>>; 2],
}

impl Script {
    pub(crate) fn release_in_admit(&self, guard: Held<OwnedGuard>) {
        *self.releases[0].lock().unwrap() = Some(guard);
    }

    pub(crate) fn release_in_limit(&self, guard: Held<OwnedGuard>) {
        *self.releases[1].lock().unwrap() = Some(guard);
    }

    fn release(&self, which: usize) {
        let guard = self.releases[which].lock().unwrap().take();
        drop(guard);
    }
}

impl Custom {
    pub(crate) fn new(oracle: &Arc<Oracle>, name: &'static str, cap: u64) -> Self {
        Self {
            id: PolicyId::named(name),
            cap,
            oracle: oracle.clone(),
            script: Arc::default(),
        }
    }
}

fn count_down(calls: &AtomicUsize) {
    // The checkers run one thread at a time.
    let left = calls.load(Ordering::Relaxed);
    calls.store(left.saturating_sub(1), Ordering::Relaxed);
    if left == 1 {
        // Without the panic hook's message.
        resume_unwind(Box::new("the policy panics"));
    }
}

impl Policy for Custom {
    fn id(&self) -> PolicyId {
        self.id.clone()
    }

    fn limit(&self, context: &Context, live: &Sizes<'_>) -> u64 {
        self.oracle.limit();
        count_down(&self.script.panics_in_limit);
        self.script.release(1);
        self.oracle.limit();
        context.baseline + live.sum + self.script.extra.load(Ordering::Relaxed)
    }

    fn can_admit(&self, _: &Context, live: &Sizes<'_>, new: u64) -> bool {
        self.oracle.limit();
        let notes = self.script.notes.load(Ordering::Relaxed);
        self.script.was_asked.fetch_or(notes, Ordering::Relaxed);
        count_down(&self.script.panics_in_admit);
        self.script.release(0);
        let answer = live.sum + new <= self.cap && !self.script.shut.load(Ordering::Relaxed);
        // Between the answer and what is made of it.
        self.oracle.limit();
        answer
    }

    fn can_ever_admit(&self, _: &Context, new: u64) -> bool {
        self.oracle.limit();
        new <= self.cap
    }
}
