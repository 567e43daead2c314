//! The training: passes whose gradients are added up, and updates. What [`mlx_wired::train::Fit`] runs is what the run
//! itself runs afterwards.

use crate::Failure;
use crate::block::block;
use crate::data::Text;
use crate::model::{self, Size};
use crate::options::Setting;
use mlx_rs::Array;
use mlx_rs::error::Exception;
use mlx_rs::optimizers::{Adam, Optimizer};
use mlx_rs::random::{key, split};
use mlx_rs::transforms::eval;
use mlx_wired::train::checkpoint::{Checkpointing, Recompute, value_and_grad};
use mlx_wired::train::{Fittable, Plan};
use std::rc::Rc;

const SEED: u64 = 1787;

pub(crate) struct Trainer<'a> {
    setting: &'a Setting,
    text: &'a Text,
    checkpointing: Checkpointing,
    names: Vec<Rc<str>>,
    numbers: Vec<i32>,
    state: State,
}

/// What changes from update to update.
struct State {
    weights: Vec<Array>,
    adam: Adam,
    random: fastrand::Rng,
    updates: usize,
    /// The sum of the gradients since the last update, and of the losses.
    gradients: Vec<Array>,
    loss: f64,
}

impl State {
    fn new(setting: &Setting) -> Result<Self, Exception> {
        Ok(Self {
            weights: setting.size.weights(SEED)?,
            adam: Adam::new(setting.learning_rate(0)),
            random: fastrand::Rng::with_seed(SEED),
            updates: 0,
            gradients: Vec::new(),
            loss: 0.0,
        })
    }
}

impl<'a> Trainer<'a> {
    pub(crate) fn new(setting: &'a Setting, text: &'a Text) -> Result<Self, Exception> {
        let state = State::new(setting)?;
        let count = state.weights.len();
        Ok(Self {
            setting,
            text,
            checkpointing: Checkpointing::new(Recompute::None),
            names: (0..count).map(|number| number.to_string().into()).collect(),
            numbers: (0..count as i32).collect(),
            state,
        })
    }

    pub(crate) fn weights(&self) -> &[Array] {
        &self.state.weights
    }

    pub(crate) fn parameters(&self) -> u64 {
        self.weights()
            .iter()
            .map(|weight| weight.size() as u64)
            .sum()
    }

    /// As new.
    pub(crate) fn start_again(&mut self) -> Result<(), Exception> {
        // The old ones are gone before the new ones come.
        self.state.weights.clear();
        self.state.gradients.clear();
        self.state.adam.state.clear();
        self.state = State::new(self.setting)?;
        Ok(())
    }

    /// All passes of an update, and the update. Gives the mean loss of a letter.
    pub(crate) fn step(&mut self, plan: Plan) -> Result<f64, Failure> {
        for pass in 0..plan.accumulate {
            self.pass(plan, pass == 0)?;
        }
        self.update()?;
        Ok(self.state.loss)
    }

    /// Forward and backward over the rows of one pass, evaluated. Its gradients begin a sum or are added to it.
    pub(crate) fn pass(&mut self, plan: Plan, begins: bool) -> Result<(), Failure> {
        let (size, state) = (self.setting.size, &mut self.state);
        if begins {
            state.gradients.clear();
            state.loss = 0.0;
        }
        let rows = self
            .text
            .sample(&mut state.random, plan.batch, size.context);
        let keys = keys(state.random.u64(..), size.blocks)?;
        self.checkpointing.set(Recompute::First(plan.first));
        let run = recomputed(&self.checkpointing, size);
        // By the letters of the whole update: so the sums over its passes are means, however many passes there are.
        let share = Array::from_f32(((self.setting.rows * size.context) as f32).recip());
        let loss = |weights: &[Array]| -> Result<Vec<Array>, Exception> {
            let logits = size.logits(weights, &rows.letters, Some(&keys), &run)?;
            Ok(vec![model::loss(&logits, &rows.next)?.multiply(&share)?])
        };
        let (loss, gradients) = value_and_grad(loss, &self.numbers[..])(&state.weights)?;

        let sums = state.gradients.iter().zip(&gradients);
        let sums: Vec<Array> = sums
            .map(|(sum, gradient)| sum.add(gradient))
            .collect::<Result<_, _>>()?;
        state.gradients = if begins { gradients } else { sums };
        eval(state.gradients.iter().chain(&loss))?;
        state.loss += loss[0].try_item_cast::<f64>()?;
        Ok(())
    }

    /// Weight after weight: all at once, new weights and moments would stand beside the old ones.
    pub(crate) fn update(&mut self) -> Result<(), Exception> {
        let State {
            weights,
            adam,
            updates,
            gradients,
            ..
        } = &mut self.state;
        *updates += 1;
        adam.lr = Array::from_f32(self.setting.learning_rate(*updates));
        for ((weight, gradient), name) in
            weights.iter_mut().zip(gradients.drain(..)).zip(&self.names)
        {
            adam.update_single(name, &gradient, weight)?;
            let (mean, square) = &adam.state[name];
            eval([&*weight, mean, square])?;
        }
        Ok(())
    }
}

impl Fittable for Trainer<'_> {
    type Error = Failure;

    fn pass(&mut self, plan: Plan, begins: bool) -> Result<(), Failure> {
        Trainer::pass(self, plan, begins)
    }

    fn update(&mut self) -> Result<(), Failure> {
        Ok(Trainer::update(self)?)
    }

    /// It is fitted before it has trained. If new weights cannot be made, the next pass fails for want of them.
    fn restore(&mut self) {
        drop(self.start_again());
    }
}

/// Blocks that are computed again as `checkpointing` says.
pub(crate) fn recomputed(
    checkpointing: &Checkpointing,
    size: Size,
) -> impl Fn(usize, &[Array], &[Array]) -> Result<Vec<Array>, Exception> {
    move |number, primals, constants| {
        let block = move |primals: &[Array], constants: &[Array]| block(size, primals, constants);
        checkpointing.block(number, block, primals, constants)
    }
}

/// A key for each block's dropout.
pub(crate) fn keys(seed: u64, blocks: usize) -> Result<Vec<Array>, Exception> {
    let mut keys = Vec::new();
    let mut rest = key(seed)?;
    for _ in 0..blocks {
        let (one, next) = split(&rest, 2)?;
        keys.push(one);
        rest = next;
    }
    eval(&keys)?;
    Ok(keys)
}
