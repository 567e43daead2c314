//! The peers' own tests, ported by what they show and named after their originals.
//!
//! The originals need a Mac with a GPU, or a model; these run on the recording backend with a fake clock.

#[path = "../kit/mod.rs"]
mod kit;
mod mlx;
mod mlx_swift;
mod mlx_swift_lm;
mod mlxrs;

use kit::{Custom, Rig, quiet};
use mlx_wired::{Context, Error, EventKind, Policy, PolicyId, Sizes};
use std::sync::{Arc, Mutex, PoisonError};

const MIB: u64 = 1 << 20;

/// A policy of one line: what the originals define in each test.
#[derive(Debug, Clone)]
struct Summing {
    name: &'static str,
    /// How many times the sum it calls for.
    factor: u64,
    /// What its sizes may be together.
    cap: u64,
    /// What comes on top.
    base: u64,
}

impl Summing {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            factor: 1,
            cap: u64::MAX,
            base: 0,
        }
    }
}

impl Policy for Summing {
    fn id(&self) -> PolicyId {
        PolicyId::named(self.name)
    }

    fn limit(&self, context: &Context, live: &Sizes<'_>) -> u64 {
        context.baseline + self.base + live.sum * self.factor
    }

    fn can_admit(&self, _: &Context, live: &Sizes<'_>, new: u64) -> bool {
        live.sum + new <= self.cap
    }
}

/// What a policy is told on Metal with 48 GiB recommended when the baseline is `baseline`: the originals call policies
/// with numbers of their own.
fn context(baseline: u64) -> Result<Context, Error> {
    let rig = Rig::new(quiet().baseline_override(baseline))?;
    let told = Arc::new(Mutex::new(None));
    let tell = told.clone();
    let probe = Custom::new().admits(move |context, _, _| {
        *tell.lock().unwrap_or_else(PoisonError::into_inner) = Some(context.clone());
        true
    });
    drop(rig.ticket(&probe, 1).acquire()?);
    let context = told.lock().unwrap_or_else(PoisonError::into_inner).take();
    Ok(context.expect("the policy is asked"))
}

fn is_failure(kind: &EventKind) -> bool {
    matches!(kind, EventKind::LimitApplyFailed(_))
}
