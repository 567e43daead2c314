//! What is asked for: what of a ticket is judged, counted and told of, and what waits.

use crate::arbiter::{Arbiter, Formula};
use crate::holders::About;
use crate::kind::Kind;
use crate::manager::state::group::{Group, SizeCount};
use crate::manager::state::word::{MAX_SUM, Word};
use crate::sync::{Arc, AtomicU64, Ordering, unmodelled};
use std::fmt;

/// So many bytes of a kind, of a group, under a policy. Never changed: a ticket of another size, kind or name has another.
pub(crate) struct Request {
    id: u64,
    about: Arc<About>,
    group: Arc<Group>,
    size_count: Option<Arc<SizeCount>>,
    /// What one guard adds to the group's word.
    demand: u64,
    /// How many active guards its policy allows at once; `u64::MAX` if it does not say.
    most: u64,
    policy: Arc<dyn Arbiter>,
    can_refuse: bool,
    wants_sizes: bool,
    formula: Formula,
}

impl Request {
    /// One of `policy`, of a group that counts the guards of its size in `size_count`, if it does.
    pub(crate) fn new(
        group: Arc<Group>,
        size_count: Option<Arc<SizeCount>>,
        policy: Arc<dyn Arbiter>,
        formula: Formula,
        about: About,
    ) -> Arc<Self> {
        Arc::new(Self {
            id: next_id(),
            demand: demand_of(&about),
            about: Arc::new(about),
            group,
            size_count,
            most: policy.most().map_or(u64::MAX, u64::from),
            can_refuse: policy.can_refuse(),
            wants_sizes: policy.wants_sizes(),
            policy,
            formula,
        })
    }

    /// Another of the same policy.
    pub(crate) fn with(&self, about: About, size_count: Option<Arc<SizeCount>>) -> Arc<Self> {
        Arc::new(Self {
            id: next_id(),
            demand: demand_of(&about),
            about: Arc::new(about),
            group: self.group.clone(),
            size_count,
            policy: self.policy.clone(),
            ..*self
        })
    }

    /// Its ticket's number.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// What people want to know of it.
    pub(crate) fn about(&self) -> &Arc<About> {
        &self.about
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.about.bytes
    }

    pub(crate) fn kind(&self) -> Kind {
        self.about.kind
    }

    /// What people call it: its name, or its policy's.
    pub(crate) fn name(&self) -> &str {
        self.about.label.as_ref().unwrap_or(&self.about.policy)
    }

    pub(crate) fn label_text(&self) -> Option<Arc<str>> {
        self.about.label.clone()
    }

    pub(crate) fn policy_label(&self) -> &Arc<str> {
        &self.about.policy
    }

    pub(crate) fn group(&self) -> &Arc<Group> {
        &self.group
    }

    pub(crate) fn demand(&self) -> u64 {
        self.demand
    }

    pub(crate) fn size_count(&self) -> Option<&Arc<SizeCount>> {
        self.size_count.as_ref()
    }

    /// How many active guards may live at once with a new one of it, if its policy says.
    pub(crate) fn most(&self) -> Option<u32> {
        let most = u32::try_from(self.most).ok();
        most.filter(|_| self.kind() == Kind::Active)
    }

    /// The same for every kind; `u64::MAX` if its policy does not say.
    pub(crate) fn most_of_any_kind(&self) -> u64 {
        self.most
    }

    /// Whether the fast path may count the demand.
    pub(crate) fn is_fast(&self) -> bool {
        let has_two_counts = self.size_count.is_some() && self.most < u64::MAX;
        let is_small = self.bytes() <= MAX_SUM;
        !self.group.custom && self.kind() == Kind::Active && is_small && !has_two_counts
    }

    /// Whether its demands are pinned.
    pub(crate) fn is_pinned(&self) -> bool {
        self.kind() != Kind::Active
    }

    /// What its guards leave for active demands.
    pub(crate) fn room(&self) -> Room {
        Room {
            formula: self.formula,
            bytes: if self.is_pinned() { self.about.room } else { 0 },
        }
    }

    pub(crate) fn is_evictable(&self) -> bool {
        self.is_pinned() && self.about.evictable
    }

    /// Whether it is what a guard was grown to, or has had since.
    pub(crate) fn is_grown(&self) -> bool {
        self.about.grown
    }

    pub(crate) fn formula(&self) -> Formula {
        self.formula
    }

    pub(crate) fn policy(&self) -> &Arc<dyn Arbiter> {
        &self.policy
    }

    pub(crate) fn wants_sizes(&self) -> bool {
        self.wants_sizes
    }

    pub(crate) fn can_refuse(&self) -> bool {
        self.can_refuse
    }
}

/// Room that a pinned demand wants to be left for active demands of its own policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Room {
    pub(crate) formula: Formula,
    pub(crate) bytes: u64,
}

/// The next ticket's number.
fn next_id() -> u64 {
    static NEXT: unmodelled::AtomicU64 = unmodelled::AtomicU64::new(1);
    // Relaxed: only uniqueness matters.
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn demand_of(about: &About) -> u64 {
    Word::demand(about.bytes.min(MAX_SUM), about.kind.is_driving())
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("id", &self.id)
            .field("about", &self.about)
            .finish_non_exhaustive()
    }
}

/// Counting and releasing the demand under the manager's lock.
impl Request {
    /// Counts the demand if the word is still `seen`.
    pub(crate) fn swap_from(&self, seen: Word) -> bool {
        if let Some(count) = self.size_count() {
            // Relaxed: ordered by the word's swap that follows.
            count.0.fetch_add(1, Ordering::Relaxed);
        }
        let new = seen.0.wrapping_add(self.demand());
        let swap = &self.group().word;
        let done = swap
            .compare_exchange(seen.0, new, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok();
        if let (false, Some(count)) = (done, self.size_count()) {
            count.0.fetch_sub(1, Ordering::Relaxed);
        }
        done
    }

    /// Counts the demand. Returns the word with it.
    pub(crate) fn add(&self) -> Word {
        if let Some(count) = self.size_count() {
            // Relaxed: ordered by the word's addition that follows.
            self.change(&count.0, 1);
        }
        Word(self.change(&self.group().word, self.demand()))
    }

    /// Adds to a word of the group. Returns what it is then.
    fn change(&self, word: &AtomicU64, by: u64) -> u64 {
        if self.group().custom {
            // Written under the lock alone: no read-modify-write is needed.
            let new = word.load(Ordering::Relaxed).wrapping_add(by);
            word.store(new, Ordering::Release);
            new
        } else {
            word.fetch_add(by, Ordering::AcqRel).wrapping_add(by)
        }
    }

    /// Counts the demand in place of another's of the same group and kind.
    pub(crate) fn add_in_place_of(&self, from: &Self) -> Word {
        // The larger of the two counts throughout.
        if let Some(count) = self.size_count() {
            count.0.fetch_add(1, Ordering::Relaxed);
        }
        let change = self.demand().wrapping_sub(from.demand());
        let old = self.group().word.fetch_add(change, Ordering::AcqRel);
        if let Some(count) = from.size_count() {
            count.0.fetch_sub(1, Ordering::Relaxed);
        }
        Word(old.wrapping_add(change))
    }

    /// Takes the demand out of the group's word. Returns the word without it.
    pub(crate) fn subtract(&self) -> Word {
        if let Some(count) = self.size_count() {
            self.change(&count.0, 1_u64.wrapping_neg());
        }
        Word(self.change(&self.group().word, self.demand().wrapping_neg()))
    }
}
