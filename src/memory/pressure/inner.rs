//! What a monitor's handle and its thread share.

use super::told::{Change, PressureStats, SourceEvent, SourceState};
use super::turn::Round;
use crate::clock::{Clock, Sleeper, Waker};
use crate::memory::reactions::Ask;
use crate::memory::reactions::registry::Registry;
use crate::{Manager, PressureLevel};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

/// What the handle and the thread share.
pub(super) struct Inner {
    turn: Mutex<Round>,
    pub(super) registries: Registries,
    pub(super) manager: Option<Manager>,
    pub(super) clock: Arc<dyn Clock>,
    /// Until the thread takes it.
    sleeper: Mutex<Option<Sleeper>>,
    pub(super) waker: Waker,
    stop: AtomicBool,
    level: AtomicU8,
    observed: Mutex<Observed>,
}

#[derive(Default)]
pub(super) struct Observed {
    pub(super) sources: Vec<SourceState>,
    pub(super) stats: PressureStats,
}

type Listener = dyn Fn(&Change) + Send + Sync;
type Giver = dyn Fn(&Ask) -> u64 + Send + Sync;
type SourceListener = dyn Fn(&SourceEvent) + Send + Sync;

/// What the program has registered.
pub(super) struct Registries {
    pub(super) first: Arc<Registry<Listener>>,
    pub(in crate::memory) drains: Arc<Registry<dyn Fn() -> u64 + Send + Sync>>,
    pub(in crate::memory) listeners: Arc<Registry<Listener>>,
    pub(in crate::memory) givers: Arc<Registry<Giver>>,
    pub(super) sources: Arc<Registry<SourceListener>>,
}

impl Registries {
    pub(super) fn new() -> Self {
        Self {
            first: Arc::new(Registry::new()),
            drains: Arc::new(Registry::new()),
            listeners: Arc::new(Registry::new()),
            givers: Arc::new(Registry::new()),
            sources: Arc::new(Registry::new()),
        }
    }
}

impl Inner {
    pub(super) fn new(
        round: Round,
        registries: Registries,
        manager: Option<Manager>,
        clock: Arc<dyn Clock>,
        sleeper: Sleeper,
    ) -> Self {
        let sources = round.states();
        let inner = Self {
            turn: Mutex::new(round),
            registries,
            manager,
            clock,
            waker: sleeper.wake_handle(),
            sleeper: Mutex::new(Some(sleeper)),
            stop: AtomicBool::new(false),
            level: AtomicU8::new(0),
            observed: Mutex::default(),
        };
        inner.publish(sources);
        inner.run_turn(|round| round.watch(&inner));
        inner
    }

    /// The thread.
    pub(super) fn run(&self, every: Duration) {
        let sleeper = self
            .sleeper
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(sleeper) = sleeper else { return };
        while !self.stop.load(Ordering::Relaxed) {
            let begun = self.clock.now();
            self.poll();
            if !self.stop.load(Ordering::Relaxed) {
                self.clock.park(&sleeper, begun.checked_add(every));
            }
        }
        self.end();
    }

    pub(super) fn poll(&self) -> bool {
        self.run_turn(|round| round.poll(self))
    }

    pub(super) fn end(&self) {
        self.run_turn(|round| round.end(self));
    }

    /// Makes the thread end, if one runs.
    pub(super) fn stop(&self) {
        // Relaxed: the thread looks after the wake-up, which orders it.
        self.stop.store(true, Ordering::Relaxed);
        self.waker.wake();
    }

    /// Runs `f` in a turn. Returns false if another thread has the turn.
    fn run_turn(&self, f: impl FnOnce(&mut Round)) -> bool {
        let mut round = match self.turn.try_lock() {
            Ok(round) => round,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        f(&mut round);
        true
    }

    pub(super) fn lock_observed(&self) -> MutexGuard<'_, Observed> {
        self.observed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn publish(&self, sources: Vec<SourceState>) {
        self.lock_observed().sources = sources;
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut PressureStats)) {
        change(&mut self.lock_observed().stats);
    }

    pub(super) fn level(&self) -> PressureLevel {
        match self.level.load(Ordering::Relaxed) {
            0 => PressureLevel::Normal,
            1 => PressureLevel::Warning,
            2 => PressureLevel::Urgent,
            _ => PressureLevel::Critical,
        }
    }

    pub(super) fn set_level(&self, level: PressureLevel) {
        self.level.store(level as u8, Ordering::Relaxed);
    }
}
