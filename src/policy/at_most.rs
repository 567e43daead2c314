//! How many at once: a built-in policy that also counts guards.

use super::Policy;
use crate::arbiter::{Context, Formula, PolicyId, Sealed, Sizes};

/// A built-in policy that admits an active demand only while few active guards of its group live: what
/// [`SumPolicy::at_most`](super::SumPolicy::at_most) and its like make.
///
/// A cap on bytes alone lets more small jobs onto a card than it runs at full speed. This caps their number besides: an
/// active demand is admitted beside at most `n` - 1 active guards of its group, of whatever ticket. One more waits in
/// the queue. Residents and reservations do not count, and are not counted against it; nor is the growth of a guard. A
/// leaked active guard counts for ever: with `n` of them an active demand is [`Error::NoRoom`](crate::Error::NoRoom).
///
/// It is no part of the policy's [id](Policy::id): guards of the policy with and without it, or with another `n`, are one
/// group, and each demand goes by its own.
///
/// An `n` of 0 would admit nothing: then each acquire of an active ticket is
/// [`Error::InvalidConfig`](crate::Error::InvalidConfig).
///
/// ```
/// use mlx_wired::{Manager, Policy, SumPolicy};
///
/// let manager = Manager::builder().backend(mlx_wired::ffi::NoMlx::new()).build()?;
/// let policy = SumPolicy::capped(1 << 30);
/// let weights = manager.ticket(&policy, 512 << 20).resident();
/// let job = manager.ticket(&policy.clone().at_most(2), 1 << 20);
///
/// let _weights = weights.acquire()?;              // not counted
/// let (_first, _second) = (job.acquire()?, job.acquire()?);
/// assert!(job.try_acquire().is_err(), "two run already");
/// # Ok::<(), mlx_wired::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AtMost<P> {
    policy: P,
    most: usize,
}

impl<P> AtMost<P> {
    pub(super) const fn new(policy: P, most: usize) -> Self {
        Self { policy, most }
    }
}

impl<P: Policy> Policy for AtMost<P> {
    fn id(&self) -> PolicyId {
        self.policy.id()
    }
    fn limit(&self, context: &Context, live: &Sizes<'_>) -> u64 {
        self.policy.limit(context, live)
    }
    fn can_admit(&self, context: &Context, live: &Sizes<'_>, new: u64) -> bool {
        self.policy.can_admit(context, live, new)
    }
    fn can_ever_admit(&self, context: &Context, new: u64) -> bool {
        self.policy.can_ever_admit(context, new)
    }
    fn can_refuse(&self) -> bool {
        self.policy.can_refuse()
    }
    fn wants_sizes(&self) -> bool {
        self.policy.wants_sizes()
    }
    fn label(&self) -> String {
        self.policy.label()
    }
    fn formula(&self, sealed: Sealed) -> Formula {
        self.policy.formula(sealed)
    }
    fn most(&self, _: Sealed) -> Option<u32> {
        // A number that no group reaches is none.
        u32::try_from(self.most).ok()
    }
}
