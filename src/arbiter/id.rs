//! Identities of policies.

use std::any::TypeId;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Which group a policy's guards belong to: policies with equal ids share one group.
///
/// The three kinds never collide with each other. Only policies whose limits have the same form share a group: all
/// sums (`SumPolicy`, `BudgetPolicy`), all custom ones, and each other built-in type by itself. So the same
/// name for a `MaxPolicy` and a policy of your own makes two groups.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PolicyId(Repr);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Repr {
    Value(TypeId, u64),
    Named(Arc<str>),
    Unique(u64),
}

impl PolicyId {
    /// The id of a value: equal values of one type have equal ids.
    ///
    /// The id is a 64-bit hash of the value, so two different values of one type share an id with a
    /// chance of 2^-64 for each pair.
    #[must_use]
    pub fn of<T: Hash + 'static>(value: &T) -> Self {
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        Self(Repr::Value(TypeId::of::<T>(), hasher.finish()))
    }

    /// The id of a name: equal names have equal ids.
    #[must_use]
    pub fn named(name: impl Into<Arc<str>>) -> Self {
        Self(Repr::Named(name.into()))
    }

    /// Its name, if it is [named](Self::named).
    pub(crate) fn name(&self) -> Option<&Arc<str>> {
        match &self.0 {
            Repr::Named(name) => Some(name),
            Repr::Value(..) | Repr::Unique(_) => None,
        }
    }

    /// An id that no other call returns. Keep it: a policy must give the same id each time.
    #[must_use]
    pub fn unique() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        // Only uniqueness matters, so no ordering is needed.
        Self(Repr::Unique(NEXT.fetch_add(1, Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::PolicyId;

    #[test]
    fn ids_of_different_kinds_or_types_differ() {
        assert_eq!(PolicyId::of(&1_u64), PolicyId::of(&1_u64));
        assert_ne!(PolicyId::of(&1_u64), PolicyId::of(&1_i64));
        assert_ne!(PolicyId::of(&1_u64), PolicyId::of(&2_u64));
        assert_eq!(PolicyId::named("a"), PolicyId::named(String::from("a")));
        assert_ne!(PolicyId::named("0"), PolicyId::unique());
        assert_ne!(PolicyId::unique(), PolicyId::unique());
    }
}
