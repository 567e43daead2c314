//! Growth on MLX: each cause is named within ten steps of its beginning, and healthy runs are not accused.

use super::alone;
use super::network::Network;
use mlx_rs::Array;
use mlx_rs::error::Exception;
use mlx_rs::transforms::eval;
use mlx_wired::train::{Growth, GrowthCause, Limit, Run, StepReport};
use std::sync::Mutex;
use std::time::Duration;

/// Within so many steps of its beginning a leak is told.
const SOON: u64 = 10;

/// A run that reads all figures after each step.
fn run(cache: Limit) -> Run {
    let run = Run::builder()
        .cache_limit(cache)
        .outside_every(Duration::ZERO);
    run.start().expect("no other run lives")
}

/// Takes steps, healthy ones first, until a growth is told, which is at most ten after those. Returns it.
fn first(
    run: Run,
    healthy: u64,
    mut step: impl FnMut(u64, &Run) -> Result<(), Exception>,
) -> Growth {
    for n in 1..=healthy + SOON {
        let ((), report) = run.step(|| step(n, &run)).unwrap();
        if let Some(growth) = report.growth {
            assert!(n > healthy, "in a healthy step: {growth}");
            run.finish().unwrap();
            return growth;
        }
    }
    panic!("no growth in {SOON} steps, {:?}", run.summary());
}

#[test]
fn a_moving_average_that_is_never_evaluated_is_named() {
    let _alone = alone();
    for healthy in [0, 30] {
        let mut network = Network::new(3);
        let mut average: Vec<Array> = network.weights.clone();
        let growth = first(run(Limit::Auto), healthy, |n, run| {
            let batch = network.batch(64);
            let loss = network.step(&batch)?;
            for (average, weight) in average.iter_mut().zip(&network.weights) {
                let kept = average.multiply(mlx_rs::array!(0.9_f32))?;
                *average = kept.add(weight.multiply(mlx_rs::array!(0.1_f32))?)?;
            }
            if n <= healthy {
                eval(&average)?;
            }
            run.carried("average", &average[0]).unwrap();
            run.carried("loss", &loss).unwrap();
            Ok(())
        });
        assert_eq!(growth.cause, GrowthCause::LiveArrays);
        assert_eq!(
            growth
                .suspects
                .iter()
                .map(|name| &**name)
                .collect::<Vec<_>>(),
            ["average"]
        );
        let weights: usize = network.weights.iter().map(Array::nbytes).sum();
        let (rate, weights) = (growth.bytes_per_step, weights as u64);
        assert!(
            rate >= weights / 2 && rate <= 4 * weights,
            "{rate} for weights of {weights}"
        );
    }
}

#[test]
fn a_list_of_results_is_live_arrays_without_a_suspect() {
    let _alone = alone();
    for healthy in [0, 30] {
        let mut network = Network::new(4);
        let mut kept = Vec::new();
        let growth = first(run(Limit::Auto), healthy, |n, run| {
            let batch = network.batch(64 + (n * 37 % 64) as i32);
            let loss = network.step(&batch)?;
            run.carried("loss", &loss).unwrap();
            if n > healthy {
                kept.push(batch);
            }
            Ok(())
        });
        assert_eq!(
            (growth.cause, growth.suspects.len()),
            (GrowthCause::LiveArrays, 0)
        );
    }
}

#[test]
fn shapes_that_vary_are_a_growing_cache() {
    let _alone = alone();
    for healthy in [0, 30] {
        let mut network = Network::new(5);
        // No limit to speak of, as on Metal.
        let growth = first(run(Limit::Fixed(1 << 40)), healthy, |n, _| {
            let rows = 128 * n.saturating_sub(healthy).max(1) as i32;
            let batch = network.batch(rows);
            network.step(&batch).map(drop)
        });
        assert_eq!(growth.cause, GrowthCause::Cache, "{growth}");
        mlx_rs::memory::clear_cache().unwrap();
    }
}

/// What a healthy run does beside its steps.
#[derive(Debug, Clone, Copy)]
enum Healthy {
    /// All batches are of one size.
    Plain,
    /// They vary, and the last one is kept until the next is there.
    Varying,
    /// Validation after every fourth step, on larger batches, and results are noted.
    Validating,
    /// They grow from step to step, as where data is sorted by length, and begin anew.
    Sorted,
    /// A moving average is carried, and evaluated every fifth step alone.
    Averaging,
}

impl Healthy {
    const ALL: [Self; 5] = [
        Self::Plain,
        Self::Varying,
        Self::Validating,
        Self::Sorted,
        Self::Averaging,
    ];

    fn run(self, seed: u64, steps: u64) -> Vec<StepReport> {
        let mut network = Network::new(seed);
        let mut random = fastrand::Rng::with_seed(seed);
        let run = run(if seed.is_multiple_of(2) {
            Limit::Auto
        } else {
            Limit::Keep
        });
        let (mut last, mut losses) = (None, Vec::new());
        let mut average = network.weights[0].clone();
        let mut alarms = Vec::new();
        for n in 0..steps {
            let rows = match self {
                Self::Plain | Self::Averaging => 64,
                Self::Varying | Self::Validating => 8 * random.i32(1..=64),
                Self::Sorted => 16 + 32 * (n % 20) as i32,
            };
            let batch = network.batch(rows);
            let (loss, report) = run.step(|| network.step(&batch)).unwrap();
            alarms.extend(report.growth.is_some().then_some(report));
            losses.push(loss);
            match self {
                Self::Plain => {}
                Self::Varying | Self::Sorted => last = Some(batch),
                Self::Validating if n % 4 == 3 => {
                    let batch = network.batch(1024);
                    losses.push(network.validate(&batch).unwrap().mean(false).unwrap());
                }
                Self::Validating => {}
                Self::Averaging => {
                    average = average.add(&network.weights[0]).unwrap();
                    if n % 5 == 4 {
                        average.eval().unwrap();
                    }
                }
            }
        }
        drop(last);
        run.finish().unwrap();
        alarms
    }
}

/// Two workers whose steps run at the same time and share a run.
fn together(seed: u64) -> Vec<StepReport> {
    let run = run(Limit::Auto);
    let alarms = Mutex::new(Vec::new());
    rayon::scope(|scope| {
        for worker in 0..2 {
            let (run, alarms) = (&run, &alarms);
            scope.spawn(move |_| {
                let mut network = Network::new(2 * seed + worker);
                for n in 0..30 {
                    let batch = network.batch(64 + 8 * (n * 29 % 31));
                    // The loss is this thread's: an array is looked at from one thread.
                    let step = run.step(|| network.step(&batch).map(drop));
                    let ((), report) = step.unwrap();
                    let growth = report.growth.is_some();
                    alarms.lock().unwrap().extend(growth.then_some(report));
                }
            });
        }
    });
    run.finish().unwrap();
    alarms.into_inner().unwrap()
}

#[test]
fn a_hundred_healthy_runs_give_no_alarm() {
    let _alone = alone();
    let mut alarms = Vec::new();
    // Other runs than usual, to look for a false alarm.
    let first: u64 = std::env::var("TRAIN_SEED").map_or(0, |seed| seed.parse().expect("a number"));
    for seed in first..first + 17 {
        let told = together(seed);
        alarms.extend(
            told.into_iter()
                .map(|report| format!("together {seed}: {report}")),
        );
        for healthy in Healthy::ALL {
            let told = healthy.run(seed, 40);
            alarms.extend(
                told.into_iter()
                    .map(|report| format!("{healthy:?} {seed}: {report}")),
            );
        }
    }
    assert!(
        alarms.is_empty(),
        "{}:\n{}",
        alarms.len(),
        alarms.join("\n")
    );
}
