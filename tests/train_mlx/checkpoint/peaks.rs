//! What recomputing saves, and that gradients stay the same to the bit.

use super::super::alone;
use super::transformer::{BLOCKS, Mode, Order, Transformer, kit};
use mlx_rs::Array;
use mlx_rs::error::Exception;
use mlx_rs::ops::tanh;
use mlx_rs::transforms::eval;
use mlx_wired::ffi;
use mlx_wired::train::checkpoint::{Checkpointing, Recompute, value_and_grad};

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
    let network = Transformer::new(64, 128, 4);
    let orders = [Order::Natural, Order::Reverse];
    let peaks = |mode: Mode| orders.map(|order| network.peak(&mode, order, 1));
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
fn a_compiled_step_saves_too() {
    let _alone = alone();
    let network = Transformer::new(32, 64, 2);
    let [plain, ordered] =
        [Recompute::None, Recompute::All].map(|setting| network.peak_compiled(&kit(setting)));
    assert!(ordered * 10 <= plain * 6, "{ordered} for {plain}");
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

/// The peak of a step of a chain of layers, in blocks of four.
fn chain_of_layers(recompute: Recompute) -> u64 {
    let (rows, width) = (1024, 128);
    let mut random = fastrand::Rng::with_seed(9);
    let mut uniform = |shape: &[i32]| {
        let numbers = (0..shape.iter().product()).map(|_: i32| (random.f32() - 0.5) / 4.0);
        Array::from_slice(&numbers.collect::<Vec<_>>(), shape)
    };
    let weights: Vec<_> = (0..24).map(|_| uniform(&[width, width])).collect();
    let x = uniform(&[rows, width]);
    eval(weights.iter().chain([&x])).unwrap();
    let four_layers = |p: &[Array], _: &[Array]| {
        let mut x = p[0].clone();
        for weight in &p[1..] {
            x = tanh(x.matmul(weight)?)?;
        }
        Ok(vec![x])
    };
    let argnums: Vec<i32> = (0..24).collect();
    let blocks = Checkpointing::new(recompute);
    let step = || {
        let loss = |weights: &[Array]| {
            let mut primals = vec![x.clone()];
            for (index, weights) in weights.chunks_exact(4).enumerate() {
                primals.extend_from_slice(weights);
                primals = blocks.block(index, four_layers, &primals, &[])?;
            }
            Ok::<_, Exception>(vec![primals[0].sum(None)?])
        };
        ffi::reset_peak_memory().unwrap();
        let (_, gradients) = value_and_grad(loss, argnums.as_slice())(&weights).unwrap();
        eval(&gradients).unwrap();
        ffi::memory_counters().unwrap().peak()
    };
    step();
    step()
}

#[test]
fn a_block_of_several_layers_waits_for_the_one_behind_it() {
    let _alone = alone();
    let [plain, ordered] = [Recompute::None, Recompute::All].map(chain_of_layers);
    // Seven tenths of it if blocks may be recomputed before their turn.
    assert!(ordered * 100 <= plain * 62, "{ordered} for {plain}");
}
