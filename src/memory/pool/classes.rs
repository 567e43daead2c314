//! Which sizes blocks have.
//!
//! Four classes a doubling: with powers of two a third of the memory is waste when sizes are mixed, with four steps between
//! them a twelfth. Each is a whole number of granules, so that each block starts on a page and covers whole pages, of
//! Apple silicon too.

/// What sizes are multiples of, in bytes: a page of Apple silicon. Pages of x86-64 are a fourth of it.
pub(super) const GRANULE: u64 = 16 << 10;
/// The lowest bits of a number of granules that count: 2 bits behind the first are four steps.
const STEP_BITS: u32 = 2;
/// Of `2^45` bytes and more there are no classes.
const MOST_GRANULES: u64 = 1 << 31;

/// How many classes there are.
pub(super) const COUNT: usize = (31 - STEP_BITS as usize) * 4 + 4;

/// A number of bytes, rounded up to whole granules.
pub(super) fn exact(len: u64) -> u64 {
    let granules = len.max(1).div_ceil(GRANULE);
    granules.saturating_mul(GRANULE)
}

/// The capacity of the class for `len` bytes; none for what is larger than every class.
pub(super) fn capacity(len: u64) -> Option<u64> {
    let granules = len.max(1).div_ceil(GRANULE);
    if granules > MOST_GRANULES {
        return None;
    }
    Some(granules.next_multiple_of(step(granules)) * GRANULE)
}

/// The number of the class that has this capacity, if one has.
pub(super) fn index(capacity: u64) -> Option<usize> {
    let granules = capacity / GRANULE;
    let fits = capacity.is_multiple_of(GRANULE) && (1..=MOST_GRANULES).contains(&granules);
    if !fits || !granules.is_multiple_of(step(granules)) {
        return None;
    }
    let top = granules.ilog2();
    if top < STEP_BITS {
        return Some(granules as usize - 1);
    }
    let behind = (granules >> (top - STEP_BITS)) & 3;
    Some((top - STEP_BITS) as usize * 4 + 3 + behind as usize)
}

/// How far apart, in granules, the classes are where `granules` is.
fn step(granules: u64) -> u64 {
    let top = granules.ilog2();
    1 << top.saturating_sub(STEP_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_numbered_in_order_and_without_gaps() {
        let (mut next, mut capacity_before) = (0, 0);
        let mut granules = 1;
        while granules <= MOST_GRANULES {
            let size = capacity(granules * GRANULE).unwrap();
            assert_eq!(size, granules * GRANULE, "a class is its own capacity");
            assert_eq!(index(size), Some(next), "{granules} granules");
            assert!(size > capacity_before);
            (next, capacity_before) = (next + 1, size);
            granules = capacity(size + 1).map_or(u64::MAX, |size| size / GRANULE);
        }
        assert_eq!(next, COUNT);
    }

    #[test]
    fn there_are_four_classes_a_doubling() {
        let sizes = [9, 10, 11, 12, 13, 14, 15, 16, 17].map(|granules| {
            let size = capacity(granules * GRANULE).unwrap();
            size / GRANULE
        });
        assert_eq!(sizes, [10, 10, 12, 12, 14, 14, 16, 16, 20]);
        assert_eq!(capacity(0), Some(GRANULE));
        assert_eq!(capacity(1 << 50), None);
        assert_eq!(index(9 * GRANULE), None);
        assert_eq!(index(GRANULE + 1), None);
    }

    #[test]
    fn no_class_wastes_more_than_a_fifth() {
        for granules in 4_u64..5000 {
            let size = capacity(granules * GRANULE).unwrap() / GRANULE;
            let waste = (size - granules) as f64 / size as f64;
            assert!(waste <= 0.2, "{granules} granules in {size}");
        }
    }
}
