//! Fitting to a budget, on networks that are played.

#[cfg(feature = "estimate")]
mod file;
mod scope;
mod sweep;
mod trainings;

use super::network::{Network, Shape};
use crate::kit::{MIB, assert_matches, assert_says, on};
use mlx_wired::Manager;
use mlx_wired::ffi::{RecordingBackend, RecordingBuilder};
use mlx_wired::train::{Error, Fit, Fitted, Knob, Plan, Why};

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
    for it in &fitted.considered {
        assert!(it.at_most.is_none_or(|bytes| it.peak <= bytes), "{fitted}");
    }
    // Of those that were run and are as fast, it needs least.
    let run = fitted
        .considered
        .iter()
        .filter(|it| it.measured && it.why != Why::Over);
    let fastest = run.clone().map(|it| it.rows_per_second).fold(0.0, f64::max);
    assert!(fitted.rows_per_second >= 0.97 * fastest, "{fitted}");
    let mut as_fast = run.filter(|it| it.rows_per_second >= 0.97 * fastest);
    assert!(as_fast.all(|it| it.peak >= fitted.peak), "{fitted}");
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
    // Not a byte of room is none.
    let none = Fit::new(active, 32).margin(0.0).manager(&manager);
    assert_matches!(none.run(&mut network), Err(Error::OverBudget { .. }));
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

/// A new sum beside the old one would not fit, and one in its place would: which of both it is, a trainer does not tell.
#[test]
fn a_sum_that_may_not_fit_is_not_made_where_one_pass_fits() {
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
    check(&fitted, &network, 560 * MIB);
    assert_eq!((fitted.plan.accumulate, network.added), (1, 0), "{fitted}");
}

/// Where nothing but a sum in place fits, it is made in the end.
#[test]
fn a_sum_that_may_not_fit_is_made_where_nothing_else_fits() {
    for (budget, sums_apart) in [(37_000_000, false), (40_000_000, false), (37_000_000, true)] {
        let shape = Shape {
            sums_apart,
            ..Shape::transformer()
        };
        let (manager, network) = network(RecordingBackend::cpu(), shape, 32);
        let mut network = network.trained();
        let fitted = fit(budget, &manager, &network).run(&mut network);
        if sums_apart {
            assert_matches!(fitted, Err(Error::NothingFits { .. }));
            assert_eq!(network.added, 1);
        } else {
            let fitted = fitted.unwrap();
            assert!(network.highest <= budget && fitted.peak <= budget);
            assert_eq!(fitted.plan, Plan::new(32, 1, fitted.plan.first));
        }
    }
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

#[test]
fn the_smallest_and_the_largest_of_everything_is_taken() {
    for budget in [u64::MAX, (1 << 53) + 3] {
        for (rows, blocks) in [(1, 0), (1, 1), (2, 1), (3, 5)] {
            let shape = Shape {
                blocks,
                ..Shape::transformer()
            };
            let (manager, mut network) = network(RecordingBackend::cpu(), shape, rows);
            let fit = fit(budget, &manager, &network).margin(0.0);
            let fitted = fit.run(&mut network).unwrap();
            check(&fitted, &network, budget);
            assert_eq!(fitted.margin, 0);
        }
    }
}

/// Many batches and blocks, of which nearly none fits.
#[test]
fn a_large_space_is_searched_soon() {
    let shape = Shape {
        blocks: 96,
        ..Shape::transformer()
    };
    let (manager, mut network) = network(RecordingBackend::cpu(), shape, 2048);
    let fit = fit(40_000_000, &manager, &network).batches(1..=512);
    let began = std::time::Instant::now();
    let fitted = fit.run(&mut network).unwrap();
    check(&fitted, &network, 40_000_000);
    // A minute if what is possible is looked for anew for each plan that is wanted.
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
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
    assert_says(&text, "rows/s");
    assert_says(&text, "not run: over");
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
