//! What recomputing saves, and that gradients stay the same to the bit.

use super::super::alone;
use super::transformer::{BLOCKS, Mode, Order, Transformer, kit};
use mlx_rs::Array;
use mlx_wired::train::checkpoint::Recompute;
use std::time::Duration;

/// The bits of floats, to compare.
fn bits(arrays: &[Array]) -> Vec<Vec<u32>> {
    let bits = |array: &Array| {
        let array = array.flatten(None, None).unwrap();
        array.eval().unwrap();
        array
            .as_slice::<f32>()
            .iter()
            .map(|number| number.to_bits())
            .collect()
    };
    arrays.iter().map(bits).collect()
}

#[test]
fn ordered_recomputing_saves_six_tenths_of_the_peak_in_both_orders() {
    let _alone = alone();
    let network = Transformer::new(64, 128, 2);
    let orders = [Order::Natural, Order::Reverse];
    let peaks = |mode: Mode| orders.map(|order| network.peak(&mode, order, 2));
    let plain = peaks(kit(Recompute::None));
    let mlx = peaks(Mode::Mlx);
    let ordered = peaks(kit(Recompute::All));
    println!(
        "peak in bytes, natural and reverse: plain {plain:?}, mlx_checkpoint {mlx:?}, ordered {ordered:?}"
    );
    for order in 0..2 {
        assert!(
            ordered[order] * 10 <= plain[order] * 4,
            "{ordered:?} for {plain:?}"
        );
        assert!(ordered[order] <= mlx[order], "{ordered:?}, MLX's {mlx:?}");
    }
    let (least, most) = (ordered[0].min(ordered[1]), ordered[0].max(ordered[1]));
    assert!(most * 100 <= least * 103, "the order matters: {ordered:?}");
}

#[test]
fn gradients_are_the_same_to_the_bit() {
    let _alone = alone();
    let network = Transformer::new(32, 32, 2);
    let (plain, _) = network.step(&kit(Recompute::None), Order::Natural);
    let plain = bits(&plain);
    assert!(
        plain
            .iter()
            .flatten()
            .any(|&bits| f32::from_bits(bits) != 0.0)
    );
    for recompute in [Recompute::First(1), Recompute::First(5), Recompute::All] {
        for order in [Order::Natural, Order::Reverse] {
            let (again, _) = network.step(&kit(recompute), order);
            assert!(bits(&again) == plain, "{recompute} {order:?}");
        }
    }
}

#[test]
fn each_block_more_saves_more_until_the_last() {
    let _alone = alone();
    let network = Transformer::new(32, 64, 2);
    let settings = [
        Recompute::None,
        Recompute::First(2),
        Recompute::First(4),
        Recompute::First(6),
    ];
    let peaks = settings.map(|setting| network.peak(&kit(setting), Order::Natural, 1));
    assert!(
        peaks.is_sorted_by(|more, less| less * 10 < more * 9),
        "{peaks:?}"
    );
    // More blocks than there are is all of them.
    let [all, beyond] = [Recompute::All, Recompute::First(BLOCKS + 1)]
        .map(|setting| network.peak(&kit(setting), Order::Natural, 1));
    assert!(beyond * 100 <= all * 103, "{beyond} for {all}");
}

#[test]
fn steps_leave_nothing_behind() {
    let _alone = alone();
    let network = Transformer::new(32, 32, 2);
    let mode = kit(Recompute::All);
    let mut active = Vec::new();
    for _ in 0..24 {
        drop(network.step(&mode, Order::Natural));
        active.push(mlx_wired::ffi::memory_counters().unwrap().active);
    }
    assert_eq!(active[1], active[23], "{active:?}");
}

/// The processor time of all threads so far.
#[cfg(target_os = "linux")]
fn cpu_time() -> Duration {
    use nix::sys::resource::{UsageWho, getrusage};
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("it is known");
    let time = usage.user_time().tv_sec() * 1_000_000 + usage.user_time().tv_usec();
    Duration::from_micros(time as u64)
}

/// The table of `docs/TRAINING.md`:
/// `scripts/with-mlx cargo test --release --test train_mlx -- --ignored --nocapture table`.
#[test]
#[ignore = "takes minutes, and prints"]
#[cfg(target_os = "linux")]
fn table_of_every_setting() {
    let _alone = alone();
    let network = Transformer::new(128, 128, 8);
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
