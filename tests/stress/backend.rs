//! What happens inside a call of the setter: it dawdles, fails and panics, and looks at who lives.

use super::accounts::{Accounts, Began};
use super::forms::Line;
use super::plan::Plan;
use fastrand::Rng;
use parking_lot::Mutex;
use std::hint::spin_loop;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

/// Looks into every call, while it is in flight.
///
/// A call that lowers the limit is remembered with those who lived when it began. If one of them still lives at the
/// next call, it has lived all through it, and the limit was too low for it; even if the next call mends that before
/// anybody looks.
#[derive(Clone)]
pub(crate) struct Watch(Arc<Watching>);

struct Watching {
    accounts: Arc<Accounts>,
    lines: OnceLock<Arc<Vec<Line>>>,
    bound: u64,
    failing: u8,
    dawdling: u64,
    healed: Arc<AtomicBool>,
    rng: Mutex<Rng>,
    lowered: Mutex<Option<(u64, Began)>>,
    wrong: Arc<Mutex<Vec<String>>>,
}

impl Watch {
    pub(crate) fn new(
        plan: &Plan,
        accounts: &Arc<Accounts>,
        healed: &Arc<AtomicBool>,
        wrong: &Arc<Mutex<Vec<String>>>,
    ) -> Self {
        Self(Arc::new(Watching {
            accounts: accounts.clone(),
            lines: OnceLock::new(),
            bound: plan.recommended,
            failing: plan.failing,
            dawdling: plan.dawdling,
            healed: healed.clone(),
            rng: Mutex::new(Rng::with_seed(plan.seed)),
            lowered: Mutex::default(),
            wrong: wrong.clone(),
        }))
    }

    /// Whose guards those are.
    pub(crate) fn knows(&self, lines: &Arc<Vec<Line>>) {
        self.0.lines.get_or_init(|| lines.clone());
    }

    /// Whether a call that sets `limit` in place of `before` fails.
    pub(crate) fn fails(&self, limit: u64, before: u64) -> bool {
        let watching = &*self.0;
        watching.check_last();
        watching.dawdle();
        let fails = watching.failing > 0
            && !watching.healed.load(Ordering::SeqCst)
            && watching.rng.lock().u8(..watching.failing) == 0;
        if fails {
            if watching.rng.lock().bool() {
                // Without the panic hook's message.
                resume_unwind(Box::new("the setter panics"));
            }
            return true;
        }
        if limit < before {
            *watching.lowered.lock() = Some((limit, watching.accounts.began()));
        }
        false
    }
}

impl Watching {
    fn check_last(&self) {
        let Some((limit, began)) = self.lowered.lock().take() else {
            return;
        };
        let lines = self.lines.get().expect("told before the first call");
        let needed = self.accounts.needed(&began, lines);
        let needed = needed.min(self.bound);
        if limit < needed {
            let still = self.accounts.still(&began);
            let wrong =
                format!("R4: lowered to {limit} under guards that need {needed}: {still:?}");
            self.wrong.lock().push(wrong);
        }
    }

    fn dawdle(&self) {
        if self.dawdling == 0 {
            return;
        }
        let (how, long) = {
            let mut rng = self.rng.lock();
            (rng.u8(..4), rng.u64(..self.dawdling))
        };
        match how {
            0 => {}
            1 => thread::yield_now(),
            2 => (0..long * 10).for_each(|_| spin_loop()),
            _ => thread::sleep(Duration::from_micros(long)),
        }
    }
}
