//! What training takes: weights, gradients, the optimizer's state, and what a step needs beside them.
//!
//! In mlx-rs (0.33) every optimizer makes its state from scalars of 32 bits, `array!(0.0)`, and multiplies with a
//! learning rate of 32 bits. So its state is 32 bits wide whatever the parameter is, and a parameter of 16 bits is one
//! of 32 after its first update, and so are its gradients from then on: the model doubles. [`Precision`] says what a
//! program does about it.

use super::item::{Certainty, Item};
use super::lora::{self, Lora};
use super::model::Model;
use super::problem::Problem;
use super::read::Tensor;
use super::thousands::thousands;
use serde::Serialize;
use std::fmt;

const SOURCE: &str = "mlx-rs 0.33, optimizers/{sgd,adam,adamw}.rs";

/// How parameters are updated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Optimizer {
    /// Gradient descent without momentum: no state but a number for each parameter array.
    Sgd,
    /// Gradient descent with momentum, Nesterov's too: as many numbers as parameters.
    Momentum,
    /// Two moments: twice as many.
    Adam,
    /// The same with decay of weights: the same state.
    AdamW,
}

impl Optimizer {
    /// How many copies of the parameters its state has.
    fn copies(self) -> u64 {
        match self {
            Self::Sgd => 0,
            Self::Momentum => 1,
            Self::Adam | Self::AdamW => 2,
        }
    }
}

impl fmt::Display for Optimizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sgd => "SGD",
            Self::Momentum => "SGD with momentum",
            Self::Adam => "Adam",
            Self::AdamW => "AdamW",
        })
    }
}

/// What becomes of parameters that have 16 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Precision {
    /// Nothing is done: they have 32 after the first update, as have their gradients.
    #[default]
    Promoted,
    /// The program casts them back after each update.
    Kept,
    /// The program updates a copy of 32 bits, and casts that to the parameters.
    Master,
}

/// What a step takes beyond weights and state, as measured: gradients, activations, and what its update needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct StepCost {
    fixed: u64,
    row: u64,
    /// Measured at this batch alone, so that nothing is known of others.
    only: Option<u64>,
}

impl StepCost {
    /// What a step with so many rows took; of other batches nothing is known then.
    pub fn at(batch: u64, bytes: u64) -> Self {
        Self {
            fixed: bytes,
            row: 0,
            only: Some(batch.max(1)),
        }
    }

    /// The straight line through two measurements `(rows, bytes)`. `None` if both have the
    /// same rows, or the larger batch took less.
    pub fn line(one: (u64, u64), other: (u64, u64)) -> Option<Self> {
        let (small, large) = if one.0 < other.0 {
            (one, other)
        } else {
            (other, one)
        };
        let rows = large.0.checked_sub(small.0).filter(|rows| *rows > 0)?;
        let row = large.1.checked_sub(small.1)?.div_ceil(rows);
        Some(Self {
            fixed: small.1.saturating_sub(row.saturating_mul(small.0)),
            row,
            only: None,
        })
    }

    /// The bytes for a batch, if they are known.
    pub(super) fn bytes(&self, batch: u64) -> Option<u64> {
        let is_known = self.only.is_none_or(|only| only == batch);
        is_known.then(|| self.fixed.saturating_add(self.row.saturating_mul(batch)))
    }
}

/// How a model is trained.
#[derive(Debug, Clone, Serialize)]
pub struct Training {
    pub(super) optimizer: Optimizer,
    pub(super) precision: Precision,
    pub(super) lora: Option<Lora>,
    pub(super) rows: Option<u64>,
    pub(super) measured: Option<StepCost>,
}

impl Training {
    /// Training of all parameters, which are [promoted](Precision::Promoted).
    pub fn new(optimizer: Optimizer) -> Self {
        Self {
            optimizer,
            precision: Precision::default(),
            lora: None,
            rows: None,
            measured: None,
        }
    }

    /// What becomes of parameters of 16 bits.
    #[must_use]
    pub fn precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// Low-rank adapters are trained, and the model is not.
    #[must_use]
    pub fn lora(mut self, lora: Lora) -> Self {
        self.lora = Some(lora);
        self
    }

    /// How many rows an update is made of. If fewer fit at once, the gradients of several passes are added up, which
    /// takes a further copy of them; the effective batch stays.
    #[must_use]
    pub fn rows(mut self, rows: u64) -> Self {
        self.rows = Some(rows.max(1));
        self
    }

    /// What a step takes, as measured. Without it activations are unknown, and so is the verdict of a
    /// [`plan`](super::plan()): there is no formula for them that could be trusted.
    #[must_use]
    pub fn measured(mut self, cost: StepCost) -> Self {
        self.measured = Some(cost);
        self
    }

    /// How many passes an update is made of.
    pub(super) fn passes(&self, batch: u64) -> u64 {
        self.rows.unwrap_or(batch).div_ceil(batch.max(1)).max(1)
    }
}

/// The parameters that are trained, and those that are not.
pub(super) struct Parameters {
    /// Arrays that are trained.
    arrays: u64,
    /// Their numbers.
    numbers: u64,
    /// Bytes of them as they are in the files.
    stored: u64,
    /// Bytes of what is not trained.
    frozen: u64,
    pub(super) problems: Vec<Problem>,
}

impl Parameters {
    pub(super) fn of(model: &Model, training: &Training) -> Self {
        match &training.lora {
            Some(lora) => {
                let (added, problems) = lora::count(model, lora);
                Self {
                    arrays: added.arrays,
                    numbers: added.numbers,
                    stored: added.numbers.saturating_mul(4),
                    frozen: model.bytes(),
                    problems,
                }
            }
            None => Self::all(model),
        }
    }

    fn all(model: &Model) -> Self {
        let mut all = Self {
            arrays: 0,
            numbers: 0,
            stored: 0,
            frozen: 0,
            problems: Vec::new(),
        };
        let mut packed = 0_u64;
        for tensor in &model.inner.tensors {
            if is_float(tensor) {
                all.arrays += 1;
                all.numbers = all.numbers.saturating_add(tensor.numbers());
                all.stored = all.stored.saturating_add(tensor.bytes);
            } else {
                all.frozen = all.frozen.saturating_add(tensor.bytes);
                if !matches!(tensor.dtype.as_str(), "I64" | "I32" | "BOOL") {
                    packed = packed.saturating_add(tensor.bytes);
                }
            }
        }
        if packed > 0 {
            let bytes = crate::print::Bytes(packed);
            all.problems.push(Problem::error(
                "packed-weights",
                format!("{bytes} of the weights are quantised or of types that have no gradients"),
                "train low-rank adapters beside them, or begin with weights of 16 or 32 bits",
            ));
        }
        all
    }

    /// Weights, gradients, state and the rest for a batch.
    pub(super) fn items(&self, training: &Training, batch: u64) -> Vec<Item> {
        let passes = training.passes(batch);
        let numbers = self.numbers;
        let wide = numbers.saturating_mul(4);
        let copies = training.optimizer.copies();
        let weights = match training.precision {
            Precision::Promoted => wide,
            Precision::Kept | Precision::Master => self.stored,
        };
        let count = thousands(numbers);
        let of_lora = training.lora.is_some();
        let mut items = Vec::new();
        let mut add = |id, what: &str, bytes, formula: String, certainty, is_held| {
            items.push(Item {
                id,
                what: what.to_owned(),
                bytes,
                formula,
                source: SOURCE,
                certainty,
                is_held,
            });
        };
        if self.frozen > 0 {
            let what = if of_lora {
                "weights"
            } else {
                "weights that are not trained"
            };
            add(
                "weights",
                what,
                self.frozen,
                "as in the files".to_owned(),
                Certainty::Exact,
                true,
            );
        }
        let trained = if of_lora {
            "adapters"
        } else {
            "weights that are trained"
        };
        let formula = match (training.precision, of_lora) {
            (_, true) => format!("{count} numbers of 32 bits"),
            (Precision::Promoted, _) => {
                format!("{count} numbers, 32 bits each after the first update")
            }
            _ => format!("{count} numbers, as in the files"),
        };
        add(
            "trained-weights",
            trained,
            weights,
            formula,
            Certainty::Exact,
            true,
        );
        // A scalar for each array where nothing else is kept.
        let state = if copies == 0 {
            self.arrays.saturating_mul(4)
        } else {
            wide.saturating_mul(copies)
        };
        let formula = match copies {
            0 => format!(
                "{}: a number for each of {} arrays",
                training.optimizer,
                thousands(self.arrays)
            ),
            _ => format!(
                "{}: {copies} x {count} numbers of 32 bits",
                training.optimizer
            ),
        };
        add(
            "optimizer-state",
            "optimizer's state",
            state,
            formula,
            Certainty::Exact,
            true,
        );
        if training.precision == Precision::Master && !of_lora {
            let formula = format!("{count} numbers of 32 bits");
            add(
                "master-weights",
                "copy that is updated",
                wide,
                formula,
                Certainty::Exact,
                true,
            );
        }
        if passes > 1 {
            let formula = format!("a further copy of the gradients: {passes} passes an update");
            add(
                "accumulation",
                "sum of gradients",
                weights,
                formula,
                Certainty::Exact,
                false,
            );
        }
        match training.measured.map(|cost| cost.bytes(batch)) {
            Some(Some(bytes)) => add(
                "step",
                "a step",
                bytes,
                format!(
                    "gradients, activations and update of {} rows, as measured",
                    thousands(batch)
                ),
                Certainty::Estimated,
                false,
            ),
            measured => {
                let formula = format!("{count} numbers, as wide as what is trained");
                add(
                    "gradients",
                    "gradients",
                    weights,
                    formula,
                    Certainty::Exact,
                    false,
                );
                // What is cast to the parameters' own width stands beside that, too.
                let cast = match training.precision {
                    Precision::Kept | Precision::Master if !of_lora => self.stored,
                    _ => 0,
                };
                let update = wide.saturating_mul(1 + copies).saturating_add(cast);
                let formula = format!(
                    "new weights and state beside the old, {} x {count} numbers{}",
                    1 + copies,
                    if cast > 0 { ", and the cast ones" } else { "" }
                );
                add(
                    "update",
                    "update, evaluated in one go",
                    update,
                    formula,
                    Certainty::Bound,
                    false,
                );
                let formula = match measured {
                    Some(_) => format!(
                        "measured with another batch than {} alone",
                        thousands(batch)
                    ),
                    None => "no formula is to be trusted: measure a step".to_owned(),
                };
                add(
                    "activations",
                    "activations",
                    0,
                    formula,
                    Certainty::Unknown,
                    false,
                );
            }
        }
        items
    }
}

fn is_float(tensor: &Tensor) -> bool {
    matches!(tensor.dtype.as_str(), "F16" | "BF16" | "F32")
}
