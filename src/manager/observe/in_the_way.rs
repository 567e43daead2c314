//! What an error names: the largest of the guards in a demand's way that were looked at.
//!
//! A refusal must not cost more the more guards there are. So it looks at no more than [`LOOKED_AT`] guards of the demand's
//! group, or under a budget of all groups, and it names the largest of those. Half of them are in slots, which the guards
//! of short work have, and half in the groups' lists, which the many have: unless there are fewer of the one or the other.

use crate::Error;
use crate::holders::{self, Recorded};
use crate::manager::inner::Inner;
use crate::manager::state::core::Core;
use crate::manager::state::group::Group;
use crate::manager::state::registry::Registry;
use crate::manager::state::request::Request;
use crate::snapshot::Contention;
use crate::snapshot::Holder;
use crate::sync::Arc;
use std::time::Instant;

/// How many guards are looked at.
const LOOKED_AT: usize = 64;

impl Inner {
    /// The same error with the largest holders.
    pub(crate) fn name_holders(&self, mut error: Error, request: &Request) -> Error {
        if let Error::Timeout { contention, .. } | Error::NeverAdmissible { contention, .. } =
            &mut error
        {
            contention.name(self.in_the_way(request));
        }
        error
    }

    /// [`name_holders`](Self::name_holders), of a wait that another thread has ended; one that gave up has named them
    /// itself.
    pub(crate) fn name_holders_late(&self, error: Error, request: &Request) -> Error {
        match error {
            Error::NeverAdmissible { .. } => self.name_holders(error, request),
            other => other,
        }
    }

    /// The largest of the live guards in `request`'s way that are looked at, the largest first: of its group, or with a
    /// budget of all groups. As many as an error names.
    pub(crate) fn in_the_way(&self, request: &Request) -> Vec<Holder> {
        let (group, groups) = {
            let core = self.lock();
            match core.config.budget {
                None => (Some(request.group().index), vec![request.group().clone()]),
                Some(_) => (None, core.some_groups_with_lists()),
            }
        };
        let now = self.clock.now();
        let registry = self.tickets.lock();
        let mut look = Look {
            registry: &registry,
            now,
            group,
            left: LOOKED_AT / 2,
            skip: 0,
            largest: Vec::with_capacity(Contention::LISTED),
        };
        holders::some(|seen| look.consider(seen));
        let in_slots = LOOKED_AT / 2 - look.left;
        look.left = LOOKED_AT - in_slots;
        for group in groups {
            group
                .listed
                .each(look.left, &mut |seen| look.consider(seen));
        }
        if in_slots == LOOKED_AT / 2 && look.left > 0 {
            look.skip = in_slots;
            holders::some(|seen| look.consider(seen));
        }
        look.largest
    }
}

impl Core {
    /// The first groups of those that list guards, as many as are looked at.
    fn some_groups_with_lists(&self) -> Vec<Arc<Group>> {
        let listing = self
            .listed_groups()
            .filter(|state| state.shared.listed.is_made() && state.is_live(state.shared.load()));
        listing
            .take(LOOKED_AT)
            .map(|state| state.shared.clone())
            .collect()
    }
}

/// A look at some guards.
struct Look<'a> {
    registry: &'a Registry,
    now: Instant,
    /// The one group whose guards are looked at; all, if there is none.
    group: Option<usize>,
    /// How many more are looked at.
    left: usize,
    /// How many are passed over before, since they were looked at already.
    skip: usize,
    largest: Vec<Holder>,
}

impl Look<'_> {
    fn consider(&mut self, seen: Recorded<'_>) {
        if self.left == 0 {
            return;
        }
        let Some(about) = self.registry.about(&seen) else {
            return;
        };
        if self.group.is_some_and(|group| group != about.group) {
            return;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return;
        }
        self.left -= 1;
        let index = self
            .largest
            .partition_point(|other| other.bytes >= about.bytes);
        if index < Contention::LISTED {
            self.largest.truncate(Contention::LISTED - 1);
            let holder = Holder::new(&seen, about, self.registry, self.now);
            self.largest.insert(index, holder);
        }
    }
}
