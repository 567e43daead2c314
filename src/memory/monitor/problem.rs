//! What is wrong, and what to do about it.

use super::growth::Grows;
use super::reading::{Look, Reading};
use super::statistics::Statistics;
use crate::print::{Bytes, Name, Place};
use crate::snapshot::WaitReason;
use crate::{Config, Holder, HolderState, PressureLevel, Waiter};
use std::cmp::Reverse;
use std::fmt;
use std::time::Duration;

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// It becomes worse if nothing is done.
    Warning,
    /// Work fails or stands still.
    Error,
}

impl Severity {
    /// In a word, as it is written in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Something that is wrong, and its cure. Names in it are escaped. Prints as one line.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Problem {
    /// What kind it is; it stays the same from version to version, where the text may not: `over-budget`, `near-budget`,
    /// `pressure`, `stalled-wait`, `growth`, `lost-guards`, `unreadable`.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub text: String,
    /// What to do.
    pub cure: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.text, self.cure)
    }
}

/// What is wrong, the worst first.
pub(super) fn problems(look: &Look, seen: &Statistics, config: &Config) -> Vec<Problem> {
    let stalled = config.stall_after.and_then(|after| stalled(look, after));
    let all = [
        over_budget(look),
        stalled,
        unreadable(look),
        growth(look, seen),
        near_budget(look),
        pressure(look),
        lost(look),
    ];
    let mut problems: Vec<_> = all.into_iter().flatten().collect();
    problems.sort_by_key(|problem| Reverse(problem.severity));
    problems
}

fn problem(
    id: &'static str,
    severity: Severity,
    text: String,
    cure: impl Into<String>,
) -> Option<Problem> {
    Some(Problem {
        id,
        severity,
        text,
        cure: cure.into(),
    })
}

fn over_budget(look: &Look) -> Option<Problem> {
    let reading = look.reading.as_ref().ok()?;
    let budget = reading.budget.filter(|budget| reading.used > *budget)?;
    problem(
        "over-budget",
        Severity::Error,
        format!("{} in use of {}", Bytes(reading.used), Bytes(budget)),
        "drop arrays, take smaller batches, or let fewer threads work at once",
    )
}

fn near_budget(look: &Look) -> Option<Problem> {
    let reading = look.reading.as_ref().ok()?;
    let budget = reading.budget.filter(|budget| reading.used <= *budget)?;
    if reading.level == PressureLevel::Normal {
        return None;
    }
    let (used, budget) = (Bytes(reading.used), Bytes(budget));
    problem(
        "near-budget",
        Severity::Warning,
        format!("{}: {used} in use of {budget}", reading.level),
        "take smaller batches, or let fewer threads work at once",
    )
}

fn pressure(look: &Look) -> Option<Problem> {
    let level = look.snapshot.level;
    if level == PressureLevel::Normal {
        return None;
    }
    problem(
        "pressure",
        Severity::Warning,
        format!("the pressure on memory is {level}"),
        "give caches back, or end other programs",
    )
}

/// The wait that has stood longest, if it has for long.
fn stalled(look: &Look, after: Duration) -> Option<Problem> {
    let waiters = &look.snapshot.waiters;
    let stalled = waiters.iter().filter(|waiter| waiter.waited >= after);
    // The waiters at the head of a queue: the others wait for them.
    let waiter = stalled.min_by_key(|waiter| (waiter.position, waiter.since))?;
    let name = name_of(waiter);
    let (bytes, waited) = (Bytes(waiter.bytes), waiter.waited);
    let text = format!(
        "{name} has waited {waited:.0?} for {bytes} at {}: {}",
        Place(waiter.place),
        waiter.why
    );
    problem("stalled-wait", Severity::Error, text, cure(look, waiter))
}

fn name_of(waiter: &Waiter) -> Name<'_> {
    Name::cut(waiter.label.as_ref().unwrap_or(&waiter.policy), 40)
}

fn cure(look: &Look, waiter: &Waiter) -> String {
    match waiter.why {
        WaitReason::Delayed { .. } | WaitReason::Pressure(_) => {
            "it is admitted when memory is less scarce: give caches back, or end other programs"
                .to_owned()
        }
        WaitReason::Policy => "its policy is the program's own: see what it waits for".to_owned(),
        _ => {
            let in_the_way = look.snapshot.guards.iter().filter(|guard| {
                matches!(waiter.why, WaitReason::Budget { .. }) || guard.group == waiter.group
            });
            match in_the_way.max_by_key(|guard| guard.bytes) {
                Some(guard) => format!("release {}, or ask for less", holder(guard)),
                None => "ask for less".to_owned(),
            }
        }
    }
}

fn holder(guard: &Holder) -> String {
    let name = Name::cut(guard.label.as_ref().unwrap_or(&guard.policy), 40);
    let (bytes, place) = (Bytes(guard.bytes), Place(guard.place));
    format!("{name} ({bytes}, acquired at {place})")
}

fn growth(look: &Look, seen: &Statistics) -> Option<Problem> {
    let growth = seen.growth?;
    let (rate, within) = (Bytes(growth.per_second()), growth.within);
    let (what, cure) = match growth.what {
        Grows::Arrays => (
            "live arrays grow",
            "look for arrays that are kept or not evaluated (`leak_check`, `train::Run`)",
        ),
        Grows::Outside => (
            "memory outside MLX grows",
            "look for what the program keeps itself: samples, logs, queues",
        ),
    };
    let left = look.reading.as_ref().ok().and_then(Reading::left);
    let left = left.and_then(|left| growth.lasts(left));
    let mut text = format!("{what} {rate} a second for {within:.0?}");
    if let Some(left) = left {
        text.push_str(&format!("; the budget lasts {left:.0?} more"));
    }
    problem("growth", Severity::Warning, text, cure)
}

fn lost(look: &Look) -> Option<Problem> {
    let guards = look.snapshot.guards.iter();
    let lost = guards.filter(|guard| guard.state == HolderState::Forgotten);
    let (count, bytes) = lost.fold((0_u64, 0_u64), |(count, bytes), guard| {
        (count + 1, bytes.saturating_add(guard.bytes))
    });
    if count == 0 {
        return None;
    }
    let plural = if count == 1 { "" } else { "s" };
    problem(
        "lost-guards",
        Severity::Warning,
        format!(
            "{count} guard{plural} of {} can no longer be released",
            Bytes(bytes)
        ),
        "let guards go out of scope instead of forgetting them",
    )
}

fn unreadable(look: &Look) -> Option<Problem> {
    let error = look.reading.as_ref().err()?.to_string();
    problem(
        "unreadable",
        Severity::Error,
        format!("MLX's counters cannot be read: {}", Name::new(&error)),
        "end the program and see what MLX said before",
    )
}
