//! All that a monitor knows, as one line of JSON.
//!
//! Names are escaped as people see them, so that a viewer need not do it.

use super::problem::Problem;
use super::reading::{Look, Reading};
use super::shared::Shared;
use super::statistics::{Extent, Statistics};
use super::watched::{Pool, Reactions};
use super::{Grows, Monitor};
use crate::memory::Error;
use crate::print::{Name, Place};
use crate::{Holder, HolderState, Kind, Waiter, snapshot};
use serde::Serialize;
use std::fmt::Display;

/// How many of a list are told, the most important first.
const LISTED: usize = 10;

impl Monitor {
    /// All that is known now as one line of JSON, without the line's end: what [`serve`](Self::serve) tells. A log may have
    /// it, too.
    ///
    /// `schema` is 1. Fields are only added; sizes are bytes, times seconds; what is not known is `null`. Of guards, waiters,
    /// groups and registered bytes the first ten are listed. `docs/MEMORY.md` has the list of fields.
    ///
    /// # Errors
    ///
    /// [`Error::Coordinator`] in a forked child, and nothing else: if MLX's counters cannot be read, the line says that.
    ///
    /// # Blocking
    ///
    /// As [`read`](Self::read).
    pub fn line(&self) -> Result<String, Error> {
        self.shared.source.check()?;
        Ok(self.shared.line())
    }
}

#[derive(Serialize)]
struct Line {
    schema: u32,
    program: String,
    pid: u32,
    version: &'static str,
    mlx: Option<String>,
    device: Device,
    uptime_seconds: f64,
    /// The monitor's own level.
    level: String,
    /// The manager's.
    pressure: String,
    fraction: Option<f64>,
    memory: Option<Memory>,
    problems: Vec<Wrong>,
    guards_live: u64,
    guards_bytes: u64,
    guards: Vec<Guard>,
    waiting: usize,
    oldest_wait_seconds: f64,
    waiters: Vec<Wait>,
    waits: Waits,
    groups: Vec<Group>,
    uncounted: Vec<Uncounted>,
    pools: Vec<Pool>,
    reactions: Option<Reactions>,
    counters: Counters,
    seen: Seen,
}

#[derive(Serialize)]
struct Device {
    kind: String,
    name: Option<String>,
}

#[derive(Serialize)]
struct Memory {
    active: u64,
    cache: u64,
    peak: u64,
    footprint: Option<u64>,
    limit: u64,
    memory_limit: u64,
    budget: Option<u64>,
    uncounted: u64,
    used: u64,
}

#[derive(Serialize)]
struct Wrong {
    id: &'static str,
    severity: &'static str,
    text: String,
    cure: String,
}

#[derive(Serialize)]
struct Guard {
    label: Option<String>,
    policy: String,
    kind: String,
    state: &'static str,
    bytes: u64,
    place: String,
    thread: Option<String>,
    age_seconds: Option<f64>,
}

#[derive(Serialize)]
struct Wait {
    label: Option<String>,
    policy: String,
    kind: String,
    bytes: u64,
    place: String,
    thread: Option<String>,
    waited_seconds: f64,
    why: String,
}

#[derive(Serialize)]
struct Waits {
    count: u64,
    mean_seconds: f64,
    median_seconds: f64,
    p99_seconds: f64,
    longest_seconds: f64,
}

#[derive(Serialize)]
struct Group {
    group: usize,
    name: String,
    guards: u64,
    bytes: u64,
    capacity: Option<u64>,
    waiting: usize,
}

#[derive(Serialize)]
struct Uncounted {
    name: String,
    bytes: u64,
    live: u64,
}

#[derive(Serialize)]
struct Counters {
    setter_calls: u64,
    setter_failures: u64,
    admissions: u64,
    waits: u64,
    timeouts: u64,
    cancellations: u64,
    stalls: u64,
}

#[derive(Serialize)]
struct Seen {
    readings: u64,
    failures: u64,
    used: Range,
    active: Range,
    cache: Range,
    footprint: Option<Range>,
    rises: u64,
    falls: u64,
    seconds_at: [f64; 4],
    cleanups: u64,
    cleaned_cache: u64,
    cleaned_functions: u64,
    growth: Option<Growing>,
}

#[derive(Serialize)]
struct Range {
    least: u64,
    most: u64,
    mean: u64,
}

#[derive(Serialize)]
struct Growing {
    what: &'static str,
    bytes: u64,
    seconds: f64,
    bytes_per_second: u64,
}

impl Shared {
    pub(super) fn line(&self) -> String {
        let look = self.read_and_note();
        let problems = self.problems(&look);
        let line = Line::new(self, &look, problems);
        serde_json::to_string(&line).expect("it has no maps whose keys are not text")
    }
}

impl Line {
    fn new(shared: &Shared, look: &Look, problems: Vec<Problem>) -> Self {
        let snapshot = &look.snapshot;
        let reading = look.reading.as_ref().ok();
        let manager = &shared.source.manager;
        let seen = shared.statistics();
        let uptime = shared.source.clock.now();
        let uptime = uptime.saturating_duration_since(shared.page.started);
        let version = super::caught::caught(|| Ok(manager.backend().version()));
        let waited = snapshot.waiters.iter().map(|waiter| waiter.waited).max();
        Self {
            schema: 1,
            program: name(&shared.page.program),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION"),
            mlx: version.ok().flatten().as_deref().map(name),
            device: Device {
                kind: manager.device().kind.to_string(),
                name: manager.device().name.as_deref().map(name),
            },
            uptime_seconds: uptime.as_secs_f64(),
            level: reading.map_or(seen.last.level, |it| it.level).to_string(),
            pressure: snapshot.level.to_string(),
            fraction: reading.and_then(|it| it.fraction),
            memory: reading.map(Memory::of),
            problems: problems.into_iter().map(Wrong::of).collect(),
            guards_live: snapshot.live,
            guards_bytes: snapshot.live_bytes,
            guards: listed(&snapshot.guards, Guard::of),
            waiting: snapshot.waiters.len(),
            oldest_wait_seconds: waited.unwrap_or_default().as_secs_f64(),
            waiters: listed(&snapshot.waiters, Wait::of),
            waits: Waits::of(&snapshot.wait_times),
            groups: listed(&snapshot.groups, Group::of),
            uncounted: listed(&shared.source.uncounted.list(), |it| Uncounted {
                name: name(&it.name),
                bytes: it.bytes,
                live: it.live,
            }),
            pools: shared
                .source
                .watched
                .pools()
                .into_iter()
                .take(LISTED)
                .collect(),
            reactions: shared.source.watched.reactions(),
            counters: Counters {
                setter_calls: snapshot.stats.setter_calls,
                setter_failures: snapshot.stats.setter_failures,
                admissions: snapshot.stats.admissions,
                waits: snapshot.stats.waits,
                timeouts: snapshot.stats.timeouts,
                cancellations: snapshot.stats.cancellations,
                stalls: snapshot.stats.stalls,
            },
            seen: Seen::of(&seen),
        }
    }
}

fn listed<T, L>(all: &[T], list: impl Fn(&T) -> L) -> Vec<L> {
    all.iter().take(LISTED).map(list).collect()
}

fn name(text: impl AsRef<str>) -> String {
    Name::new(text.as_ref()).to_string()
}

fn kind(kind: Kind) -> String {
    format!("{kind:?}").to_lowercase()
}

fn place(place: impl Display) -> String {
    place.to_string()
}

impl Memory {
    fn of(reading: &Reading) -> Self {
        Self {
            active: reading.active,
            cache: reading.cache,
            peak: reading.peak,
            footprint: reading.footprint,
            limit: reading.limit,
            memory_limit: reading.memory_limit,
            budget: reading.budget,
            uncounted: reading.uncounted,
            used: reading.used,
        }
    }
}

impl Wrong {
    fn of(problem: Problem) -> Self {
        Self {
            id: problem.id,
            severity: problem.severity.name(),
            text: problem.text,
            cure: problem.cure,
        }
    }
}

impl Guard {
    fn of(guard: &Holder) -> Self {
        Self {
            label: guard.label.as_ref().map(name),
            policy: name(&guard.policy),
            kind: kind(guard.kind),
            state: match guard.state {
                HolderState::Held => "held",
                HolderState::Leaked => "leaked",
                HolderState::Forgotten => "forgotten",
            },
            bytes: guard.bytes,
            place: place(Place(guard.place)),
            thread: guard.thread_name.as_ref().map(name),
            age_seconds: guard.age.map(|age| age.as_secs_f64()),
        }
    }
}

impl Wait {
    fn of(waiter: &Waiter) -> Self {
        Self {
            label: waiter.label.as_ref().map(name),
            policy: name(&waiter.policy),
            kind: kind(waiter.kind),
            bytes: waiter.bytes,
            place: place(Place(waiter.place)),
            thread: waiter.thread_name.as_ref().map(name),
            waited_seconds: waiter.waited.as_secs_f64(),
            why: waiter.why.to_string(),
        }
    }
}

impl Waits {
    fn of(waits: &snapshot::WaitTimes) -> Self {
        Self {
            count: waits.count,
            mean_seconds: waits.mean.as_secs_f64(),
            median_seconds: waits.median.as_secs_f64(),
            p99_seconds: waits.p99.as_secs_f64(),
            longest_seconds: waits.longest.as_secs_f64(),
        }
    }
}

impl Group {
    fn of(group: &snapshot::Group) -> Self {
        Self {
            group: group.number,
            name: name(group.name.as_ref().unwrap_or(&group.policy)),
            guards: group.guards,
            bytes: group.bytes,
            capacity: group.capacity,
            waiting: group.waiting,
        }
    }
}

impl Seen {
    fn of(seen: &Statistics) -> Self {
        Self {
            readings: seen.readings,
            failures: seen.failures,
            used: Range::of(&seen.used),
            active: Range::of(&seen.active),
            cache: Range::of(&seen.cache),
            footprint: seen.footprint.as_ref().map(Range::of),
            rises: seen.rises,
            falls: seen.falls,
            seconds_at: seen.time_at.map(|time| time.as_secs_f64()),
            cleanups: seen.cleanups,
            cleaned_cache: seen.cleaned.cache,
            cleaned_functions: seen.cleaned.functions,
            growth: seen.growth.map(|growth| Growing {
                what: match growth.what {
                    Grows::Arrays => "arrays",
                    Grows::Outside => "outside",
                },
                bytes: growth.bytes,
                seconds: growth.within.as_secs_f64(),
                bytes_per_second: growth.per_second(),
            }),
        }
    }
}

impl Range {
    fn of(extent: &Extent) -> Self {
        Self {
            least: extent.least,
            most: extent.most,
            mean: extent.mean,
        }
    }
}
