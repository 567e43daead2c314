//! Whether gradients with recomputed blocks are those without.

use super::Unverified;
use super::ordered::{Off, recomputed};
use crate::train::difference::{Difference, compare};
use crate::train::{Error, sealed};
use mlx_rs::Array;
use mlx_rs::error::{Exception, Result as MlxResult};
use mlx_rs::random::{RandomState, with_random_state};
use mlx_rs::transforms::eval;
use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

/// What gradients and values may be: those of the kit's `value_and_grad`s.
pub trait Arrays: sealed::Sealed {
    /// Each with its name or place, in an order that is the same for each run.
    #[doc(hidden)]
    fn named(self) -> Vec<(String, Array)>;
}

impl sealed::Sealed for Array {}
impl Arrays for Array {
    fn named(self) -> Vec<(String, Array)> {
        vec![self].named()
    }
}

impl sealed::Sealed for Vec<Array> {}
impl Arrays for Vec<Array> {
    fn named(self) -> Vec<(String, Array)> {
        let name = |(place, array): (usize, _)| (place.to_string(), array);
        self.into_iter().enumerate().map(name).collect()
    }
}

impl sealed::Sealed for HashMap<Rc<str>, Array> {}
impl Arrays for HashMap<Rc<str>, Array> {
    fn named(self) -> Vec<(String, Array)> {
        let name = |(name, array): (Rc<str>, _)| (name.to_string(), array);
        let mut named: Vec<_> = self.into_iter().map(name).collect();
        named.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        named
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
        let plural = if *blocks == 1 { "" } else { "s" };
        write!(
            f,
            "{blocks} block{plural} recomputed: {equal} of {gradients} gradients are equal to those without checkpoints"
        )?;
        if equal < gradients {
            write!(
                f,
                ", the others within {largest:.0e} of their largest element"
            )?;
        }
        Ok(())
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
/// its primals. It does not find a weight in a `static`, which has no gradient in any of the runs. Nor does it find a gradient
/// that is lost where it happens to be zero, as of an adapter whose other half is still zero: verify after some steps then.
///
/// The runs without checkpoints take the memory of such a step: use a small batch. Verify a function before it is compiled:
/// one that was traced does what it was traced for, and one that is traced here keeps all activations from then on.
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
    plain.check_same_gradients(&again)?;
    let mut noise = Vec::new();
    for difference in plain.differences(&again) {
        let difference = difference.map_err(failed(false))?;
        if difference.relative() > NOISE {
            return Err(Unverified::NotRepeatable(difference).into());
        }
        noise.push(difference.difference());
    }
    drop((off, again));

    let before = recomputed();
    let with = once(true)?;
    let blocks = recomputed() - before;
    if blocks == 0 || plain.gradients.is_empty() {
        return Err(Unverified::NothingRecomputed.into());
    }
    plain.check_same_gradients(&with)?;
    let mut verified = Verified {
        blocks,
        gradients: plain.gradients.len(),
        equal: 0,
        largest: 0.0,
    };
    let mut wrong: Option<Difference> = None;
    let mut count = 0;
    for (found, noise) in plain.differences(&with).zip(noise) {
        let found = found.map_err(failed(true))?;
        let allowed = 2.0 * noise + ROUNDING * found.largest;
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
    values: Vec<(String, Array)>,
    gradients: Vec<(String, Array)>,
}

impl Outcome {
    fn of<V: Arrays, G: Arrays>(run: &mut impl FnMut() -> MlxResult<(V, G)>) -> MlxResult<Self> {
        let state = RandomState::with_seed(0)?;
        // The state would stay in place after a panic.
        let outcome = with_random_state(state, || catch_unwind(AssertUnwindSafe(run)));
        let (values, gradients) = outcome.unwrap_or_else(|panic| resume_unwind(panic))?;
        let (values, gradients) = (values.named(), gradients.named());
        eval(values.iter().chain(&gradients).map(|(_, array)| array))?;
        Ok(Self { values, gradients })
    }

    fn check_same_gradients(&self, other: &Self) -> Result<(), Unverified> {
        if shapes(&self.gradients) == shapes(&other.gradients) {
            Ok(())
        } else {
            Err(Unverified::OtherGradients)
        }
    }

    /// Of each gradient, where there are the same ones.
    fn differences(&self, other: &Self) -> impl Iterator<Item = MlxResult<Difference>> {
        let pairs = self.gradients.iter().zip(&other.gradients);
        pairs.map(|((name, gradient), (_, other))| compare(name, gradient, other))
    }

    fn values_differ(&self, other: &Self) -> MlxResult<bool> {
        if shapes(&self.values) != shapes(&other.values) {
            return Ok(true);
        }
        for ((name, value), (_, other)) in self.values.iter().zip(&other.values) {
            if compare(name, value, other)?.relative() > ROUNDING {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn shapes(arrays: &[(String, Array)]) -> Vec<(&str, &[i32])> {
    let arrays = arrays.iter();
    arrays
        .map(|(name, array)| (name.as_str(), array.shape()))
        .collect()
}
