//! Whether gradients with recomputed blocks are those without.

use super::Unverified;
use super::difference::{Difference, compare};
use super::ordered::{Off, recomputed};
use crate::train::{Error, sealed};
use mlx_rs::Array;
use mlx_rs::error::{Exception, Result as MlxResult};
use mlx_rs::random::{RandomState, with_random_state};
use mlx_rs::transforms::eval;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

/// What gradients and values may be: those of the kit's `value_and_grad`s.
pub trait Arrays: sealed::Sealed {
    /// Each with its name.
    #[doc(hidden)]
    fn named(self) -> BTreeMap<String, Array>;
}

impl sealed::Sealed for Array {}
impl Arrays for Array {
    fn named(self) -> BTreeMap<String, Array> {
        vec![self].named()
    }
}

impl sealed::Sealed for Vec<Array> {}
impl Arrays for Vec<Array> {
    fn named(self) -> BTreeMap<String, Array> {
        // Wide enough that their order is that of the numbers.
        let name = |(place, array)| (format!("{place:4}"), array);
        self.into_iter().enumerate().map(name).collect()
    }
}

impl sealed::Sealed for HashMap<Rc<str>, Array> {}
impl Arrays for HashMap<Rc<str>, Array> {
    fn named(self) -> BTreeMap<String, Array> {
        let name = |(name, array): (Rc<str>, _)| (name.to_string(), array);
        self.into_iter().map(name).collect()
    }
}

/// What [`verify`] found: gradients that are right.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Verified {
    /// How many blocks were recomputed.
    pub blocks: usize,
    /// How many gradients were compared.
    pub gradients: usize,
    /// How many of those are equal in every element.
    pub equal: usize,
    /// The largest difference of the others, as a part of the largest element of its gradient.
    pub largest: f64,
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            blocks,
            gradients,
            equal,
            largest,
        } = self;
        write!(
            f,
            "{blocks} blocks recomputed: {equal} of {gradients} gradients are equal to those without, the others within \
             {largest:.1e}"
        )
    }
}

/// Compares gradients with recomputed blocks to those without, for a first run.
///
/// `run` computes values and gradients, as it does in a step, and must not update anything. It runs three times: twice with
/// the checkpoints of this thread off, then with them as they are set. Each begins with the same state of mlx-rs's random
/// numbers; the program's own state of them is not touched. A gradient may differ by a hundred thousandth of its largest
/// element, and by twice what the two runs without checkpoints differ by. Where kernels add in any order (scattered adds
/// on a GPU) those differ too.
///
/// It finds random numbers that are drawn without a key, state that a block changes, and arrays that reach a block beside
/// its primals. It does not find a weight in a `static`, which has no gradient in any of the runs.
///
/// The runs without checkpoints take the memory of such a step: use a small batch. Verify a function before it is compiled:
/// one that was traced does what it was traced for.
///
/// ```
/// # use mlx_rs::{Array, array, error::Exception};
/// # use mlx_wired::train::Error;
/// use mlx_wired::train::checkpoint::{Checkpointing, Recompute, value_and_grad, verify};
///
/// let blocks = Checkpointing::new(Recompute::All);
/// let block = |primals: &[Array], _: &[Array]| Ok(vec![primals[0].square()?]);
/// let loss = |x: &[Array]| blocks.block(0, block, x, &[]);
/// let mut step = value_and_grad(loss, None);
/// let verified = verify(|| step(&[array!(3.0_f32)]))?;
/// assert_eq!((verified.blocks, verified.equal), (1, 1));
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Unverified`](crate::train::Error::Unverified) with what differs, where, by how much, and the likely cause.
///
/// # Panics
///
/// If `run` does.
///
/// # Blocking
///
/// For as long as three runs take.
pub fn verify<V: Arrays, G: Arrays>(
    mut run: impl FnMut() -> MlxResult<(V, G)>,
) -> Result<Verified, Error> {
    let mut once = |recomputing| {
        Outcome::of(&mut run).map_err(|error| Unverified::Failed { recomputing, error })
    };
    let off = Off::new();
    let plain = once(false)?;
    let again = once(false)?;
    let noise = |name: &str| compare(name, &plain.gradients[name], &again.gradients[name]);
    let mut may_differ = HashMap::new();
    plain.same_names(&again)?;
    for name in plain.gradients.keys() {
        let difference = noise(name).map_err(failed(false))?;
        if difference.relative() > NOISE {
            return Err(Unverified::NotRepeatable(difference).into());
        }
        may_differ.insert(name, difference.difference());
    }
    drop((off, again));

    let before = recomputed();
    let with = once(true)?;
    let blocks = recomputed() - before;
    if blocks == 0 {
        return Err(Unverified::NothingRecomputed.into());
    }
    plain.same_names(&with)?;
    let mut verified = Verified {
        blocks,
        gradients: plain.gradients.len(),
        equal: 0,
        largest: 0.0,
    };
    let mut wrong: Option<Difference> = None;
    let mut count = 0;
    for (name, gradient) in &plain.gradients {
        let found = compare(name, gradient, &with.gradients[name]).map_err(failed(true))?;
        let allowed = 2.0 * may_differ[name] + ROUNDING * found.largest;
        if found.difference() > allowed {
            count += 1;
            if wrong
                .as_ref()
                .is_none_or(|worst| found.relative() > worst.relative())
            {
                wrong = Some(found);
            }
        } else if found.difference() > 0.0 {
            verified.largest = verified.largest.max(found.relative());
        } else {
            verified.equal += 1;
        }
    }
    let Some(difference) = wrong else {
        return Ok(verified);
    };
    let values_differ = plain.values_differ(&with).map_err(failed(true))?;
    Err(Unverified::Differs {
        difference,
        count,
        of: verified.gradients,
        values_differ,
    }
    .into())
}

/// Two runs without checkpoints may differ by this part of a gradient's largest element.
const NOISE: f64 = 0.01;

/// So may a run with them, where those two do not.
const ROUNDING: f64 = 1e-5;

fn failed(recomputing: bool) -> impl Fn(Exception) -> Unverified {
    move |error| Unverified::Failed { recomputing, error }
}

/// What a run computed, evaluated.
struct Outcome {
    values: BTreeMap<String, Array>,
    gradients: BTreeMap<String, Array>,
}

impl Outcome {
    fn of<V: Arrays, G: Arrays>(run: &mut impl FnMut() -> MlxResult<(V, G)>) -> MlxResult<Self> {
        let state = RandomState::with_seed(0)?;
        // The state would stay in place after a panic.
        let outcome = with_random_state(state, || catch_unwind(AssertUnwindSafe(run)));
        let (values, gradients) = outcome.unwrap_or_else(|panic| resume_unwind(panic))?;
        let (values, gradients) = (values.named(), gradients.named());
        eval(values.values().chain(gradients.values()))?;
        Ok(Self { values, gradients })
    }

    fn same_names(&self, other: &Self) -> Result<(), Unverified> {
        let shapes = |of: &Self| -> Vec<_> {
            let shape = |(name, array): (&String, &Array)| (name.clone(), array.shape().to_vec());
            of.gradients.iter().map(shape).collect()
        };
        if shapes(self) == shapes(other) {
            Ok(())
        } else {
            Err(Unverified::OtherGradients)
        }
    }

    fn values_differ(&self, other: &Self) -> MlxResult<bool> {
        for (name, value) in &self.values {
            let Some(other) = other.values.get(name) else {
                return Ok(true);
            };
            if compare(name, value, other)?.relative() > ROUNDING {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
