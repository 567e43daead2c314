//! R16: who came later is not admitted earlier, or not more often than the settings allow. Checked where no thread takes holds:
//! beside holds a waiter may be [set aside](super::plan::Plan::holds).

use super::world::World;
use mlx_wired::{Error, Waiter};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::thread::ThreadId;
use std::time::Instant;

/// A wait: no thread begins two at one time.
type Wait = (ThreadId, Instant);

/// How often each wait was passed.
#[derive(Debug, Default)]
pub(crate) struct Passed(Mutex<HashMap<Wait, u64>>);

impl World {
    /// Acquires from a line, and finds whom that has passed: who waited there before and waits there still.
    #[track_caller]
    pub(crate) fn in_turn<T>(
        &self,
        line: usize,
        acquire: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        if self.plan.holds {
            return acquire();
        }
        let before = self.waits(line);
        let acquired = acquire()?;
        if before.is_empty() {
            return Ok(acquired);
        }
        let after = self.waits(line);
        let mut passed = self.passed.0.lock();
        for wait in before.iter().filter(|wait| after.contains(wait)) {
            let times = passed.entry(*wait).or_default();
            *times += 1;
            let (times, allowed) = (*times, self.plan.overtaking);
            assert!(times <= allowed, "R16: passed {times} times");
        }
        Ok(acquired)
    }

    /// Who waits in the same line.
    fn waits(&self, line: usize) -> Vec<Wait> {
        let name = self.lines[line].name.as_str();
        let in_line = |it: &Waiter| self.plan.budget.is_some() || it.label.as_deref() == Some(name);
        let waiting = self.manager.waiting().into_iter();
        let waiting = waiting.filter(in_line);
        waiting.map(|it| (it.thread, it.since)).collect()
    }
}
