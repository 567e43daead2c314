//! Acquire + drop where the limit need not change, on one thread and on several at once.

use crate::crew::{self, Effort, Subject};
use crate::method::{self, Cost};
use crate::peers;
use crate::prepared::{BYTES, BuiltIn, Prepared, SingleSizes, manager};
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
    use BuiltIn::{
        Budget, Fixed, Max, MaxAtMost, Peak, SumAtMost, SumCapped, SumElastic, SumUncapped,
    };
    match (policy, threads) {
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
    let wants_peer = |peer: &Subject| all_peers || report.wants(&row(&peer.name, threads));
    if policies.is_empty() && !peers::all().iter().any(wants_peer) {
        return;
    }
    if threads > method::cores() {
        let barred = |policy: &BuiltIn| bar(*policy, threads).is_some();
        for policy in policies.into_iter().filter(barred) {
            report.skip(row(policy.name(), threads), bar(policy, threads));
        }
        return;
    }

    // BASE, the peers, then ours.
    let subjects = || {
        let peers = peers::all().into_iter().filter(wants_peer);
        let ours = policies.iter().map(|policy| {
            let prepared = Prepared::built_in(*policy, threads, LIVE * threads);
            Subject::new(policy.name(), move |pairs| prepared.pairs(pairs))
        });
        [peers::base()]
            .into_iter()
            .chain(peers)
            .chain(ours)
            .collect::<Vec<_>>()
    };
    let names: Vec<String> = subjects().into_iter().map(|subject| subject.name).collect();
    let costs = crew::compare(threads, effort(threads, report.is_quick()), subjects);

    let (others, ours) = costs.split_at(costs.len() - policies.len());
    let best = others[1..]
        .iter()
        .map(|cost| cost.ratio)
        .fold(f64::INFINITY, f64::min);
    for (policy, cost) in policies.iter().zip(ours) {
        tell(report, *policy, threads, *cost, best);
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
