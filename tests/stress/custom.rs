//! A policy that takes its time, changes its mind, panics, and calls back.

use mlx_wired::{Context, Manager, Policy, PolicyId, Sizes};
use parking_lot::Mutex;
use std::any::Any;
use std::fmt;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

/// A guard, of whatever type.
type Parcel = Box<dyn Any + Send>;

/// Clones are one policy.
#[derive(Clone)]
pub(crate) struct Custom(Arc<Behaviour>);

struct Behaviour {
    id: PolicyId,
    wants_sizes: bool,
    /// What its guards may be together at present.
    cap: AtomicU64,
    panics: AtomicBool,
    /// What it calls back to.
    manager: Mutex<Option<Manager>>,
    /// Dropped from inside, one at a call.
    parcels: Mutex<Vec<Parcel>>,
    /// What was wrong with what it was told. A panic here would only be an error of the acquirer.
    wrong: Mutex<Vec<String>>,
}

impl Custom {
    pub(crate) const CAP: u64 = 100;

    pub(crate) fn new(wants_sizes: bool) -> Self {
        Self(Arc::new(Behaviour {
            id: PolicyId::unique(),
            wants_sizes,
            cap: AtomicU64::new(Self::CAP),
            panics: AtomicBool::new(false),
            manager: Mutex::default(),
            parcels: Mutex::default(),
            wrong: Mutex::default(),
        }))
    }

    /// From now on one call in 16 panics.
    pub(crate) fn set_panicking(&self, on: bool) {
        self.0.panics.store(on, Ordering::Relaxed);
    }

    /// From now on some calls call `manager`.
    pub(crate) fn call_back(&self, manager: &Manager) {
        *self.0.manager.lock() = Some(manager.clone());
    }

    /// `parcel` is dropped from inside the policy, at some later call.
    pub(crate) fn give(&self, parcel: Parcel) {
        self.0.parcels.lock().push(parcel);
    }

    /// Drops what was not dropped from inside.
    pub(crate) fn take_back(&self) {
        let parcels = std::mem::take(&mut *self.0.parcels.lock());
        drop(parcels);
    }

    /// Calls back no more.
    pub(crate) fn end(&self) {
        self.take_back();
        let manager = self.0.manager.lock().take();
        drop(manager);
    }

    pub(crate) fn set_cap(&self, cap: u64) {
        self.0.cap.store(cap, Ordering::Relaxed);
    }

    pub(crate) fn wrong(&self) -> Vec<String> {
        self.0.wrong.lock().clone()
    }

    fn is_asked(&self, context: &Context, live: &Sizes<'_>) {
        if fastrand::u8(..) < 64 {
            thread::yield_now();
        }
        self.check(context, live);
        if fastrand::u8(..) < 32 {
            self.calls();
        }
        if self.0.panics.load(Ordering::Relaxed) && fastrand::u8(..) < 16 {
            // Without the panic hook's message.
            resume_unwind(Box::new("the policy panics"));
        }
    }

    fn check(&self, context: &Context, live: &Sizes<'_>) {
        let counted = live.each.len() as u64 == live.count;
        let summed = live.each.iter().sum::<u64>() == live.sum;
        let largest = live.each.first().copied().unwrap_or(0) == live.max;
        if self.0.wants_sizes && !(counted && summed && largest) {
            let wrong = format!("the sizes of {live:?} are not of one moment");
            self.0.wrong.lock().push(wrong);
        }
        if context.total_live < live.sum {
            let wrong = format!("{live:?} of {context:?}");
            self.0.wrong.lock().push(wrong);
        }
    }

    fn calls(&self) {
        let manager = self.0.manager.lock().clone();
        let Some(manager) = manager else { return };
        let parcel = self.0.parcels.lock().pop();
        drop(parcel);
        match fastrand::u8(..4) {
            0 => manager.maintain(),
            1 if manager.poke().is_ok() => {
                let wrong = "a policy may poke".to_owned();
                self.0.wrong.lock().push(wrong);
            }
            2 => drop(manager.snapshot()),
            _ => {}
        }
    }
}

impl Policy for Custom {
    fn id(&self) -> PolicyId {
        self.0.id.clone()
    }

    fn limit(&self, context: &Context, live: &Sizes<'_>) -> u64 {
        self.is_asked(context, live);
        // What counts in place of the answer when it panics, too.
        context.baseline.saturating_add(live.sum)
    }

    fn can_admit(&self, context: &Context, live: &Sizes<'_>, new: u64) -> bool {
        self.is_asked(context, live);
        live.sum + new <= self.0.cap.load(Ordering::Relaxed)
    }

    fn can_ever_admit(&self, _context: &Context, new: u64) -> bool {
        new <= Self::CAP
    }

    fn wants_sizes(&self) -> bool {
        self.0.wants_sizes
    }
}

impl fmt::Debug for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Custom")
            .field("cap", &self.0.cap)
            .field("wants_sizes", &self.0.wants_sizes)
            .field("panics", &self.0.panics)
            .finish_non_exhaustive()
    }
}
