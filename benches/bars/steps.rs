//! What the report of a training step costs (`train::Run`), without the step.

use crate::report::Report;

/// Microseconds.
const BAR: f64 = 1.0;
const COST: &str = "step-report/microseconds";
const ALLOCATIONS: &str = "step-report/allocations";

#[cfg(not(any(target_vendor = "apple", with_mlx)))]
pub(crate) fn run(report: &mut Report) {
    report.skip(COST, Some(BAR));
    report.skip(ALLOCATIONS, Some(0.0));
}

#[cfg(any(target_vendor = "apple", with_mlx))]
pub(crate) fn run(report: &mut Report) {
    use crate::counting;
    use crate::method::median;
    use mlx_wired::Manager;
    use mlx_wired::train::Run;
    use std::convert::Infallible;
    use std::time::{Duration, Instant};

    const STEPS: u32 = 1000;

    if !report.wants(COST) && !report.wants(ALLOCATIONS) {
        return;
    }
    // The first call of mlx-rs installs an error handler that returns.
    let value = mlx_rs::Array::from_slice(&[1.0_f32], &[1]);
    value.eval().expect("MLX works");
    let manager = Manager::builder()
        .build()
        .expect("no other manager owns MLX");
    let steps = |run: &Run| {
        for _ in 0..STEPS {
            // Two values that are carried from step to step.
            for name in ["average", "loss"] {
                run.carried(name, &value).expect("MLX works");
            }
            let step = run.step(|| Ok::<(), Infallible>(()));
            std::hint::black_box(&step);
        }
    };

    let run = Run::builder().manager(&manager).start();
    let run = run.expect("no other run lives");
    let sets = if report.is_quick() { 2 } else { 301 };
    let times = (0..sets).map(|_| {
        let begin = Instant::now();
        steps(&run);
        begin.elapsed().as_secs_f64() * 1e6 / f64::from(STEPS)
    });
    let cost = median(times);
    report.at_most(COST, cost, BAR, Some(1e3 * cost));
    drop(run);

    // With the footprint, which is read after each.
    let run = Run::builder()
        .manager(&manager)
        .outside_every(Duration::ZERO);
    let run = run.start().expect("no other run lives");
    steps(&run);
    let before = counting::allocations();
    steps(&run);
    let count = counting::allocations() - before;
    report.at_most(ALLOCATIONS, count as f64, 0.0, None);
}
