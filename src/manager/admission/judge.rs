//! Whether a demand may join its group: what policies, the budget over all groups and the state word say.

use crate::Error;
use crate::arbiter::Context;
use crate::arbiter::Resolved;
use crate::error::{GroupLimit, Obstacle};
use crate::event::EventKind;
use crate::manager::inner::Inner;
use crate::manager::inner::locked::Locked;
use crate::manager::state::core::Core;
use crate::manager::state::demand::Demand;
use crate::manager::state::group_state::Foreseen;
use crate::manager::state::live::Live;
use crate::manager::state::request::Request;
use crate::manager::state::word::{MAX_DRIVING, MAX_SUM};
use crate::mode::WireMode;
use crate::user_code;

/// An answer about a demand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Admit,
    Wait,
    /// It would be admitted, but for the pressure (R33a).
    Delayed,
}

/// What a custom policy is asked about a demand, besides the guards that live.
#[derive(Debug)]
struct Question {
    /// The size that is to join.
    new: u64,
    context: Context,
    /// The largest of the live sizes.
    max: u64,
    /// Whether the limit with it is asked for too.
    foresees: bool,
}

impl Inner {
    /// Whether the state word can count a demand.
    pub(crate) fn check_countable(
        &self,
        core: &Locked<'_>,
        demand: Demand<'_>,
    ) -> Result<(), Error> {
        let request = demand.request;
        let word = core.group(request.group().index).shared.load();
        if request.bytes() > MAX_SUM {
            return Err(group_full_error(GroupLimit::Bytes, request));
        }
        if demand.from.is_none() && request.kind().is_driving() && word.driving() >= MAX_DRIVING {
            return Err(group_full_error(GroupLimit::DrivingGuards, request));
        }
        Ok(())
    }

    /// Asks the demand's own policy, and the budget over all groups, by their caps in full and then by the share of
    /// them that counts. A custom policy runs without the manager's lock; the caller holds its group's judge lock.
    pub(crate) fn judge(
        &self,
        core: &mut Locked<'_>,
        demand: Demand<'_>,
    ) -> Result<Verdict, Error> {
        let verdict = self.judge_in_full(core, demand)?;
        Ok(match verdict {
            Verdict::Admit if self.is_delayed(core, demand) => Verdict::Delayed,
            other => other,
        })
    }

    fn judge_in_full(&self, core: &mut Locked<'_>, demand: Demand<'_>) -> Result<Verdict, Error> {
        let request = demand.request;
        let index = request.group().index;
        core.group_mut(index).foreseen = None;
        if core.mode == WireMode::Uncoordinated {
            return Ok(Verdict::Admit);
        }
        if !self.fits_budget(core, demand) {
            return Ok(Verdict::Wait);
        }
        let state = core.group(index);
        let word = state.shared.load();
        let others = word.sum().saturating_sub(demand.held());
        if !state.custom() {
            let admits = self.fits_policy(core, request, others.saturating_add(request.bytes()))
                && is_below_most(core, demand)
                && (!request.is_pinned() || self.leaves_rooms(core, demand)?);
            return Ok(if admits {
                Verdict::Admit
            } else {
                Verdict::Wait
            });
        }
        let mut live = Live {
            count: word.driving() + state.reservations,
            sum: others,
            each: Vec::new(),
        };
        let mut max = state.largest();
        let version = state.version;
        if request.wants_sizes() || demand.from.is_some() {
            live.each = core.group_mut(index).each_size();
        }
        if let Some(from) = demand.from {
            live.count -= 1;
            if let Some(own) = live.each.iter().position(|size| *size == from.bytes()) {
                live.each.remove(own);
            }
            max = live.largest();
        }
        let settings_version = core.settings_version;
        let foresees = demand.from.is_none() && core.standing.is_some() && !core.busy;
        let mut context = self.context(core, core.admission_baseline());
        context.total_live = context.total_live.saturating_sub(demand.held());
        let question = Question {
            new: request.bytes(),
            context,
            max,
            foresees,
        };
        let answer = self.ask_admission(core, request, question, &mut live);
        let state = core.group_mut(index);
        state.keep_scratch(live.each);
        let (verdict, foreseen) =
            answer.map_err(|message| self.policy_panicked(core, request, message))?;
        if core.settings_version != settings_version && is_in_question(core, demand) {
            // The answer goes by settings that are not in force.
            return self.judge_in_full(core, demand);
        }
        if verdict == Verdict::Admit && request.is_pinned() && !self.leaves_rooms(core, demand)? {
            return Ok(Verdict::Wait);
        }
        let state = core.group_mut(index);
        // Other guards may have come or gone while the policy was asked without the lock.
        state.foreseen = foreseen.filter(|_| state.version == version);
        // Other demands may have taken what the budget had left while the policy was asked without the lock.
        if self.fits_budget(core, demand) {
            Ok(verdict)
        } else {
            Ok(Verdict::Wait)
        }
    }

    /// Whether a demand fits into what the budget over all groups leaves.
    pub(crate) fn fits_budget(&self, core: &Core, demand: Demand<'_>) -> bool {
        core.config.budget.is_none_or(|budget| {
            let others = core.total_live().saturating_sub(demand.held());
            others.saturating_add(demand.request.bytes()) <= budget
        })
    }

    /// Whether a demand would have to wait for these guards of its group, with so many bytes live in all groups. A panic is
    /// an error.
    pub(crate) fn are_in_the_way(
        &self,
        core: &mut Locked<'_>,
        request: &Request,
        live: &mut Live,
        total_live: u64,
    ) -> Result<bool, Error> {
        if core.mode == WireMode::Uncoordinated {
            return Ok(false);
        }
        if !request.group().custom {
            return Ok(!self.fits_policy(core, request, live.sum.saturating_add(request.bytes())));
        }
        self.would_keep_out(core, request, live, total_live, request.bytes())
    }

    /// Whether a custom policy would let `bytes` wait for these guards of its group. One that would refuse them even alone
    /// does so for a reason outside, which may pass.
    pub(crate) fn would_keep_out(
        &self,
        core: &mut Locked<'_>,
        request: &Request,
        live: &mut Live,
        total_live: u64,
        bytes: u64,
    ) -> Result<bool, Error> {
        if live.count == 0 && total_live == 0 {
            // A policy that is asked the same twice may answer differently.
            return Ok(false);
        }
        let alone = Context {
            total_live: 0,
            pressure: 0.0,
            ..self.context(core, core.admission_baseline())
        };
        let context = Context {
            total_live,
            ..alone.clone()
        };
        let max = live.largest();
        let mut waits = |context, live: &mut Live, max| {
            let question = Question {
                new: bytes,
                context,
                max,
                foresees: false,
            };
            let answer = self.ask_admission(core, request, question, live);
            answer
                .map(|(verdict, _)| verdict == Verdict::Wait)
                .map_err(|message| self.policy_panicked(core, request, message))
        };
        Ok(waits(context, live, max)? && !waits(alone, &mut Live::of(Vec::new()), 0)?)
    }

    /// Whether a built-in policy lets its group hold `sum`.
    pub(crate) fn fits_policy(&self, core: &Locked<'_>, request: &Request, sum: u64) -> bool {
        let formula = request.formula().resolve(core.device_budget);
        core.mode == WireMode::Uncoordinated
            || !formula.can_refuse()
            || sum < formula.admitted(core.admission_baseline())
    }

    /// Asks a custom policy, without the manager's lock; and if the question `foresees`, also what the limit will be with the
    /// demand that it admits, for which `live` is changed. A panic gives its message.
    fn ask_admission(
        &self,
        core: &mut Locked<'_>,
        request: &Request,
        question: Question,
        live: &mut Live,
    ) -> Result<(Verdict, Option<Foreseen>), String> {
        if !request.can_refuse() {
            return Ok((Verdict::Admit, None));
        }
        let Question {
            new,
            context,
            max,
            foresees,
        } = question;
        let policy = request.policy();
        let wants_sizes = request.wants_sizes();
        let baseline = core.epoch.baseline;
        let (answer, limit) = core.unlocked(|| {
            let sizes = live.sizes(max, wants_sizes);
            let admit = || policy.can_admit(&context, &sizes, new);
            let answer = user_code::call(self.address(), admit);
            if answer != Ok(true) || !foresees {
                return (answer, None);
            }
            let context = Context {
                baseline,
                total_live: context.total_live.saturating_add(new),
                ..context
            };
            live.add(new);
            let sizes = live.sizes(max.max(new), wants_sizes);
            let limit = user_code::call(self.address(), || policy.limit(&context, &sizes));
            (answer, limit.ok())
        });
        Ok(if answer? {
            let foreseen = limit.map(|limit| Foreseen { baseline, limit });
            (Verdict::Admit, foreseen)
        } else {
            (Verdict::Wait, None)
        })
    }

    fn policy_panicked(&self, core: &mut Locked<'_>, request: &Request, message: String) -> Error {
        let kind = EventKind::PolicyPanicked(message.clone());
        self.emit(core, kind, Some(request), |_| {});
        Error::PolicyPanicked {
            policy: request.policy_label().to_string(),
            message,
        }
    }

    /// Whether a demand could ever be admitted; if not, the error.
    pub(crate) fn check_ever(
        &self,
        core: &mut Locked<'_>,
        demand: Demand<'_>,
    ) -> Result<(), Error> {
        let request = demand.request;
        if core.mode == WireMode::Uncoordinated {
            return Ok(());
        }
        if request.most() == Some(0) {
            return Err(Error::InvalidConfig {
                field: "at_most",
                reason: "0 would admit nothing; at least 1 must be allowed".to_owned(),
            });
        }
        let baseline = core.admission_baseline();
        let of_policy = self.capacity(core, request);
        let capacity = of_policy.into_iter().chain(core.config.budget).min();
        let over_budget = core
            .config
            .budget
            .is_some_and(|budget| request.bytes() > budget);
        let never = if over_budget {
            true
        } else if request.group().custom {
            let policy = request.policy();
            let context = self.context(core, baseline);
            let answer = core.unlocked(|| {
                user_code::call(self.address(), || {
                    policy.can_ever_admit(&context, request.bytes())
                })
            });
            !answer.map_err(|message| self.policy_panicked(core, request, message))?
        } else {
            let formula = request.formula().resolve(core.device_budget);
            formula.can_refuse() && request.bytes() >= formula.admitted(baseline)
        };
        if never || (request.is_pinned() && !self.leaves_own_room_alone(core, demand)?) {
            let budget_is_less = of_policy.is_none_or(|bytes| Some(bytes) >= core.config.budget);
            let wanted = request.bytes().saturating_add(request.room().bytes);
            let over_budget = core.config.budget.is_some_and(|budget| wanted > budget);
            let obstacle = if over_budget && budget_is_less {
                Obstacle::Budget
            } else if request.group().custom {
                // Whatever the pressure is.
                Obstacle::Policy
            } else {
                self.by_policy(core, request, wanted)
            };
            let mut contention = self.contention(core, request.group().index, None);
            contention.policy = request.policy_label().clone();
            return Err(Error::NeverAdmissible {
                size: request.bytes(),
                capacity,
                obstacle,
                contention,
            });
        }
        Ok(())
    }

    /// The most that the request's group may hold, where its policy tells.
    pub(crate) fn capacity(&self, core: &Core, request: &Request) -> Option<u64> {
        self.capacity_of(core, request.formula().resolve(core.device_budget))
    }

    /// The same of a formula.
    pub(crate) fn capacity_of(&self, core: &Core, formula: Resolved) -> Option<u64> {
        let admitted = formula.admitted(core.admission_baseline());
        formula.can_refuse().then(|| admitted.saturating_sub(1))
    }

    /// What is in use in the request's group, or in all groups if the budget over them leaves less.
    pub(crate) fn usage(&self, core: &Locked<'_>, request: &Request) -> Usage {
        let state = core.group(request.group().index);
        let of_group = Usage {
            in_use: state.shared.load().sum(),
            capacity: self.capacity(core, request),
            waiting: state.queue.len(),
            of_all: false,
        };
        let Some(budget) = core.config.budget else {
            return of_group;
        };
        let of_all = Usage {
            in_use: core.total_live(),
            capacity: Some(budget),
            waiting: core.queued() as usize,
            of_all: true,
        };
        if of_group.left() < of_all.left() {
            // The queue is that of all groups either way.
            return Usage {
                waiting: of_all.waiting,
                ..of_group
            };
        }
        of_all
    }
}

/// Whether few enough active guards of its group live for a new active demand.
pub(crate) fn is_below_most(core: &Core, demand: Demand<'_>) -> bool {
    let group = demand.request.group();
    let counts = demand.from.is_none() && core.mode != WireMode::Uncoordinated;
    let most = demand.request.most().filter(|_| counts);
    most.is_none_or(|most| group.active(group.load()) < u64::from(most))
}

/// Whether a demand that was in the queue is there still: else its guard may have gone with it.
fn is_in_question(core: &Core, demand: Demand<'_>) -> bool {
    demand
        .waiter
        .is_none_or(|waiter| core.group(demand.request.group().index).has_waiter(waiter))
}

/// What a demand meets, as errors tell it.
pub(crate) struct Usage {
    pub(crate) in_use: u64,
    pub(crate) capacity: Option<u64>,
    pub(crate) waiting: usize,
    /// Whether it is that of all groups, which the budget caps.
    pub(crate) of_all: bool,
}

impl Usage {
    fn left(&self) -> u64 {
        self.capacity
            .map_or(u64::MAX, |capacity| capacity.saturating_sub(self.in_use))
    }
}

/// The error of a demand that the state word cannot count.
pub(crate) fn group_full_error(what: GroupLimit, request: &Request) -> Error {
    Error::GroupFull {
        what,
        requested: request.bytes(),
        maximum: match what {
            GroupLimit::Bytes => MAX_SUM,
            GroupLimit::DrivingGuards => MAX_DRIVING,
        },
    }
}
