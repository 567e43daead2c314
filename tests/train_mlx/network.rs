//! A small network, trained with Adam on rows of random numbers.

use mlx_rs::builder::Builder;
use mlx_rs::error::Exception;
use mlx_rs::losses::{CrossEntropyBuilder, LossReduction};
use mlx_rs::ops::maximum;
use mlx_rs::optimizers::{Adam, Optimizer};
use mlx_rs::transforms::{eval, value_and_grad_with_argnums};
use mlx_rs::{Array, array};
use std::rc::Rc;

/// Inputs, a hidden layer, classes.
const WIDTHS: [i32; 3] = [64, 256, 10];

/// Weights and biases in turn, and Adam's state.
pub(crate) struct Network {
    pub(crate) weights: Vec<Array>,
    names: Vec<Rc<str>>,
    optimizer: Adam,
    random: fastrand::Rng,
}

impl Network {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut weights = Vec::new();
        for pair in WIDTHS.windows(2) {
            weights.push(uniform(&mut random, pair[0], pair[1], 0.1));
            weights.push(Array::from_slice(
                &vec![0_f32; pair[1] as usize],
                &[pair[1]],
            ));
        }
        Self {
            names: (0..weights.len()).map(|n| n.to_string().into()).collect(),
            weights,
            optimizer: Adam::new(0.001),
            random,
        }
    }

    /// A batch of so many rows.
    pub(crate) fn batch(&mut self, rows: i32) -> Array {
        uniform(&mut self.random, rows, WIDTHS[0], 1.0)
    }

    /// Forward, backward and update, all evaluated; returns the loss.
    pub(crate) fn step(&mut self, batch: &Array) -> Result<Array, Exception> {
        let (values, gradients) = self.gradients(batch)?;
        self.apply(&gradients)?;
        drop(gradients);
        eval(self.state().chain(&values))?;
        Ok(values[0].clone())
    }

    /// Forward and backward: the gradients, so weighted, are added to a sum; nothing is evaluated.
    pub(crate) fn add_gradients(
        &self,
        batch: &Array,
        weight: f32,
        sum: &mut Vec<Array>,
    ) -> Result<(), Exception> {
        let (_, gradients) = self.gradients(batch)?;
        let weighted = gradients.iter().map(|it| it.multiply(array!(weight)));
        let weighted = weighted.collect::<Result<Vec<Array>, _>>()?;
        if sum.is_empty() {
            *sum = weighted;
        } else {
            for (sum, gradient) in sum.iter_mut().zip(&weighted) {
                *sum = sum.add(gradient)?;
            }
        }
        Ok(())
    }

    /// The update with such a sum, evaluated.
    pub(crate) fn update(&mut self, sum: &[Array]) -> Result<(), Exception> {
        self.apply(sum)?;
        eval(self.state())
    }

    fn gradients(&self, batch: &Array) -> Result<(Vec<Array>, Vec<Array>), Exception> {
        let rows = batch.shape()[0];
        let classes: Vec<i32> = (0..rows).map(|row| row % WIDTHS[2]).collect();
        let mut arguments = self.weights.clone();
        arguments.extend([batch.clone(), Array::from_slice(&classes, &[rows])]);
        let of: Vec<i32> = (0..self.weights.len() as i32).collect();
        value_and_grad_with_argnums(loss, of.as_slice())(&arguments)
    }

    fn apply(&mut self, gradients: &[Array]) -> Result<(), Exception> {
        let updates = self.names.iter().zip(gradients).zip(&mut self.weights);
        for ((name, gradient), weight) in updates {
            self.optimizer.update_single(name, gradient, weight)?;
        }
        Ok(())
    }

    /// What an update leaves.
    fn state(&self) -> impl Iterator<Item = &Array> {
        let moments = self.optimizer.state.values().flat_map(|(m, v)| [m, v]);
        self.weights.iter().chain(moments)
    }

    /// The loss on a batch, without training.
    pub(crate) fn validate(&self, batch: &Array) -> Result<Array, Exception> {
        let values = forward(&self.weights, batch)?;
        eval([&values])?;
        Ok(values)
    }
}

fn uniform(random: &mut fastrand::Rng, rows: i32, columns: i32, bound: f32) -> Array {
    let values = (0..rows * columns).map(|_| (2.0 * random.f32() - 1.0) * bound);
    Array::from_slice(&values.collect::<Vec<f32>>(), &[rows, columns])
}

fn loss(arguments: &[Array]) -> Result<Vec<Array>, Exception> {
    let [weights @ .., rows, classes] = arguments else {
        return Err(Exception::custom("the loss needs rows and their classes"));
    };
    let cross_entropy = CrossEntropyBuilder::new()
        .reduction(LossReduction::Mean)
        .build()
        .map_err(|error| Exception::custom(error.to_string()))?;
    Ok(vec![cross_entropy.apply(forward(weights, rows)?, classes)?])
}

fn forward(weights: &[Array], rows: &Array) -> Result<Array, Exception> {
    let mut values = rows.clone();
    for (layer, pair) in weights.chunks_exact(2).enumerate() {
        if layer > 0 {
            values = maximum(&values, array!(0.0_f32))?;
        }
        values = values.matmul(&pair[0])?.add(&pair[1])?;
    }
    Ok(values)
}
