//! What a run is made of, drawn from its seed.

use super::custom::Custom;
use super::forms::{Form, KINDS};
use super::setting;
use fastrand::Rng;
use mlx_wired::{Config, PolicyId, WireMode};
use std::time::Duration;

/// The settings of a run, its groups, and what goes wrong in it.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) threads: usize,
    /// Threads acquire while they hold guards.
    pub(crate) nests: bool,
    /// Threads take holds, too; else the order of service is checked. A waiter that does not fit beside the holds is set aside
    /// and passed (R26a), and nothing tells an observer which one is.
    pub(crate) holds: bool,
    /// Some holds are not evictable.
    pub(crate) stays: bool,
    /// The room that holds want under built-in policies.
    pub(crate) room: u64,
    pub(crate) config: Config,
    pub(crate) mode: WireMode,
    pub(crate) forms: Vec<Form>,
    /// What MLX recommends, which is the ceiling.
    pub(crate) recommended: u64,
    /// The limit in force at first.
    pub(crate) initial: u64,
    /// What all groups together may hold.
    pub(crate) budget: Option<u64>,
    pub(crate) overtaking: u64,
    pub(crate) ratio: f64,
    /// One call of the setter in so many fails, half of them by a panic; 0: none.
    pub(crate) failing: u8,
    pub(crate) panicking: bool,
    pub(crate) calling_back: bool,
    /// How long the setter dawdles at most, in microseconds.
    pub(crate) dawdling: u64,
    /// The manager is closed amid the traffic.
    pub(crate) closing: bool,
    /// Some guards are never released.
    pub(crate) leaking: bool,
    /// All threads on one processor.
    pub(crate) pinned: bool,
    /// Threads are interrupted, wherever they are.
    pub(crate) interrupted: bool,
}

fn one_in(rng: &mut Rng, n: u32) -> bool {
    rng.u32(..n) == 0
}

/// One of `each`.
fn one_of<T: Copy>(rng: &mut Rng, each: &[T]) -> T {
    each[rng.usize(..each.len())]
}

impl Plan {
    /// A run of up to `threads` threads.
    pub(crate) fn draw(seed: u64, threads: usize) -> Self {
        let rng = &mut Rng::with_seed(seed);
        let recommended = one_of(rng, &[120, 400, 100_000]);
        let mode = match rng.u8(..16) {
            0 => WireMode::Never,
            _ => WireMode::Auto,
        };
        let budget = one_in(rng, 4).then_some(150);
        let overtaking = one_of(rng, &[0, 0, 1, 3]);
        let ratio = one_of(rng, &[0.0, 0.0, 0.25, 1.0]);
        let cooldown = one_of(rng, &[0, 0, 300]);
        let linger = one_of(rng, &[0, 0, 200]);
        let config = Config::default()
            .growth_step(0)
            .mode(mode)
            .budget(budget)
            .overtaking(overtaking)
            .shrink_threshold_ratio(ratio)
            .shrink_cooldown(Duration::from_micros(cooldown))
            .linger(Duration::from_micros(linger))
            .housekeeping(rng.bool());
        Self {
            seed,
            threads: rng.usize(2..=threads),
            nests: false,
            holds: rng.bool(),
            stays: rng.bool(),
            room: one_of(rng, &[0, 0, 10]),
            forms: forms(rng, recommended),
            config,
            mode,
            recommended,
            initial: one_of(rng, &[0, 0, 37]),
            budget,
            overtaking,
            ratio,
            failing: one_of(rng, &[0, 0, 0, 4]),
            panicking: one_in(rng, 4),
            calling_back: one_in(rng, 4),
            dawdling: one_of(rng, &[0, 20, 200]),
            closing: one_in(rng, 8),
            leaking: one_in(rng, 8),
            pinned: one_in(rng, 8),
            interrupted: rng.bool() && setting("STRESS_SIGNALS") != Some(0),
        }
    }

    /// What a line admits in an empty manager, whatever the settings.
    pub(crate) fn always(&self, line: usize) -> u64 {
        let always = self.forms[line].always();
        self.budget.map_or(always, |budget| budget.min(always))
    }

    /// The room that holds of a line want.
    pub(crate) fn room(&self, line: usize) -> u64 {
        match self.forms[line] {
            // It may say no for now where it would say yes at another time.
            Form::Custom(_) => 0,
            _ => self.room,
        }
    }

    /// The kinds that threads draw from.
    pub(crate) fn kinds(&self) -> std::ops::Range<usize> {
        0..if self.holds { KINDS.len() } else { 1 }
    }
}

/// One to four groups: the fewer there are, the more the threads meet in them.
fn forms(rng: &mut Rng, recommended: u64) -> Vec<Form> {
    let mut all = vec![
        Form::Uncapped,
        Form::Capped(100),
        Form::Capped(130),
        Form::Device {
            least: recommended,
            most: recommended,
        },
        Form::Max,
        Form::Peak,
        Form::Fixed(70),
        Form::Budget { base: 20, cap: 120 },
        Form::Custom(Custom::new(false)),
        Form::Custom(Custom::new(true)),
        Form::Mixed {
            id: PolicyId::unique(),
            cap: 110,
        },
    ];
    rng.shuffle(&mut all);
    all.truncate(rng.usize(1..=4));
    all
}
