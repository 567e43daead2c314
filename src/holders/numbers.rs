//! Maps by numbers that are handed out one after another.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map by numbers of our own making: no program can choose them to collide.
pub(crate) type ByNumber<V> = HashMap<u64, V, BuildHasherDefault<Numbers>>;

/// Multiplies: successive numbers go to different places, with different marks.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Numbers(u64);

impl Hasher for Numbers {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(self.0.rotate_left(8) ^ u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        // 2^64 over the golden ratio.
        self.0 = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Gives memory back that a map has no more use for. Each call that does has been paid for by the removals since the last.
pub(crate) fn shrink<V>(map: &mut ByNumber<V>) {
    const SMALL: usize = 64;
    if map.capacity() > SMALL && map.len() < map.capacity() / 8 {
        map.shrink_to(map.len() * 2);
    }
}
