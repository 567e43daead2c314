//! Acquire + drop where the limit need not change, on one thread and on several at once.

use crate::crew::{self, Effort, Subject};
use crate::method::{self, Cost};
use crate::peers;
use crate::prepared::{BYTES, Beside, BuiltIn, Prepared, SingleSizes, manager};
use crate::report::Report;

/// Guards of each thread's that live beside those that are timed.
const LIVE: usize = 10;
const CUSTOM: &str = "pairs/custom-single-sizes-10-live/1";

pub(crate) fn run(report: &mut Report) {
    for threads in [1, 2, 4, 8, 16] {
        measure(report, threads);
    }
    custom(report);
}

/// What is timed: pairs of a policy, beside guards that live.
#[derive(Clone, Copy)]
struct Pairs {
    policy: BuiltIn,
    beside: Beside,
}

impl Pairs {
    /// Each policy beside owned guards, and those that never or seldom look under the lock beside borrowed ones.
    fn all() -> impl Iterator<Item = Self> {
        use BuiltIn::{Budget, Fixed, SumCapped, SumUncapped};
        let owned = BuiltIn::ALL
            .into_iter()
            .map(|policy| (policy, Beside::Owned));
        let borrowed =
            [SumUncapped, Fixed, SumCapped, Budget].map(|policy| (policy, Beside::Borrowed));
        owned
            .chain(borrowed)
            .map(|(policy, beside)| Self { policy, beside })
    }

    fn name(self) -> String {
        let policy = self.policy.name();
        match self.beside {
            Beside::Owned => policy.to_owned(),
            Beside::Borrowed => format!("{policy}-borrowed"),
        }
    }

    /// What a pair may cost with so many threads, in multiples of BASE.
    fn bar(self, threads: usize) -> Option<f64> {
        use BuiltIn::{
            Budget, Fixed, Max, MaxAtMost, Peak, SumAtMost, SumCapped, SumElastic, SumUncapped,
        };
        match (self.policy, threads) {
            _ if self.beside == Beside::Borrowed && threads > 2 => None,
            (SumUncapped | Fixed, 1) => Some(1.25),
            (SumUncapped | Fixed, 2) => Some(1.8),
            (SumUncapped | Fixed, _) => Some(1.6),
            (SumCapped | Budget | SumAtMost | SumElastic, 1) => Some(1.4),
            (SumCapped | Budget | SumAtMost | SumElastic, _) => Some(2.2),
            (Max | Peak, 1) => Some(3.0),
            (Max | Peak | MaxAtMost, _) => None,
        }
    }

    /// From four threads on, what has a bar must also cost less than every peer.
    fn must_lead(self, threads: usize) -> bool {
        threads >= 4 && self.bar(threads).is_some()
    }

    fn row(self, threads: usize) -> String {
        row(&self.name(), threads)
    }

    fn below_peers(self, threads: usize) -> String {
        format!("{}/below-every-peer", self.row(threads))
    }

    fn subject(self, threads: usize) -> Subject {
        let (policy, live) = (self.policy, LIVE * threads);
        let prepared = Prepared::built_in_beside(self.beside, policy, threads, live);
        Subject::new(self.name(), move |pairs| prepared.pairs(pairs))
    }
}

fn row(name: &str, threads: usize) -> String {
    format!("pairs/{name}/{threads}")
}

fn measure(report: &mut Report, threads: usize) {
    let wants_leader = |report: &Report, ours: &Pairs| {
        ours.must_lead(threads) && report.wants(&ours.below_peers(threads))
    };
    let ours: Vec<Pairs> = Pairs::all()
        .filter(|ours| report.wants(&ours.row(threads)) || wants_leader(report, ours))
        .collect();
    let all_peers = ours.iter().any(|ours| wants_leader(report, ours));
    let wants_peer = |peer: &Subject| all_peers || report.wants(&row(&peer.name, threads));
    if ours.is_empty() && !peers::all().iter().any(wants_peer) {
        return;
    }
    if threads > method::cores() {
        for ours in ours {
            let bar = ours.bar(threads);
            if bar.is_some() {
                report.skip(ours.row(threads), bar);
            }
        }
        return;
    }

    // BASE, the peers, then ours.
    let subjects = || {
        let peers = peers::all().into_iter().filter(wants_peer);
        let ours = ours.iter().map(|ours| ours.subject(threads));
        [peers::base()]
            .into_iter()
            .chain(peers)
            .chain(ours)
            .collect::<Vec<_>>()
    };
    let names: Vec<String> = subjects().into_iter().map(|subject| subject.name).collect();
    let costs = crew::compare(threads, effort(threads, report.is_quick()), subjects);

    let (others, own) = costs.split_at(costs.len() - ours.len());
    let best = others[1..]
        .iter()
        .map(|cost| cost.ratio)
        .fold(f64::INFINITY, f64::min);
    for (ours, cost) in ours.iter().zip(own) {
        tell(report, *ours, threads, *cost, best);
    }
    for (name, cost) in names.iter().zip(others) {
        report.peer(row(name, threads), cost.ratio, Some(cost.time));
    }
}

fn effort(threads: usize, quick: bool) -> Effort {
    let (pairs, rounds, sets) = match threads {
        _ if quick => return Effort::TRIAL,
        1 => (10_000, 31, 15),
        2 => (5_000, 31, 15),
        _ => (5_000, 15, 11),
    };
    Effort {
        pairs,
        rounds,
        sets,
    }
}

fn tell(report: &mut Report, ours: Pairs, threads: usize, cost: Cost, best_peer: f64) {
    let (name, time) = (ours.row(threads), Some(cost.time));
    match ours.bar(threads) {
        Some(bar) => report.at_most(name, cost.ratio, bar, time),
        None => report.info(name, cost.ratio, time),
    }
    if ours.must_lead(threads) {
        report.below(ours.below_peers(threads), cost.ratio, best_peer);
    }
}

fn custom(report: &mut Report) {
    if !report.wants(CUSTOM) {
        return;
    }
    let subjects = || {
        let manager = manager();
        let ticket = manager.ticket(&SingleSizes::new(), BYTES);
        let prepared = Prepared::new(manager, ticket, 1, LIVE);
        let ours = Subject::new("custom", move |pairs| prepared.pairs(pairs));
        vec![peers::base(), ours]
    };
    let cost = crew::compare(1, effort(1, report.is_quick()), subjects)[1];
    report.at_most(CUSTOM, cost.ratio, 25.0, Some(cost.time));
}
