//! The end of a script: all is released, and nothing may be left.

use crate::play::Play;
use crate::script::{ACTORS, Operation};
use std::time::Duration;

/// Enough for everything that is owed: more than any cooldown, linger and deadline.
const LONG: Duration = Duration::from_secs(1000);

impl Play<'_> {
    /// Lets everything end that may end. Nothing may be left.
    pub(crate) fn end(&mut self) {
        self.step(&Operation::Failing(false));
        self.step(&Operation::FailNext(0));
        self.step(&Operation::Pressure(0));
        self.step(&Operation::Gate {
            open: true,
            pokes: true,
        });
        while self.model.waiters().next().is_some() || self.model.live.len() > self.forgotten.len()
        {
            let before = (self.model.waiters().count(), self.model.live.len());
            // The last never waits, and so can always release owned guards.
            for actor in (0..=ACTORS).rev() {
                while self.pick(actor, 0).is_some() {
                    self.step(&Operation::Release {
                        actor,
                        guard: 0,
                        tells: true,
                    });
                }
                if actor < ACTORS {
                    self.step(&Operation::Cancel(actor));
                }
            }
            // For policies that go by what is live in all groups.
            self.step(&Operation::Poke);
            self.step(&Operation::Advance(LONG));
            if before == (self.model.waiters().count(), self.model.live.len()) {
                // What was forgotten may be what they wait for.
                assert!(!self.forgotten.is_empty(), "somebody waits for ever");
                self.step(&Operation::Close);
            }
        }
        self.step(&Operation::Advance(LONG));
        // Any of the calls that are to fail may be among these.
        for _ in 0..=self.model.setter.fail_calls.len() {
            self.step(&Operation::Maintain);
        }
        self.backend.assert_rules();
        if self.forgotten.is_empty() {
            assert!(self.model.epoch.is_none(), "the epoch has ended");
            let plain = !self.interfered && self.script.settings.baseline_override.is_none();
            if plain {
                self.backend.assert_baseline(self.script.initial_limit);
            }
        }
        if !self.interfered && self.model.setter.failures() == 0 {
            assert_eq!(self.backend.redundant_calls(), 0, "needless calls");
        }
    }
}
