//! One manager, its backend, and what its threads know of each other.

use super::accounts::{Accounts, Claim};
use super::backend;
use super::clock::ShakyClock;
use super::custom::Custom;
use super::forms::{Form, Line};
use super::plan::Plan;
use super::turns::Passed;
use mlx_wired::ffi::{Outcome, RecordingBackend};
use mlx_wired::{Error, Manager, WireMode};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) manager: Manager,
    pub(crate) backend: Arc<RecordingBackend>,
    pub(crate) clock: ShakyClock,
    pub(crate) lines: Arc<Vec<Line>>,
    pub(crate) accounts: Arc<Accounts>,
    /// The manager was closed: set once `close` has returned.
    pub(crate) closed: AtomicBool,
    /// The setter and the policies misbehave no more.
    pub(crate) healed: Arc<AtomicBool>,
    /// What the setter saw that was wrong.
    pub(crate) wrong: Arc<Mutex<Vec<String>>>,
    pub(crate) passed: Passed,
}

impl World {
    pub(crate) fn new(plan: Plan) -> Arc<Self> {
        let accounts = Arc::new(Accounts::new(plan.forms.len()));
        let (healed, wrong) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let watch = backend::Watch::new(&plan, &accounts, &healed, &wrong);
        let backend = RecordingBackend::metal()
            .recommended(plan.recommended)
            .initial_limit(plan.initial)
            .fail_when({
                let watch = watch.clone();
                move |limit, before| watch.fails(limit, before)
            })
            .build();
        if plan.mode != WireMode::Auto {
            backend.forbid_calls();
        }
        let clock = ShakyClock::default();
        let manager = Manager::builder()
            .backend(backend.clone())
            .clock(clock.clone())
            .config(plan.config.clone())
            .build()
            .expect("the settings are valid");
        let lines = (0..plan.forms.len()).map(|index| Line::new(&manager, &plan, index));
        let lines: Arc<Vec<Line>> = Arc::new(lines.collect());
        watch.knows(&lines);
        for custom in customs(&plan) {
            custom.set_panicking(plan.panicking);
            if plan.calling_back {
                custom.call_back(&manager);
            }
        }
        Arc::new(Self {
            plan,
            manager,
            backend,
            clock,
            lines,
            accounts,
            closed: AtomicBool::new(false),
            healed,
            wrong,
            passed: Passed::default(),
        })
    }

    pub(crate) fn customs(&self) -> impl Iterator<Item = &Custom> {
        customs(&self.plan)
    }

    /// Ends all misbehaviour.
    pub(crate) fn heal(&self) {
        self.healed.store(true, Ordering::SeqCst);
        for custom in self.customs() {
            custom.set_panicking(false);
            custom.end();
        }
    }

    pub(crate) fn close(&self) {
        self.manager.close();
        self.closed.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_wired(&self) -> bool {
        self.plan.mode == WireMode::Auto
    }

    /// The limit in MLX; without one, the limit that would be.
    pub(crate) fn limit(&self) -> u64 {
        if self.is_wired() {
            self.backend.current_limit()
        } else {
            self.manager.applied()
        }
    }

    /// The baseline that every epoch ends with.
    pub(crate) fn baseline(&self) -> u64 {
        if self.is_wired() {
            self.plan.initial
        } else {
            0
        }
    }

    /// R6: until MLX has told it, nobody counts with the baseline. Called while nothing moves.
    pub(crate) fn learn_baseline(&self) {
        if self.has_set() {
            self.accounts.learn_baseline(self.baseline());
        }
    }

    /// Whether a call of the setter has succeeded.
    pub(crate) fn has_set(&self) -> bool {
        let calls = self.backend.calls();
        calls.iter().any(|call| call.outcome == Outcome::Applied)
    }

    /// What every limit is clamped to.
    pub(crate) fn bound(&self) -> u64 {
        if self.is_wired() {
            self.plan.recommended
        } else {
            u64::MAX
        }
    }

    /// R3, R4: the limit is at least what the guards call for that live all the while.
    #[track_caller]
    pub(crate) fn check_limit(&self, when: &str) {
        let began = self.accounts.began();
        let limit = self.limit();
        let needed = self.accounts.needed(&began, &self.lines);
        let needed = needed.min(self.bound());
        if limit < needed {
            let still = self.accounts.still(&began);
            panic!("R4: {when}: the limit is {limit}, but {needed} is needed by {still:?}");
        }
    }

    /// R1, R25: counts a guard that an acquire has returned.
    #[track_caller]
    pub(crate) fn begin(&self, claim: Claim) {
        let (of_line, of_all) = self.accounts.begin(claim);
        let form = &self.lines[claim.line].form;
        let most = form.most().unwrap_or(u64::MAX);
        assert!(of_line <= most, "R1: {of_line} bytes live under {form:?}");
        let budget = self.plan.budget.unwrap_or(u64::MAX);
        assert!(of_all <= budget, "R25: {of_all} bytes live, of {budget}");
    }

    /// Whether an acquire or a resize may fail like that.
    #[track_caller]
    pub(crate) fn check_error(&self, claim: Claim, error: &Error) {
        let plan = &self.plan;
        let form = &self.lines[claim.line].form;
        let expected = match error {
            Error::Timeout { .. } | Error::WouldBlock { .. } | Error::Cancelled { .. } => true,
            // Whether it is a circle, no observer can tell; who holds nothing else is in none. A policy that changes
            // its mind while it is asked about one may make two that wait for each other look like one.
            Error::WouldDeadlock { .. } => plan.nests || matches!(form, Form::Custom(_)),
            Error::NeverAdmissible { size, .. } => {
                let room = if claim.driving {
                    0
                } else {
                    plan.room(claim.line)
                };
                let resident = plan.room(claim.line);
                size + room.max(resident) > plan.always(claim.line)
            }
            Error::NoRoom { .. } => (plan.holds && plan.stays) || plan.leaking,
            Error::SetLimit { .. } => plan.failing > 0,
            Error::PolicyPanicked { .. } => plan.panicking && matches!(form, Form::Custom(_)),
            Error::Closed => plan.closing,
            _ => false,
        };
        assert!(expected, "{claim:?} under {form:?} failed: {error:?}");
    }
}

fn customs(plan: &Plan) -> impl Iterator<Item = &Custom> {
    plan.forms.iter().filter_map(|form| match form {
        Form::Custom(custom) => Some(custom),
        _ => None,
    })
}
