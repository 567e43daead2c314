//! What fitting sets comes back, and what it may not run beside.

use super::{check, fit, network, transformer};
use crate::kit::{MIB, assert_matches, on};
use crate::network::{Network, Shape};
use mlx_wired::SumPolicy;
use mlx_wired::ffi::{Backend, MemorySetting, RecordingBackend};
use mlx_wired::train::{Error, Fittable, Measuring, Plan, Run};
use std::panic::{self, AssertUnwindSafe};

/// A trainer of whose calls one fails or panics.
struct Breaks<'a> {
    network: &'a mut Network,
    at: usize,
    panics: bool,
}

impl Fittable for Breaks<'_> {
    type Error = &'static str;

    fn pass(&mut self, plan: Plan, begins: bool) -> Result<(), Self::Error> {
        self.at = self.at.wrapping_sub(1);
        match self.at {
            0 if self.panics => panic!("as the test asked"),
            0 => Err("as the test asked"),
            _ => self
                .network
                .pass(plan, begins)
                .map_err(|never| match never {}),
        }
    }

    fn update(&mut self) -> Result<(), Self::Error> {
        self.network.update().map_err(|never| match never {})
    }

    fn restore(&mut self) {
        self.network.restore();
    }
}

#[test]
fn an_error_or_a_panic_anywhere_leaves_all_as_it_was() {
    for at in 1..20 {
        for panics in [false, true] {
            let device = RecordingBackend::cuda();
            let (manager, mut network) = network(device, Shape::transformer(), 32);
            let before = manager.backend().memory().unwrap().memory_limit;
            let fit = fit(512_000_000, &manager, &network);
            let mut breaks = Breaks {
                network: &mut network,
                at,
                panics,
            };
            let result = panic::catch_unwind(AssertUnwindSafe(|| fit.run(&mut breaks)));
            match result {
                Err(_) => assert!(panics),
                Ok(result) => {
                    let Err(Error::Work(cause)) = result else {
                        panic!("{result:?}");
                    };
                    assert_eq!(cause.to_string(), "as the test asked");
                }
            }
            assert_eq!(network.restored, 1);
            assert_eq!(manager.backend().memory().unwrap().memory_limit, before);
            let again = fit.run(&mut network);
            assert!(again.is_ok(), "what was claimed is free again: {again:?}");
        }
    }
}

#[test]
fn on_cuda_probes_run_under_a_low_memory_limit_and_go_no_further_than_four_times() {
    let (manager, backend) = on(RecordingBackend::cuda());
    backend.update_memory(|counters| counters.memory_limit = 90_000 * MIB);
    let mut network = Network::new(Shape::transformer(), 256, &backend, 1);
    let fitted = fit(60_000 * MIB, &manager, &network)
        .run(&mut network)
        .unwrap();
    check(&fitted, &network, 60_000 * MIB);
    let calls = backend.memory_calls().into_iter();
    let limits: Vec<u64> = calls
        .filter(|call| call.setting == MemorySetting::MemoryLimit)
        .map(|call| call.bytes)
        .collect();
    assert_eq!(limits, [MIB, 90_000 * MIB], "and back");
    for (place, plan) in network.ran.iter().enumerate().skip(1) {
        let largest = network.ran[..place].iter().map(|it| it.batch).max();
        assert!(plan.batch <= 4 * largest.unwrap(), "{:?}", network.ran);
    }
    assert_eq!(
        fitted.margin,
        60_000 * MIB - (60_000.0 * 0.85 * MIB as f64) as u64
    );
}

#[test]
fn a_memory_limit_that_does_not_come_back_is_an_error() {
    let (manager, backend) = on(RecordingBackend::cuda());
    let mut network = Network::new(Shape::transformer(), 32, &backend, 1);
    struct Fails<'a>(&'a mut Network, &'a RecordingBackend);
    impl Fittable for Fails<'_> {
        type Error = std::convert::Infallible;
        fn pass(&mut self, plan: Plan, begins: bool) -> Result<(), Self::Error> {
            self.1.fail_setting(MemorySetting::MemoryLimit, true);
            self.0.pass(plan, begins)
        }
        fn update(&mut self) -> Result<(), Self::Error> {
            self.0.update()
        }
    }
    let fit = fit(512_000_000, &manager, &network);
    let result = fit.run(&mut Fails(&mut network, &backend));
    assert_matches!(result, Err(Error::NotRestored { .. }));
}

#[test]
fn it_refuses_beside_other_work_and_other_measurements() {
    let (manager, mut network) = transformer();
    let fit = fit(512_000_000, &manager, &network);
    let policy = SumPolicy::capped(1 << 30);
    let weights = manager
        .ticket(&policy, MIB)
        .reservation()
        .acquire_owned()
        .unwrap();
    assert!(matches!(fit.run(&mut network), Err(Error::NotAlone { .. })));
    assert!(network.ran.is_empty());
    assert!(fit.clone().beside_holds().run(&mut network).is_ok());
    drop(weights);

    // A run's steps would begin the record of the peak anew.
    let run = Run::builder().manager(&manager).start().unwrap();
    let beside = fit.run(&mut network);
    assert_matches!(beside, Err(Error::RunInProgress { .. }));
    run.finish().unwrap();
    assert!(fit.run(&mut network).is_ok());

    let mut told = None;
    let measuring = Measuring::new("step").manager(&manager);
    measuring
        .run(|| told = Some(fit.run(&mut network)))
        .unwrap();
    assert_matches!(told, Some(Err(Error::MeasurementInProgress { .. })));
}
