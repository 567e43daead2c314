//! Acquire + drop where each release synchronises first, as on a card; what the work itself takes is not in it.

use crate::crew::{self, Effort, Subject};
use crate::peers;
use crate::prepared::{BuiltIn, Prepared};
use crate::report::Report;
use mlx_wired::Manager;
use mlx_wired::ffi::{Backend, BackendError, Device, DeviceKind, MemoryCounters, Support};

pub(crate) fn run(report: &mut Report) {
    let row = |policy: BuiltIn| format!("card/{}", policy.name());
    let policies: Vec<BuiltIn> = BuiltIn::ALL
        .into_iter()
        .filter(|policy| report.wants(&row(*policy)))
        .collect();
    if policies.is_empty() {
        return;
    }
    let effort = if report.is_quick() {
        Effort::TRIAL
    } else {
        Effort {
            pairs: 1000,
            rounds: 31,
            sets: 15,
        }
    };
    let subjects = || {
        let ours = policies.iter().map(|policy| on_a_card(*policy));
        [peers::base()].into_iter().chain(ours).collect()
    };
    let costs = crew::compare(1, effort, subjects);
    for (policy, cost) in policies.iter().zip(&costs[1..]) {
        report.info(row(*policy), cost.ratio, Some(cost.time));
    }
}

fn on_a_card(policy: BuiltIn) -> Subject {
    let manager = Manager::builder()
        .backend(Card)
        .build()
        .expect("the default configuration is valid");
    let ticket = policy.ticket(&manager);
    let prepared = Prepared::new(manager, ticket, 1, 10);
    Subject::new(policy.name(), move |pairs| prepared.pairs(pairs))
}

/// A card whose streams are idle.
#[derive(Debug)]
struct Card;

impl Backend for Card {
    fn device(&self) -> Device {
        let mut device = Device::new(DeviceKind::Cuda, Support::NoWiredMemory);
        device.budget = Some(80 << 30);
        device
    }

    fn set_wired_limit(&self, _: u64) -> Result<u64, BackendError> {
        Ok(0)
    }

    fn synchronize(&self) -> Result<(), BackendError> {
        Ok(())
    }

    fn memory(&self) -> Result<MemoryCounters, BackendError> {
        Ok(MemoryCounters::default())
    }
}
