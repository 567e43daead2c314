//! Fitting a training into a budget.
//!
//! | file | what |
//! | --- | --- |
//! | `fittable.rs` | what a training has to do for it; a plan is in `fit_plan.rs` |
//! | `clock.rs`, `meter.rs` | the time; running a plan and reading what it takes |
//! | `cost.rs`, `space.rs` | what a plan took; what that shows of all others: the bounds |
//! | `surface.rs`, `model.rs` | what is expected of plans that were not run |
//! | `probes.rs`, `search.rs` | what was run; which is run next |
//! | `fitted.rs`, `considered.rs`, `table.rs`, `file.rs` | the choice; why, of each plan; its table; its file |

mod clock;
mod considered;
mod cost;
#[cfg(feature = "estimate")]
mod file;
mod fittable;
mod fitted;
mod meter;
mod model;
mod probes;
mod search;
mod space;
mod surface;
mod table;

pub use considered::{Considered, Why};
pub use fittable::Fittable;
pub use fitted::{FitChange, Fitted};

use super::alone::Alone;
use super::claim::{Claim, Claimed};
use super::run::Limits;
use super::{Error, Knob};
use crate::Manager;
use crate::ffi::DeviceKind;
use clock::Clock;
use meter::{Lent, Meter, Spent};
use probes::Search;
use space::Space;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

/// Fits a training into a budget: how many rows a pass takes, how many blocks its backward pass recomputes, and how many
/// passes make an update. The rows of an update stay.
///
/// It runs at most ten plans, the real ones, for three updates each (the first for four), takes the fastest that stays within,
/// and of those within 3 % of it the one that needs least. What it takes is a plan that was run.
///
/// ```
/// use mlx_wired::Manager;
/// use mlx_wired::ffi::RecordingBackend;
/// use mlx_wired::train::{Fit, Fittable, Plan};
///
/// # use std::sync::Arc;
/// struct Trainer { /* a copy of the model, its optimizer, and data */
/// #     device: Arc<RecordingBackend>,
/// }
///
/// impl Fittable for Trainer {
///     type Error = std::io::Error;
///
///     fn pass(&mut self, plan: Plan, begins: bool) -> Result<(), Self::Error> {
///         // On MLX: the next `plan.batch` rows, their gradients with `plan.first` blocks recomputed, added to the sum, or in
///         // its place if `begins`; evaluated.
/// #       let (kept, gradients) = (8 * plan.batch as u64 * (5 - plan.first as u64), if begins { 20 } else { 0 });
/// #       self.device.update_memory(|counters| {
/// #           counters.recorded_peak = counters.active + (20_u64.max(kept) << 20);
/// #           counters.active += gradients << 20;
/// #       });
///         Ok(())
///     }
///
///     fn update(&mut self) -> Result<(), Self::Error> {
///         // On MLX: the optimizer's update with the sum, which then goes; evaluated.
/// #       self.device.update_memory(|counters| counters.active -= 20 << 20);
///         Ok(())
///     }
/// }
///
/// # let device = RecordingBackend::cpu().build();
/// # let manager = Manager::builder().backend(device.clone()).build()?;
/// # let mut trainer = Trainer { device };
/// let fit = Fit::new(200 << 20, 32).blocks(4).manager(&manager);
/// let fitted = fit.run(&mut trainer)?;
/// assert!(fitted.peak <= 200 << 20 && fitted.highest_probe <= 200 << 20);
/// assert_eq!(fitted.plan.batch * fitted.plan.accumulate, 32);
/// println!("{fitted}");
/// # Ok::<(), mlx_wired::train::Error>(())
/// ```
///
/// # Why no plan that is run passes the budget
///
/// A plan is run only if those that were run before show that it stays within the budget less the margin. The first is the one
/// that needs least: the smallest batch with the most blocks recomputed. Nothing can be known of it but what
/// [`at_least`](Self::at_least) says; if it is over, nothing fits. What a sum of gradients needs is not known either, before
/// one was made: where a new one beside the old one would not fit, it is made only if no plan of one pass fits.
///
/// From then on a pass is taken for this: at each moment there live the arrays from before it (weights, the optimizer's
/// state, the sum of gradients), something that does not depend on its rows, such as gradients that are made, and something in
/// proportion to its rows. From that follows:
///
/// * *More rows.* The peak above the start grows by at most the ratio of the rows. In proportion at most, since what does not
///   depend on the rows is not negative; so the straight line through two plans, which is what is expected, is no bound.
/// * *Fewer blocks recomputed.* Each block then keeps its activations until its backward pass, and blocks are alike. All that
///   keep theirs live together when the backward pass begins, and those of a block that is recomputed live then: so the peak of
///   each plan above its start, divided by the blocks that keep theirs (at least one) and by the rows, is a bound for one
///   block and one row. The least of all these counts.
/// * *More passes.* One that adds to a sum begins with that sum, and goes above its start as far as one that begins a sum, and
///   by as much further as any did that was run.
/// * *The update* needs the same in all plans.
///
/// Where these leave a gap, plans on the way are run that close it: in between, or without adding. What is not shown to fit is
/// not taken, though it may: very near the smallest plan's peak little can be shown. The margin is for what differs from
/// run to run, and where the above holds only nearly. If a plan is over all the same, none is run that has as many rows or
/// more and recomputes no more.
///
/// It does not hold where a trainer keeps more than the sum from pass to pass, where blocks are not alike (say so by
/// [`recompute`](Self::recompute), which fixes it), or rows are of different lengths: run the longest.
///
/// Bytes are MLX's count of live arrays. Its cache of freed buffers and what the process uses beside MLX are not in the budget.
///
/// # On CUDA
///
/// MLX runs ahead of what it has computed, as far as its memory limit lets it, and its peaks tell little. So that limit is set
/// near 0 meanwhile, and comes back at the end, after an error and in unwinding, too. No plan has more than four times the rows
/// of one that was run. Times are those under that limit. [Train](super::Run) under a memory limit of the budget less a
/// twentieth, as a run sets it. On Metal, which runs ahead too, this was not tried: the limit stays, and the margin is the same.
#[derive(Debug, Clone)]
#[must_use = "nothing is fitted before `run`"]
pub struct Fit {
    budget: u64,
    rows: usize,
    batch: Knob,
    batches: Option<Vec<usize>>,
    blocks: usize,
    recompute: Knob,
    margin: Option<f64>,
    at_least: u64,
    beside_holds: bool,
    manager: Option<Manager>,
    clock: Option<Clock>,
}

impl Fit {
    /// Into so many bytes, which is the most that MLX's live arrays may come to, all included; with so many rows for each
    /// update, which stay.
    ///
    /// # Panics
    ///
    /// If `rows` is 0.
    pub fn new(budget: u64, rows: usize) -> Self {
        assert!(rows > 0, "an update has rows");
        Self {
            budget,
            rows,
            batch: Knob::Auto,
            batches: None,
            blocks: 0,
            recompute: Knob::Auto,
            margin: None,
            at_least: 0,
            beside_holds: false,
            manager: None,
            clock: None,
        }
    }

    /// Rows of a pass. `Auto`, the default, chooses among [`batches`](Self::batches). A fixed one is never touched: smaller
    /// batches are only run on the way to it.
    pub fn batch(mut self, batch: impl Into<Knob>) -> Self {
        self.batch = match batch.into() {
            Knob::Fixed(rows) => Knob::Fixed(rows.max(1)),
            Knob::Auto => Knob::Auto,
        };
        self
    }

    /// The batches to choose from. Default: the divisors of the update's rows, so that all passes have the same shape. With
    /// others an update's last pass has fewer rows; weight means by rows ([`BatchSizer`](super::BatchSizer) does).
    pub fn batches(mut self, batches: impl IntoIterator<Item = usize>) -> Self {
        self.batches = Some(batches.into_iter().collect());
        self
    }

    /// How many blocks can be recomputed, which are alike. Default: as many as are fixed by
    /// [`recompute`](Self::recompute), else 0.
    pub fn blocks(mut self, blocks: usize) -> Self {
        self.blocks = blocks;
        self
    }

    /// How many blocks are recomputed, from the first on. `Auto`, the default, chooses among none, each quarter, and all. A
    /// fixed number is never touched, and no other is run.
    pub fn recompute(mut self, first: impl Into<Knob>) -> Self {
        self.recompute = first.into();
        self
    }

    /// How much of the budget is kept free, from 0 to 1, for what differs from run to run. Default: 0.03 on the CPU, 0.15
    /// elsewhere.
    pub fn margin(mut self, part: f64) -> Self {
        self.margin = Some(part.clamp(0.0, 1.0));
        self
    }

    /// What is known to come on top of what lives already, in bytes, whatever the plan: gradients, the optimizer's state.
    /// If that alone is over, nothing is run. Default: 0.
    pub fn at_least(mut self, bytes: u64) -> Self {
        self.at_least = bytes;
        self
    }

    /// Measures beside reservations and residents that live already, as [`Measuring`](super::Measuring::beside_holds).
    pub fn beside_holds(mut self) -> Self {
        self.beside_holds = true;
        self
    }

    /// The manager whose backend is measured. Default: the process's shared one.
    pub fn manager(mut self, manager: &Manager) -> Self {
        self.manager = Some(manager.clone());
        self
    }

    /// What tells the time that has gone by, from any origin. Default: the processor time of the process where the
    /// processor computes, since others on the machine do not change it; elsewhere the time on the wall.
    pub fn clock(mut self, now: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        self.clock = Some(Clock::new(now));
        self
    }

    /// Runs plans and chooses.
    ///
    /// # Errors
    ///
    /// [`Error::OverBudget`] before anything is run; [`Error::NothingFits`]; [`Error::Work`] with the trainer's own error;
    /// [`Error::NotAlone`], [`Error::MeasurementInProgress`], [`Error::Backend`] as [`Measuring`](super::Measuring::run);
    /// [`Error::RunInProgress`] beside a [`Run`](super::Run), whose steps read the same record of the peak;
    /// [`Error::NotRestored`] on CUDA, for MLX's memory limit.
    ///
    /// # Blocking
    ///
    /// For as long as the plans take: at most ten, three updates each.
    #[track_caller]
    pub fn run<T: Fittable>(&self, trainer: &mut T) -> Result<Fitted, Error> {
        let place = Location::caller();
        let manager = self.manager.as_ref().unwrap_or_else(|| Manager::shared());
        let backend = manager.backend();
        let kind = manager.device().kind;
        let space = self.space(kind);
        let claim = Claim::of(Claimed::Peak, backend, place)?;
        let mut limits = Limits::new(backend.clone(), claim, None);
        let label = Arc::from("fit");
        let alone = Alone::watch(manager, &label, self.beside_holds)?;
        let active = backend.memory()?.active;
        if active.saturating_add(self.at_least) >= space.limit {
            return Err(Error::OverBudget {
                active,
                at_least: self.at_least,
                budget: self.budget,
                margin: self.budget - space.limit,
            });
        }
        if kind == DeviceKind::Cuda {
            // MLX runs ahead of what it has computed as far as its memory limit lets it, so peaks tell little. Near 0 it
            // does not.
            limits.set_memory(1 << 20)?;
        }
        let mut meter = Meter {
            trainer: Lent(trainer),
            backend: &**backend,
            alone,
            clock: self.clock.clone().unwrap_or_else(|| Clock::of(kind)),
            limit: space.limit,
            spent: Spent::default(),
        };
        let mut search = Search::new(space);
        search.run(|plan, adding| {
            // At first the optimizer's state has yet to come, and functions to be compiled.
            let warm_up = if adding.is_none() { 2 } else { 1 };
            meter.run(plan, warm_up, adding)
        })?;
        let spent = meter.spent;
        drop(meter);
        limits.restore()?;
        self.fitted(&search, spent)
    }

    /// How many blocks there are: at least those that are to be recomputed.
    fn block_count(&self) -> usize {
        match (self.blocks, self.recompute) {
            (0, Knob::Fixed(first)) => count(first),
            (blocks, _) => blocks,
        }
    }

    fn space(&self, kind: DeviceKind) -> Space {
        let margin = self.margin.unwrap_or(match kind {
            DeviceKind::Cpu => 0.03,
            DeviceKind::Cuda | DeviceKind::Metal => 0.15,
        });
        let mut batches = match (self.batch, &self.batches) {
            (Knob::Fixed(batch), _) => vec![count(batch)],
            (Knob::Auto, Some(batches)) => batches.clone(),
            (Knob::Auto, None) => divisors(self.rows),
        };
        for batch in &mut batches {
            *batch = (*batch).clamp(1, self.rows);
        }
        batches.sort_unstable();
        batches.dedup();
        if batches.is_empty() {
            batches.push(self.rows);
        }
        let largest = batches.last().copied().unwrap_or(1);
        let steps = match (self.batch, &self.batches) {
            (Knob::Auto, Some(_)) => Vec::new(),
            // From one to the next a pass may need half as much again, or a third.
            _ => {
                let doubled = std::iter::successors(Some(1_usize), |it| it.checked_mul(2));
                let doubled = doubled.take_while(|it| *it < largest);
                let between = doubled.flat_map(|it| [it, it + it / 2]);
                between.filter(|it| *it < largest).collect()
            }
        };
        let blocks = self.block_count();
        let mut levels = match self.recompute {
            Knob::Fixed(first) => vec![count(first).min(blocks)],
            Knob::Auto => {
                let (quarter, rest) = (blocks / 4, blocks % 4);
                let levels = (0..=4).rev();
                levels.map(|it| quarter * it + rest * it / 4).collect()
            }
        };
        levels.dedup();
        Space {
            rows: self.rows,
            batches,
            steps,
            levels,
            blocks,
            limit: ((self.budget as f64 * (1.0 - margin)) as u64).min(self.budget),
            reach: (kind != DeviceKind::Cpu).then_some(4),
        }
    }

    fn fitted(&self, search: &Search, spent: Spent) -> Result<Fitted, Error> {
        let limit = search.space.limit;
        let margin = self.budget - limit;
        let model = search.model();
        let best = model
            .as_ref()
            .and_then(|model| Some((model, search.best(model)?)));
        let Some((model, (best, rows_per_second))) = best else {
            let (plan, needs) = search.least_of_all();
            return Err(Error::NothingFits {
                plan,
                needs,
                budget: self.budget,
                margin,
            });
        };
        let expected = search.expected.iter().find(|it| it.0 == best.plan);
        Ok(Fitted {
            plan: best.plan,
            rows: self.rows,
            budget: self.budget,
            margin,
            peak: search.peak(best),
            above_start: search.peak(best).saturating_sub(best.cost.start),
            predicted: expected.map(|it| it.1),
            rows_per_second,
            probes: search.ran(),
            highest_probe: spent.highest,
            passes: spent.passes,
            updates: spent.updates,
            changes: fitted::changes(search, model, best),
            considered: fitted::considered(search, model, best),
        })
    }
}

fn divisors(of: usize) -> Vec<usize> {
    let lower = (1..=of.isqrt()).filter(|it| of.is_multiple_of(*it));
    lower.flat_map(|it| [it, of / it]).collect()
}

fn count(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
