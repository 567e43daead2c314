//! Policies: which demand is admitted, and which limit a group of live guards calls for.

mod arbiter;
mod at_most;
mod builtin;
mod tickets;

pub use crate::arbiter::{Context, PolicyId, Sizes};
pub use at_most::AtMost;
pub use builtin::{BudgetPolicy, FixedPolicy, MaxPolicy, PeakPolicy, SumPolicy};

use crate::Error;
use crate::arbiter::{Formula, Sealed};
use crate::manager::Manager;
use crate::ticket::{OwnedGuard, Ticket};
use std::sync::Arc;

/// Decides which demand is admitted and which limit a group calls for.
///
/// The guards of all tickets whose policies have equal [ids](Policy::id) are one group. A ticket's
/// own policy decides about its admission; the policy that was admitted last computes the group's
/// limit. The limit of the process is the maximum over the groups.
///
/// # What a policy may do
///
/// Its methods should be pure and quick. While `can_admit` runs, every other acquire in the same group waits, and so does
/// a release in it if a demand is queued. While `limit` runs, a thread that needs a change of the limit waits. They run on
/// any thread that acquires or releases. Acquiring from inside one returns
/// [`Error::Reentrant`], unless it takes no lock. A panic in `can_admit` becomes the
/// [`Error::PolicyPanicked`] of the acquire or wait that it was asked about; after a panic in `limit`
/// the group counts as baseline + sum, and an event says so.
///
/// `can_admit` is asked about a wait again whenever something was released, and whenever a thread that holds guards
/// would wait: then with what would be left of the group's guards if others released theirs.
///
/// Values computed from a demand should saturate. `limit` should not fall when a guard is added.
///
/// # Cost
///
/// The built-in policies decide with a few atomic operations. One of your own takes two short locks and its
/// methods' time; one that [wants single sizes](Policy::wants_sizes) also a list of them.
///
/// # Examples
///
/// A policy that admits one guard at a time:
///
/// ```
/// use mlx_wired::{Context, Policy, PolicyId, Sizes};
///
/// #[derive(Clone)]
/// struct Exclusive;
///
/// impl Policy for Exclusive {
///     fn id(&self) -> PolicyId {
///         PolicyId::named("exclusive")
///     }
///     fn limit(&self, context: &Context, live: &Sizes<'_>) -> u64 {
///         context.baseline.saturating_add(live.sum)
///     }
///     fn can_admit(&self, _: &Context, live: &Sizes<'_>, _: u64) -> bool {
///         live.count == 0
///     }
/// }
/// ```
pub trait Policy: Send + Sync + 'static {
    /// The group that this policy's guards belong to. Must be the same each time.
    fn id(&self) -> PolicyId;

    /// The limit, in bytes, that the live guards `live` call for.
    ///
    /// It is asked again when its group or the baseline has changed, and at [`Manager::poke`](crate::Manager::poke);
    /// not when other groups have changed [`Context::total_live`].
    fn limit(&self, context: &Context, live: &Sizes<'_>) -> u64;

    /// Whether a guard of `new` bytes may join `live`. Default: always.
    fn can_admit(&self, context: &Context, live: &Sizes<'_>, new: u64) -> bool {
        let _unused = (context, live, new);
        true
    }

    /// Whether a guard of `new` bytes could be admitted at the best of times; if not, acquiring it is
    /// [`Error::NeverAdmissible`] at once. Default: `can_admit` in an empty group without pressure.
    fn can_ever_admit(&self, context: &Context, new: u64) -> bool {
        let best = Context {
            total_live: 0,
            pressure: 0.0,
            ..context.clone()
        };
        self.can_admit(&best, &Sizes::EMPTY, new)
    }

    /// Whether `can_admit` ever returns false. Policies of one id must agree. Default: true.
    fn can_refuse(&self) -> bool {
        true
    }

    /// Whether `limit` and `can_admit` read [`Sizes::each`]. Default: false.
    fn wants_sizes(&self) -> bool {
        false
    }

    /// A name for messages and events, printed escaped and cut. Default: the type's name.
    fn label(&self) -> String {
        let path = std::any::type_name::<Self>();
        path.rsplit("::").next().unwrap_or(path).to_owned()
    }

    /// The closed form of a built-in policy. No other crate can name the argument's type: so no policy of a program's
    /// own has one, and no program calls it.
    #[doc(hidden)]
    fn formula(&self, _: Sealed) -> Formula {
        Formula::Custom
    }

    /// How many active guards its group may have with a new one, if it says.
    #[doc(hidden)]
    fn most(&self, _: Sealed) -> Option<u32> {
        None
    }

    /// A ticket for `bytes` under this policy with the process's [shared manager](Manager::shared).
    ///
    /// The policy is cloned once; put state that clones should share behind an [`Arc`], which is a
    /// policy itself.
    fn ticket(&self, bytes: u64) -> Ticket
    where
        Self: Sized + Clone,
    {
        Manager::shared().ticket(self, bytes)
    }

    /// Acquires `bytes` under this policy with the shared manager, in one line.
    ///
    /// # Errors
    ///
    /// As [`Ticket::acquire`].
    ///
    /// # Blocking
    ///
    /// As [`Ticket::acquire`].
    #[track_caller]
    fn acquire(&self, bytes: u64) -> Result<OwnedGuard, Error>
    where
        Self: Sized + Clone,
    {
        self.ticket(bytes).acquire_owned()
    }
}

impl<P: Policy + ?Sized> Policy for Arc<P> {
    fn id(&self) -> PolicyId {
        (**self).id()
    }
    fn limit(&self, context: &Context, live: &Sizes<'_>) -> u64 {
        (**self).limit(context, live)
    }
    fn can_admit(&self, context: &Context, live: &Sizes<'_>, new: u64) -> bool {
        (**self).can_admit(context, live, new)
    }
    fn can_ever_admit(&self, context: &Context, new: u64) -> bool {
        (**self).can_ever_admit(context, new)
    }
    fn can_refuse(&self) -> bool {
        (**self).can_refuse()
    }
    fn wants_sizes(&self) -> bool {
        (**self).wants_sizes()
    }
    fn label(&self) -> String {
        (**self).label()
    }
    fn formula(&self, sealed: Sealed) -> Formula {
        (**self).formula(sealed)
    }
    fn most(&self, sealed: Sealed) -> Option<u32> {
        (**self).most(sealed)
    }
}
