//! What a run is made of, drawn from its seed.

use fastrand::Rng;
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::{
    Config, Context, Kind, Manager, MaxPolicy, OnApplyFailure, Policy, PolicyId, Sizes, SumPolicy,
    Ticket, WireMode,
};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

/// The groups of every run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Group {
    /// A sum of up to [`CAP`].
    Capped,
    Sum,
    Max,
    /// A policy that is not built in.
    Own,
}

pub(crate) const CAP: u64 = 100;
const OWN_CAP: u64 = 90;
const LOW_CEILING: u64 = 150;
/// After how long a line is told of that admits no waiter, where that is told at all.
pub(crate) const STALL_AFTER: Duration = Duration::from_micros(200);

/// What one of the tickets asks for. Its label is its place in [`DEMANDS`], which guards keep when they are resized.
#[derive(Debug)]
pub(crate) struct Demand {
    pub(crate) group: Group,
    pub(crate) bytes: u64,
    pub(crate) kind: Kind,
    /// Its guards are owned: they may end on another thread.
    pub(crate) owned: bool,
}

const fn demand(group: Group, bytes: u64, kind: Kind, owned: bool) -> Demand {
    Demand {
        group,
        bytes,
        kind,
        owned,
    }
}

/// How many of [`DEMANDS`] are borrowed by their guards. They come first.
pub(crate) const LENT: usize = 6;
/// In [`DEMANDS`]: one that is always admitted.
pub(crate) const SMALL: usize = 6;
/// In [`DEMANDS`]: one that leaves nothing to the others of its group.
pub(crate) const WHOLE: usize = 10;

pub(crate) static DEMANDS: [Demand; 11] = [
    demand(Group::Capped, 30, Kind::Active, false),
    demand(Group::Capped, 60, Kind::Reservation, false),
    demand(Group::Sum, 17, Kind::Active, false),
    demand(Group::Max, 40, Kind::Active, false),
    demand(Group::Own, 40, Kind::Active, false),
    demand(Group::Own, 30, Kind::Resident, false),
    demand(Group::Sum, 17, Kind::Active, true),
    demand(Group::Max, 40, Kind::Resident, true),
    demand(Group::Own, 40, Kind::Active, true),
    demand(Group::Capped, 30, Kind::Reservation, true),
    demand(Group::Capped, CAP, Kind::Active, true),
];

/// baseline + sum; it admits up to [`OWN_CAP`], and panics now and then.
#[derive(Debug, Clone)]
struct Own {
    panics: bool,
}

impl Policy for Own {
    fn id(&self) -> PolicyId {
        PolicyId::named("own")
    }

    fn limit(&self, context: &Context, live: &Sizes<'_>) -> u64 {
        context.baseline + live.sum
    }

    fn can_admit(&self, _: &Context, live: &Sizes<'_>, new: u64) -> bool {
        if self.panics && fastrand::u8(..60) == 0 {
            // Without the panic hook's message.
            resume_unwind(Box::new("the policy panics"));
        }
        live.sum + new <= OWN_CAP
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) threads: usize,
    /// Places in [`DEMANDS`] that are borrowed from in this run: the fewer, the more threads wait.
    pub(crate) lent: Vec<usize>,
    config: Config,
    mode: WireMode,
    /// The limit in MLX at first; none: there is no wired memory.
    pub(crate) wired: Option<u64>,
    /// The ceiling is below what the guards may call for.
    clamps: bool,
    /// Calls of the setter with some of the values fail.
    fails: bool,
    /// Threads hold guards while they wait, for as long as it takes, and no guard is owned. Else all waits have an end.
    pub(crate) nests: bool,
    /// The policy that is not built in panics now and then.
    pub(crate) panics: bool,
    /// When the manager is closed.
    pub(crate) closes_at: Option<usize>,
}

impl Plan {
    /// What each thread does.
    pub(crate) const STEPS: usize = 150;

    pub(crate) fn draw(seed: u64) -> Self {
        let rng = &mut Rng::with_seed(seed);
        let micros = |rng: &mut Rng, most| Duration::from_micros(rng.u64(..most));
        let mut config = Config::default()
            .shrink_cooldown(micros(rng, 2000))
            .housekeeping(rng.bool());
        if rng.bool() {
            config = config.overtaking(rng.u64(1..4));
        }
        if rng.bool() {
            config = config.budget(200);
        }
        if rng.bool() {
            config = config.linger(micros(rng, 300));
        }
        if rng.bool() {
            config = config.stall_after(STALL_AFTER);
        }
        if rng.u8(..4) == 0 {
            config = config.on_apply_failure(OnApplyFailure::Proceed);
        }
        let mut lent: Vec<usize> = (0..LENT).collect();
        rng.shuffle(&mut lent);
        lent.truncate(rng.usize(1..=4));
        let mode = match rng.u8(..8) {
            0 => WireMode::Uncoordinated,
            1 => WireMode::Never,
            _ => WireMode::Auto,
        };
        Self {
            seed,
            threads: rng.usize(3..=5),
            lent,
            config: config.mode(mode),
            mode,
            wired: (rng.u8(..4) > 0).then(|| rng.u64(..3) * 50),
            clamps: rng.u8(..3) == 0,
            fails: rng.bool(),
            nests: rng.bool(),
            panics: rng.u8(..3) == 0,
            closes_at: (rng.u8(..4) == 0).then(|| rng.usize(Self::STEPS / 2..Self::STEPS)),
        }
    }

    /// Whether the setter is called.
    pub(crate) fn is_wired(&self) -> bool {
        self.mode == WireMode::Auto && self.wired.is_some()
    }

    pub(crate) fn backend(&self) -> Arc<RecordingBackend> {
        let backend = match self.wired {
            Some(initial) => RecordingBackend::metal().initial_limit(initial),
            None => RecordingBackend::cpu(),
        };
        let backend = match self.wired.filter(|_| self.clamps) {
            Some(_) => backend.recommended(LOW_CEILING),
            None => backend,
        };
        let fails = self.fails;
        backend
            .fail_when(move |limit, _| fails && limit % 7 == 3)
            .build()
    }

    pub(crate) fn manager(&self, backend: &Arc<RecordingBackend>) -> Manager {
        Manager::builder()
            .backend(backend.clone())
            .config(self.config.clone())
            .build()
            .expect("the settings are valid")
    }

    /// One for each of [`DEMANDS`].
    pub(crate) fn tickets(&self, manager: &Manager) -> Vec<Ticket> {
        let ticket = |(place, demand): (usize, &Demand)| {
            let bytes = demand.bytes;
            let ticket = match demand.group {
                Group::Capped => manager.ticket(&SumPolicy::capped(CAP), bytes),
                Group::Sum => manager.ticket(&SumPolicy::uncapped(), bytes),
                Group::Max => manager.ticket(&MaxPolicy::new(), bytes),
                Group::Own => {
                    let panics = self.panics;
                    manager.ticket(&Own { panics }, bytes)
                }
            };
            let ticket = ticket.label(place.to_string());
            match demand.kind {
                Kind::Reservation => ticket.reservation().evictable(),
                Kind::Resident => ticket.resident().evictable(),
                _ => ticket,
            }
        };
        DEMANDS.iter().enumerate().map(ticket).collect()
    }
}
