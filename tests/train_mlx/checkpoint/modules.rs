//! Blocks that are modules.

use super::super::alone;
use super::numbers;
use crate::kit::assert_says;
use mlx_rs::builder::Builder;
use mlx_rs::error::{Exception, Result};
use mlx_rs::macros::ModuleParameters;
use mlx_rs::module::{Module, ModuleParameters, Param};
use mlx_rs::nn::{BatchNorm, LayerNorm, LayerNormBuilder, Linear, gelu_approximate};
use mlx_rs::transforms::eval;
use mlx_rs::{Array, array};
use mlx_wired::train::checkpoint::{Checkpointing, Recompute, module_value_and_grad};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A layer with a norm before it.
#[derive(Debug, Clone, ModuleParameters)]
struct Normed {
    #[param]
    norm: LayerNorm,
    #[param]
    linear: Linear,
}

/// Another type of layer, with a weight of its own.
#[derive(Debug, Clone, ModuleParameters)]
struct Gate {
    #[param]
    weight: Param<Array>,
}

#[derive(Debug, Clone, ModuleParameters)]
struct Network {
    #[param]
    normed: Vec<Normed>,
    #[param]
    gate: Gate,
    blocks: Checkpointing,
}

const WIDTH: i32 = 6;

impl Network {
    fn new() -> Self {
        let mut random = fastrand::Rng::with_seed(5);
        let mut weights = |shape: &[i32]| {
            let count: i32 = shape.iter().product();
            let values: Vec<f32> = (0..count).map(|_| random.f32() - 0.5).collect();
            Array::from_slice(&values, shape)
        };
        let mut normed = || {
            let mut linear = Linear::new(WIDTH, WIDTH).unwrap();
            linear.weight.value = weights(&[WIDTH, WIDTH]);
            Normed {
                norm: LayerNormBuilder::new(WIDTH).build().unwrap(),
                linear,
            }
        };
        let normed = vec![normed(), normed(), normed()];
        Self {
            normed,
            gate: Gate {
                weight: Param::new(weights(&[WIDTH])),
            },
            blocks: Checkpointing::default(),
        }
    }

    fn forward(&mut self, x: &Array) -> Result<Array> {
        let mut x = x.clone();
        for (index, layer) in self.normed.iter().enumerate() {
            x = self
                .blocks
                .module(index, layer, normed, &[x], &[])?
                .remove(0);
        }
        let index = self.normed.len();
        let outputs = self.blocks.module(index, &self.gate, gate, &[x], &[])?;
        outputs[0].square()?.mean(None)
    }

    /// The gradients under this setting, by name.
    fn gradients(&mut self, setting: Recompute) -> BTreeMap<String, Vec<f32>> {
        self.blocks.set(setting);
        let x = array!([[0.1_f32, 0.5, -0.3, 0.7, 0.2, -0.9]]);
        let loss = |network: &mut Network, x: &Array| network.forward(x);
        let (_, gradients) = module_value_and_grad(loss)(self, &x).unwrap();
        let named = gradients.iter();
        named
            .map(|(name, array)| (name.to_string(), numbers(array)))
            .collect()
    }
}

fn normed(layer: &mut Normed, inputs: &[Array], _: &[Array]) -> Result<Vec<Array>> {
    let hidden = layer.norm.forward(&inputs[0])?;
    let hidden = gelu_approximate(layer.linear.forward(&hidden)?)?;
    Ok(vec![inputs[0].add(hidden)?])
}

fn gate(gate: &mut Gate, inputs: &[Array], _: &[Array]) -> Result<Vec<Array>> {
    Ok(vec![
        inputs[0].multiply(mlx_rs::ops::sigmoid(&*gate.weight)?)?,
    ])
}

#[test]
fn every_trainable_parameter_of_every_type_of_layer_has_its_gradient() {
    let _alone = alone();
    let mut network = Network::new();
    let plain = network.gradients(Recompute::None);
    assert_eq!(plain.len(), 3 * 4 + 1);
    for (name, gradient) in &plain {
        assert!(gradient.iter().any(|&number| number != 0.0), "{name}");
    }
    for setting in [Recompute::First(2), Recompute::All] {
        assert_eq!(network.gradients(setting), plain, "{setting}");
        assert_eq!(network.blocks.traced(), Some(setting));
    }
}

#[test]
fn frozen_weights_are_constants() {
    let _alone = alone();
    let mut network = Network::new();
    network.normed[0].freeze_parameters(true);
    network.normed[2].linear.freeze_parameters(true);
    let plain = network.gradients(Recompute::None);
    assert_eq!(plain.len(), 4 + 2 + 1);
    assert_eq!(network.gradients(Recompute::All), plain);
    // A layer that is frozen as a whole has its inputs to differentiate by.
    assert!(plain.keys().all(|name| !name.starts_with("normed.0")));
    network.normed[0].unfreeze_parameters(true);
    assert_eq!(network.gradients(Recompute::All).len(), 4 + 4 + 2 + 1);
}

#[test]
fn the_model_is_trained_and_not_the_copies() {
    let _alone = alone();
    let mut network = Network::new();
    let before = network.gradients(Recompute::All);
    for parameter in network.parameters_mut().flatten().into_values() {
        *parameter = parameter.multiply(array!(0.5_f32)).unwrap();
    }
    let after = network.gradients(Recompute::All);
    assert_ne!(before, after);
    assert_eq!(after, network.gradients(Recompute::None));
}

#[test]
fn an_early_exit_leaves_no_gradient_behind_it() {
    let _alone = alone();
    let mut network = Network::new();
    let x = array!([[0.1_f32, 0.5, -0.3, 0.7, 0.2, -0.9]]);
    let exits = |network: &mut Network, x: &Array| {
        let outputs =
            network
                .blocks
                .module(0, &network.normed[0], normed, std::slice::from_ref(x), &[])?;
        outputs[0].square()?.mean(None)
    };
    let mut all = [Recompute::None, Recompute::All].map(|setting| {
        network.blocks.set(setting);
        let (_, gradients) = module_value_and_grad(exits)(&mut network, &x).unwrap();
        let named = gradients.iter();
        named
            .map(|(name, array)| (name.to_string(), numbers(array)))
            .collect::<BTreeMap<_, _>>()
    });
    assert_eq!(all[0], all[1]);
    let zeros = |gradient: &Vec<f32>| gradient.iter().all(|&number| number == 0.0);
    all[1].retain(|_, gradient| !zeros(gradient));
    assert!(!all[1].is_empty() && all[1].keys().all(|name| name.starts_with("normed.0")));
}

#[test]
fn a_step_after_one_that_failed_is_right() {
    let _alone = alone();
    let mut network = Network::new();
    let right = network.gradients(Recompute::None);
    network.blocks.set(Recompute::All);
    let fails = |network: &mut Network, x: &Array| -> Result<Array> {
        network.forward(x)?;
        Err(Exception::custom("after the forward pass"))
    };
    let error = module_value_and_grad(fails)(&mut network, &array!([[1.0_f32; 6]])).unwrap_err();
    assert_eq!(error.what(), "after the forward pass");
    assert_eq!(network.gradients(Recompute::All), right);
}

#[test]
fn a_module_that_sets_its_parameters_is_refused_by_name() {
    let _alone = alone();
    let x = Array::from_slice(&[1.0_f32, 2.0, 3.0, 4.0, 5.0, 7.0], &[2, 3]);
    let norm = BatchNorm::new(3).unwrap();
    let run = |setting, norm: &BatchNorm| {
        let forward = |norm: &mut BatchNorm, inputs: &[Array], _: &[Array]| {
            Ok(vec![norm.forward(&inputs[0])?])
        };
        Checkpointing::new(setting).module(1, norm, forward, std::slice::from_ref(&x), &[])
    };
    for setting in [Recompute::None, Recompute::All] {
        let error = run(setting, &norm).unwrap_err();
        assert_says(error.what(), "block 1 set its parameter running_mean");
    }
    // It does not while it does not train.
    let mut still = norm.clone();
    Module::<&Array>::training_mode(&mut still, false);
    run(Recompute::All, &still).unwrap();
}

/// Where the array that was there first is gone, a new one may lie in its place.
#[test]
fn a_parameter_that_is_set_several_times_is_refused_too() {
    #[derive(Debug, Clone, ModuleParameters)]
    struct Counts {
        #[param]
        calls: Param<Array>,
        times: usize,
    }
    let _alone = alone();
    let counts = |module: &mut Counts, inputs: &[Array], _: &[Array]| {
        for _ in 0..module.times {
            let next = module.calls.add(array!(1.0_f32))?;
            module.calls.value = next;
        }
        Ok(inputs.to_vec())
    };
    for times in 0..6 {
        let module = Counts {
            calls: Param::new(array!(0.0_f32)),
            times,
        };
        for setting in [Recompute::None, Recompute::All] {
            let blocks = Checkpointing::new(setting);
            let result = blocks.module(2, &module, counts, &[array!(1.0_f32)], &[]);
            match result {
                Ok(_) => assert_eq!(times, 0, "{setting}"),
                Err(error) => assert!(error.what().contains("set its parameter calls"), "{error}"),
            }
        }
    }
    // One that is put back is as it was.
    let swaps = |module: &mut Counts, inputs: &[Array], _: &[Array]| {
        let calls = module.calls.value.clone();
        module.calls.value = calls.add(array!(1.0_f32))?;
        module.calls.value = calls;
        Ok(inputs.to_vec())
    };
    let module = Counts {
        calls: Param::new(array!(0.0_f32)),
        times: 0,
    };
    let blocks = Checkpointing::new(Recompute::All);
    blocks
        .module(2, &module, swaps, &[array!(1.0_f32)], &[])
        .unwrap();
}

#[test]
fn a_module_without_trainable_parameters_and_inputs_is_refused() {
    let _alone = alone();
    let mut network = Network::new();
    network.gate.freeze_parameters(true);
    let nothing = |gate: &mut Gate, _: &[Array], _: &[Array]| Ok(vec![gate.weight.value.clone()]);
    let error = network
        .blocks
        .module(3, &network.gate, nothing, &[], &[])
        .unwrap_err();
    assert!(error.what().contains("block 3 has no primals"), "{error}");
}

#[test]
fn what_a_graph_keeps_of_a_module_goes_with_it() {
    #[derive(Debug, Clone, ModuleParameters)]
    struct Watched {
        #[param]
        weight: Param<Array>,
        copies: Arc<()>,
    }
    let _alone = alone();
    let module = Watched {
        weight: Param::new(array!([1.0_f32, 2.0])),
        copies: Arc::new(()),
    };
    let blocks = Checkpointing::new(Recompute::All);
    let square = |module: &mut Watched, _: &[Array], _: &[Array]| Ok(vec![module.weight.square()?]);
    let outputs = blocks.module(0, &module, square, &[], &[]).unwrap();
    assert!(Arc::strong_count(&module.copies) > 1);
    drop(outputs);
    assert_eq!(Arc::strong_count(&module.copies), 1);

    let mut trained = module.clone();
    let loss = |module: &mut Watched, (): ()| -> Result<Array> {
        blocks.module(0, module, square, &[], &[])?[0].sum(None)
    };
    let (value, gradients) = module_value_and_grad(loss)(&mut trained, ()).unwrap();
    eval(gradients.values().chain([&value])).unwrap();
    assert_eq!(numbers(&gradients["weight"]), [2.0, 4.0]);
    drop(trained);
    assert_eq!(Arc::strong_count(&module.copies), 1, "it was evaluated");
}
