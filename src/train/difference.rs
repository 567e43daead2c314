//! Comparing two gradients.

use crate::print::Name;
use mlx_rs::error::{Exception, Result};
use mlx_rs::{Array, Dtype};
use std::fmt;

/// Where two gradients of a parameter differ most.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Difference {
    /// The parameter's name, or the index of its gradient among those that `value_and_grad` returned.
    pub parameter: String,
    /// Which element of it, as in a flat list.
    pub element: usize,
    /// That element of the gradient without checkpoints.
    pub plain: f32,
    /// And of the other one.
    pub other: f32,
    /// The largest element of the gradient without checkpoints, by its absolute value.
    pub largest: f64,
    /// Whether all of the other one is zero, and not all of the first.
    pub other_is_zero: bool,
}

impl Difference {
    /// By how much they differ there. Infinite where one of them is no number.
    #[must_use]
    pub fn difference(&self) -> f64 {
        distance(self.plain, self.other)
    }

    /// The same, as a part of the largest element.
    #[must_use]
    pub fn relative(&self) -> f64 {
        let difference = self.difference();
        if difference == 0.0 {
            0.0
        } else {
            difference / self.largest
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "gradient {} is {:?}, not {:?}",
            Name::cut(&self.parameter, 24),
            self.other,
            self.plain
        )?;
        if f.alternate() {
            write!(
                f,
                " at element {} (off by {:?}, the largest element is {:?})",
                self.element,
                self.difference() as f32,
                self.largest as f32
            )?;
        }
        Ok(())
    }
}

fn distance(a: f32, b: f32) -> f64 {
    if a == b || (a.is_nan() && b.is_nan()) {
        return 0.0;
    }
    let distance = (f64::from(a) - f64::from(b)).abs();
    if distance.is_nan() {
        f64::INFINITY
    } else {
        distance
    }
}

/// Compares two evaluated arrays of one shape.
pub(super) fn compare(name: &str, plain: &Array, other: &Array) -> Result<Difference> {
    let mut found = Difference {
        parameter: name.to_owned(),
        element: 0,
        plain: 0.0,
        other: 0.0,
        largest: 0.0,
        other_is_zero: false,
    };
    if plain.eq_values(other)? {
        return Ok(found);
    }
    let (plain, other) = (numbers(plain)?, numbers(other)?);
    let mut worst = 0.0;
    for (element, (&plain, &other)) in plain.iter().zip(&other).enumerate() {
        if plain.is_finite() {
            found.largest = found.largest.max(f64::from(plain.abs()));
        }
        let distance = distance(plain, other);
        if distance > worst {
            worst = distance;
            (found.element, found.plain, found.other) = (element, plain, other);
        }
    }
    found.other_is_zero = found.largest > 0.0 && other.iter().all(|&number| number == 0.0);
    Ok(found)
}

/// As a flat list on the host; complex numbers as two each.
fn numbers(array: &Array) -> Result<Vec<f32>> {
    let array = match array.dtype() {
        Dtype::Complex64 => array.view::<f32>()?,
        _ => array.as_type::<f32>()?,
    };
    let array = array.flatten(None, None)?.contiguous()?;
    array.eval()?;
    Ok(array
        .try_as_slice::<f32>()
        .map_err(|_| unreadable())?
        .to_vec())
}

fn unreadable() -> Exception {
    Exception::custom("checkpointing: a gradient cannot be read")
}
