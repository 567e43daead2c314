//! The idle blocks: which there are, and which of them was returned the longest ago.

use super::block::Block;
use super::classes;
use std::collections::VecDeque;
use std::time::Instant;

/// An idle block.
struct Idle {
    block: Block,
    /// In the order of returning, over all classes.
    stamp: u64,
    since: Instant,
}

/// The idle blocks of each class, those that were returned last at the back.
pub(super) struct Shelves {
    classes: Vec<VecDeque<Idle>>,
    bytes: u64,
    blocks: u64,
    next_stamp: u64,
}

impl Shelves {
    pub(super) fn new() -> Self {
        Self {
            classes: (0..classes::COUNT).map(|_| VecDeque::new()).collect(),
            bytes: 0,
            blocks: 0,
            next_stamp: 0,
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Takes the block of this capacity that was returned last: its memory is likeliest to be in the caches.
    pub(super) fn remove_newest(&mut self, capacity: u64) -> Option<Block> {
        let class = classes::index(capacity)?;
        let idle = self.classes[class].pop_back()?;
        Some(self.uncount(idle))
    }

    /// Puts a block back. One that is of no class is returned instead.
    pub(super) fn insert(&mut self, block: Block, now: Instant) -> Option<Block> {
        let Some(class) = classes::index(block.capacity()) else {
            return Some(block);
        };
        self.bytes += block.capacity();
        self.blocks += 1;
        self.classes[class].push_back(Idle {
            block,
            stamp: self.next_stamp,
            since: now,
        });
        self.next_stamp += 1;
        None
    }

    /// Since when the oldest block has been idle.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.oldest_class().and_then(|class| {
            let idle = self.classes[class].front();
            idle.map(|idle| idle.since)
        })
    }

    /// Takes the block that has been idle for the longest time, of whatever class.
    pub(super) fn remove_oldest(&mut self) -> Option<Block> {
        let class = self.oldest_class()?;
        let idle = self.classes[class].pop_front()?;
        Some(self.uncount(idle))
    }

    /// There are 120 classes, and a look at each costs less than to unmap one block.
    fn oldest_class(&self) -> Option<usize> {
        let fronts = self.classes.iter().enumerate();
        let fronts =
            fronts.filter_map(|(class, idle)| idle.front().map(|idle| (idle.stamp, class)));
        fronts.min().map(|(_, class)| class)
    }

    fn uncount(&mut self, idle: Idle) -> Block {
        self.bytes -= idle.block.capacity();
        self.blocks -= 1;
        idle.block
    }
}
