//! The recordings' policies, as ours.

use crate::trace::PolicySpec;
use mlx_wired::{
    BudgetPolicy, Context, FixedPolicy, Manager, MaxPolicy, PeakPolicy, Policy, PolicyId, Sizes,
    SumPolicy, Ticket,
};

/// The three custom policies of the recordings.
#[derive(Debug, Clone)]
struct Custom {
    form: Form,
    id: u64,
}

#[derive(Debug, Clone, Copy)]
enum Form {
    Double,
    Exclusive,
    Top2,
}

impl Policy for Custom {
    fn id(&self) -> PolicyId {
        PolicyId::named(format!("{:?} {}", self.form, self.id))
    }

    fn limit(&self, context: &Context, live: &Sizes<'_>) -> u64 {
        let above = match self.form {
            Form::Double => live.sum.saturating_mul(2),
            Form::Exclusive => live.sum,
            Form::Top2 => live.each.iter().take(2).sum(),
        };
        context.baseline.saturating_add(above)
    }

    fn can_admit(&self, _: &Context, live: &Sizes<'_>, _: u64) -> bool {
        !matches!(self.form, Form::Exclusive) || live.count == 0
    }

    fn can_refuse(&self) -> bool {
        matches!(self.form, Form::Exclusive)
    }

    fn wants_sizes(&self) -> bool {
        matches!(self.form, Form::Top2)
    }
}

pub(crate) fn ticket(manager: &Manager, spec: &PolicySpec, size: u64) -> Ticket {
    let id = || PolicyId::named(format!("{} {}", spec.is, spec.id.expect("an id")));
    let custom = |form| Custom {
        form,
        id: spec.id.expect("an id"),
    };
    match spec.is.as_str() {
        "sum" => manager.ticket(&SumPolicy::uncapped().with_id(id()), size),
        "max" => manager.ticket(&MaxPolicy::new().with_id(id()), size),
        "sum_capped" => manager.ticket(&SumPolicy::capped(spec.cap.expect("a cap")), size),
        "peak" => manager.ticket(&PeakPolicy, size),
        "fixed" => manager.ticket(&FixedPolicy::new(spec.bytes.expect("bytes")), size),
        "budget" => {
            let mut policy = BudgetPolicy::new(spec.base.expect("a base")).with_id(id());
            if let Some(cap) = spec.cap {
                policy = policy.with_cap(cap);
            }
            manager.ticket(&policy, size)
        }
        "double" => manager.ticket(&custom(Form::Double), size),
        "exclusive" => manager.ticket(&custom(Form::Exclusive), size),
        "top2" => manager.ticket(&custom(Form::Top2), size),
        other => panic!("unknown policy {other}"),
    }
}
