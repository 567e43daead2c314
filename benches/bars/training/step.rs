//! One step of a training: the main job's largest network (`examples/train`), on as many rows, with its optimiser.

use mlx_rs::builder::Builder;
use mlx_rs::error::Exception;
use mlx_rs::losses::{CrossEntropyBuilder, LossReduction};
use mlx_rs::ops::maximum;
use mlx_rs::optimizers::{Adam, Optimizer};
use mlx_rs::transforms::{eval, value_and_grad_with_argnums};
use mlx_rs::{Array, array, random};
use std::rc::Rc;

const ROWS: i32 = 1399;
/// Inputs, a hidden layer, classes.
const WIDTHS: [i32; 3] = [11, 1024, 6];
const LEARNING_RATE: f32 = 0.01;

/// A perceptron, its optimiser, and the rows to train it on.
pub(super) struct Step {
    weights: Vec<Array>,
    names: Vec<Rc<str>>,
    optimizer: Adam,
    rows: Array,
    classes: Array,
}

impl Step {
    pub(super) fn new() -> Result<Self, Exception> {
        let uniform =
            |bound: f32, shape: &[i32]| random::uniform::<_, f32>(-bound, bound, shape, None);
        let mut weights = Vec::new();
        for pair in WIDTHS.windows(2) {
            let (inputs, outputs) = (pair[0], pair[1]);
            weights.push(uniform((6.0 / inputs as f32).sqrt(), &[inputs, outputs])?);
            weights.push(Array::from_slice(
                &vec![0_f32; outputs as usize],
                &[outputs],
            ));
        }
        let classes: Vec<i32> = (0..ROWS).map(|row| row % WIDTHS[2]).collect();
        let step = Self {
            names: (0..weights.len()).map(|i| i.to_string().into()).collect(),
            weights,
            optimizer: Adam::new(LEARNING_RATE),
            rows: uniform(1.0, &[ROWS, WIDTHS[0]])?,
            classes: Array::from_slice(&classes, &[ROWS]),
        };
        eval(step.weights.iter().chain([&step.rows]))?;
        Ok(step)
    }

    /// Forward, backward, update; all evaluated when it returns.
    pub(super) fn run(&mut self) -> Result<(), Exception> {
        let mut arguments = self.weights.clone();
        arguments.extend([self.rows.clone(), self.classes.clone()]);
        let differentiate: Vec<i32> = (0..self.weights.len() as i32).collect();
        let (_, gradients) =
            value_and_grad_with_argnums(loss, differentiate.as_slice())(&arguments)?;
        drop(arguments);
        let updates = self.names.iter().zip(&gradients).zip(&mut self.weights);
        for ((name, gradient), weight) in updates {
            self.optimizer.update_single(name, gradient, weight)?;
        }
        let moments = self.optimizer.state.values().flat_map(|(m, v)| [m, v]);
        eval(self.weights.iter().chain(moments))
    }
}

/// The mean cross-entropy. Arguments: the weights, then the rows, then their classes.
fn loss(arguments: &[Array]) -> Result<Vec<Array>, Exception> {
    let [weights @ .., rows, classes] = arguments else {
        return Err(Exception::custom("the loss needs rows and their classes"));
    };
    let mut values = rows.clone();
    for (layer, pair) in weights.chunks_exact(2).enumerate() {
        if layer > 0 {
            values = maximum(&values, array!(0.0_f32))?;
        }
        values = values.matmul(&pair[0])?.add(&pair[1])?;
    }
    let cross_entropy = CrossEntropyBuilder::new()
        .reduction(LossReduction::Mean)
        .build()
        .map_err(|error| Exception::custom(error.to_string()))?;
    Ok(vec![cross_entropy.apply(values, classes)?])
}
