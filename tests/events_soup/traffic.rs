//! What the threads of a run do, and what was told of it.

use super::plan::{LENT, Plan, SMALL, WHOLE};
use super::recordings;
use super::slow::Slow;
use super::stream::{self, Span};
use fastrand::Rng;
use mlx_wired::ffi::Call;
use mlx_wired::recorder::{Recorder, Recording};
use mlx_wired::{CancelToken, Event, Manager, OwnedGuard, Subscriber, Ticket, Wait};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread::{self, JoinHandle, yield_now};
use std::time::{Duration, Instant};

/// Long enough for any machine that is not stuck.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// More than a run has events.
const EVERYTHING: usize = 1 << 22;

/// What was told of a run.
pub(crate) struct Told {
    /// From the manager's first event to its last.
    pub(crate) events: Vec<Event>,
    /// From before the threads began until after they ended, while some guards live and somebody waits.
    pub(crate) recording: Recording,
    pub(crate) slow: Vec<Slow>,
    /// Of the setter.
    pub(crate) calls: Vec<Call>,
}

struct World {
    plan: Plan,
    manager: Manager,
    tickets: Vec<Ticket>,
    /// Owned guards, to be released by whatever thread comes by.
    yard: Mutex<Vec<OwnedGuard>>,
    token: Mutex<CancelToken>,
    slow: Mutex<Vec<Slow>>,
    steps: AtomicUsize,
    is_over: AtomicBool,
}

pub(crate) fn run(plan: &Plan) -> Told {
    let backend = plan.backend();
    let manager = plan.manager(&backend);
    let everything = manager.subscribe(EVERYTHING);
    let world = Arc::new(World {
        plan: plan.clone(),
        tickets: plan.tickets(&manager),
        manager,
        yard: Mutex::default(),
        token: Mutex::default(),
        slow: Mutex::default(),
        steps: AtomicUsize::new(0),
        is_over: AtomicBool::new(false),
    });
    let before = world.hold(&[SMALL]);
    let mut recorder = Recorder::new(&world.manager);
    world.work(&mut recorder, before);
    let recording = world.end(recorder);
    let world = Arc::into_inner(world).expect("all threads have ended");
    let mut slow = world.slow.into_inner();
    drop((world.manager, world.tickets, world.yard));
    // The manager is gone, so that nothing comes after what they take now.
    let events = to_the_end(&everything);
    slow.iter_mut().for_each(Slow::take);
    backend.assert_rules();
    if let Some(initial) = plan.wired.filter(|_| plan.is_wired()) {
        backend.assert_baseline(initial);
    }
    Told {
        events,
        recording,
        slow,
        calls: backend.calls(),
    }
}

/// Everything that comes until the manager is gone.
pub(crate) fn to_the_end(subscriber: &Subscriber) -> Vec<Event> {
    std::iter::from_fn(|| subscriber.recv_timeout(PATIENCE)).collect()
}

fn start(name: String, body: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    let thread = thread::Builder::new().name(name).spawn(body);
    thread.expect("the system has room for it")
}

/// Lets others run, who will wait for what is held.
fn dawdle(rng: &mut Rng) {
    (0..rng.u32(..12)).for_each(|_| yield_now());
}

impl World {
    /// Owned guards of these tickets, as far as they are given.
    fn hold(&self, places: &[usize]) -> Vec<OwnedGuard> {
        let soon = || Wait::new().timeout(Duration::from_millis(1));
        let tickets = places.iter().map(|place| &self.tickets[*place]);
        let guards = tickets.map(|ticket| ticket.acquire_owned_with(soon()));
        guards.filter_map(Result::ok).collect()
    }

    /// Lets the threads loose and returns once they have ended. `before`: released meanwhile.
    fn work(self: &Arc<Self>, recorder: &mut Recorder, before: Vec<OwnedGuard>) {
        let mut threads: Vec<JoinHandle<()>> = (0..self.plan.threads)
            .map(|me| {
                let world = self.clone();
                start(format!("worker {me}"), move || world.worker(me))
            })
            .collect();
        recorder.poll();
        drop(before);
        let observer = start("observer".to_owned(), {
            let world = self.clone();
            move || world.observe()
        });
        self.watch(recorder, &threads);
        self.is_over.store(true, Relaxed);
        threads.push(observer);
        let ended = threads.into_iter().map(JoinHandle::join);
        let failed = ended.filter(Result::is_err).count();
        assert!(failed == 0, "{failed} threads failed: {:#?}", self.plan);
        self.yard.lock().clear();
    }

    /// Returns once the threads have ended.
    fn watch(&self, recorder: &mut Recorder, threads: &[JoinHandle<()>]) {
        let (mut seen, mut at) = (0, Instant::now());
        while !threads.iter().all(JoinHandle::is_finished) {
            thread::sleep(Duration::from_millis(1));
            recorder.poll();
            let steps = self.steps.load(Relaxed);
            if steps != seen {
                (seen, at) = (steps, Instant::now());
            }
            let stuck = at.elapsed() > PATIENCE;
            assert!(
                !stuck,
                "stuck: {}\n{:#?}",
                self.manager.snapshot(),
                self.plan
            );
        }
    }

    /// Ends the recording while guards live and, where that can be, somebody waits.
    fn end(self: &Arc<Self>, recorder: Recorder) -> Recording {
        let guards = self.hold(&[SMALL, WHOLE]);
        let token = CancelToken::default();
        let waits = start("waits".to_owned(), {
            let (world, token) = (self.clone(), token.clone());
            move || drop(world.tickets[0].acquire_with(Wait::new().cancel(&token)))
        });
        while self.manager.waiting().is_empty() && !waits.is_finished() {
            yield_now();
        }
        let recording = recorder.finish();
        token.cancel();
        waits.join().expect("it ends well");
        drop(guards);
        recording
    }

    /// Recordings that begin and end while the others work.
    fn observe(&self) {
        let rng = &mut Rng::with_seed(!self.plan.seed);
        while !self.is_over.load(Relaxed) {
            let is_short = rng.u8(..3) == 0;
            let capacity = if is_short {
                rng.usize(1..40)
            } else {
                Recorder::EVENTS
            };
            let mut recorder = Recorder::with_capacity(&self.manager, capacity);
            (0..rng.u32(..200)).for_each(|_| yield_now());
            if rng.bool() {
                recorder.poll();
            }
            let recording = recorder.finish();
            let checked = if recording.missing() == 0 {
                let checked = stream::check(&Span::of(&recording));
                checked.and_then(|()| recordings::waits_match_both_ends(&recording))
            } else {
                Ok(())
            };
            let checked =
                checked.and_then(|()| recordings::what_is_open_is_in_the_snapshot(&recording));
            #[cfg(feature = "timeline")]
            let checked = checked.and_then(|()| match rng.u8(..4) {
                0 => super::written::check(&recording),
                _ => Ok(()),
            });
            if let Err(fault) = checked {
                panic!("amid the work: {fault}");
            }
        }
    }

    fn worker(&self, me: usize) {
        let rng = &mut Rng::with_seed(self.plan.seed.wrapping_mul(31) + me as u64);
        for step in 0..Plan::STEPS {
            if me == 0 && self.plan.closes_at == Some(step) {
                self.manager.close();
            }
            self.step(rng);
            self.steps.fetch_add(1, Relaxed);
        }
    }

    // What an acquire fails with is not looked at here: other tests do.
    fn step(&self, rng: &mut Rng) {
        match rng.u8(..16) {
            0..=3 => self.hold_one(rng),
            4 => drop(self.lent(rng).try_acquire()),
            5 => self.resize(rng),
            6 | 7 if self.plan.nests => self.nest(rng),
            6 => self.lay_down(rng),
            7 => drop(self.yard.lock().pop()),
            8 => std::mem::take(&mut *self.token.lock()).cancel(),
            9 => self
                .slow
                .lock()
                .push(Slow::new(&self.manager, rng.usize(1..50))),
            10 => drop(self.slow.lock().pop()),
            11 => self.slow.lock().iter_mut().for_each(Slow::take),
            12 => self.manager.maintain(),
            13 => self.meddle(rng),
            _ => drop(self.manager.snapshot()),
        }
    }

    fn lent(&self, rng: &mut Rng) -> &Ticket {
        &self.tickets[self.plan.lent[rng.usize(..self.plan.lent.len())]]
    }

    fn wait(&self, rng: &mut Rng) -> Wait {
        // A policy that panics when it is asked about a circle hides it.
        if self.plan.nests && !self.plan.panics && rng.bool() {
            return Wait::new();
        }
        let time = Duration::from_micros(rng.u64(..2000));
        Wait::new().timeout(time).cancel(&self.token.lock())
    }

    fn meddle(&self, rng: &mut Rng) {
        let manager = &self.manager;
        let done = match rng.u8(..3) {
            0 => manager.poke(),
            1 => manager.set_pressure(rng.f64()),
            _ => manager.configure(|config| config.overtaking(rng.u64(..4))),
        };
        done.expect("it is outside, and may be done at any time");
    }

    fn hold_one(&self, rng: &mut Rng) {
        if let Ok(mut guard) = self.lent(rng).acquire_with(self.wait(rng)) {
            dawdle(rng);
            if rng.u8(..8) == 0 {
                guard.before_release(|| Err("it cannot be finished".into()));
            }
        }
    }

    fn resize(&self, rng: &mut Rng) {
        if let Ok(mut guard) = self.lent(rng).acquire_with(self.wait(rng)) {
            dawdle(rng);
            drop(guard.resize_with(rng.u64(1..90), self.wait(rng)));
        }
    }

    /// Holds up to three guards at once.
    fn nest(&self, rng: &mut Rng) {
        let Ok(mut outer) = self.lent(rng).acquire_with(self.wait(rng)) else {
            return;
        };
        dawdle(rng);
        if let Ok(_middle) = self.lent(rng).acquire_with(self.wait(rng)) {
            drop(self.lent(rng).acquire_with(self.wait(rng)));
        }
        drop(outer.resize_with(rng.u64(1..90), self.wait(rng)));
    }

    /// An owned guard, for another thread to release. All who wait for it give up some time.
    fn lay_down(&self, rng: &mut Rng) {
        let ticket = &self.tickets[rng.usize(LENT..WHOLE)];
        let Ok(mut guard) = ticket.acquire_owned_with(self.wait(rng)) else {
            return;
        };
        if rng.bool() {
            drop(guard.resize_with(rng.u64(1..60), self.wait(rng)));
        }
        let mut yard = self.yard.lock();
        if yard.len() < 3 {
            yard.push(guard);
        }
    }
}
