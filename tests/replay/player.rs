//! Plays one trace step by step and compares.

use crate::differences::{Counts, Difference};
use crate::events;
use crate::policies;
use crate::trace::{Step, Trace};
use mlx_wired::clock::FakeClock;
use mlx_wired::ffi::{Outcome, RecordingBackend};
use mlx_wired::{
    CancelToken, Config, Error, Event, EventKind, Manager, OnApplyFailure, OwnedGuard, Subscriber,
    Wait, WireMode,
};
use std::collections::HashMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a step may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(20);

type Started = JoinHandle<Result<OwnedGuard, Error>>;

pub(crate) struct Player<'a> {
    trace: &'a Trace,
    differences: &'a mut Counts,
    clock: FakeClock,
    backend: Arc<RecordingBackend>,
    manager: Manager,
    events: Subscriber,
    live: HashMap<u64, OwnedGuard>,
    waiting: HashMap<u64, (Started, CancelToken)>,
    calls_seen: usize,
    /// The events of the present step that were received already.
    told: Vec<Event>,
    /// The recording's number of each of our tickets.
    numbers: HashMap<u64, u64>,
}

impl<'a> Player<'a> {
    pub(crate) fn new(trace: &'a Trace, differences: &'a mut Counts) -> Self {
        let header = &trace.header;
        let initial = header.initial;
        // Far above every size: no ceiling is in play.
        let device = if header.supported {
            RecordingBackend::metal()
                .memory_size(1 << 62)
                .recommended(1 << 61)
        } else {
            RecordingBackend::cpu().budget(1 << 61)
        };
        let mut device = device.initial_limit(initial);
        if header.some_sets_fail {
            device = device.fail_when(move |limit, _| {
                limit != initial && limit.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 62 == 0
            });
        }
        let backend = device.build();
        let clock = FakeClock::new();
        let config = Config::default()
            .mode(WireMode::Auto)
            .baseline_override(header.baseline_override)
            .shrink_threshold_ratio(header.ratio)
            .shrink_cooldown(Duration::from_secs_f64(header.cooldown))
            .on_apply_failure(OnApplyFailure::Proceed)
            .housekeeping(false);
        let manager = Manager::builder()
            .backend(backend.clone())
            .clock(clock.clone())
            .config(config)
            .build()
            .expect("a valid configuration");
        let events = manager.subscribe(10_000);
        Self {
            trace,
            differences,
            clock,
            backend,
            manager,
            events,
            live: HashMap::new(),
            waiting: HashMap::new(),
            calls_seen: 0,
            told: Vec::new(),
            numbers: HashMap::new(),
        }
    }

    pub(crate) fn play(mut self) -> Result<(), String> {
        for (index, step) in self.trace.steps.iter().enumerate() {
            self.step(step)
                .map_err(|what| format!("step {index} {step:?}: {what}"))?;
        }
        self.backend.assert_rules();
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        let in_force = self.manager.applied();
        match step.action.as_str() {
            "start" => self.start(step)?,
            "end" => self.end(step)?,
            "cancel" => self.cancel(step)?,
            "wait" => self
                .clock
                .advance(Duration::from_secs_f64(step.seconds.unwrap_or(0.0))),
            other => return Err(format!("unknown step {other}")),
        }
        if let Some(applied) = step.applied {
            same("applied", applied, self.manager.applied())?;
        }
        self.compare_calls(step)?;
        self.compare_events(step, in_force)
    }

    fn start(&mut self, step: &Step) -> Result<(), String> {
        let id = step.t.ok_or("no ticket")?;
        let spec = step.policy.as_ref().ok_or("no policy")?;
        let mut ticket = policies::ticket(&self.manager, spec, step.size.unwrap_or(0));
        if step.kind.as_deref() == Some("reservation") {
            ticket = ticket.reservation();
        }
        self.numbers.insert(ticket.id(), id);
        let token = CancelToken::new();
        let wait = Wait::new().cancel(&token);
        let started = std::thread::spawn(move || ticket.acquire_owned_with(wait));
        if !step.blocked {
            let guard = finished(started)?;
            if let Some(returned) = step.returned {
                same("returned", returned, self.manager.applied())?;
            }
            self.live.insert(id, guard);
            return Ok(());
        }
        loop {
            let event = self
                .events
                .recv_timeout(PATIENCE)
                .ok_or("it does not wait")?;
            let waits = event.kind == EventKind::AdmissionWait;
            self.told.push(event);
            if waits {
                break;
            }
            if started.is_finished() {
                return Err("it was to wait".into());
            }
        }
        self.waiting.insert(id, (started, token));
        Ok(())
    }

    fn end(&mut self, step: &Step) -> Result<(), String> {
        let id = step.t.ok_or("no ticket")?;
        let guard = self.live.remove(&id).ok_or("not live")?;
        let released = guard.release();
        if let Some(admitted) = step.admitted {
            let (started, _) = self.waiting.remove(&admitted).ok_or("not waiting")?;
            self.live.insert(admitted, finished(started)?);
            if let Some(returned) = step.admitted_returned {
                same("admitted_returned", returned, self.manager.applied())?;
            }
            self.differences.note(Difference::HandOver);
        } else if let Some(returned) = step.returned {
            same("returned", returned, released.limit)?;
        }
        Ok(())
    }

    fn cancel(&mut self, step: &Step) -> Result<(), String> {
        let id = step.t.ok_or("no ticket")?;
        let (started, token) = self.waiting.remove(&id).ok_or("not waiting")?;
        token.cancel();
        match started.join().map_err(|_| "it panicked")? {
            Err(Error::Cancelled { .. }) => Ok(()),
            other => Err(format!("not cancelled but {other:?}")),
        }
    }

    /// The successful calls that changed something, here and there.
    fn compare_calls(&mut self, step: &Step) -> Result<(), String> {
        let calls = self.backend.calls();
        let ours: Vec<(u64, u64)> = calls[self.calls_seen..]
            .iter()
            .filter(|call| call.outcome == Outcome::Applied && call.requested != call.previous)
            .map(|call| (call.requested, call.previous))
            .collect();
        self.calls_seen = calls.len();
        let redundant = step
            .setter
            .iter()
            .filter(|(limit, previous, _)| limit == previous);
        for _ in redundant {
            self.differences.note(Difference::RedundantCall);
        }
        let theirs: Vec<(u64, u64)> = step
            .setter
            .iter()
            .filter(|(limit, previous, succeeded)| *succeeded && limit != previous)
            .map(|(limit, previous, _)| (*limit, *previous))
            .collect();
        if step.admitted.is_some() {
            // The ticket that leaves and the one that enters change the limit once.
            return (ours.len() <= 1 || ours == theirs)
                .then_some(())
                .ok_or_else(|| format!("calls {ours:?} for {theirs:?}"));
        }
        if ours == theirs {
            return Ok(());
        }
        Err(format!("calls {ours:?}, recorded {theirs:?}"))
    }
}

impl Player<'_> {
    fn compare_events(&mut self, step: &Step, in_force: u64) -> Result<(), String> {
        self.told.extend(self.events.drain());
        let ours: Vec<_> = std::mem::take(&mut self.told)
            .iter()
            .filter_map(|event| events::ours(event, &self.numbers))
            .collect();
        let baseline = self.trace.header.baseline_override.unwrap_or(0);
        events::check_epoch(&ours, baseline)?;
        events::compare(step, &ours, in_force, self.differences)
    }
}

fn finished(started: Started) -> Result<OwnedGuard, String> {
    let give_up = std::time::Instant::now() + PATIENCE;
    while !started.is_finished() {
        if std::time::Instant::now() > give_up {
            return Err("it waits, but was to be admitted".into());
        }
        std::thread::yield_now();
    }
    let result = started.join().map_err(|_| "it panicked")?;
    result.map_err(|error| format!("refused: {error}"))
}

fn same(what: &str, recorded: u64, ours: u64) -> Result<(), String> {
    if recorded == ours {
        return Ok(());
    }
    Err(format!("{what} {ours}, recorded {recorded}"))
}
