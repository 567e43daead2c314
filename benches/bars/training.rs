//! What a ticket costs around a real training step of mlx-rs.

#[cfg(any(target_vendor = "apple", with_mlx))]
mod step;

use crate::report::Report;

const BAR: f64 = 0.001;
/// The manager of MLX itself.
const MLX: &str = "training-step/mlx";
/// A recorded device with wired memory: every step begins and ends an epoch, with a setter that costs nothing.
const METAL: &str = "training-step/recorded-metal";

#[cfg(not(any(target_vendor = "apple", with_mlx)))]
pub(crate) fn run(report: &mut Report) {
    report.skip(MLX, Some(BAR));
    report.skip(METAL, Some(BAR));
}

#[cfg(any(target_vendor = "apple", with_mlx))]
pub(crate) fn run(report: &mut Report) {
    use mlx_wired::{Manager, SumPolicy};

    if !report.wants(MLX) && !report.wants(METAL) {
        return;
    }
    // The first call of mlx-rs installs an error handler that returns.
    let mut step = step::Step::new().expect("MLX works");
    let mlx = Manager::builder()
        .build()
        .expect("no other manager owns MLX");
    let metal = crate::prepared::manager();
    for (row, manager) in [(MLX, mlx), (METAL, metal)] {
        let policy = SumPolicy::new();
        let weights = manager.ticket(&policy, 1 << 20).reservation();
        let _weights = weights.acquire_owned().expect("nothing is in the way");
        let ticket = manager.ticket(&policy, 64 << 20);
        let (ratio, cost) = share(&ticket, &mut step, report.is_quick());
        report.at_most(row, ratio, BAR, Some(cost));
    }
}

/// The median of acquire and drop over the median of the step, and the former in nanoseconds.
///
/// The two are timed apart within each step: a thousandth of a step is far less than one step differs from the
/// next, so steps with a ticket and steps without it cannot be told apart.
#[cfg(any(target_vendor = "apple", with_mlx))]
fn share(ticket: &mlx_wired::Ticket, step: &mut step::Step, quick: bool) -> (f64, f64) {
    use crate::method::median;
    use std::time::Instant;

    let steps = if quick { 2 } else { 501 };
    let times: Vec<(f64, f64)> = (0..steps)
        .map(|_| {
            let begin = Instant::now();
            let guard = ticket.acquire().expect("nothing is in the way");
            let admitted = Instant::now();
            step.run().expect("MLX works");
            let finished = Instant::now();
            drop(guard);
            let end = Instant::now();
            let own = (admitted - begin) + (end - finished);
            (own.as_secs_f64(), (finished - admitted).as_secs_f64())
        })
        .collect();
    let own = median(times.iter().map(|(own, _)| *own));
    let whole = median(times.iter().map(|(_, whole)| *whole));
    (own / whole, own * 1e9)
}
