//! Acquire + drop of an owned guard where the limit need not change.

use crate::crew::{self, Effort, Subject};
use crate::method;
use crate::peers;
use crate::prepared::{BuiltIn, Prepared};
use crate::report::Report;

/// Guards of each thread's that live beside those that are timed.
const LIVE: usize = 10;
const POLICIES: [BuiltIn; 2] = [BuiltIn::SumUncapped, BuiltIn::SumCapped];

pub(crate) fn run(report: &mut Report) {
    for (threads, bar) in [(1, 6.0), (2, 10.0)] {
        measure(report, threads, bar);
    }
}

fn measure(report: &mut Report, threads: usize, bar: f64) {
    let row = |policy: BuiltIn| format!("owned/{}/{threads}", policy.name());
    let policies = POLICIES.into_iter().filter(|it| report.wants(&row(*it)));
    let policies: Vec<BuiltIn> = policies.collect();
    if policies.is_empty() {
        return;
    }
    if threads > method::cores() {
        for policy in policies {
            report.skip(row(policy), Some(bar));
        }
        return;
    }
    let effort = if report.is_quick() {
        Effort::TRIAL
    } else {
        Effort {
            pairs: 5_000,
            rounds: 31,
            sets: 15,
        }
    };
    let subjects = || {
        let ours = policies.iter().map(|policy| {
            let prepared = Prepared::built_in(*policy, threads, LIVE * threads);
            Subject::new(policy.name(), move |pairs| prepared.owned_pairs(pairs))
        });
        [peers::base()].into_iter().chain(ours).collect()
    };
    let costs = crew::compare(threads, effort, subjects);
    for (policy, cost) in policies.iter().zip(&costs[1..]) {
        report.at_most(row(*policy), cost.ratio, bar, Some(cost.time));
    }
}
