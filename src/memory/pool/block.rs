//! A block: a map, and what it is counted by.

use super::map::Map;
use crate::OwnedGuard;

/// Memory that a buffer is made of. It lives as a buffer in use and as an idle block, until it is unmapped.
pub(super) struct Block {
    /// Always there, but while it is dropped.
    map: Option<Map>,
    guard: Option<OwnedGuard>,
}

impl Block {
    pub(super) fn new(map: Map, guard: Option<OwnedGuard>) -> Self {
        let map = Some(map);
        Self { map, guard }
    }

    fn map(&self) -> &Map {
        self.map.as_ref().expect("only its end takes the map")
    }

    pub(super) fn map_mut(&mut self) -> &mut Map {
        self.map.as_mut().expect("only its end takes the map")
    }

    pub(super) fn capacity(&self) -> u64 {
        self.map().len()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.map().bytes()
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        self.map_mut().bytes_mut()
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // First the memory, then the claim to it.
        self.map = None;
        if let Some(guard) = self.guard.take() {
            // Nothing that a stream does reads a host buffer any more.
            guard.release_evaluated();
        }
    }
}
