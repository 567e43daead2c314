//! One trainer: a perceptron of so many layers whose batches the host makes, beside what it keeps on the card. Ordinary
//! mlx-rs; no word of tickets.

use crate::failure::Failure;
use crate::task::Shape;
use mlx_rs::error::Exception;
use mlx_rs::ops::maximum;
use mlx_rs::random::{key, normal};
use mlx_rs::transforms::{eval, value_and_grad_with_argnums};
use mlx_rs::{Array, array};

const FEATURES: i32 = 1024;
const WIDTH: i32 = 2048;
const LAYERS: u64 = 6;
const LEARNING_RATE: f32 = 1e-4;

/// What it keeps is in arrays of so many numbers.
const KEPT: i32 = 1 << 24;

impl Shape {
    /// Trains. All work is evaluated and all arrays are gone when it returns.
    pub(crate) fn train(self) -> Result<f32, Failure> {
        let arrays = self.kept / (4 * KEPT as u64);
        let kept: Vec<Array> = (0..arrays)
            .map(|_| Array::zeros::<f32>(&[KEPT]))
            .collect::<Result<_, _>>()?;
        let mut weights = weights()?;
        eval(kept.iter().chain(&weights))?;

        let numbers: Vec<i32> = (0..weights.len() as i32).collect();
        let mut loss_and_gradients = value_and_grad_with_argnums(loss, &numbers[..]);
        let mut random = fastrand::Rng::with_seed(self.rows as u64);
        let mut last = 0.0;
        for _ in 0..self.steps {
            let count = self.rows as usize * FEATURES as usize;
            let batch: Vec<f32> = (0..count).map(|_| random.f32() - 0.5).collect();
            let batch = Array::from_slice(&batch, &[self.rows, FEATURES]);
            let mut arguments = weights.clone();
            arguments.push(batch);
            let (loss, gradients) = loss_and_gradients(&arguments)?;
            drop(arguments);
            for (weight, gradient) in weights.iter_mut().zip(&gradients) {
                *weight = weight.subtract(gradient.multiply(array!(LEARNING_RATE))?)?;
            }
            drop(gradients);
            eval(weights.iter().chain(&loss))?;
            last = loss[0].try_item_cast::<f32>()?;
        }
        if last.is_finite() {
            Ok(last)
        } else {
            Err(format!("the loss is {last}").into())
        }
    }
}

fn weights() -> Result<Vec<Array>, Exception> {
    let layer = |number: u64| {
        let inputs = if number == 0 { FEATURES } else { WIDTH };
        let scale = (inputs as f32).sqrt().recip();
        normal::<f32>(&[inputs, WIDTH], 0.0, scale, &key(number)?)
    };
    (0..LAYERS).map(layer).collect()
}

/// Arguments: the weights, then the rows, whose mean the network is to find.
fn loss(arguments: &[Array]) -> Result<Vec<Array>, Exception> {
    let [weights @ .., rows] = arguments else {
        return Err("the loss needs rows".into());
    };
    let mut values = rows.clone();
    for weight in weights {
        values = maximum(&values.matmul(weight)?, array!(0.0_f32))?;
    }
    let found = values.mean_axes(&[1], true)?;
    let wanted = rows.mean_axes(&[1], true)?;
    Ok(vec![found.subtract(wanted)?.square()?.mean(false)?])
}
