//! Admissions, on their way to guards.

use crate::manager::state::pinned::PinKey;
use crate::manager::state::word::Word;
use std::time::{Duration, Instant};

/// An admitted and covered demand.
#[derive(Debug)]
pub(crate) struct Admission {
    /// The group's word at admission.
    pub(crate) word: Word,
    pub(crate) waited: Duration,
    /// When it was admitted, where that is known: after a wait, or while a subscriber listens.
    pub(crate) since: Option<Instant>,
    /// What the group called for at admission.
    pub(crate) wanted: u64,
    /// The epoch at admission; 0 if none was open.
    pub(crate) epoch: u64,
    /// The guard's key among the pinned demands, if it is one.
    pub(crate) pin: Option<PinKey>,
}

/// A wait for admission that ended with it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waited {
    pub(crate) time: Duration,
    pub(crate) until: Instant,
}

/// A waiter's admission, by another thread.
#[derive(Debug)]
pub(crate) enum Granted {
    /// The limit covers it: nothing is left to do.
    Covered(Admission),
    /// The limit does not cover it yet; it is in [`Core::uncovered`](crate::manager::state::core::Core::uncovered). With it, the group's
    /// word.
    Added(Word),
}
