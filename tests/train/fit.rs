//! Fitting to a budget.

use super::network::{Network, Shape};
use super::on;
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::train::{Error, Fit, Plan};

#[test]
fn explore() {
    let seeds: u64 = std::env::var("N").map_or(300, |it| it.parse().unwrap());
    let (mut all, mut bad, mut over, mut nothing) = (0, 0, 0, 0);
    let mut probes = [0; 12];
    let mut byf = std::collections::BTreeMap::<String, (u32, u32, f64)>::new();
    for seed in 0..seeds {
        let mut random = fastrand::Rng::with_seed(seed);
        let shape = if seed == 0 {
            Shape::transformer()
        } else {
            Shape::random(&mut random)
        };
        let rows = [16, 24, 32, 64, 128, 7, 48][random.usize(0..7)];
        let rows = if seed == 0 { 32 } else { rows };
        let batches: Vec<usize> = (1..=rows).filter(|b| rows % b == 0).collect();
        let mut levels: Vec<usize> = (0..=4).map(|q| shape.blocks * q / 4).collect();
        levels.dedup();
        let plans: Vec<Plan> = levels
            .iter()
            .flat_map(|&k| batches.iter().map(move |&b| Plan::new(rows, b, k)))
            .collect();
        let least = plans.iter().map(|&p| shape.peak(p)).min().unwrap();
        let most = plans.iter().map(|&p| shape.peak(p)).max().unwrap();
        for (name, part) in [("tight", 0.1), ("mid", 0.4), ("ample", 0.75)] {
            let budget = (least as f64 * 1.06 * (most as f64 / least as f64).powf(part)) as u64;
            let (manager, backend) = on(RecordingBackend::cpu());
            let mut net = Network::new(shape, rows, &backend, seed);
            let fitted = Fit::new(budget, rows)
                .blocks(shape.blocks)
                .manager(&manager)
                .clock(net.clock())
                .run(&mut net);
            all += 1;
            if net.highest > budget {
                over += 1;
                println!("OVER {seed} {name} {shape:?}");
            }
            let best = plans
                .iter()
                .filter(|p| shape.peak(**p) <= budget)
                .max_by(|a, b| shape.rate(rows, **a).total_cmp(&shape.rate(rows, **b)))
                .unwrap();
            let fitted = match fitted {
                Ok(it) => it,
                Err(e @ Error::NothingFits { .. }) => {
                    nothing += 1;
                    println!(
                        "NOTHING {seed} {name} {budget} {e} {shape:?} ran {:?} highest {}",
                        net.ran, net.highest
                    );
                    continue;
                }
                Err(e) => panic!("{e}"),
            };
            probes[fitted.probes] += 1;
            let ratio = shape.rate(rows, fitted.plan) / shape.rate(rows, *best);
            let e = byf.entry(name.to_owned()).or_default();
            e.0 += 1;
            e.2 += ratio;
            if ratio < 0.9 {
                bad += 1;
                e.1 += 1;
                if bad < 12 || seed == 0 {
                    println!(
                        "BAD {seed} {name} {ratio:.3} best {best} chosen {} held {} G/rowkept {:.2}\n{shape:?}\n{fitted}",
                        fitted.plan,
                        shape.held(),
                        shape.weights as f64 / shape.kept as f64 / shape.blocks as f64
                    );
                }
            }
            if seed == 0 {
                println!("{fitted}");
            }
        }
    }
    println!("all {all} bad {bad} over {over} nothing {nothing} probes {probes:?} {byf:?}");
}
