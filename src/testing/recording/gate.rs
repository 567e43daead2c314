//! A gate that a test holds shut.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Long enough for any machine that is not stuck, short enough for a test run to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Holds back the calls of a [`RecordingBackend`](super::RecordingBackend) until the test lets them
/// through.
///
/// Made by [`RecordingBackend::gate`](super::RecordingBackend::gate) and
/// [`RecordingBackend::synchronize_gate`](super::RecordingBackend::synchronize_gate). A call that is
/// held back counts as in flight. Dropping the gate opens it, so a test that fails in between does
/// not leave threads behind that wait for ever.
#[must_use = "dropping the gate opens it"]
pub struct Gate {
    shared: Arc<Shared>,
}

impl Gate {
    pub(super) fn shut() -> (Self, Arc<Shared>) {
        let shared = Arc::new(Shared::default());
        let gate = Self {
            shared: Arc::clone(&shared),
        };
        (gate, shared)
    }

    /// Lets everything through from now on.
    pub fn open(&self) {
        self.shared.lock().open = true;
        self.shared.changed.notify_all();
    }

    /// Lets `calls` calls through, those that wait now first; the rest stays held back.
    pub fn pass(&self, calls: usize) {
        let mut state = self.shared.lock();
        state.passes = state.passes.saturating_add(calls);
        drop(state);
        self.shared.changed.notify_all();
    }

    /// How many calls have come to the gate, let through or not.
    #[must_use]
    pub fn entered(&self) -> usize {
        self.shared.lock().entered
    }

    /// Blocks until `calls` calls have come to the gate, let through or not.
    ///
    /// # Panics
    ///
    /// After a minute, with the number of those that came.
    #[track_caller]
    pub fn wait_entered(&self, calls: usize) {
        let give_up = Instant::now() + PATIENCE;
        let mut state = self.shared.lock();
        while state.entered < calls {
            let left = give_up.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "waited {PATIENCE:?} for {calls} calls at the gate, {} came",
                state.entered
            );
            state = self
                .shared
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.lock();
        f.debug_struct("Gate")
            .field("open", &state.open)
            .field("entered", &state.entered)
            .finish_non_exhaustive()
    }
}

/// What the gate and the calls before it share.
#[derive(Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    open: bool,
    passes: usize,
    entered: usize,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Comes to the gate and waits until it lets the caller through.
    pub(super) fn go_through(&self) {
        let mut state = self.lock();
        state.entered += 1;
        self.changed.notify_all();
        while !state.open && state.passes == 0 {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.passes = state.passes.saturating_sub(1);
    }
}
