//! Snapshots for people.

use super::holder::{Holder, HolderState};
use super::{
    BaselineSource, Ceiling, CeilingSource, Contention, Group, Owed, Snapshot, WaitTimes, Waiter,
};
use crate::mode::WireMode;
use crate::print::{Bytes, Name, Place, ThreadLabel};
use std::fmt;

/// How many guards and waiters of a group are printed.
const PRINTED: usize = 20;

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.limits(f)?;
        writeln!(f, "{}", self.owed)?;
        writeln!(
            f,
            "live      {} in {}, {} waiting",
            Bytes(self.live_bytes),
            Count(self.live, "guard"),
            self.waiters.len()
        )?;
        if self.uncovered > 0 {
            writeln!(
                f,
                "          {} admitted and not covered by the limit yet",
                self.uncovered
            )?;
        }
        for group in &self.groups {
            self.group(f, group)?;
        }
        if !self.guards_add_up {
            writeln!(
                f,
                "(guards came and went meanwhile: the list does not add up)"
            )?;
        }
        self.totals(f)
    }
}

impl Snapshot {
    fn limits(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = match self.mode {
            WireMode::Auto => "the limit is set where it has an effect",
            WireMode::Never => "the limit is never set",
            WireMode::Uncoordinated => {
                "nothing is coordinated: everything is admitted, the limit is never set"
            }
        };
        let closed = if self.closed { "; closed" } else { "" };
        write!(f, "mode      {mode}")?;
        if let Some(value) = &self.environment {
            write!(
                f,
                ", since the environment has MLX_WIRED={}",
                Name::new(value)
            )?;
        }
        writeln!(f, "; wired memory is {}{closed}", self.support)?;
        let setting = if self.setting { ", being decided" } else { "" };
        writeln!(
            f,
            "limit     {} applied, {} desired{setting}",
            Bytes(self.applied),
            Bytes(self.desired)
        )?;
        match &self.ceiling {
            Some(ceiling) => writeln!(f, "ceiling   {ceiling}")?,
            None => writeln!(f, "ceiling   none")?,
        }
        let source = match self.baseline_source {
            BaselineSource::Mlx => "MLX's answer",
            BaselineSource::Override => "configured",
            BaselineSource::Assumed => "assumed until MLX tells",
        };
        write!(f, "baseline  {}, {source}; ", Bytes(self.baseline))?;
        match self.epoch {
            Some(number) => writeln!(f, "epoch {number}")?,
            None => writeln!(f, "no epoch")?,
        }
        if let Some(budget) = self.budget {
            writeln!(f, "budget    {} over all groups", Bytes(budget))?;
        }
        if self.pressure > 0.0 {
            write!(f, "pressure  {:.2}, {}", self.pressure, self.level)?;
            if self.share < 1.0 {
                let percent = 100.0 * self.share;
                write!(
                    f,
                    "; {percent:.0} % of caps and budget count for new demands"
                )?;
            }
            writeln!(f)?;
        }
        Ok(())
    }

    fn group(&self, f: &mut fmt::Formatter<'_>, group: &Group) -> fmt::Result {
        writeln!(f, "{group}")?;
        let guards = self
            .guards
            .iter()
            .filter(|guard| guard.group == group.number);
        for guard in guards.clone().take(PRINTED) {
            writeln!(f, "  {guard}")?;
        }
        more(f, guards.count())?;
        let waiters = self
            .waiters
            .iter()
            .filter(|waiter| waiter.group == group.number);
        for waiter in waiters.clone().take(PRINTED) {
            writeln!(f, "  waits: {waiter}")?;
        }
        more(f, waiters.count())
    }

    fn totals(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stats = &self.stats;
        writeln!(
            f,
            "setter    {}, {} failed, {} clamped, {} coalesced, {} foreign",
            Count(stats.setter_calls, "call"),
            stats.setter_failures,
            stats.clamped,
            stats.coalesced,
            stats.foreign_changes
        )?;
        writeln!(
            f,
            "admission {} under the lock, {} after a wait; {} timed out, {} cancelled, {} stalled",
            stats.admissions,
            self.wait_times.count,
            stats.timeouts,
            stats.cancellations,
            stats.stalls
        )?;
        write!(f, "waits     {}", self.wait_times)
    }
}

fn more(f: &mut fmt::Formatter<'_>, count: usize) -> fmt::Result {
    match count.checked_sub(PRINTED) {
        None | Some(0) => Ok(()),
        Some(more) => writeln!(f, "  and {more} more"),
    }
}

impl fmt::Display for Ceiling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", Bytes(self.bytes))?;
        match self.source {
            CeilingSource::Recommended {
                recommended,
                margin: 0,
            } => write!(f, "MLX recommends {}", Bytes(recommended)),
            CeilingSource::Recommended {
                recommended,
                margin,
            } => write!(
                f,
                "MLX recommends {}, less a margin of {}",
                Bytes(recommended),
                Bytes(margin)
            ),
            CeilingSource::Memory {
                memory_size,
                reserve: 0,
            } => write!(f, "below the memory of {}", Bytes(memory_size)),
            CeilingSource::Memory {
                memory_size,
                reserve,
            } => write!(
                f,
                "a memory of {}, less a reserve of {}",
                Bytes(memory_size),
                Bytes(reserve)
            ),
        }
    }
}

impl fmt::Display for Owed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("owed      ")?;
        let owed = [
            ("a shrink", self.shrink_in),
            ("the end of linger", self.restore_in),
            ("another try of a failed call", self.retry_in),
        ];
        let mut separator = "";
        for (what, due) in owed {
            let Some(due) = due else { continue };
            write!(f, "{separator}{what} in {due:.1?}")?;
            separator = ", ";
        }
        if separator.is_empty() {
            f.write_str("nothing")?;
        }
        Ok(())
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Name::new(&self.policy))?;
        if let Some(name) = &self.name {
            write!(f, " {}", Name::new(name))?;
        }
        write!(f, ": {}", Bytes(self.bytes))?;
        if let Some(capacity) = self.capacity {
            write!(f, " of {}", Bytes(capacity))?;
        }
        write!(f, " in {}", Count(self.guards, "guard"))?;
        if self.reservations > 0 {
            write!(f, " ({} reserved)", self.reservations)?;
        }
        write!(
            f,
            ", calls for {}, {} waiting",
            Bytes(self.limit),
            self.waiting
        )
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.label.as_ref().unwrap_or(&self.policy);
        write!(
            f,
            "{} {} at {} on {}",
            Bytes(self.bytes),
            Name::new(name),
            Place(self.place),
            ThreadLabel(self.thread_name.as_deref(), self.thread)
        )?;
        if let Some(age) = self.age {
            write!(f, " for {age:.1?}")?;
        }
        match self.state {
            HolderState::Held => Ok(()),
            HolderState::Leaked => f.write_str(", leaked"),
            HolderState::Forgotten => f.write_str(", forgotten: its owner is gone"),
        }
    }
}

impl fmt::Display for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.label.as_ref().unwrap_or(&self.policy);
        write!(
            f,
            "{} {} at {} on {} since {:.1?}",
            Bytes(self.bytes),
            Name::new(name),
            Place(self.place),
            ThreadLabel(self.thread_name.as_deref(), self.thread),
            self.waited
        )?;
        if let Some(held) = self.held {
            write!(f, ", holding {}", Bytes(held))?;
        }
        match self.position {
            0 => write!(f, ", first: {}", self.why),
            before => write!(f, ", {before} before it"),
        }
    }
}

impl fmt::Display for WaitTimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.count == 0 {
            return f.write_str("none");
        }
        write!(
            f,
            "mean {:.1?}, median {:.1?}, 90 % {:.1?}, 99 % {:.1?}, longest {:.1?}",
            self.mean, self.median, self.p90, self.p99, self.longest
        )
    }
}

/// For the end of an error's message: the holders, then the queue.
impl fmt::Display for Contention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        list(f, "held", &self.holders, self.guards)?;
        if !self.holders.is_empty() && !self.queue.is_empty() {
            f.write_str("; ")?;
        }
        list(f, "waiting", &self.queue, self.waiting)
    }
}

fn list(
    f: &mut fmt::Formatter<'_>,
    what: &str,
    listed: &[impl fmt::Display],
    all: usize,
) -> fmt::Result {
    for (n, item) in listed.iter().enumerate() {
        let separator = if n == 0 { ": " } else { ", " };
        let what = if n == 0 { what } else { "" };
        write!(f, "{what}{separator}{item}")?;
    }
    match all.checked_sub(listed.len()) {
        Some(more) if more > 0 && !listed.is_empty() => write!(f, " and {more} more"),
        _ => Ok(()),
    }
}

/// A number of things.
struct Count(u64, &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0 == 1 { "" } else { "s" };
        write!(f, "{} {}{plural}", self.0, self.1)
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_is_owed_is_told_in_words() {
        let owed = Owed {
            shrink_in: Some(Duration::from_millis(300)),
            restore_in: Some(Duration::from_secs(2)),
            retry_in: None,
        };
        assert_eq!(
            owed.to_string(),
            "owed      a shrink in 300.0ms, the end of linger in 2.0s"
        );
        assert_eq!(Owed::default().to_string(), "owed      nothing");
    }
}
