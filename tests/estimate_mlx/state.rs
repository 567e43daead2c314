//! Training's state: mlx-rs's optimizers on all parameters of a network, two updates each.

use crate::{Alone, DEEPSEEK, GEMMA, QWEN, cut, evaluate, items, networks, told, within};
use mlx_rs::Array;
use mlx_rs::builder::Builder;
use mlx_rs::optimizers::{Adam, AdamW, Optimizer, OptimizerState, Sgd, SgdBuilder};
use mlx_wired::train::estimate::{self, Lora, Model, Training, Workload, estimate};
use std::rc::Rc;

/// Updates that are evaluated together, or one parameter after another.
#[derive(Clone, Copy, PartialEq)]
enum Goes {
    One,
    Many,
}

/// Two updates: in the first 16 bits become 32. What is alive then, and the peak of the second one beyond what was
/// alive before it and its gradients.
fn train<O: Optimizer>(
    alone: &Alone,
    parameters: &mut [Array],
    mut optimizer: O,
    goes: Goes,
) -> (u64, u64, u64) {
    let keys: Vec<Rc<str>> = (0..parameters.len())
        .map(|n| n.to_string().into())
        .collect();
    let (mut gradients_alive, mut beyond) = (0, 0);
    for _ in 0..2 {
        let before = alone.active();
        let gradients: Vec<Array> = parameters
            .iter()
            .map(|parameter| {
                parameter
                    .multiply(parameter)
                    .expect("they can be multiplied")
            })
            .collect();
        if goes == Goes::One {
            evaluate(&gradients);
            gradients_alive = alone.active() - before;
        }
        alone.reset();
        for ((key, gradient), parameter) in keys.iter().zip(gradients).zip(&mut *parameters) {
            optimizer
                .update_single(key, &gradient, parameter)
                .expect("it can be updated");
            drop(gradient);
            if goes == Goes::Many {
                let state = optimizer.state_mut().flatten().expect("it has a state");
                let state: Vec<Array> = state.into_iter().map(|(_, array)| array.clone()).collect();
                evaluate(state.iter().chain([&*parameter]));
            }
        }
        let state = optimizer.state_mut().flatten().expect("it has a state");
        evaluate(
            state
                .into_iter()
                .map(|(_, array)| array)
                .chain(&*parameters),
        );
        beyond = alone.peak().saturating_sub(before + gradients_alive);
    }
    (alone.active(), gradients_alive, beyond)
}

const HELD: [&str; 3] = ["weights", "trained-weights", "optimizer-state"];

fn momentum() -> Sgd {
    let builder = SgdBuilder::new(1e-3).momentum(0.9);
    builder.build().expect("it can be built")
}

/// Weights, state, gradients and updates in one go of a network with an optimizer on all of its parameters.
fn in_one_go<O: Optimizer>(
    (network, model, shapes): (&str, Model, &[Vec<i32>]),
    (name, kind, optimizer): (&str, estimate::Optimizer, O),
) {
    let alone = Alone::new();
    let mut parameters = networks::arrays(shapes);
    let weights = format!("{network}: weights in 16 bits");
    within(&weights, model.bytes(), alone.active());
    let all = estimate(&Workload::new(model).train(Training::new(kind)));
    let (held, gradients, update) = train(&alone, &mut parameters, optimizer, Goes::One);
    let state = format!("{network}, {name}: weights and state");
    within(&state, items(&all, &HELD), held);
    let of_gradients = items(&all, &["gradients"]);
    within(&format!("{network}: gradients"), of_gradients, gradients);
    let at_most = format!("{network}, {name}: update in one go, at most");
    assert!(told(&at_most, items(&all, &["update"]), update) >= 0.0);
}

#[test]
fn qwen_with_adamw() {
    let name = "Qwen2.5-0.5B, 2 layers";
    in_one_go(
        (name, cut(QWEN, 2), &networks::qwen(2)),
        ("AdamW", estimate::Optimizer::AdamW, AdamW::new(1e-3)),
    );
}

#[test]
fn gemma_with_momentum() {
    let name = "Gemma-3-270M, 6 layers";
    in_one_go(
        (name, cut(GEMMA, 6), &networks::gemma(6)),
        ("momentum", estimate::Optimizer::Momentum, momentum()),
    );
}

#[test]
fn gemma_with_plain_descent() {
    let alone = Alone::new();
    let layers = 1;
    let mut parameters = networks::arrays(&networks::gemma(layers));
    let training = Training::new(estimate::Optimizer::Sgd);
    let all = estimate(&Workload::new(cut(GEMMA, layers)).train(training));
    let optimizer = SgdBuilder::new(1e-3).build().expect("it can be built");
    let (held, _, _) = train(&alone, &mut parameters, optimizer, Goes::Many);
    within(
        "Gemma-3-270M, 1 layer, SGD: weights and state",
        items(&all, &HELD),
        held,
    );
}

#[test]
fn deepseek_with_adam_on_one_layer_and_adapters_on_two() {
    let alone = Alone::new();
    let all = |training| estimate(&Workload::new(cut(DEEPSEEK, 1)).train(training));
    let mut parameters = networks::arrays(&networks::deepseek(1));
    let whole = all(Training::new(estimate::Optimizer::Momentum));
    let (held, _, _) = train(&alone, &mut parameters, momentum(), Goes::Many);
    within(
        "DeepSeek-V2-Lite, 1 layer, momentum: weights and state",
        items(&whole, &HELD),
        held,
    );
    drop(parameters);

    let shapes = networks::deepseek(2);
    let frozen = networks::arrays(&shapes);
    // The two first are embedding and last projection, which are no layer's.
    let matrices = shapes[2..].iter().filter(|shape| shape.len() == 2);
    let mut adapters: Vec<Array> = matrices
        .flat_map(|shape| [vec![shape[1], 8], vec![8, shape[0]]])
        .map(|shape| mlx_rs::ops::ones::<f32>(&shape).expect("it can be made"))
        .collect();
    evaluate(&adapters);
    let (held, gradients, _) = train(&alone, &mut adapters, Adam::new(1e-3), Goes::One);
    let lora = Training::new(estimate::Optimizer::Adam).lora(Lora::rank(8));
    let all = estimate(&Workload::new(cut(DEEPSEEK, 2)).train(lora));
    within(
        "DeepSeek-V2-Lite, 2 layers, adapters of rank 8, Adam: all",
        items(&all, &HELD),
        held,
    );
    within(
        "DeepSeek-V2-Lite, 2 layers: gradients of the adapters",
        items(&all, &["gradients"]),
        gradients,
    );
    drop(frozen);
}
