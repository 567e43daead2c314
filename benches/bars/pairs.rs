//! Acquire + drop where the limit need not change: the first six rows.

use crate::method::{self, Cost, Effort, Subject};
use crate::peers;
use crate::report::Report;
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::{
    BudgetPolicy, Context, FixedPolicy, Manager, MaxPolicy, OwnedGuard, PeakPolicy, Policy,
    PolicyId, Sizes, SumPolicy, Ticket,
};
use std::hint::black_box;

/// The size of one guard.
const BYTES: u64 = 1 << 20;
/// A cap that nothing here comes near.
const CAP: u64 = 32 << 30;

/// A ticket of which others' guards live, under a limit that covers one more for each thread.
pub(crate) struct Prepared {
    pub(crate) ticket: Ticket,
    /// Owned guards, so that they are in no thread's slab.
    _anchors: Vec<OwnedGuard>,
    _manager: Manager,
}

impl Prepared {
    /// In the default configuration, on a device with wired memory.
    pub(crate) fn new<P: Policy + Clone>(policy: &P, threads: usize) -> Self {
        let manager = Manager::builder()
            .backend(RecordingBackend::metal().build())
            .build()
            .expect("the default configuration is valid");
        Self::with_manager(manager, policy, threads, 10 * threads)
    }

    pub(crate) fn with_manager<P: Policy + Clone>(
        manager: Manager,
        policy: &P,
        threads: usize,
        live: usize,
    ) -> Self {
        let ticket = manager.ticket(policy, BYTES);
        let acquire = |_| ticket.acquire_owned().expect("nothing is in the way");
        let anchors = (0..live).map(acquire).collect();
        // Raises the limit for all threads at once. It stays: what is let go of is less than a shrink.
        drop((0..threads).map(acquire).collect::<Vec<_>>());
        Self {
            ticket,
            _anchors: anchors,
            _manager: manager,
        }
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
}

fn subject<P: Policy + Clone>(name: &str, policy: &P, threads: usize) -> Subject {
    let prepared = Prepared::new(policy, threads);
    Subject::new(name, move |pairs| prepared.pairs(pairs))
}

/// A policy of the user's own that reads single sizes: their largest, doubled, and the rest.
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
        // Over the ceiling: what it says never changes the limit.
        context.baseline + (1 << 40) + live.each.iter().take(2).sum::<u64>()
    }

    fn can_admit(&self, _context: &Context, live: &Sizes<'_>, new: u64) -> bool {
        live.each
            .iter()
            .fold(new, |sum, size| sum.saturating_add(*size))
            <= CAP
    }

    fn wants_sizes(&self) -> bool {
        true
    }
}

const NEVER_REFUSE: [&str; 2] = ["sum-uncapped", "fixed"];
const REFUSE: [&str; 2] = ["sum-capped", "budget"];
const LARGEST: [&str; 2] = ["max", "peak"];
const CUSTOM: &str = "custom-single-sizes-10-live";

fn subjects(threads: usize) -> Vec<Subject> {
    let mut subjects = vec![
        peers::base(),
        subject("sum-uncapped", &SumPolicy::uncapped(), threads),
        subject("fixed", &FixedPolicy::new(CAP), threads),
        subject("sum-capped", &SumPolicy::capped(CAP), threads),
        subject("budget", &BudgetPolicy::new(BYTES).with_cap(CAP), threads),
        subject("max", &MaxPolicy::new(), threads),
        subject("peak", &PeakPolicy, threads),
    ];
    subjects.extend(peers::all());
    subjects
}

/// What a row may cost with so many threads.
fn bar(name: &str, threads: usize) -> Option<f64> {
    let one_of = |names: &[&str]| names.contains(&name);
    match threads {
        1 if one_of(&NEVER_REFUSE) => Some(1.25),
        1 if one_of(&REFUSE) => Some(1.4),
        1 if one_of(&LARGEST) => Some(3.0),
        2 if one_of(&NEVER_REFUSE) => Some(1.8),
        4.. if one_of(&NEVER_REFUSE) => Some(1.6),
        2.. if one_of(&REFUSE) => Some(2.2),
        _ => None,
    }
}

pub(crate) fn run(report: &mut Report) {
    for threads in [1, 2, 4, 8, 16] {
        if threads > method::cores() {
            for name in [NEVER_REFUSE, REFUSE].concat() {
                report.skip(row(name, threads), bar(name, threads));
            }
            continue;
        }
        let effort = match threads {
            1 => Effort {
                pairs: 20_000,
                rounds: 61,
                sets: 9,
            },
            2 => Effort {
                pairs: 20_000,
                rounds: 31,
                sets: 9,
            },
            _ => Effort {
                pairs: 10_000,
                rounds: 15,
                sets: 7,
            },
        };
        let costs = method::compare(threads, &subjects(threads), effort);
        tell(report, &costs, threads);
    }
    custom(report);
}

fn row(name: &str, threads: usize) -> String {
    format!("pairs/{name}/{threads}")
}

fn tell(report: &mut Report, costs: &[Cost], threads: usize) {
    let peers: Vec<String> = peers::all().into_iter().map(|peer| peer.name).collect();
    let is_peer = |cost: &&Cost| peers.contains(&cost.name) || cost.name == "base";
    let best_peer = costs
        .iter()
        .filter(|cost| peers.contains(&cost.name))
        .map(|cost| cost.ratio)
        .fold(f64::INFINITY, f64::min);
    for cost in costs.iter().filter(|cost| !is_peer(cost)) {
        let bar = bar(&cost.name, threads);
        report.ratio(
            row(&cost.name, threads),
            cost.ratio,
            bar,
            Some(cost.nanoseconds),
        );
        let must_lead = threads >= 4 && bar.is_some();
        if must_lead {
            let name = format!("{}/below-every-peer", row(&cost.name, threads));
            report.below(name, cost.ratio, best_peer);
        }
    }
    for cost in costs.iter().filter(is_peer) {
        report.peer(row(&cost.name, threads), cost.ratio, Some(cost.nanoseconds));
    }
}

fn custom(report: &mut Report) {
    let manager = Manager::builder()
        .backend(RecordingBackend::metal().build())
        .build()
        .expect("the default configuration is valid");
    let prepared = Prepared::with_manager(manager, &SingleSizes::new(), 1, 10);
    let subjects = [
        peers::base(),
        Subject::new(CUSTOM, move |pairs| prepared.pairs(pairs)),
    ];
    let effort = Effort {
        pairs: 5_000,
        rounds: 31,
        sets: 7,
    };
    let costs = method::compare(1, &subjects, effort);
    let cost = &costs[1];
    report.ratio(
        row(CUSTOM, 1),
        cost.ratio,
        Some(20.0),
        Some(cost.nanoseconds),
    );
}
