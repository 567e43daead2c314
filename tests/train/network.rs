//! A network that is played: its memory moment by moment, and its time.

use mlx_wired::ffi::RecordingBackend;
use mlx_wired::train::{Fittable, Plan};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a network takes. Bytes of a row are those of one block, if nothing else is said.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) blocks: usize,
    pub(crate) weights: u64,
    /// What a block keeps of a row for its backward pass.
    pub(crate) kept: u64,
    /// Its input, which is kept where the block is recomputed.
    pub(crate) input: u64,
    /// What its backward pass needs for a while.
    pub(crate) work: u64,
    /// What the loss needs of a row.
    pub(crate) head: u64,
    /// Whether the sum of the gradients is made beside the old one.
    pub(crate) sums_apart: bool,
    /// Seconds of a pass, whatever its rows.
    pub(crate) overhead: f64,
    /// Seconds of a row.
    pub(crate) row: f64,
    /// What recomputing all adds to that, as a part of it.
    pub(crate) recomputing: f64,
    /// How much slower a row is in the worst batch.
    pub(crate) uneven: f64,
    /// The most by which a time is disturbed, as a part of it.
    pub(crate) noise: f64,
}

/// What a training holds, and how it goes.
pub(crate) struct Network {
    pub(crate) shape: Shape,
    pub(crate) rows: usize,
    backend: Arc<RecordingBackend>,
    clock: Arc<AtomicU64>,
    random: fastrand::Rng,
    /// Whether the optimizer has made its state: it does so in the first update.
    has_state: bool,
    /// Passes that added to a sum.
    pub(crate) added: u32,
    /// The highest that was ever live.
    pub(crate) highest: u64,
    pub(crate) ran: Vec<Plan>,
    pub(crate) restored: u32,
}

impl Shape {
    /// A transformer of 8 blocks as measured on a CPU, in kB.
    pub(crate) fn transformer() -> Self {
        Self {
            blocks: 8,
            weights: 6_500_000,
            kept: 2_240_000,
            input: 65_000,
            work: 1_000_000,
            head: 1_000_000,
            sums_apart: false,
            overhead: 0.003,
            row: 0.042,
            recomputing: 0.4,
            uneven: 0.1,
            noise: 0.03,
        }
    }

    pub(crate) fn random(random: &mut fastrand::Rng) -> Self {
        let mut scaled = |least: f64, most: f64| least * (most / least).powf(random.f64());
        let weights = scaled(1e6, 1e10);
        // From rows that are small beside the weights to such that are large.
        let kept = weights * scaled(0.002, 2.0);
        let row = scaled(1e-4, 1.0);
        Self {
            blocks: scaled(1.0, 48.9) as usize,
            weights: weights as u64,
            kept: kept as u64,
            input: (kept * scaled(0.02, 0.3)) as u64,
            work: (kept * scaled(0.05, 1.0)) as u64,
            head: (kept * scaled(0.05, 4.0)) as u64,
            sums_apart: scaled(1.0, 4.0) > 2.0,
            overhead: row * scaled(0.01, 0.5),
            row,
            recomputing: scaled(0.2, 0.5),
            uneven: scaled(0.01, 0.1),
            noise: scaled(0.001, 0.04),
        }
    }

    /// What lives at each moment of a pass above its start: bytes that stay the same, and bytes for each row.
    fn moments(&self, first: usize) -> Vec<(u64, u64)> {
        let plain = (self.blocks - first) as u64;
        let stored = first as u64 * self.input;
        let mut moments = vec![(0, stored + plain * self.kept + self.head)];
        for block in (0..self.blocks).rev() {
            let done = (self.blocks - 1 - block) as u64;
            let gradients = self.weights * done / self.blocks as u64;
            let rows = match block < first {
                true => (block as u64 + 1) * self.input + self.kept + self.work,
                false => stored + (block + 1 - first) as u64 * self.kept + self.work,
            };
            moments.push((gradients, rows));
        }
        moments.push((self.weights, 0));
        moments
    }

    /// The peak of a pass above its start.
    fn above(&self, batch: usize, first: usize) -> u64 {
        let at = |(fixed, row): (u64, u64)| fixed + row * batch as u64;
        self.moments(first).into_iter().map(at).max().unwrap_or(0)
    }

    /// What lives between updates: weights and two states.
    pub(crate) fn held(&self) -> u64 {
        3 * self.weights
    }

    /// The peak of a training by a plan.
    pub(crate) fn peak(&self, plan: Plan) -> u64 {
        let pass = self.held() + self.above(plan.batch, plan.first);
        let sum = if plan.accumulate > 1 { self.weights } else { 0 };
        let apart = if sum > 0 { self.sum_needs(plan) } else { 0 };
        // New weights and states are made beside the old ones.
        let update = self.held() + self.weights + self.weights;
        (pass + sum).max(apart).max(update)
    }

    /// What lives while gradients are added to a sum.
    fn sum_needs(&self, _: Plan) -> u64 {
        let sums = if self.sums_apart { 3 } else { 2 };
        self.held() + sums * self.weights
    }

    /// Seconds of a pass, undisturbed.
    fn seconds(&self, batch: usize, first: usize) -> f64 {
        let share = first as f64 / self.blocks.max(1) as f64;
        // Rows are fastest in batches of about 8.
        let off = ((batch as f64).log2() - 3.0).abs() / 3.0;
        let row = self.row * (1.0 + self.recomputing * share) * (1.0 + self.uneven * off.min(1.0));
        self.overhead + row * batch as f64
    }

    /// Rows a second, undisturbed.
    pub(crate) fn rate(&self, rows: usize, plan: Plan) -> f64 {
        let rest = rows % plan.batch;
        let rest = if rest > 0 {
            self.seconds(rest, plan.first)
        } else {
            0.0
        };
        let passes = (rows / plan.batch) as f64 * self.seconds(plan.batch, plan.first);
        rows as f64 / (passes + rest + 2.0 * self.row)
    }
}

impl Network {
    pub(crate) fn new(
        shape: Shape,
        rows: usize,
        backend: &Arc<RecordingBackend>,
        seed: u64,
    ) -> Self {
        backend.update_memory(|counters| counters.active = shape.weights);
        Self {
            shape,
            rows,
            backend: backend.clone(),
            clock: Arc::new(AtomicU64::new(0)),
            random: fastrand::Rng::with_seed(seed),
            has_state: false,
            added: 0,
            highest: 0,
            ran: Vec::new(),
            restored: 0,
        }
    }

    /// One whose optimizer has its state already.
    pub(crate) fn trained(mut self) -> Self {
        self.has_state = true;
        self.backend
            .update_memory(|counters| counters.active = self.shape.held());
        self
    }

    /// Its time, for `Fit::clock`.
    pub(crate) fn clock(&self) -> impl Fn() -> Duration + Send + Sync + 'static {
        let clock = self.clock.clone();
        move || Duration::from_nanos(clock.load(Ordering::Relaxed))
    }

    /// Up to `above` the present, and then `to` be live.
    fn play(&mut self, above: u64, to: u64) {
        self.backend.update_memory(|counters| {
            let peak = (counters.active + above).max(to);
            counters.recorded_peak = counters.recorded_peak.max(peak);
            self.highest = self.highest.max(peak);
            counters.active = to;
        });
    }

    fn pass_time(&mut self, seconds: f64) {
        let disturbed = seconds * (1.0 + self.shape.noise * self.random.f64());
        self.clock
            .fetch_add((disturbed * 1e9) as u64, Ordering::Relaxed);
    }

    fn between(&self) -> u64 {
        if self.has_state {
            self.shape.held()
        } else {
            self.shape.weights
        }
    }
}

impl Fittable for Network {
    type Error = std::convert::Infallible;

    fn pass(&mut self, plan: Plan, begins: bool) -> Result<(), Self::Error> {
        assert!(plan.batch > 0 && plan.batch <= self.rows && plan.first <= self.shape.blocks);
        if self.ran.last() != Some(&plan) {
            self.ran.push(plan);
        }
        self.added += u32::from(!begins);
        let mut above = self.shape.above(plan.batch, plan.first);
        if !begins && self.shape.sums_apart {
            above = above.max(2 * self.shape.weights);
        }
        self.play(above, self.between() + self.shape.weights);
        self.pass_time(self.shape.seconds(plan.batch, plan.first));
        Ok(())
    }

    fn update(&mut self) -> Result<(), Self::Error> {
        self.has_state = true;
        self.play(0, self.shape.held() + 2 * self.shape.weights);
        self.play(0, self.between());
        self.pass_time(2.0 * self.shape.row);
        Ok(())
    }

    fn restore(&mut self) {
        self.restored += 1;
    }
}
