//! The model of `mini_train`: ordinary mlx-rs, which knows nothing of tickets. Put yours in its place.

use mlx_rs::random::{key, normal};
use mlx_rs::{Array, array, error::Exception, transforms};
use mlx_wired::train::WorkError;

/// A layer that learns what another one does: a stand-in for yours.
pub(crate) struct Model {
    weight: Array,
    inputs: Array,
    outputs: Array,
}

impl Model {
    pub(crate) fn new(seed: u64) -> Result<Self, Exception> {
        let array = |shape: &[i32], n| normal::<f32>(shape, None, None, &key(3 * seed + n)?);
        let inputs = array(&[512, 256], 0)?;
        let outputs = inputs.matmul(array(&[256, 256], 1)?)?;
        let weight = array(&[256, 256], 2)?;
        transforms::eval([&weight, &inputs, &outputs])?;
        Ok(Self {
            weight,
            inputs,
            outputs,
        })
    }

    /// What it keeps from step to step, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        let arrays = [&self.weight, &self.inputs, &self.outputs];
        arrays.iter().map(|array| array.nbytes() as u64).sum()
    }

    /// Forward, backward, update: all evaluated when it returns.
    pub(crate) fn step(&mut self) -> Result<f32, WorkError> {
        let loss = |it: &[Array]| -> Result<Vec<Array>, Exception> {
            let error = it[1].matmul(&it[0])?.subtract(&it[2])?;
            Ok(vec![error.square()?.mean(false)?])
        };
        let it = [
            self.weight.clone(),
            self.inputs.clone(),
            self.outputs.clone(),
        ];
        let (loss, gradient) = transforms::value_and_grad(loss)(&it)?;
        self.weight = self
            .weight
            .subtract(gradient[0].multiply(array!(50.0_f32))?)?;
        transforms::eval([&self.weight, &loss[0]])?;
        Ok(loss[0].try_item_cast()?)
    }
}
