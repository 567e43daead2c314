//! What is still held when a recording ends.

use super::{End, Interval, Recording, What};
use crate::print::Bytes;
use crate::{Holder, HolderState};
use std::fmt;
use std::time::Duration;

/// What is still held, by which thread and since when. Prints for people.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LeakReport {
    /// Every guard that still lives, the largest first.
    pub outstanding: Vec<Outstanding>,
}

/// A guard that still lives.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Outstanding {
    /// What is held, where and by which thread.
    pub holder: Holder,
    /// How long it has been held. If only a part of that was recorded, at least this long.
    #[cfg_attr(feature = "serde", serde(with = "crate::serialize::duration"))]
    pub held_for: Duration,
    /// Whether it was acquired before the recording began, or before what is left of it.
    pub older: bool,
}

impl LeakReport {
    /// The bytes that can never be released: of forgotten and leaked guards.
    #[must_use]
    pub fn lost_bytes(&self) -> u64 {
        let lost = self.outstanding.iter().map(|it| &it.holder);
        lost.filter(|holder| holder.state != HolderState::Held)
            .fold(0, |sum, holder| sum.saturating_add(holder.bytes))
    }
}

impl Recording {
    /// What is still held at the end, whether it can yet be released, or was leaked or forgotten. Empty if the manager is
    /// gone.
    #[must_use]
    pub fn leaks(&self) -> LeakReport {
        self.leaks_of(&self.intervals())
    }

    pub(super) fn leaks_of(&self, intervals: &[Interval]) -> LeakReport {
        let mut open: Vec<&Interval> = intervals
            .iter()
            .filter(|it| it.what == What::Guard && it.end == End::Open)
            .collect();
        let holders = self.at_end.as_ref().map_or(&[][..], |state| &state.guards);
        let outstanding = holders.iter().map(|holder| {
            let recorded = open
                .iter()
                .position(|it| it.ticket == holder.ticket && it.thread == holder.thread)
                .map(|index| open.swap_remove(index));
            let known = recorded.is_some_and(|interval| interval.begin_known);
            // Which of two alike has gone to another thread and ended there, the events do not tell.
            let is_recent = holder.age.is_some_and(|age| age <= self.duration());
            let older = !known && !is_recent;
            let seen = match recorded {
                Some(interval) if !older => interval.duration(),
                _ => self.duration(),
            };
            Outstanding {
                holder: holder.clone(),
                held_for: holder.age.unwrap_or(seen),
                older,
            }
        });
        LeakReport {
            outstanding: outstanding.collect(),
        }
    }
}

impl fmt::Display for LeakReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.outstanding.is_empty() {
            return f.write_str("nothing is held");
        }
        let sections = [
            (
                HolderState::Forgotten,
                "forgotten, no thread can release it",
            ),
            (HolderState::Leaked, "leaked on purpose"),
            (HolderState::Held, "still held"),
        ];
        let mut first = true;
        for (state, title) in sections {
            let of_state = || {
                let all = self.outstanding.iter();
                all.filter(move |it| it.holder.state == state)
            };
            if of_state().next().is_none() {
                continue;
            }
            let bytes = of_state().fold(0_u64, |sum, it| sum.saturating_add(it.holder.bytes));
            let newline = if first { "" } else { "\n" };
            write!(f, "{newline}{title}: {}", Bytes(bytes))?;
            for guard in of_state() {
                write!(f, "\n  {guard}")?;
            }
            first = false;
        }
        Ok(())
    }
}

impl fmt::Display for Outstanding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut holder = self.holder.clone();
        // Told below, and in the section's title.
        holder.age = None;
        holder.state = HolderState::Held;
        let at_least = if self.older { "at least " } else { "" };
        write!(f, "{holder}, held for {at_least}{:.1?}", self.held_for)
    }
}
