//! Compares what a trace did here with its recording, step by step.

use crate::baseline;
use crate::differences::{Counts, Difference};
use crate::ledger::Ledger;
use crate::player::{self, Observed, Played};
use crate::recording::{self, Limits};
use crate::trace::{Action, Header, Kind, Set, Step, Told, Trace};
use std::fmt;

/// The first step that differs in more than is intended.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) step: usize,
    what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {}: {}", self.step, self.what)
    }
}

/// Plays `trace` and compares.
pub(crate) fn replay(trace: &Trace, differences: &mut Counts) -> Result<(), Failure> {
    compare(trace, &player::play(trace), differences)
}

pub(crate) fn compare(
    trace: &Trace,
    played: &Played,
    differences: &mut Counts,
) -> Result<(), Failure> {
    let mut before = Ledger::new(&trace.header);
    for (index, (step, observed)) in trace.steps.iter().zip(&played.steps).enumerate() {
        let after = before.after(step, observed.applied);
        let mut pair = Pair {
            header: &trace.header,
            step,
            observed,
            before: &before,
            after: &after,
            differences,
        };
        pair.compare().map_err(|what| Failure {
            step: index,
            what: format!("{what}\n  recorded {step:?}\n  here {observed:?}"),
        })?;
        before = after;
    }
    match &played.stopped {
        None => Ok(()),
        Some(what) => Err(Failure {
            step: played.steps.len(),
            what: what.clone(),
        }),
    }
}

/// A recorded step and what it did here.
pub(crate) struct Pair<'a> {
    pub(crate) header: &'a Header,
    pub(crate) step: &'a Step,
    pub(crate) observed: &'a Observed,
    pub(crate) before: &'a Ledger,
    pub(crate) after: &'a Ledger,
    pub(crate) differences: &'a mut Counts,
}

impl Pair<'_> {
    fn compare(&mut self) -> Result<(), String> {
        let (step, observed) = (self.step, self.observed);
        same("the applied limit", &step.applied, &observed.applied)?;
        let limits = recording::check(step, self.before, self.header)?;
        self.compare_returned(&limits)?;
        self.compare_calls()?;
        self.compare_events(&limits)?;
        baseline::compare(self)
    }

    fn hands_over(&self) -> bool {
        self.step.admitted.is_some()
    }

    fn compare_returned(&mut self, limits: &Limits) -> Result<(), String> {
        let (step, observed) = (self.step, self.observed);
        same(
            "what the admitted one returned",
            &step.admitted_returned,
            &observed.admitted_returned,
        )?;
        if !self.hands_over() {
            return same("what it returned", &step.returned, &observed.returned);
        }
        // The one that left returned before the other was let in; here both are one change.
        let entry = recording::entry(step).ok_or("nobody is let in")?;
        let left = limits.before_event(entry, self.before);
        same(
            "what the one that left returned",
            &step.returned,
            &Some(left),
        )?;
        same(
            "what a hand-over returns",
            &Some(step.applied),
            &observed.returned,
        )?;
        self.differences.note(Difference::HandOver);
        Ok(())
    }

    fn compare_calls(&mut self) -> Result<(), String> {
        let [recorded, here] = [&self.step.setter, &self.observed.setter].map(|calls| {
            let (redundant, needed): (Vec<Set>, Vec<Set>) =
                calls.iter().partition(|call| call.is_redundant());
            for _ in redundant {
                self.differences.note(Difference::RedundantCall);
            }
            needed
                .into_iter()
                .partition::<Vec<Set>, _>(|call| call.succeeded)
        });
        let ((recorded, recorded_failures), (here, failures)) = (recorded, here);
        if self.hands_over() && recorded != here {
            let change = Set {
                limit: self.after.in_force,
                previous: self.before.in_force,
                succeeded: true,
            };
            let once = [change].into_iter().filter(|change| !change.is_redundant());
            same("calls", &once.collect(), &here)?;
        } else {
            same("calls", &recorded, &here)?;
        }
        if recorded_failures != failures {
            self.differences.note(Difference::Retries);
        }
        let twice = failures
            .iter()
            .enumerate()
            .any(|(index, call)| failures[..index].contains(call));
        if twice {
            return Err(format!("one set was tried twice in a step: {failures:?}"));
        }
        Ok(())
    }

    /// All events but the baseline's.
    fn compare_events(&mut self, limits: &Limits) -> Result<(), String> {
        let retries = {
            let failed = |calls: &[Set]| calls.iter().filter(|call| !call.succeeded).count();
            failed(&self.step.setter) != failed(&self.observed.setter)
        };
        let mut recorded = Vec::new();
        for (index, event) in self.step.events.iter().enumerate() {
            let excuse = match event.kind {
                Kind::BaselineCaptured | Kind::BaselineRestored => continue,
                Kind::LimitApplyFailed if retries => continue,
                Kind::LimitApplied if limits.is_redundant(index, self.before) => {
                    // Counted with its call, unless there is none.
                    (!self.header.supported).then_some(Difference::RedundantCall)
                }
                Kind::AdmissionWait if self.step.action == Action::End => {
                    Some(Difference::RepeatedWait)
                }
                _ => {
                    recorded.push(event);
                    continue;
                }
            };
            if let Some(difference) = excuse {
                self.differences.note(difference);
            }
        }
        let mut in_force = self.before.in_force;
        let mut here = Vec::new();
        for event in &self.observed.events {
            let redundant = event.applied == Some(in_force);
            match event.kind {
                Kind::BaselineCaptured | Kind::BaselineRestored => continue,
                Kind::LimitApplied if redundant => continue,
                Kind::LimitApplyFailed if retries => continue,
                Kind::LimitApplied => in_force = event.applied.unwrap_or(in_force),
                _ => {}
            }
            here.push(event);
        }
        if self.hands_over() && !all_tell(&recorded, &here) {
            return self.compare_hand_over(&recorded, &here);
        }
        all_tell(&recorded, &here)
            .then_some(())
            .ok_or_else(|| format!("events\n  recorded {recorded:?}\n  here {here:?}"))
    }

    /// The tickets' own events, the limit computed at last, and the one change.
    fn compare_hand_over(&self, recorded: &[&Told], here: &[&Told]) -> Result<(), String> {
        let own = |events: &[&Told]| -> Vec<Told> {
            let own = events.iter().filter(|event| event.ticket.is_some());
            own.copied().cloned().collect()
        };
        let (their_own, our_own) = (own(recorded), own(here));
        if !all_tell(&refs(&their_own), &refs(&our_own)) {
            return Err(format!(
                "events\n  recorded {their_own:?}\n  here {our_own:?}"
            ));
        }
        let entered = recorded
            .iter()
            .rposition(|event| event.kind == Kind::TicketStarted);
        let computed = |event: &&&Told| event.kind == Kind::LimitComputed;
        let theirs = recorded[entered.unwrap_or(0)..].iter().rfind(computed);
        let ours = here.iter().rfind(computed);
        match (theirs, ours) {
            (None, None) => {}
            (Some(theirs), Some(ours)) if tells(theirs, ours) => {}
            _ => return Err(format!("computed {theirs:?}, here {ours:?}")),
        }
        for event in here.iter().filter(|event| event.kind == Kind::LimitApplied) {
            let counts = (event.live, event.waiters);
            same(
                "counts",
                &(self.after.live(), self.after.waiters()),
                &counts,
            )?;
            same("applied", &Some(self.after.in_force), &event.applied)?;
        }
        Ok(())
    }
}

fn refs(events: &[Told]) -> Vec<&Told> {
    events.iter().collect()
}

fn all_tell(recorded: &[&Told], here: &[&Told]) -> bool {
    recorded.len() == here.len() && recorded.iter().zip(here).all(|(r, h)| tells(r, h))
}

/// Whether we tell all that is recorded. What the recording leaves out, we may tell.
pub(crate) fn tells(recorded: &Told, here: &Told) -> bool {
    let told = |recorded: Option<u64>, here| recorded.is_none() || recorded == here;
    recorded.kind == here.kind
        && told(recorded.ticket, here.ticket)
        && told(recorded.size, here.size)
        && told(recorded.baseline, here.baseline)
        && told(recorded.desired, here.desired)
        && told(recorded.applied, here.applied)
        && (recorded.live, recorded.waiters) == (here.live, here.waiters)
}

pub(crate) fn same<T: PartialEq + fmt::Debug>(
    what: &str,
    recorded: &T,
    here: &T,
) -> Result<(), String> {
    if recorded == here {
        return Ok(());
    }
    Err(format!("{what}: recorded {recorded:?}, here {here:?}"))
}
