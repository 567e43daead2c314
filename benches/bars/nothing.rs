//! What a pair of a built-in policy must not do once its thread has had a guard.

use crate::counting::{self, CountingClock};
use crate::prepared::{BuiltIn, Prepared};
use crate::report::Report;
use crate::traced;
use mlx_wired::Manager;
use mlx_wired::ffi::RecordingBackend;

const PAIRS: u64 = 1000;

pub(crate) fn run(report: &mut Report) {
    let row = |what: &str, policy: BuiltIn| format!("{what}/{}", policy.name());
    for policy in BuiltIn::ALL {
        let clock = CountingClock::default();
        let backend = RecordingBackend::metal().build();
        let manager = Manager::builder()
            .backend(backend.clone())
            .clock(clock.clone())
            .build()
            .expect("the default configuration is valid");
        let ticket = policy.ticket(&manager);
        let prepared = Prepared::new(manager, ticket, 1, 10);
        prepared.pairs(1);
        let counts = || {
            let calls = backend.call_count() as u64;
            (counting::allocations(), calls, clock.reads())
        };
        let before = counts();
        prepared.pairs(PAIRS);
        let after = counts();
        // `call_count` itself allocates nothing.
        for (what, count) in [
            ("allocations", after.0 - before.0),
            ("setter-calls", after.1 - before.1),
            ("clock-reads", after.2 - before.2),
        ] {
            report.at_most(row(what, policy), count as f64, 0.0, None);
        }
    }

    let rows = BuiltIn::ALL.map(|policy| row("system-calls", policy));
    if !rows.iter().any(|row| report.wants(row)) {
        return;
    }
    match traced::count_system_calls() {
        Some(counts) => {
            for (row, count) in rows.into_iter().zip(counts) {
                report.at_most(row, count as f64, 0.0, None);
            }
        }
        None => {
            for row in rows {
                report.skip(row, Some(0.0));
            }
        }
    }
}
