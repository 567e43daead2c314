//! Values that the program carries from step to step, and whether they are evaluated.

use std::sync::Arc;

/// After how many steps without an evaluation one is a suspect.
const SUSPICIOUS: u64 = 3;

/// What is known of each, by name. A few: they are looked for one by one.
#[derive(Debug, Default)]
pub(super) struct Carried {
    values: Vec<Value>,
}

#[derive(Debug)]
struct Value {
    name: Arc<str>,
    /// How many steps in a row it was not evaluated.
    waits: u64,
    step: u64,
}

impl Carried {
    /// Notes after a step whether a value is evaluated. Allocates only for a name that is new.
    pub(super) fn note(&mut self, name: &str, step: u64, evaluated: bool) {
        let place = self.values.iter().position(|value| &*value.name == name);
        let place = place.unwrap_or_else(|| {
            self.values.push(Value {
                name: name.into(),
                waits: 0,
                step: 0,
            });
            self.values.len() - 1
        });
        let value = &mut self.values[place];
        value.waits = if evaluated { 0 } else { value.waits + 1 };
        value.step = step;
    }

    /// Those that were not evaluated of late.
    pub(super) fn suspects(&self, step: u64) -> Vec<Arc<str>> {
        let of_late = |value: &&Value| value.waits >= SUSPICIOUS && value.step + 2 >= step;
        let suspects = self.values.iter().filter(of_late);
        suspects.map(|value| value.name.clone()).collect()
    }
}
