//! Whether a workload fits, with what settings, and what would.

use super::Knob;
use super::bounds::{MIN_CHUNK, MIN_CONTEXT};
use super::item::{Certainty, Estimate};
use super::needs::{Needs, Settings};
use super::thousands::thousands;
use super::workload::Workload;
use crate::print::Bytes;
use serde::Serialize;
use std::fmt;

/// The largest batch that is looked for.
const MOST_BATCH: u64 = 1 << 16;
/// The longest context that is looked for where the configuration states none.
const MOST_CONTEXT: u64 = 1 << 20;

/// Whether a workload fits into a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Verdict {
    /// At least a tenth of the budget is left.
    Fits,
    /// It goes in, and less than a tenth of the budget is left.
    Tight,
    /// What is known of it is more than the budget already.
    Impossible,
    /// Something is missing, unread or not to be counted, or only a [bound](super::Certainty::Bound) of it is known, and
    /// the rest is within the budget.
    Unknown,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Fits => "fits",
            Self::Tight => "tight",
            Self::Impossible => "impossible",
            Self::Unknown => "unknown",
        })
    }
}

/// A setting that was made smaller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Change {
    /// Which one: `prefill`, `batch` or `context`.
    pub knob: &'static str,
    /// What it was.
    pub from: u64,
    /// What it is now.
    pub to: u64,
    /// How many bytes less that takes. A smaller batch may take more in training, where gradients are then added up: 0.
    pub saved: u64,
}

/// The largest settings with which a tenth of the budget would be left, each with the others as they are. Nothing is said
/// where not all is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct Largest {
    /// Tokens of each sequence: at most what the configuration states. `None` if not one would do, or it does not matter.
    pub context: Option<u64>,
    /// Sequences or rows at once. `None` if not one would do, or nothing is known of other batches.
    pub batch: Option<u64>,
}

/// Whether a workload fits into a budget, and how: [`plan()`] makes it.
///
/// Its `Display` says the verdict, the items that add up to it, what was changed and what would fit. Serialised it has
/// `verdict`, `bytes`, `items` and `problems` side by side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Plan {
    /// Whether it fits.
    pub verdict: Verdict,
    /// The budget, in bytes.
    pub budget: u64,
    /// What of it is left; 0 if it is not enough.
    pub left: u64,
    /// What the workload needs with the settings that were chosen.
    #[serde(flatten)]
    pub estimate: Estimate,
    /// What was changed to that end, in the order it was done.
    pub change: Vec<Change>,
    /// The largest settings that would fit.
    pub largest: Largest,
}

/// Whether a workload fits into so many bytes.
///
/// Settings that are [`Auto`](Knob::Auto) are made smaller until a tenth of the budget is left, in this order: the chunk
/// in which prompts are read (down to [`MIN_CHUNK`] tokens; costs time alone), the batch (halved, down to 1; in training
/// [rows](super::Training::rows) of a step stay the same), the context (down to [`MIN_CONTEXT`] tokens).
/// [`Fixed`](Knob::Fixed) ones are never touched: what would fit in their place is in [`largest`](Plan::largest).
pub fn plan(budget: u64, workload: &Workload) -> Plan {
    let needs = Needs::of(workload);
    let mut search = Search {
        budget,
        change: Vec::new(),
        settings: needs.begin(),
        needs,
    };
    search.shrink(workload);
    let estimate = search.needs.at(search.settings);
    let largest = estimate.is_known().then(|| search.largest());
    Plan {
        verdict: verdict(budget, &estimate),
        budget,
        left: budget.saturating_sub(estimate.bytes),
        largest: largest.unwrap_or_default(),
        estimate,
        change: search.change,
    }
}

fn verdict(budget: u64, estimate: &Estimate) -> Verdict {
    if estimate.least() > budget {
        return Verdict::Impossible;
    }
    match budget.checked_sub(estimate.bytes) {
        Some(left) if estimate.is_known() => match is_ample(budget, left) {
            true => Verdict::Fits,
            false => Verdict::Tight,
        },
        _ => Verdict::Unknown,
    }
}

/// Whether at least a tenth of the budget is left.
fn is_ample(budget: u64, left: u64) -> bool {
    u128::from(left) * 10 >= u128::from(budget)
}

struct Search<'a> {
    budget: u64,
    needs: Needs<'a>,
    settings: Settings,
    change: Vec<Change>,
}

impl Search<'_> {
    fn fits(&self, settings: Settings) -> bool {
        let bytes = self.needs.at(settings).bytes;
        self.budget
            .checked_sub(bytes)
            .is_some_and(|left| is_ample(self.budget, left))
    }

    /// Whether every item is known, at least by a formula.
    fn is_known(&self, settings: Settings) -> bool {
        let items = self.needs.at(settings).items;
        items
            .iter()
            .all(|item| item.certainty != Certainty::Unknown)
    }

    fn shrink(&mut self, workload: &Workload) {
        let begin = self.settings;
        if self.needs.has_cache() && workload.chunk == Knob::Auto {
            self.halve("prefill", MIN_CHUNK, |settings| &mut settings.chunk);
        }
        if workload.batch == Knob::Auto {
            self.halve("batch", 1, |settings| &mut settings.batch);
        }
        if self.needs.has_cache() && workload.context == Knob::Auto && !self.fits(self.settings) {
            let least = MIN_CONTEXT.min(begin.context);
            let to = self.most(least, begin.context, |settings, context| {
                settings.context = context
            });
            let settings = Settings {
                context: to.unwrap_or(least),
                ..self.settings
            };
            self.set("context", begin.context, settings.context, settings);
        }
    }

    /// Halves a setting until all fits, or it is as small as it may be.
    fn halve(&mut self, knob: &'static str, least: u64, of: impl Fn(&mut Settings) -> &mut u64) {
        let mut settings = self.settings;
        let from = *of(&mut settings);
        while !self.fits(settings) && *of(&mut settings) > least {
            let half = (*of(&mut settings) / 2).max(least);
            *of(&mut settings) = half;
        }
        let to = *of(&mut settings);
        // It may gain nothing, since smaller batches of a step add up their gradients; and what a step takes may not be
        // known of other batches.
        let bytes = |settings| self.needs.at(settings).bytes;
        let is_gain = self.fits(settings) || bytes(settings) < bytes(self.settings);
        if !is_gain || self.is_known(self.settings) && !self.is_known(settings) {
            return;
        }
        self.set(knob, from, to, settings);
    }

    fn set(&mut self, knob: &'static str, from: u64, to: u64, settings: Settings) {
        if from != to {
            let before = self.needs.at(self.settings).bytes;
            let saved = before.saturating_sub(self.needs.at(settings).bytes);
            self.change.push(Change {
                knob,
                from,
                to,
                saved,
            });
            self.settings = settings;
        }
    }

    fn largest(&self) -> Largest {
        let mut largest = Largest::default();
        if self.needs.has_cache() {
            let most = self.needs.longest().unwrap_or(MOST_CONTEXT);
            largest.context = self.most(1, most, |settings, context| settings.context = context);
        }
        if self.needs.has_cache() || self.needs.trains() {
            largest.batch = self.largest_batch();
        }
        largest
    }

    fn largest_batch(&self) -> Option<u64> {
        let at = |batch| Settings {
            batch,
            ..self.settings
        };
        // What was measured with one batch alone tells nothing of others.
        if !self.is_known(at(1)) || !self.is_known(at(2)) {
            return None;
        }
        let set = |settings: &mut Settings, batch| settings.batch = batch;
        match self.needs.rows() {
            Some(rows) if self.fits(at(rows)) => Some(rows),
            // With fewer the gradients are added up, which takes the same whatever the batch.
            Some(rows) => self.most(1, rows - 1, set),
            None => self.most(1, MOST_BATCH, set),
        }
    }

    /// The largest value up to `most` with which all fits. More never takes less.
    fn most(&self, least: u64, most: u64, set: impl Fn(&mut Settings, u64)) -> Option<u64> {
        let fits = |value| {
            let mut settings = self.settings;
            set(&mut settings, value);
            self.fits(settings)
        };
        if most < least || !fits(least) {
            return None;
        }
        let (mut good, mut bad) = (least, most.saturating_add(1));
        while bad - good > 1 {
            let middle = good + (bad - good) / 2;
            if fits(middle) {
                good = middle;
            } else {
                bad = middle;
            }
        }
        Some(good)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (needed, least) = (self.estimate.bytes, self.estimate.least());
        let (budget, left) = (Bytes(self.budget), Bytes(self.left));
        match self.verdict {
            verdict @ (Verdict::Fits | Verdict::Tight) => {
                let needed = Bytes(needed);
                writeln!(f, "{verdict}: {needed} of {budget}, {left} left")?;
            }
            verdict @ Verdict::Impossible => {
                let over = Bytes(least.saturating_sub(self.budget));
                let least = Bytes(least);
                writeln!(
                    f,
                    "{verdict}: {least} are needed, {over} more than {budget}"
                )?;
            }
            verdict @ Verdict::Unknown => {
                let least = Bytes(least);
                writeln!(
                    f,
                    "{verdict}: at least {least} of {budget}, and not all is known"
                )?;
            }
        }
        write!(f, "\n{}", self.estimate)?;
        for change in &self.change {
            let (from, to) = (thousands(change.from), thousands(change.to));
            writeln!(
                f,
                "changed: {} {from} -> {to}, {} less",
                change.knob,
                Bytes(change.saved)
            )?;
        }
        if let Some(context) = self.largest.context {
            writeln!(
                f,
                "largest context with a tenth left: {} tokens",
                thousands(context)
            )?;
        }
        if let Some(batch) = self.largest.batch {
            writeln!(f, "largest batch with a tenth left: {}", thousands(batch))?;
        }
        Ok(())
    }
}
