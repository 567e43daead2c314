//! Every policy is what the core asks.

use super::Policy;
use crate::arbiter::{Arbiter, Context, Formula, PolicyId, Sealed, Sizes};

impl<P: Policy> Arbiter for P {
    fn id(&self) -> PolicyId {
        Policy::id(self)
    }

    fn limit(&self, context: &Context, live: &Sizes<'_>) -> u64 {
        Policy::limit(self, context, live)
    }

    fn can_admit(&self, context: &Context, live: &Sizes<'_>, new: u64) -> bool {
        Policy::can_admit(self, context, live, new)
    }

    fn can_ever_admit(&self, context: &Context, new: u64) -> bool {
        Policy::can_ever_admit(self, context, new)
    }

    fn can_refuse(&self) -> bool {
        Policy::can_refuse(self)
    }

    fn wants_sizes(&self) -> bool {
        Policy::wants_sizes(self)
    }

    fn label(&self) -> String {
        Policy::label(self)
    }

    fn formula(&self) -> Formula {
        Policy::formula(self, Sealed::KEY)
    }

    fn most(&self) -> Option<u32> {
        Policy::most(self, Sealed::KEY)
    }
}
