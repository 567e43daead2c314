//! Acquire + drop where the limit need not change, on one thread and on several at once.

use crate::crew::{self, Subject};
use crate::method::{self, Cost, Effort};
use crate::peers;
use crate::prepared::{BuiltIn, Prepared, SingleSizes, manager};
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

/// What a pair may cost with so many threads, in multiples of BASE.
fn bar(policy: BuiltIn, threads: usize) -> Option<f64> {
    use BuiltIn::{Budget, Fixed, Max, Peak, SumCapped, SumUncapped};
    match (policy, threads) {
        (SumUncapped | Fixed, 1) => Some(1.25),
        (SumUncapped | Fixed, 2) => Some(1.8),
        (SumUncapped | Fixed, _) => Some(1.6),
        (SumCapped | Budget, 1) => Some(1.4),
        (SumCapped | Budget, _) => Some(2.2),
        (Max | Peak, 1) => Some(3.0),
        (Max | Peak, _) => None,
    }
}

/// From four threads on, what has a bar must also cost less than every peer.
fn must_lead(policy: BuiltIn, threads: usize) -> bool {
    threads >= 4 && bar(policy, threads).is_some()
}

fn row(name: &str, threads: usize) -> String {
    format!("pairs/{name}/{threads}")
}

fn below_peers(policy: BuiltIn, threads: usize) -> String {
    format!("{}/below-every-peer", row(policy.name(), threads))
}

fn measure(report: &mut Report, threads: usize) {
    let policies: Vec<BuiltIn> = BuiltIn::ALL
        .into_iter()
        .filter(|policy| {
            report.wants(&row(policy.name(), threads))
                || (must_lead(*policy, threads) && report.wants(&below_peers(*policy, threads)))
        })
        .collect();
    let wants_leader = |policy: &BuiltIn| {
        must_lead(*policy, threads) && report.wants(&below_peers(*policy, threads))
    };
    let all_peers = policies.iter().any(wants_leader);
    let mut subjects = peers::all();
    subjects.retain(|peer| all_peers || report.wants(&row(&peer.name, threads)));
    if policies.is_empty() && subjects.is_empty() {
        return;
    }
    if threads > method::cores() {
        for policy in policies
            .into_iter()
            .filter(|policy| bar(*policy, threads).is_some())
        {
            report.skip(row(policy.name(), threads), bar(policy, threads));
        }
        return;
    }

    let peers = subjects.len();
    subjects.insert(0, peers::base());
    subjects.extend(policies.iter().map(|policy| {
        let prepared = Prepared::built_in(*policy, threads, LIVE * threads);
        Subject::new(policy.name(), move |pairs| prepared.pairs(pairs))
    }));
    let (pairs, effort) = effort(threads, report.is_quick());
    let costs = crew::compare(threads, &subjects, pairs, effort);

    let (others, ours) = costs.split_at(1 + peers);
    let best = others[1..]
        .iter()
        .map(|cost| cost.ratio)
        .fold(f64::INFINITY, f64::min);
    for (policy, cost) in policies.into_iter().zip(ours) {
        tell(report, policy, threads, *cost, best);
    }
    for (subject, cost) in subjects.iter().zip(others) {
        report.peer(row(&subject.name, threads), cost.ratio, Some(cost.time));
    }
}

fn effort(threads: usize, quick: bool) -> (u64, Effort) {
    let (pairs, rounds, sets) = match threads {
        _ if quick => return (10, Effort::TRIAL),
        1 => (10_000, 31, 15),
        2 => (5_000, 31, 15),
        _ => (5_000, 15, 9),
    };
    (pairs, Effort { rounds, sets })
}

fn tell(report: &mut Report, policy: BuiltIn, threads: usize, cost: Cost, best_peer: f64) {
    let (name, time) = (row(policy.name(), threads), Some(cost.time));
    match bar(policy, threads) {
        Some(bar) => report.at_most(name, cost.ratio, bar, time),
        None => report.info(name, cost.ratio, time),
    }
    if must_lead(policy, threads) {
        report.below(below_peers(policy, threads), cost.ratio, best_peer);
    }
}

fn custom(report: &mut Report) {
    if !report.wants(CUSTOM) {
        return;
    }
    let manager = manager();
    let ticket = manager.ticket(&SingleSizes::new(), crate::prepared::BYTES);
    let prepared = Prepared::new(manager, ticket, 1, LIVE);
    let subjects = [
        peers::base(),
        Subject::new("custom", move |pairs| prepared.pairs(pairs)),
    ];
    let (pairs, effort) = effort(1, report.is_quick());
    let cost = crew::compare(1, &subjects, pairs / 4 + 1, effort)[1];
    report.at_most(CUSTOM, cost.ratio, 20.0, Some(cost.time));
}
