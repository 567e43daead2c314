//! What was published, and how.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Publisher {
    pub(super) names_groups: bool,
    pub(super) published: Mutex<Published>,
}

/// What was published before.
#[derive(Debug, Default)]
pub(super) struct Published {
    /// Groups: those that have gone are 0 once.
    pub(super) groups: BTreeSet<String>,
    /// Waits, by the upper bound of their bucket, and their sum.
    pub(super) waits: BTreeMap<Duration, u64>,
    pub(super) waited: Duration,
}
