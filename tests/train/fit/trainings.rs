//! Trainings that are no networks.

use super::transformer;
use crate::kit::{MIB, on};
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::train::{Error, Fit, Fittable, Plan, Why};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A trainer that does nothing.
struct Refuses;

impl Fittable for Refuses {
    type Error = &'static str;

    fn pass(&mut self, plan: Plan, _: bool) -> Result<(), Self::Error> {
        assert_eq!((plan.batch, plan.first), (1, usize::MAX));
        Err("it does nothing")
    }

    fn update(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

#[test]
fn blocks_beyond_counting_are_taken() {
    let (manager, mut network) = transformer();
    network.shape.blocks = usize::MAX;
    let fit = Fit::new(33_000_000, 1 << 20).blocks(usize::MAX);
    let result = fit.manager(&manager).run(&mut Refuses);
    assert!(matches!(result, Err(Error::Work(_))), "{result:?}");
}

#[test]
fn blocks_that_are_fixed_need_not_be_counted() {
    let (manager, mut network) = transformer();
    let fit = Fit::new(256_000_000, 32).recompute(4).manager(&manager);
    let fitted = fit.clock(network.clock()).run(&mut network).unwrap();
    assert_eq!(fitted.plan.first, 4, "{fitted}");
    assert!(network.ran.iter().all(|plan| plan.first == 4));
}

/// From more than four rows on it needs far more than its smaller batches show.
struct Cliff {
    backend: Arc<RecordingBackend>,
    clock: Arc<AtomicU64>,
    ran: Vec<usize>,
}

impl Fittable for Cliff {
    type Error = std::convert::Infallible;

    fn pass(&mut self, plan: Plan, _: bool) -> Result<(), Self::Error> {
        let rows = plan.batch as u64;
        let above = if rows > 4 { 150 } else { 10 + 2 * rows };
        self.backend.update_memory(|counters| {
            counters.recorded_peak = counters.active + above * MIB;
        });
        self.clock.fetch_add(1_000_000 + rows, Ordering::Relaxed);
        self.ran.push(plan.batch);
        Ok(())
    }

    fn update(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

#[test]
fn a_plan_beyond_one_that_was_over_is_not_run() {
    let (manager, backend) = on(RecordingBackend::cpu());
    let clock = Arc::new(AtomicU64::new(0));
    let mut trainer = Cliff {
        backend,
        clock: clock.clone(),
        ran: Vec::new(),
    };
    let fit = Fit::new(100 * MIB, 32).margin(0.0).manager(&manager);
    let fit = fit.clock(move || Duration::from_nanos(clock.load(Ordering::Relaxed)));
    let fitted = fit.run(&mut trainer).unwrap();
    assert_eq!(fitted.plan.batch, 4, "{fitted}");
    // What four rows take shows no more than 72 MiB for sixteen, but eight took 150.
    assert!(
        trainer.ran.iter().all(|rows| *rows <= 8),
        "{:?}",
        trainer.ran
    );
    assert_eq!(trainer.ran.iter().filter(|rows| **rows == 8).count(), 1);
    let why = |batch| fitted.considered.iter().find(|it| it.plan.batch == batch);
    assert_eq!(why(8).map(|it| it.why), Some(Why::Over));
    assert_eq!(why(16).map(|it| it.why), Some(Why::ExpectedOver));
}
