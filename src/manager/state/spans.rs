//! What has changed beside the waiters of a group, and how small and large their demands are: see
//! [`marks`](crate::manager::admission::marks).

use crate::manager::state::waiter::Waiter;
use crate::sync::Arc;

/// What has changed since the waiters of a group were judged: its mark.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// A pinned demand has gone or shrunk, or a waiter that was set aside has left.
    pub(crate) freed: bool,
    /// A pinned demand has come or grown.
    pub(crate) taken: bool,
    /// Anything may have.
    pub(crate) all: bool,
}

impl Mark {
    pub(crate) const ALL: Self = Self {
        freed: true,
        taken: true,
        all: true,
    };

    pub(crate) fn is_any(self) -> bool {
        self.freed || self.taken || self.all
    }

    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            freed: self.freed || other.freed,
            taken: self.taken || other.taken,
            all: self.all || other.all,
        }
    }
}

/// How small and how large the demands of some waiters are, at least and at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    least: u64,
    most: u64,
}

impl Span {
    const NONE: Self = Self {
        least: u64::MAX,
        most: 0,
    };

    fn include(&mut self, bytes: u64) {
        self.least = self.least.min(bytes);
        self.most = self.most.max(bytes);
    }

    /// Whether the least of them, if there is any, is such.
    pub(crate) fn least_is(self, such: impl Fn(u64) -> bool) -> bool {
        self.least <= self.most && such(self.least)
    }

    /// Whether the most of them, if there is any, is not such.
    pub(crate) fn most_is_not(self, such: impl Fn(u64) -> bool) -> bool {
        self.least <= self.most && !such(self.most)
    }
}

/// The demands of some waiters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spans {
    pub(crate) active: Span,
    /// Those of them that are refused where they do not fit beside what is not evictable.
    pub(crate) refusable: Span,
    /// Those to be pinned, with the room that they want.
    pub(crate) pinned: Span,
    /// What pinned demands grow by.
    pub(crate) growths: Span,
}

impl Spans {
    pub(crate) const NONE: Self = Self {
        active: Span::NONE,
        refusable: Span::NONE,
        pinned: Span::NONE,
        growths: Span::NONE,
    };

    pub(crate) fn include(&mut self, waiter: &Waiter) {
        let request = &waiter.request;
        let bytes = request.bytes();
        if request.is_pinned() {
            self.pinned
                .include(bytes.saturating_add(request.room().bytes));
            if let Some(from) = &waiter.from {
                // It is counted among the pinned demands with what it has.
                self.growths.include(bytes - from.bytes());
            }
        } else {
            self.active.include(bytes);
            if !waiter.waits_for_pinned {
                self.refusable.include(bytes);
            }
        }
    }

    pub(crate) fn of<'a>(waiters: impl Iterator<Item = &'a Arc<Waiter>>) -> Self {
        let mut spans = Self::NONE;
        waiters.for_each(|waiter| spans.include(waiter));
        spans
    }
}
