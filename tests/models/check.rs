//! Runs a model: every interleaving within the bounds under loom, many random ones under shuttle.

#[cfg(loom)]
use loom::thread;
#[cfg(not(loom))]
use shuttle::thread;

/// The checkers' own stacks are too small for a session.
const STACK: usize = 1 << 17;

/// Another thread of a model.
pub(crate) struct Running<T>(thread::JoinHandle<T>);

impl<T> Running<T> {
    pub(crate) fn join(self) -> T {
        self.0.join().expect("a thread of the model panicked")
    }
}

/// Lets others run. Only for models that loom does not explore.
pub(crate) fn yield_now() {
    thread::yield_now();
}

pub(crate) fn join_all<T>(threads: impl IntoIterator<Item = Running<T>>) -> Vec<T> {
    threads.into_iter().map(Running::join).collect()
}

pub(crate) fn spawn<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Running<T> {
    let builder = thread::Builder::new().stack_size(STACK);
    Running(builder.spawn(f).expect("models always have threads"))
}

/// How far loom explores a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// Two threads that do little: every interleaving.
    Small,
    /// Two threads.
    Two,
    /// Three threads, or two that do much.
    Three,
    /// For shuttle alone.
    Many,
    /// For shuttle alone: short, and many times as often.
    Soup,
}

/// Whether the long setting is asked for (`MODELS=thorough`).
fn is_thorough() -> bool {
    std::env::var_os("MODELS").is_some_and(|value| value == "thorough")
}

#[cfg(loom)]
pub(crate) fn explore(size: Size, model: impl Fn() + Send + Sync + 'static) {
    use std::sync::Arc;

    let mut builder = loom::model::Builder::new();
    builder.max_branches = 100_000;
    let bound = match (size, is_thorough()) {
        (Size::Small, true) => None,
        (Size::Two, true) | (Size::Small, false) => Some(3),
        (Size::Two, false) | (Size::Three, true) => Some(2),
        (Size::Three, false) => Some(1),
        (Size::Many | Size::Soup, _) => return,
    };
    builder.preemption_bound = builder.preemption_bound.or(bound);
    let model = Arc::new(model);
    builder.check(move || {
        let model = model.clone();
        spawn(move || model()).join();
    });
}

#[cfg(not(loom))]
pub(crate) fn explore(size: Size, model: impl Fn() + Send + Sync + 'static) {
    use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
    /// Fixed, so that a run can be repeated; `SHUTTLE_RANDOM_SEED` takes its place.
    const SEED: u64 = 0x6d6c_782d_7769_7265;
    let usual = if is_thorough() { 50_000 } else { 1_000 };
    let iterations = std::env::var("MODEL_ITERATIONS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(if size == Size::Soup {
            usual * 40
        } else {
            usual
        });
    let model = std::sync::Arc::new(model);
    let run = |scheduler: Box<dyn Scheduler + Send>| {
        let mut config = shuttle::Config::new();
        config.stack_size = STACK;
        config.silence_warnings = true;
        let model = model.clone();
        shuttle::Runner::new(scheduler, config).run(move || model());
    };
    run(Box::new(RandomScheduler::new_from_seed(SEED, iterations)));
    for depth in [2, 3, 5] {
        run(Box::new(PctScheduler::new_from_seed(
            SEED, depth, iterations,
        )));
    }
}
