//! The networks and the training of one fold: ordinary mlx-rs, which knows nothing of tickets.

use crate::Failure;
use crate::data::{CLASSES, Fold, PROPERTIES, SplitMix64, Wines};
use mlx_rs::builder::Builder;
use mlx_rs::error::Exception;
use mlx_rs::losses::{CrossEntropyBuilder, LossReduction};
use mlx_rs::ops::{indexing::argmax_axis, maximum};
use mlx_rs::optimizers::{Adam, Optimizer};
use mlx_rs::transforms::{eval, value_and_grad_with_argnums};
use mlx_rs::{Array, array};
use std::rc::Rc;

const LEARNING_RATE: f32 = 0.01;

/// A perceptron: the widths of its hidden layers.
pub(crate) struct Network {
    pub(crate) name: &'static str,
    hidden: &'static [usize],
}

/// The sweep. The widest first, as one would: the small ones then fill the gaps at the end.
pub(crate) const NETWORKS: [Network; 4] = [
    Network::new("1024", &[1024]),
    Network::new("512", &[512]),
    Network::new("64-64", &[64, 64]),
    Network::new("128", &[128]),
];

impl Network {
    const fn new(name: &'static str, hidden: &'static [usize]) -> Self {
        Self { name, hidden }
    }

    /// Weights and biases in turn, the same each time: He's uniform distribution.
    fn initial_weights(&self) -> Vec<Array> {
        let widths: Vec<usize> = [&[PROPERTIES], self.hidden, &[CLASSES]].concat();
        let mut random = SplitMix64(widths.iter().sum::<usize>() as u64);
        let mut weights = Vec::new();
        for pair in widths.windows(2) {
            let (inputs, outputs) = (pair[0], pair[1]);
            let bound = (6.0 / inputs as f64).sqrt();
            let values: Vec<f32> = (0..inputs * outputs)
                .map(|_| ((2.0 * random.unit() - 1.0) * bound) as f32)
                .collect();
            weights.push(Array::from_slice(&values, &[inputs as i32, outputs as i32]));
            weights.push(Array::from_slice(&vec![0_f32; outputs], &[outputs as i32]));
        }
        weights
    }
}

/// What the folds of one network share: handles to arrays that no fold changes.
///
/// An mlx-rs array may be moved to another thread but not be looked at from two at once, so each job
/// gets handles of its own.
#[derive(Clone)]
pub(crate) struct Start {
    properties: Array,
    classes: Array,
    weights: Vec<Array>,
}

/// Puts the data set and every network's initial weights into MLX's memory.
pub(crate) fn starts(wines: &Wines) -> Vec<Start> {
    let rows = wines.count() as i32;
    let properties = Array::from_slice(&wines.properties, &[rows, PROPERTIES as i32]);
    let classes = Array::from_slice(&wines.classes, &[rows]);
    NETWORKS
        .iter()
        .map(|network| Start {
            properties: properties.clone(),
            classes: classes.clone(),
            weights: network.initial_weights(),
        })
        .collect()
}

/// Trains on all training rows at once, `epochs` times, and counts the test rows it then gets right.
///
/// All work is evaluated and all arrays are gone when it returns.
pub(crate) fn train(
    start: &Start,
    fold: &Fold,
    epochs: usize,
    mut after_epoch: impl FnMut() -> Result<(), Failure>,
) -> Result<usize, Failure> {
    let rows = Rows::new(start, fold)?;
    let mut weights = start.weights.clone();
    let names: Vec<Rc<str>> = (0..weights.len()).map(|i| i.to_string().into()).collect();
    let differentiate: Vec<i32> = (0..weights.len() as i32).collect();
    let mut optimizer = Adam::new(LEARNING_RATE);
    let mut loss_and_gradients = value_and_grad_with_argnums(loss, differentiate.as_slice());

    for _ in 0..epochs {
        let mut arguments = weights.clone();
        arguments.extend([rows.train.clone(), rows.train_classes.clone()]);
        let (_, gradients) = loss_and_gradients(&arguments)?;
        drop(arguments);
        for ((name, gradient), weight) in names.iter().zip(&gradients).zip(&mut weights) {
            optimizer.update_single(name, gradient, weight)?;
        }
        drop(gradients);
        let moments = optimizer.state.values().flat_map(|(m, v)| [m, v]);
        eval(weights.iter().chain(moments))?;
        after_epoch()?;
    }

    let answers = argmax_axis(forward(&weights, &rows.test)?, -1, false)?;
    let correct = answers.eq(&rows.test_classes)?.sum(false)?;
    Ok(correct.try_item_cast::<u32>()? as usize)
}

/// One fold's rows, scaled by what the training rows alone show.
struct Rows {
    train: Array,
    train_classes: Array,
    test: Array,
    test_classes: Array,
}

impl Rows {
    fn new(start: &Start, fold: &Fold) -> Result<Self, Exception> {
        let index = |rows: &[i32]| Array::from_slice(rows, &[rows.len() as i32]);
        let (train_rows, test_rows) = (index(&fold.train), index(&fold.test));
        let train = start.properties.take_axis(&train_rows, 0)?;
        let test = start.properties.take_axis(&test_rows, 0)?;
        let mean = train.mean_axes(&[0], true)?;
        let deviation = train.var_axes(&[0], true, 0)?.sqrt()?;
        let rows = Self {
            train: train.subtract(&mean)?.divide(&deviation)?,
            train_classes: start.classes.take_axis(&train_rows, 0)?,
            test: test.subtract(&mean)?.divide(&deviation)?,
            test_classes: start.classes.take_axis(&test_rows, 0)?,
        };
        eval([
            &rows.train,
            &rows.train_classes,
            &rows.test,
            &rows.test_classes,
        ])?;
        Ok(rows)
    }
}

/// The mean cross-entropy. Arguments: the weights, then the rows, then their classes.
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
