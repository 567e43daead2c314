//! A pair costs the same however many guards live.

use crate::crew::{self, Effort, Subject};
use crate::method::median;
use crate::peers;
use crate::prepared::{BuiltIn, Prepared};
use crate::report::Report;
use std::sync::Arc;

const FEW: usize = 10;
const MANY: usize = 100_000;
const BAR: f64 = 1.1;

pub(crate) fn run(report: &mut Report) {
    let (many, effort) = if report.is_quick() {
        (FEW * 10, Effort::TRIAL)
    } else {
        let effort = Effort {
            pairs: 10_000,
            rounds: 31,
            sets: 9,
        };
        (MANY, effort)
    };
    for policy in BuiltIn::ALL {
        let name = format!("live/{}/100000-against-10", policy.name());
        if report.wants(&name) {
            let sets = (0..effort.sets).map(|_| grown(policy, many, effort));
            report.at_most(name, median(sets), BAR, None);
        }
    }
}

/// What a pair costs with many guards, in multiples of what it cost with few: the same ticket, at the same
/// place in memory, before and after.
fn grown(policy: BuiltIn, many: usize, effort: Effort) -> f64 {
    let prepared = Arc::new(Prepared::built_in(policy, 1, FEW));
    let pairs = {
        let prepared = Arc::clone(&prepared);
        move |pairs| prepared.pairs(pairs)
    };
    let subjects = [peers::base(), Subject::new(policy.name(), pairs)];
    let few = crew::one_set(1, &subjects, effort)[1].ratio;
    let _more = prepared.more(many - FEW);
    crew::one_set(1, &subjects, effort)[1].ratio / few
}
