//! Acquire + drop while a recorder is at work.

use crate::crew::{self, Effort, Subject};
use crate::peers;
use crate::prepared::{BuiltIn, Prepared};
use crate::report::Report;
use mlx_wired::recorder::Recorder;
use std::sync::{Mutex, PoisonError};

const BAR: f64 = 18.0;

/// What one timing does must fit between two polls of the recorder: five events for each pair.
const PAIRS: u64 = 1000;

pub(crate) fn run(report: &mut Report) {
    let row = |policy: BuiltIn| format!("watched/{}", policy.name());
    let policies: Vec<BuiltIn> = BuiltIn::ALL
        .into_iter()
        .filter(|policy| report.wants(&row(*policy)))
        .collect();
    if policies.is_empty() {
        return;
    }
    let effort = if report.is_quick() {
        Effort::TRIAL
    } else {
        Effort {
            pairs: PAIRS,
            rounds: 31,
            sets: 15,
        }
    };
    let subjects = || {
        let ours = policies.iter().map(|policy| watched(*policy));
        [peers::base()].into_iter().chain(ours).collect()
    };
    let costs = crew::compare(1, effort, subjects);
    for (policy, cost) in policies.iter().zip(&costs[1..]) {
        report.at_most(row(*policy), cost.ratio, BAR, Some(cost.time));
    }
}

/// Pairs of which the recorder makes its events between two timings, as its own thread does beside those that work.
fn watched(policy: BuiltIn) -> Subject {
    let prepared = Prepared::built_in(policy, 1, 10);
    let recorder = Mutex::new(Recorder::new(prepared.manager()));
    let pairs = move |pairs| prepared.pairs(pairs);
    Subject::new(policy.name(), pairs).before_each(move || {
        let mut recorder = recorder.lock().unwrap_or_else(PoisonError::into_inner);
        recorder.poll();
    })
}
