//! Plays the steps of a trace through the public API and writes down what came of each.

use crate::kit::{NotingClock, is_asleep};
use crate::policies;
use crate::trace::{Action, Header, Kind, Set, Step, TicketKind, Told, Trace};
use mlx_wired::clock::FakeClock;
use mlx_wired::ffi::{Outcome, RecordingBackend};
use mlx_wired::{
    CancelToken, Config, Error, Event, EventKind, Manager, OnApplyFailure, OwnedGuard, Subscriber,
    Wait, WireMode,
};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a step may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(20);

type Started = JoinHandle<Result<OwnedGuard, Error>>;

/// What a step did here, in the recordings' terms.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    pub(crate) applied: u64,
    pub(crate) returned: Option<u64>,
    pub(crate) admitted_returned: Option<u64>,
    pub(crate) setter: Vec<Set>,
    pub(crate) events: Vec<Told>,
}

/// What a whole trace did here.
pub(crate) struct Played {
    pub(crate) steps: Vec<Observed>,
    /// Why the step after these could not be done.
    pub(crate) stopped: Option<String>,
}

/// Plays `trace`. Only what is done is read of each step, not what the recording says came of it.
pub(crate) fn play(trace: &Trace) -> Played {
    play_with(Player::new(&trace.header), trace)
}

/// Plays `trace` with reservations that stay, and tells the numbers of the tickets that were refused beside them. Those then
/// wait for holds, so that the rest of the recording can be played.
pub(crate) fn play_staying(trace: &Trace) -> (Played, Vec<u64>) {
    let mut player = Player::new(&trace.header);
    player.reservations_stay = true;
    let refused = Arc::clone(&player.refused);
    let played = play_with(player, trace);
    (
        played,
        std::mem::take(&mut *refused.lock().expect("no test panicked with it")),
    )
}

fn play_with(mut player: Player, trace: &Trace) -> Played {
    let mut steps = Vec::new();
    for step in &trace.steps {
        match player.step(step) {
            Ok(observed) => steps.push(observed),
            Err(why) => {
                let stopped = Some(why);
                return Played { steps, stopped };
            }
        }
    }
    player.backend.assert_rules();
    Played {
        steps,
        stopped: None,
    }
}

struct Player {
    supported: bool,
    clock: FakeClock,
    backend: Arc<RecordingBackend>,
    manager: Manager,
    events: Subscriber,
    live: HashMap<u64, OwnedGuard>,
    waiting: HashMap<u64, (Started, CancelToken)>,
    calls_seen: usize,
    /// The recording's number of each of our tickets.
    numbers: HashMap<u64, u64>,
    reservations_stay: bool,
    /// The recording's numbers of the tickets that were refused because reservations stay.
    refused: Arc<Mutex<Vec<u64>>>,
}

impl Player {
    fn new(header: &Header) -> Self {
        // Far above every size: no ceiling is in play.
        let device = if header.supported {
            RecordingBackend::metal()
                .memory_size(1 << 62)
                .recommended(1 << 61)
        } else {
            RecordingBackend::cpu().budget(1 << 61)
        };
        let fails = header.clone();
        let backend = device
            .initial_limit(header.initial)
            .fail_when(move |limit, _| fails.fails(limit))
            .build();
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
            .clock(NotingClock(clock.clone()))
            .config(config)
            .build()
            .expect("a valid configuration");
        let events = manager.subscribe(10_000);
        Self {
            supported: header.supported,
            clock,
            backend,
            manager,
            events,
            live: HashMap::new(),
            waiting: HashMap::new(),
            calls_seen: 0,
            numbers: HashMap::new(),
            reservations_stay: false,
            refused: Arc::default(),
        }
    }

    fn step(&mut self, step: &Step) -> Result<Observed, String> {
        let mut observed = Observed::default();
        match step.action {
            Action::Start => self.start(step, &mut observed)?,
            Action::End => self.end(step, &mut observed)?,
            Action::Cancel => {
                self.cancel(step)?;
                observed.returned = Some(self.manager.applied());
            }
            Action::Wait => self.clock.advance(Duration::from_secs_f64(step.seconds)),
        }
        observed.applied = self.manager.applied();
        if self.supported && observed.applied != self.backend.current_limit() {
            return Err("the manager is wrong about the limit in force".into());
        }
        observed.setter = self.new_calls();
        let told = self.events.drain();
        observed.events = told
            .filter_map(|event| self.in_their_form(&event))
            .collect();
        Ok(observed)
    }

    fn start(&mut self, step: &Step, observed: &mut Observed) -> Result<(), String> {
        let spec = step.policy.as_ref().ok_or("no policy")?;
        let mut ticket = policies::ticket(&self.manager, spec, step.size);
        if step.kind == TicketKind::Reservation {
            ticket = ticket.reservation();
            if !self.reservations_stay {
                ticket = ticket.evictable();
            }
        }
        self.numbers.insert(ticket.id(), step.t);
        let token = CancelToken::new();
        let wait = Wait::new().cancel(&token);
        let (number, refused) = (step.t, Arc::clone(&self.refused));
        let started = std::thread::spawn(move || match ticket.acquire_owned_with(wait.clone()) {
            Err(Error::NoRoom { .. }) => {
                refused
                    .lock()
                    .expect("no test panicked with it")
                    .push(number);
                ticket.acquire_owned_with(wait.for_holds())
            }
            result => result,
        });
        if !step.blocked {
            let guard = finished(started)?;
            observed.returned = Some(guard.applied());
            self.live.insert(step.t, guard);
            return Ok(());
        }
        let give_up = Instant::now() + PATIENCE;
        while !is_asleep(started.thread().id()) {
            if started.is_finished() {
                return Err("it was to wait".into());
            }
            if Instant::now() > give_up {
                return Err("it does not wait".into());
            }
            std::thread::yield_now();
        }
        self.waiting.insert(step.t, (started, token));
        Ok(())
    }

    fn end(&mut self, step: &Step, observed: &mut Observed) -> Result<(), String> {
        let guard = self.live.remove(&step.t).ok_or("not live")?;
        observed.returned = Some(guard.release().limit);
        if let Some(admitted) = step.admitted {
            let (started, _) = self.waiting.remove(&admitted).ok_or("not waiting")?;
            let guard = finished(started)?;
            observed.admitted_returned = Some(guard.applied());
            self.live.insert(admitted, guard);
        }
        Ok(())
    }

    fn cancel(&mut self, step: &Step) -> Result<(), String> {
        let (started, token) = self.waiting.remove(&step.t).ok_or("not waiting")?;
        token.cancel();
        match started.join().map_err(|_| "it panicked")? {
            Err(Error::Cancelled { .. }) => Ok(()),
            other => Err(format!("not cancelled but {other:?}")),
        }
    }

    fn new_calls(&mut self) -> Vec<Set> {
        let calls = self.backend.calls();
        let new = calls[self.calls_seen..].iter().map(|call| Set {
            limit: call.requested,
            previous: call.previous,
            succeeded: call.outcome == Outcome::Applied,
        });
        self.calls_seen = calls.len();
        new.collect()
    }

    /// One of our events in the recordings' form, if the Swift actor has its kind.
    fn in_their_form(&self, event: &Event) -> Option<Told> {
        let kind = match &event.kind {
            EventKind::BaselineCaptured => Kind::BaselineCaptured,
            EventKind::AdmissionWait => Kind::AdmissionWait,
            EventKind::AdmissionGranted => Kind::AdmissionGranted,
            EventKind::AdmissionCancelled => Kind::AdmissionCancelled,
            EventKind::TicketStarted => Kind::TicketStarted,
            EventKind::TicketEnded => Kind::TicketEnded,
            EventKind::LimitComputed => Kind::LimitComputed,
            EventKind::LimitApplied => Kind::LimitApplied,
            EventKind::LimitApplyFailed(_) => Kind::LimitApplyFailed,
            EventKind::BaselineRestored => Kind::BaselineRestored,
            _ => return None,
        };
        Some(Told {
            kind,
            ticket: event.ticket.map(|id| self.numbers[&id]),
            size: event.size,
            baseline: Some(event.baseline),
            desired: event.desired,
            applied: event.applied,
            live: event.live,
            waiters: event.waiters,
        })
    }
}

fn finished(started: Started) -> Result<OwnedGuard, String> {
    let give_up = Instant::now() + PATIENCE;
    while !started.is_finished() {
        if Instant::now() > give_up {
            return Err("it waits, but was to be admitted".into());
        }
        std::thread::yield_now();
    }
    let result = started.join().map_err(|_| "it panicked")?;
    result.map_err(|error| format!("refused: {error}"))
}
