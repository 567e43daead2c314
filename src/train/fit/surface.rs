//! Costs that grow evenly: with the rows of a pass, and for each row with the blocks.

/// `fixed + rows * (base + blocks * each)`: for each number of blocks a straight line in the rows. All three parts are at
/// least 0.
#[derive(Debug, Clone, Copy)]
pub(super) struct Surface([f64; 3]);

/// What was measured where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point {
    pub(super) rows: f64,
    pub(super) blocks: f64,
    pub(super) cost: f64,
}

impl Point {
    fn terms(self) -> [f64; 3] {
        [1.0, self.rows, self.rows * self.blocks]
    }
}

/// How much what is expected before anything is known weighs against a measurement.
const PRIOR: f64 = 0.02;

impl Surface {
    /// The surface through measurements, nearest by relative error. What they leave open is as in `expected`.
    pub(super) fn through(points: &[Point], expected: [f64; 3]) -> Self {
        let mut free = [true; 3];
        loop {
            let parts = solve(points, expected, free);
            // What comes out below zero is zero, and the others are found without it.
            let least = (0..3).filter(|&at| free[at]);
            match least.min_by(|&a, &b| parts[a].total_cmp(&parts[b])) {
                Some(at) if parts[at] < 0.0 => free[at] = false,
                _ => return Self(parts),
            }
        }
    }

    pub(super) fn at(&self, rows: f64, blocks: f64) -> f64 {
        let [fixed, base, each] = self.0;
        fixed + rows * (base + blocks * each)
    }
}

/// Least squares of relative errors, with `expected` as one weak measurement of each part.
fn solve(points: &[Point], expected: [f64; 3], free: [bool; 3]) -> [f64; 3] {
    let mut system = [[0.0; 4]; 3];
    for point in points {
        let weight = 1.0 / (point.cost * point.cost).max(f64::MIN_POSITIVE);
        let terms = point.terms();
        for row in 0..3 {
            for column in 0..3 {
                system[row][column] += weight * terms[row] * terms[column];
            }
            system[row][3] += weight * terms[row] * point.cost;
        }
    }
    for at in 0..3 {
        let scale = expected[at].abs().max(f64::MIN_POSITIVE.sqrt());
        system[at][at] += PRIOR / (scale * scale);
        system[at][3] += PRIOR * expected[at] / (scale * scale);
        if !free[at] {
            system[at] = [0.0; 4];
            system[at][at] = 1.0;
        }
    }
    eliminate(system)
}

/// Gauss with a pivot. The prior makes the system regular.
fn eliminate(mut system: [[f64; 4]; 3]) -> [f64; 3] {
    for at in 0..3 {
        let largest = (at..3).max_by(|&a, &b| system[a][at].abs().total_cmp(&system[b][at].abs()));
        system.swap(at, largest.unwrap_or(at));
        let pivot = system[at];
        for (row, line) in system.iter_mut().enumerate() {
            if row != at {
                let share = line[at] / pivot[at];
                for (value, subtracted) in line.iter_mut().zip(pivot) {
                    *value -= share * subtracted;
                }
            }
        }
    }
    [0, 1, 2].map(|at| system[at][3] / system[at][at])
}
