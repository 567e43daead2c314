//! What lives, as the threads know it.
//!
//! A guard is counted twice. *Within*: from after the acquire has returned until before the release begins, so that
//! whoever is counted lives. *Around*: from before the acquire is called until after the release has returned, so that
//! whoever lives is counted.
//!
//! Both are kept as two counters that only grow, one of beginnings and one of ends. Whoever reads the beginnings, looks
//! at something, and then reads the ends, knows of guards that lived all the while: at least their difference.
//!
//! # Orderings
//!
//! All Relaxed, so that nothing here synchronises what the manager should. It suffices:
//!
//! * The release of a guard happens before every admission that counts with what it freed (the manager promises it),
//!   so its subtraction from a sum comes before the addition of the other, and the sum never is over what was admitted.
//! * If a beginning is seen and then the limit is read, the limit's raise happened before the beginning. A read of the
//!   limit, which goes by the backend's mutex, cannot be before that raise: it would happen before the beginning too,
//!   which was seen.
//! * If a limit is read that was lowered after a release, then that release's end, which happened before, is seen.

use super::forms::{Counts, Line, SIZES, bytes};
use std::array::from_fn;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What one guard is counted as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) line: usize,
    /// Its place in [`SIZES`].
    pub(crate) size: usize,
    pub(crate) driving: bool,
}

impl Claim {
    pub(crate) fn bytes(self) -> u64 {
        SIZES[self.size]
    }
}

#[derive(Debug, Default)]
struct Span {
    began: AtomicU64,
    ended: AtomicU64,
}

impl Span {
    fn since(&self, began: u64) -> u64 {
        began.saturating_sub(self.ended.load(Relaxed))
    }
}

#[derive(Debug, Default)]
struct Account {
    within: [Span; SIZES.len()],
    around: [Span; SIZES.len()],
    /// The bytes of those counted within.
    sum: AtomicU64,
}

/// Of all groups.
#[derive(Debug)]
pub(crate) struct Accounts {
    lines: Vec<Account>,
    driving: Span,
    sum: AtomicU64,
    /// What the limits count with.
    baseline: AtomicU64,
}

/// The beginnings at a moment, of those counted within.
#[derive(Debug, Clone)]
pub(crate) struct Began {
    lines: Vec<Counts>,
    driving: u64,
}

impl Accounts {
    pub(crate) fn new(lines: usize) -> Self {
        Self {
            lines: (0..lines).map(|_| Account::default()).collect(),
            driving: Span::default(),
            sum: AtomicU64::new(0),
            baseline: AtomicU64::new(0),
        }
    }

    /// The manager knows the baseline from now on.
    pub(crate) fn learn_baseline(&self, bytes: u64) {
        self.baseline.store(bytes, Relaxed);
    }

    /// An acquire is about to be called.
    pub(crate) fn enter(&self, claim: Claim) {
        self.lines[claim.line].around[claim.size]
            .began
            .fetch_add(1, Relaxed);
    }

    /// A release has returned, or an acquire has failed.
    pub(crate) fn leave(&self, claim: Claim) {
        self.lines[claim.line].around[claim.size]
            .ended
            .fetch_add(1, Relaxed);
    }

    /// An acquire has returned a guard. Returns the sum of its group, and of all, at some moment since.
    pub(crate) fn begin(&self, claim: Claim) -> (u64, u64) {
        let account = &self.lines[claim.line];
        let bytes = claim.bytes();
        let of_line = account.sum.fetch_add(bytes, Relaxed) + bytes;
        let of_all = self.sum.fetch_add(bytes, Relaxed) + bytes;
        if claim.driving {
            self.driving.began.fetch_add(1, Relaxed);
        }
        account.within[claim.size].began.fetch_add(1, Relaxed);
        (of_line, of_all)
    }

    /// A release is about to begin.
    pub(crate) fn end(&self, claim: Claim) {
        let account = &self.lines[claim.line];
        account.within[claim.size].ended.fetch_add(1, Relaxed);
        if claim.driving {
            self.driving.ended.fetch_add(1, Relaxed);
        }
        account.sum.fetch_sub(claim.bytes(), Relaxed);
        self.sum.fetch_sub(claim.bytes(), Relaxed);
    }

    pub(crate) fn began(&self) -> Began {
        let counts = |account: &Account| from_fn(|size| account.within[size].began.load(Relaxed));
        Began {
            driving: self.driving.began.load(Relaxed),
            lines: self.lines.iter().map(counts).collect(),
        }
    }

    /// Of those that had begun, those that have not ended, by group; and how many of them drive.
    pub(crate) fn still(&self, began: &Began) -> (Vec<Counts>, u64) {
        let accounts = self.lines.iter().zip(&began.lines);
        let counts = |(account, began): (&Account, &Counts)| {
            from_fn(|size| account.within[size].since(began[size]))
        };
        (
            accounts.map(counts).collect(),
            self.driving.since(began.driving),
        )
    }

    /// The limit that those call for at least, that had begun and have not ended.
    pub(crate) fn needed(&self, began: &Began, lines: &[Line]) -> u64 {
        let baseline = self.baseline.load(Relaxed);
        let (counts, driving) = self.still(began);
        if driving == 0 {
            return 0;
        }
        let limits = lines.iter().zip(&counts);
        let limits = limits.map(|(line, counts)| line.form.limit(baseline, counts));
        limits.max().unwrap_or(0)
    }

    /// How many guards there are, and their bytes: at least so many of `began` still live.
    pub(crate) fn least(&self, began: &Began) -> (u64, u64) {
        let (counts, _) = self.still(began);
        let guards = counts.iter().flatten().sum();
        (guards, counts.iter().map(bytes).sum())
    }

    /// The ends of those counted around, guards and bytes.
    pub(crate) fn left(&self) -> (u64, u64) {
        self.around(|span| span.ended.load(Relaxed))
    }

    /// How many guards there may be, and their bytes, of all that had not `left`.
    pub(crate) fn most(&self, left: (u64, u64)) -> (u64, u64) {
        let (guards, bytes) = self.around(|span| span.began.load(Relaxed));
        (guards - left.0, bytes - left.1)
    }

    fn around(&self, read: impl Fn(&Span) -> u64) -> (u64, u64) {
        let counts = |account: &Account| from_fn(|size| read(&account.around[size]));
        let counts: Vec<Counts> = self.lines.iter().map(counts).collect();
        (
            counts.iter().flatten().sum(),
            counts.iter().map(bytes).sum(),
        )
    }
}
