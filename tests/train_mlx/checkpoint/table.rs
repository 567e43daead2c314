//! The table of "When to recompute" in `docs/TRAINING.md`:
//! `scripts/with-mlx cargo test --test train_mlx -- --ignored --nocapture table`.

#![allow(clippy::print_stdout, reason = "it is for people")]

use super::super::alone;
use super::transformer::{Mode, Order, Transformer, kit};
use mlx_wired::train::checkpoint::Recompute;
use nix::sys::resource::{UsageWho, getrusage};
use std::time::Duration;

/// The processor time of all threads so far.
fn cpu_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("it is known");
    let time = usage.user_time().tv_sec() * 1_000_000 + usage.user_time().tv_usec();
    Duration::from_micros(time as u64)
}

#[test]
#[ignore = "takes minutes, and prints"]
fn table_of_every_setting() {
    let _alone = alone();
    let network = Transformer::new(64, 128, 4);
    let settings = [
        Recompute::None,
        Recompute::First(2),
        Recompute::First(4),
        Recompute::First(6),
        Recompute::First(7),
        Recompute::All,
    ];
    let mut rows = vec![("mlx_checkpoint".to_owned(), Mode::Mlx)];
    rows.extend(settings.map(|setting| (setting.to_string(), kit(setting))));
    // Each setting in each round, so that what the machine does meanwhile meets all of them.
    let mut found = vec![([0, 0], Duration::MAX); rows.len()];
    for _ in 0..4 {
        for ((_, mode), (peaks, fastest)) in rows.iter().zip(&mut found) {
            for (order, peak) in [Order::Natural, Order::Reverse].into_iter().zip(peaks) {
                let began = cpu_time();
                *peak = network.step(mode, order).1.max(*peak);
                *fastest = (cpu_time() - began).min(*fastest);
            }
        }
    }
    let (plain, time) = found[1];
    println!("| setting | peak, natural / reverse order | saved | time |");
    for ((name, _), (peaks, fastest)) in rows.iter().zip(&found) {
        let mb = peaks.map(|peak| peak as f64 / 1e6);
        let saved = [0, 1].map(|order| 100.0 * (1.0 - peaks[order] as f64 / plain[order] as f64));
        println!(
            "| {name} | {:.1} / {:.1} MB | {:.0} / {:.0} % | {} ms, {:+.0} % |",
            mb[0],
            mb[1],
            saved[0],
            saved[1],
            fastest.as_millis(),
            100.0 * (fastest.as_secs_f64() / time.as_secs_f64() - 1.0)
        );
    }
}
