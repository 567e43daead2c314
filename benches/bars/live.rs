//! A pair costs the same however many guards live.

use crate::crew::{self, Subject};
use crate::method::Effort;
use crate::prepared::{BuiltIn, Prepared};
use crate::report::Report;

const FEW: usize = 10;
const MANY: usize = 100_000;
const BAR: f64 = 1.1;

pub(crate) fn run(report: &mut Report) {
    for policy in BuiltIn::ALL {
        let name = format!("live/{}/100000-against-10", policy.name());
        if !report.wants(&name) {
            continue;
        }
        let subject = |live| {
            let prepared = Prepared::built_in(policy, 1, live);
            Subject::new(policy.name(), move |pairs| prepared.pairs(pairs))
        };
        let (many, pairs, effort) = if report.is_quick() {
            (FEW * 10, 10, Effort::TRIAL)
        } else {
            (
                MANY,
                20_000,
                Effort {
                    rounds: 31,
                    sets: 9,
                },
            )
        };
        let cost = crew::compare(1, &[subject(FEW), subject(many)], pairs, effort)[1];
        report.at_most(name, cost.ratio, BAR, Some(cost.time));
    }
}
