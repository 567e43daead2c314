//! What recomputing saves, and that gradients stay the same to the bit.

use super::super::alone;
use super::transformer::{BLOCKS, Mode, Order, Transformer, kit};
use mlx_rs::Array;
use mlx_wired::train::checkpoint::Recompute;

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
