//! Fitting to a budget, on networks that are played.

use super::network::{Network, Shape};
use super::{MIB, on};
use mlx_wired::Manager;
use mlx_wired::SumPolicy;
use mlx_wired::ffi::{Backend, MemorySetting, RecordingBackend, RecordingBuilder};
use mlx_wired::train::{Error, Fit, Fittable, Fitted, Knob, Measuring, Plan, Why};
use std::panic::{self, AssertUnwindSafe};

/// A network, and the manager of the device that plays it.
fn network(device: RecordingBuilder, shape: Shape, rows: usize) -> (Manager, Network) {
    let (manager, backend) = on(device);
    let network = Network::new(shape, rows, &backend, 1);
    (manager, network)
}

fn transformer() -> (Manager, Network) {
    network(RecordingBackend::cpu(), Shape::transformer(), 32)
}

fn fit(budget: u64, manager: &Manager, network: &Network) -> Fit {
    let fit = Fit::new(budget, network.rows).blocks(network.shape.blocks);
    fit.manager(manager).clock(network.clock())
}

/// All that an exhaustive sweep would run.
fn sweep(shape: &Shape, rows: usize) -> Vec<Plan> {
    let batches = (1..=rows).filter(|batch| rows.is_multiple_of(*batch));
    let mut levels: Vec<usize> = (0..=4).map(|part| shape.blocks * part / 4).collect();
    levels.dedup();
    batches
        .flat_map(|batch| {
            levels
                .iter()
                .map(move |&first| Plan::new(rows, batch, first))
        })
        .collect()
}

/// The rate of the fastest plan of a sweep within the budget.
fn best(shape: &Shape, rows: usize, budget: u64) -> f64 {
    let within = sweep(shape, rows)
        .into_iter()
        .filter(|plan| shape.peak(*plan) <= budget);
    within
        .map(|plan| shape.rate(rows, plan))
        .fold(0.0, f64::max)
}

/// What must hold whatever was chosen.
fn check(fitted: &Fitted, network: &Network, budget: u64) {
    let shape = &network.shape;
    assert!(
        network.highest <= budget,
        "{} of {budget}\n{fitted}",
        network.highest
    );
    assert_eq!(fitted.highest_probe, network.highest);
    assert!(fitted.peak + fitted.margin <= budget);
    assert_eq!(fitted.peak, shape.peak(fitted.plan), "as measured");
    assert_eq!(fitted.above_start, fitted.peak - shape.held());
    assert!(network.ran.contains(&fitted.plan), "what is chosen was run");
    assert_eq!(network.ran.len(), fitted.probes, "no plan is run twice");
    assert!(fitted.probes <= 10);
    assert_eq!(
        fitted.plan,
        Plan::new(network.rows, fitted.plan.batch, fitted.plan.first)
    );
    assert_eq!(network.restored, 1);
}

#[test]
fn a_transformer_is_fitted_into_any_budget_as_well_as_by_a_sweep() {
    for budget in [47, 64, 96, 128, 192, 256, 384, 700, 2000].map(|mb| mb * 1_000_000) {
        let (manager, mut network) = transformer();
        let fitted = fit(budget, &manager, &network).run(&mut network).unwrap();
        check(&fitted, &network, budget);
        let rate = network.shape.rate(32, fitted.plan);
        let best = best(&network.shape, 32, budget);
        assert!(rate >= 0.9 * best, "{budget}: {rate} of {best}\n{fitted}");
        assert!((fitted.rows_per_second / rate - 1.0).abs() < 0.04);
    }
}

/// From networks whose rows are nothing beside their weights to such whose rows are all; in three budgets each, the first of
/// which has little more than the least that a plan needs.
#[test]
fn networks_of_all_kinds_are_fitted_within_the_budget() {
    let cases = std::env::var("FIT_CASES").map_or(150, |it| it.parse().expect("a number"));
    let first = std::env::var("FIT_SEED").map_or(0, |it| it.parse().expect("a number"));
    let mut ratios = [const { Vec::new() }; 3];
    let mut not_shown = 0;
    for seed in first..first + cases {
        let mut random = fastrand::Rng::with_seed(seed);
        let shape = Shape::random(&mut random);
        let rows = [7, 16, 24, 32, 48, 64, 128][random.usize(0..7)];
        let peaks = sweep(&shape, rows).into_iter().map(|plan| shape.peak(plan));
        let least = peaks.clone().min().unwrap() as f64 * 1.06;
        let most = peaks.max().unwrap() as f64 * 1.06;
        for (part, ratios) in [0.1, 0.4, 0.75].into_iter().zip(&mut ratios) {
            let budget = (least * (most / least).powf(part)) as u64;
            let (manager, mut network) = network(RecordingBackend::cpu(), shape, rows);
            match fit(budget, &manager, &network).run(&mut network) {
                Ok(fitted) => {
                    check(&fitted, &network, budget);
                    ratios.push(shape.rate(rows, fitted.plan) / best(&shape, rows, budget));
                }
                // One that fits need not be shown to: that is an error, not a plan that is over.
                Err(Error::NothingFits { .. }) => {
                    assert!(network.highest <= budget, "seed {seed}");
                    not_shown += 1;
                }
                Err(error) => panic!("seed {seed}: {error}"),
            }
        }
    }
    let all: usize = ratios.iter().map(Vec::len).sum();
    let share = |ratios: &[f64]| {
        ratios.iter().filter(|it| **it >= 0.9).count() as f64 / ratios.len() as f64
    };
    let shares = ratios.each_ref().map(|it| share(it));
    assert!(
        not_shown as f64 <= 0.08 * all as f64,
        "not shown to fit: {not_shown} of {all}"
    );
    assert!(
        shares[0] >= 0.85 && shares[1] >= 0.95 && shares[2] >= 0.97,
        "{shares:?}"
    );
}

#[test]
fn it_begins_with_what_needs_least_and_never_has_more_rows_than_an_update() {
    let (manager, mut network) = transformer();
    let fitted = fit(8_000 * MIB, &manager, &network)
        .run(&mut network)
        .unwrap();
    assert_eq!(network.ran[0], Plan::new(32, 1, 8));
    assert!(network.ran.iter().all(|plan| plan.batch <= 32));
    assert!(
        fitted
            .considered
            .iter()
            .all(|it| it.plan.batch * it.plan.accumulate == 32)
    );
}

#[test]
fn the_largest_batch_is_taken_where_it_is_the_fastest() {
    // The overhead of a pass is eight rows' time.
    let shape = Shape {
        overhead: 0.34,
        ..Shape::transformer()
    };
    let (manager, mut network) = network(RecordingBackend::cpu(), shape, 32);
    let fitted = fit(1_000_000_000, &manager, &network)
        .run(&mut network)
        .unwrap();
    check(&fitted, &network, 1_000_000_000);
    assert_eq!(fitted.plan, Plan::new(32, 32, 0), "{fitted}");
}

#[test]
fn what_is_fixed_is_never_touched() {
    let budget = 256_000_000;
    let (manager, mut network) = transformer();
    let fitted = fit(budget, &manager, &network)
        .batch(8)
        .run(&mut network)
        .unwrap();
    check(&fitted, &network, budget);
    assert_eq!((fitted.plan.batch, fitted.plan.accumulate), (8, 4));
    assert!(fitted.considered.iter().all(|it| it.plan.batch == 8));
    assert_eq!(
        network.ran[0].batch, 1,
        "on the way to it there are smaller ones"
    );
    assert!(network.ran.iter().all(|plan| plan.batch <= 8));

    let (manager, mut network) = transformer();
    let fitted = fit(budget, &manager, &network)
        .recompute(4)
        .run(&mut network)
        .unwrap();
    check(&fitted, &network, budget);
    assert!(
        network.ran.iter().all(|plan| plan.first == 4),
        "nothing else is run"
    );

    let (manager, mut network) = transformer();
    let both = fit(budget, &manager, &network)
        .batch(4)
        .recompute(Knob::Fixed(2));
    let fitted = both.run(&mut network).unwrap();
    assert_eq!(fitted.plan, Plan::new(32, 4, 2));
    assert!(fitted.changes.is_empty(), "{:?}", fitted.changes);

    // It does not fit: an error, not another batch.
    let (manager, mut network) = transformer();
    let error = fit(100_000_000, &manager, &network)
        .batch(32)
        .run(&mut network);
    assert!(network.highest <= 100_000_000);
    match error {
        Err(Error::NothingFits { plan, needs, .. }) => {
            assert_eq!(plan.batch, 32);
            assert!(needs > 100_000_000);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn batches_that_do_not_divide_the_rows_keep_the_effective_batch() {
    let (manager, mut network) = transformer();
    let fit = fit(2_000_000_000, &manager, &network).batches([12, 5, 500]);
    let fitted = fit.run(&mut network).unwrap();
    check(&fitted, &network, 2_000_000_000);
    let mut plans: Vec<(usize, usize)> = fitted
        .considered
        .iter()
        .map(|it| (it.plan.batch, it.plan.accumulate))
        .collect();
    plans.sort_unstable();
    plans.dedup();
    assert_eq!(plans, [(5, 7), (12, 3), (32, 1)]);
    assert!(
        network
            .ran
            .iter()
            .all(|plan| [5, 12, 32].contains(&plan.batch))
    );
}

#[test]
fn a_budget_that_is_used_up_is_refused_before_anything_runs() {
    let (manager, mut network) = transformer();
    let active = network.shape.weights;
    let told = |fit: Fit, network: &mut Network| match fit.run(network) {
        Err(error @ Error::OverBudget { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let text = told(fit(active, &manager, &network), &mut network);
    assert!(text.contains("live already") && text.len() <= 160, "{text}");
    // Gradients and state, of which the program knows.
    let fit = fit(4 * active, &manager, &network).at_least(3 * active);
    let text = told(fit, &mut network);
    assert!(text.contains("18.60 MiB are to come"), "{text}");
    assert!(network.ran.is_empty() && network.restored == 0);
}

#[test]
fn where_nothing_fits_the_smallest_plan_alone_was_run() {
    let (manager, mut network) = transformer();
    let error = fit(33_000_000, &manager, &network)
        .run(&mut network)
        .unwrap_err();
    assert_eq!(network.ran, [Plan::new(32, 1, 8)]);
    assert_eq!(network.restored, 1);
    let text = error.to_string();
    assert!(
        text.starts_with("nothing fits 31.47 MiB less a margin of 966.80 KiB: 1 row x 32 passes, first 8 recomputed"),
        "{text}"
    );
    assert!(
        text.contains("raise the budget") && text.len() <= 160,
        "{text}"
    );
}

#[test]
fn where_a_sum_of_gradients_does_not_fit_one_pass_may() {
    // The sum is made beside the old one: 6 times the weights, where one pass needs 5.
    let shape = Shape {
        weights: 100 * MIB,
        kept: MIB / 4,
        head: MIB / 4,
        work: MIB / 8,
        input: MIB / 32,
        sums_apart: true,
        ..Shape::transformer()
    };
    let (manager, mut network) = network(RecordingBackend::cpu(), shape, 8);
    let fitted = fit(560 * MIB, &manager, &network)
        .run(&mut network)
        .unwrap();
    check(&fitted, &network, 560 * MIB);
    assert_eq!(
        (fitted.plan.batch, fitted.plan.accumulate),
        (8, 1),
        "{fitted}"
    );
}

/// An optimizer that has its state is known to leave no room for the sum only when one is made: once, in the plan that needs
/// least.
#[test]
fn a_sum_that_does_not_fit_is_made_once() {
    let shape = Shape {
        weights: 100 * MIB,
        sums_apart: true,
        ..Shape::transformer()
    };
    let (manager, network) = network(RecordingBackend::cpu(), shape, 8);
    let mut network = network.trained();
    let fitted = fit(560 * MIB, &manager, &network)
        .run(&mut network)
        .unwrap();
    assert_eq!(fitted.plan.accumulate, 1, "{fitted}");
    assert_eq!(network.added, 1);
}

/// The passes of the first update fit, and those after it, which brings the optimizer's state, would not.
#[test]
fn passes_that_would_be_over_with_the_state_are_not_run() {
    let shape = Shape {
        head: 20_000_000,
        ..Shape::transformer()
    };
    let (manager, mut network) = network(RecordingBackend::cpu(), shape, 32);
    let error = fit(36_000_000, &manager, &network).run(&mut network);
    assert!(matches!(error, Err(Error::NothingFits { .. })), "{error:?}");
    assert!(network.highest <= 36_000_000, "{}", network.highest);
}

#[test]
fn the_margin_is_kept_free_and_told() {
    let (manager, mut network) = transformer();
    let fitted = fit(128_000_000, &manager, &network)
        .margin(0.25)
        .run(&mut network)
        .unwrap();
    check(&fitted, &network, 128_000_000);
    assert_eq!(fitted.margin, 32_000_000);
    assert!(fitted.to_string().contains("margin 30.52 MiB"), "{fitted}");
}

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
    assert!(
        matches!(result, Err(Error::NotRestored { .. })),
        "{result:?}"
    );
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

    let mut told = None;
    let measuring = Measuring::new("step").manager(&manager);
    measuring
        .run(|| told = Some(fit.run(&mut network)))
        .unwrap();
    assert!(matches!(
        told,
        Some(Err(Error::MeasurementInProgress { .. }))
    ));
}

#[test]
fn it_prints_what_was_given_up_and_why() {
    let (manager, mut network) = transformer();
    let fitted = fit(60_000_000, &manager, &network)
        .run(&mut network)
        .unwrap();
    let text = fitted.to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].starts_with(&format!("{}: peak ", fitted.plan)),
        "{text}"
    );
    assert!(
        lines[0].contains("of 57.22 MiB (margin 1.72 MiB)"),
        "{text}"
    );
    assert!(lines[1].starts_with("batch 32 to "), "{text}");
    assert!(
        text.contains("rows/s") && text.contains("not run: over"),
        "{text}"
    );
    let chosen: Vec<_> = fitted
        .considered
        .iter()
        .filter(|it| it.why == Why::Chosen)
        .collect();
    assert_eq!(chosen.len(), 1);
    assert_eq!((chosen[0].plan, chosen[0].peak), (fitted.plan, fitted.peak));
    // In the order in which it was done, each beginning where the one before it ended.
    assert_eq!(fitted.changes[0].from, Plan::new(32, 32, 0));
    assert_eq!(fitted.changes.last().map(|it| it.to), Some(fitted.plan));
    assert!(
        fitted
            .changes
            .windows(2)
            .all(|pair| pair[0].to == pair[1].from)
    );
    assert!(fitted.changes[0].saved > 400 * MIB);
}

#[cfg(feature = "estimate")]
mod file {
    use super::*;
    use mlx_wired::train::FileProblem;
    use std::fs;
    use std::path::PathBuf;

    /// A file of a test's own, which goes with it.
    struct File(PathBuf);

    impl File {
        fn new(name: &str) -> Self {
            let name = format!("mlx-wired-fit-{name}-{}.json", std::process::id());
            Self(std::env::temp_dir().join(name))
        }
    }

    impl Drop for File {
        fn drop(&mut self) {
            let _gone = fs::remove_file(&self.0);
        }
    }

    #[test]
    fn a_second_start_runs_nothing() {
        let file = File::new("second");
        let (manager, mut network) = transformer();
        let fit = fit(128_000_000, &manager, &network);
        let fitted = fit.run_or_read(&file.0, "model", &mut network).unwrap();
        network.ran.clear();
        let read = fit.run_or_read(&file.0, "model", &mut network).unwrap();
        assert!(network.ran.is_empty());
        assert_eq!((read.plan, read.peak), (fitted.plan, fitted.peak));
        assert_eq!(read.to_string(), fitted.to_string());

        // Another question, another answer.
        let other = super::fit(64_000_000, &manager, &network);
        let other = other.run_or_read(&file.0, "model", &mut network).unwrap();
        assert!(!network.ran.is_empty() && other.budget == 64_000_000);
    }

    #[test]
    fn a_file_of_another_model_or_one_that_was_changed_is_an_error() {
        let file = File::new("other");
        let (manager, mut network) = transformer();
        let fit = fit(128_000_000, &manager, &network);
        fit.run_or_read(&file.0, "model", &mut network).unwrap();
        network.ran.clear();
        let problem =
            |network: &mut Network, model: &str| match fit.run_or_read(&file.0, model, network) {
                Err(Error::File { problem, .. }) => problem,
                other => panic!("{other:?}"),
            };
        let other = problem(&mut network, "another");
        assert!(matches!(other, FileProblem::OtherKey { .. }), "{other:?}");
        let text = fs::read_to_string(&file.0).unwrap();
        for (from, to) in [
            ("\"accumulate\": 32", "\"accumulate\": 31"),
            ("\"peak\": ", "\"peak\": 9"),
            ("\"format\": 1", "\"format\": 2"),
            ("\"budget\"", "\"bugdet\""),
            ("{", ""),
        ] {
            assert!(text.contains(from), "{text}");
            fs::write(&file.0, text.replace(from, to)).unwrap();
            let other = problem(&mut network, "model");
            assert!(
                matches!(other, FileProblem::Malformed(_)),
                "{from}: {other:?}"
            );
        }
        assert!(network.ran.is_empty());
    }
}
