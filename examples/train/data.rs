//! The wines, the folds, and the random numbers: plain data, the same in every run.

/// The classes: qualities 3 to 8.
pub(crate) const CLASSES: usize = 6;
pub(crate) const PROPERTIES: usize = 11;

const LOWEST_QUALITY: usize = 3;
const SHUFFLE_SEED: u64 = 1599;

/// The data set, row by row.
pub(crate) struct Wines {
    pub(crate) properties: Vec<f32>,
    pub(crate) classes: Vec<i32>,
}

impl Wines {
    pub(crate) fn load() -> Self {
        let wines = linfa_datasets::winequality();
        Self {
            properties: wines.records.iter().map(|value| *value as f32).collect(),
            classes: wines
                .targets
                .iter()
                .map(|quality| (quality - LOWEST_QUALITY) as i32)
                .collect(),
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.classes.len()
    }

    /// The accuracy of naming the commonest class every time: what a network has to beat.
    pub(crate) fn commonest(&self) -> f64 {
        let mut counts = [0_usize; CLASSES];
        for class in &self.classes {
            counts[*class as usize] += 1;
        }
        let most = counts.iter().max().copied().unwrap_or(0);
        most as f64 / self.count() as f64
    }
}

/// Row numbers to train with and to test on.
pub(crate) struct Fold {
    pub(crate) train: Vec<i32>,
    pub(crate) test: Vec<i32>,
}

/// Deals the shuffled rows out to `count` tests; every row is tested once. The last fold trains with
/// the most rows.
pub(crate) fn folds(rows: usize, count: usize) -> Vec<Fold> {
    let mut order: Vec<i32> = (0..rows as i32).collect();
    let mut random = SplitMix64(SHUFFLE_SEED);
    for last in (1..rows).rev() {
        let other = (random.unit() * (last + 1) as f64) as usize;
        order.swap(last, other);
    }
    (0..count)
        .map(|fold| {
            let rows = |tested: bool| {
                let dealt = order.iter().enumerate();
                dealt
                    .filter(|(place, _)| (place % count == fold) == tested)
                    .map(|(_, row)| *row)
                    .collect()
            };
            Fold {
                train: rows(false),
                test: rows(true),
            }
        })
        .collect()
}

/// A generator of its own for each use, so that no result depends on which thread came first.
pub(crate) struct SplitMix64(pub(crate) u64);

impl SplitMix64 {
    /// From 0 up to 1.
    pub(crate) fn unit(&mut self) -> f64 {
        // Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }
}
