//! MLX's own use.

use super::source::{Reading, Source, SourceError};
use crate::Manager;
use std::time::Instant;

/// MLX's live arrays, of the manager's [budget](Manager::budget). Its cache is not counted: it can be had back.
///
/// It is none of the [system's sources](super::system_sources): a program whose tickets fill the budget is at 100 % of it while
/// all is well. It is for programs that leave room on purpose.
#[derive(Debug)]
pub struct MlxUse(Manager);

impl MlxUse {
    /// Of this manager's backend.
    #[must_use]
    pub fn of(manager: &Manager) -> Self {
        Self(manager.clone())
    }
}

impl Source for MlxUse {
    fn name(&self) -> &str {
        "MLX"
    }

    fn read(&mut self, _now: Instant) -> Result<Option<Reading>, SourceError> {
        let Some(budget) = self.0.budget() else {
            return Ok(None);
        };
        let counters = self.0.backend().memory()?;
        Ok(Some(Reading::used(counters.active, budget)))
    }
}
