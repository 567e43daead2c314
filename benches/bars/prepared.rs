//! A ticket whose pairs need no limit change, and the policies that are measured with it.

use crate::keeper::Keeper;
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::{
    BudgetPolicy, Context, FixedPolicy, Manager, MaxPolicy, OwnedGuard, PeakPolicy, Policy,
    PolicyId, Sizes, SumPolicy, Ticket,
};
use std::hint::black_box;

/// The size of one guard.
pub(crate) const BYTES: u64 = 1 << 10;
/// A cap that nothing here comes near, and a number of guards.
const CAP: u64 = 32 << 30;
const MANY: usize = 1_000_000;

/// The built-in policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BuiltIn {
    SumUncapped,
    Fixed,
    SumCapped,
    Budget,
    SumAtMost,
    SumElastic,
    Max,
    MaxAtMost,
    Peak,
}

impl BuiltIn {
    pub(crate) const ALL: [Self; 9] = [
        Self::SumUncapped,
        Self::Fixed,
        Self::SumCapped,
        Self::Budget,
        Self::SumAtMost,
        Self::SumElastic,
        Self::Max,
        Self::MaxAtMost,
        Self::Peak,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::SumUncapped => "sum-uncapped",
            Self::Fixed => "fixed",
            Self::SumCapped => "sum-capped",
            Self::Budget => "budget",
            Self::SumAtMost => "sum-at-most",
            Self::SumElastic => "sum-elastic",
            Self::Max => "max",
            Self::MaxAtMost => "max-at-most",
            Self::Peak => "peak",
        }
    }

    pub(crate) fn ticket(self, manager: &Manager) -> Ticket {
        match self {
            Self::SumUncapped => manager.ticket(&SumPolicy::uncapped(), BYTES),
            Self::Fixed => manager.ticket(&FixedPolicy::new(CAP), BYTES),
            Self::SumCapped | Self::SumElastic => manager.ticket(&SumPolicy::capped(CAP), BYTES),
            Self::Budget => manager.ticket(&BudgetPolicy::new(BYTES).with_cap(CAP), BYTES),
            Self::SumAtMost => manager.ticket(&SumPolicy::capped(CAP).at_most(MANY), BYTES),
            Self::Max => manager.ticket(&MaxPolicy::new(), BYTES),
            Self::MaxAtMost => manager.ticket(&MaxPolicy::new().at_most(MANY), BYTES),
            Self::Peak => manager.ticket(&PeakPolicy, BYTES),
        }
    }
}

/// A manager in the default configuration, on a device with wired memory.
pub(crate) fn manager() -> Manager {
    Manager::builder()
        .backend(RecordingBackend::metal().build())
        .build()
        .expect("the default configuration is valid")
}

/// What the guards are that live beside those that are timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beside {
    /// They belong to no thread, and a release sees that they stay.
    Owned,
    /// Those of another thread, as in a pool of workers: each came and may go without the lock.
    Borrowed,
}

/// What keeps them.
enum Live {
    Owned { _guards: Vec<OwnedGuard> },
    Borrowed { _keeper: Keeper },
}

/// A ticket of which others' guards live, under a limit that covers one more for each thread.
pub(crate) struct Prepared {
    ticket: Ticket,
    _live: Live,
    manager: Manager,
}

impl Prepared {
    pub(crate) fn new(manager: Manager, ticket: Ticket, threads: usize, live: usize) -> Self {
        let live = Live::Owned {
            _guards: guards(&ticket, live),
        };
        // Raises the limit for all threads at once. It stays: what is let go of is less than a shrink.
        drop(guards(&ticket, threads));
        Self {
            ticket,
            _live: live,
            manager,
        }
    }

    /// The same, beside borrowed guards alone.
    fn beside_borrowed(manager: Manager, ticket: Ticket, threads: usize, live: usize) -> Self {
        // Raises the limit for all. One stays until the others have come, so that each comes without the lock.
        let mut raised = guards(&ticket, live + threads);
        raised.truncate(1);
        let keeper = Keeper::new(&ticket, live);
        drop(raised);
        Self {
            ticket,
            _live: Live::Borrowed { _keeper: keeper },
            manager,
        }
    }

    /// So many more guards, and one more that comes and goes as with the first.
    pub(crate) fn more(&self, live: usize) -> Vec<OwnedGuard> {
        let more = guards(&self.ticket, live);
        drop(guards(&self.ticket, 1));
        more
    }

    pub(crate) fn built_in(policy: BuiltIn, threads: usize, live: usize) -> Self {
        Self::built_in_beside(Beside::Owned, policy, threads, live)
    }

    pub(crate) fn built_in_beside(
        beside: Beside,
        policy: BuiltIn,
        threads: usize,
        live: usize,
    ) -> Self {
        let manager = manager();
        if policy == BuiltIn::SumElastic {
            let elastic = manager.configure(|config| config.elastic([1.0, 0.9, 0.75, 0.5]));
            let pressed = elastic.and_then(|()| manager.set_pressure(1.0));
            pressed.expect("no guard is in the way");
        }
        let ticket = policy.ticket(&manager);
        match beside {
            Beside::Owned => Self::new(manager, ticket, threads, live),
            Beside::Borrowed => Self::beside_borrowed(manager, ticket, threads, live),
        }
    }

    pub(crate) fn manager(&self) -> &Manager {
        &self.manager
    }

    pub(crate) fn pairs(&self, pairs: u64) {
        // The loop must not know more of the ticket than a caller's own loop would.
        let ticket = black_box(&self.ticket);
        for _ in 0..pairs {
            let guard = ticket.acquire().expect("nothing is in the way");
            black_box(());
            drop(guard);
        }
    }

    /// [`pairs`](Self::pairs) of owned guards.
    pub(crate) fn owned_pairs(&self, pairs: u64) {
        let ticket = black_box(&self.ticket);
        for _ in 0..pairs {
            let guard = ticket.acquire_owned().expect("nothing is in the way");
            black_box(());
            drop(guard);
        }
    }
}

fn guards(ticket: &Ticket, count: usize) -> Vec<OwnedGuard> {
    let acquire = |_| ticket.acquire_owned().expect("nothing is in the way");
    (0..count).map(acquire).collect()
}

/// A policy of the user's own that reads single sizes: each takes whole pages.
#[derive(Clone)]
pub(crate) struct SingleSizes(PolicyId);

impl SingleSizes {
    pub(crate) fn new() -> Self {
        Self(PolicyId::unique())
    }
}

impl Policy for SingleSizes {
    fn id(&self) -> PolicyId {
        self.0.clone()
    }

    fn limit(&self, context: &Context, live: &Sizes<'_>) -> u64 {
        context.baseline + in_pages(live.each)
    }

    fn can_admit(&self, _context: &Context, live: &Sizes<'_>, new: u64) -> bool {
        in_pages(live.each) + in_pages(&[new]) <= CAP
    }

    fn wants_sizes(&self) -> bool {
        true
    }
}

/// What sizes come to in pages of Apple silicon, 16 KiB.
fn in_pages(sizes: &[u64]) -> u64 {
    sizes
        .iter()
        .map(|size| size.next_multiple_of(16 << 10))
        .sum()
}
