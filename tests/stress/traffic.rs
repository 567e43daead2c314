//! Everything at once: threads that hold several guards, of either type, and everything that can be done to a manager.

use super::accounts::Claim;
use super::crew::Crew;
use super::custom::Custom;
use super::events::Tally;
use super::forms::{KINDS, SIZES};
use super::held::{AnyGuard, Held, shortly};
use super::plan::Plan;
use super::world::World;
use fastrand::Rng;
use mlx_wired::{CancelToken, Guard, OwnedGuard, PolicyId, SumPolicy, Wait};
use parking_lot::Mutex;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::yield_now;

const PHASES: usize = 3;

/// What the threads share.
#[derive(Default)]
struct Yard {
    /// Owned guards, to be dropped by whatever thread comes by.
    owned: Mutex<Vec<Held<OwnedGuard>>>,
    token: Mutex<CancelToken>,
    /// Threads that are done with a phase.
    done: AtomicUsize,
}

/// A run of so many steps in each of its phases, each by threads of its own.
pub(crate) fn run(plan: Plan, steps: usize) {
    let world = World::new(Plan {
        threads: plan.threads + 1,
        nests: true,
        ..plan
    });
    let yard = Arc::new(Yard::default());
    for phase in 0..PHASES {
        yard.done.store(0, Ordering::Relaxed);
        let is_last = phase + 1 == PHASES;
        Crew::new(&world).run({
            let yard = yard.clone();
            move |crew, me| match me {
                0 => carry(crew, &yard),
                _ => work(crew, &yard, me, steps, is_last),
            }
        });
        world.check_still();
        world.learn_baseline();
    }
    drop(std::mem::take(&mut *yard.owned.lock()));
    world.check_end();
}

/// Drops the owned guards that others have taken, as long as anybody works.
fn carry(crew: &Crew, yard: &Yard) {
    if !crew.meet() {
        return;
    }
    loop {
        let others = crew.world.plan.threads - 1;
        let is_over = yard.done.load(Ordering::Acquire) == others;
        let taken = std::mem::take(&mut *yard.owned.lock());
        for held in taken {
            crew.begins(0, &"drops");
            if fastrand::bool() {
                yield_now();
            }
            drop(held);
        }
        for custom in crew.world.customs() {
            custom.take_back();
        }
        if is_over || crew.is_broken() {
            break;
        }
        yield_now();
    }
    // The others take what lives until the next phase.
    crew.meet();
}

fn work(crew: &Crew, yard: &Yard, me: usize, steps: usize, is_last: bool) {
    if !crew.meet() {
        return;
    }
    let world = &crew.world;
    let worker = Worker { world, yard };
    let close_at = (world.plan.closing && is_last && me == 1).then(|| fastrand::usize(..steps));
    for step in 0..steps {
        let what = fastrand::u8(..16);
        crew.begins(me, &what);
        match what {
            _ if close_at == Some(step) => world.close(),
            0..=6 => worker.nest(),
            7 | 8 => worker.send(),
            9 => worker.fill(),
            10 => worker.unwind(),
            _ => worker.disturb(),
        }
        if crew.is_broken() {
            break;
        }
    }
    yard.done.fetch_add(1, Ordering::Release);
    if crew.meet() {
        worker.keep(is_last && world.plan.leaking);
    }
}

struct Worker<'a> {
    world: &'a Arc<World>,
    yard: &'a Yard,
}

impl<'a> Worker<'a> {
    fn claim(&self, kind: usize) -> Claim {
        Claim {
            line: fastrand::usize(..self.world.lines.len()),
            size: fastrand::usize(..SIZES.len()),
            driving: KINDS[kind].is_driving(),
        }
    }

    fn acquire(&self) -> Option<Held<Guard<'a>>> {
        let kind = fastrand::usize(self.world.plan.kinds());
        let claim = self.claim(kind);
        let world = self.world;
        let ticket = world.lines[claim.line].ticket(claim.size, kind);
        let held = world.hold(claim, || match fastrand::u8(..7) {
            0 => ticket.try_acquire(),
            1 => ticket.acquire_with(shortly(300)),
            2 => ticket.acquire_with(self.wait()),
            // A policy that panics when it is asked about a circle hides it.
            _ if world.plan.panicking => ticket.acquire_with(self.wait()),
            3 => world.in_turn(claim.line, || ticket.acquire()),
            4 => ticket.acquire_with(Wait::new().for_holds()),
            _ => ticket.acquire(),
        });
        // Whether it may fail like that has been checked.
        held.ok()
    }

    fn acquire_owned(&self, wait: Wait) -> Option<Held<OwnedGuard>> {
        let kind = fastrand::usize(self.world.plan.kinds());
        let claim = self.claim(kind);
        let ticket = self.world.lines[claim.line].ticket(claim.size, kind);
        let held = self.world.hold(claim, || ticket.acquire_owned_with(wait));
        held.ok()
    }

    /// Until somebody cancels, which somebody may never do, or for a short time.
    fn wait(&self) -> Wait {
        let wait = shortly(2000).cancel(&self.yard.token.lock());
        if fastrand::bool() {
            wait.for_holds()
        } else {
            wait
        }
    }

    /// Holds up to three guards at once.
    fn nest(&self) {
        let mut held = Vec::new();
        for _ in 0..fastrand::usize(1..4) {
            held.extend(self.acquire());
            if let Some(last) = held.last_mut().filter(|_| fastrand::u8(..3) == 0) {
                self.resize(last, false);
            }
            self.world.check_limit("guards live");
            if fastrand::bool() {
                yield_now();
            }
        }
        while !held.is_empty() {
            end(held.swap_remove(fastrand::usize(..held.len())));
        }
    }

    /// Nobody releases an `owned` guard that waits to grow, and no circle is seen: no thread holds it.
    fn resize<G: AnyGuard>(&self, held: &mut Held<G>, owned: bool) {
        let size = fastrand::usize(..SIZES.len());
        if size == held.claim.size {
            return;
        }
        let resized = held.resize(size, |guard, bytes| match fastrand::u8(..3) {
            0 => guard.try_resize(bytes),
            1 if !owned && !self.world.plan.panicking => guard.resize_with(bytes, Wait::new()),
            _ => guard.resize_with(bytes, self.wait()),
        });
        // Whether it may fail like that has been checked.
        drop(resized);
    }

    /// Takes an owned guard, which another thread drops.
    fn send(&self) {
        let Some(mut held) = self.acquire_owned(self.wait()) else {
            return;
        };
        if fastrand::u8(..3) == 0 {
            self.resize(&mut held, true);
        }
        match self.world.customs().next() {
            Some(custom) if fastrand::bool() => custom.give(Box::new(held)),
            _ => self.yard.owned.lock().push(held),
        }
    }

    /// More guards than a thread's slab has room for.
    fn fill(&self) {
        let line = fastrand::usize(..self.world.lines.len());
        let claim = Claim {
            line,
            size: fastrand::usize(..2),
            driving: true,
        };
        let ticket = self.world.lines[line].ticket(claim.size, 0);
        let take = |_| self.world.hold(claim, || ticket.try_acquire()).ok();
        let mut held: Vec<Held<Guard<'_>>> = (0..70).filter_map(take).collect();
        Rng::new().shuffle(&mut held);
        drop(held);
    }

    /// Releases as a panic unwinds.
    fn unwind(&self) {
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            let _held = self.acquire();
            // Without the panic hook's message.
            resume_unwind(Box::new(Unwound));
        }));
        if let Err(payload) = unwound
            && !payload.is::<Unwound>()
        {
            resume_unwind(payload);
        }
    }

    fn disturb(&self) {
        let world = self.world;
        let manager = &world.manager;
        match fastrand::u8(..14) {
            0 => manager.poke().expect("from outside"),
            1 => manager.maintain(),
            2 => {
                let times = fastrand::u64(..=world.plan.overtaking);
                let changed = manager.configure(|config| config.overtaking(times));
                changed.expect("it may change at any time");
            }
            3 => {
                // It changes no cap, but closes the fast paths and judges all waiters again.
                let changed = manager.configure(|config| config.reserve(1));
                let back = manager.configure(|config| config.reserve(0));
                changed.and(back).expect("it may change at any time");
            }
            4..=6 => world.check_snapshot(),
            7 => drop((manager.holders(), manager.waiting(), manager.stats())),
            8 => {
                let subscriber = manager.subscribe(fastrand::usize(1..64));
                yield_now();
                Tally::check_order(&subscriber);
            }
            9 => {
                let policy = SumPolicy::uncapped().with_id(PolicyId::unique());
                drop(manager.ticket(&policy, 1).label("unused"));
            }
            10 => self.change_caps(),
            11 => {
                let pressure = manager.set_pressure(fastrand::f64());
                pressure.expect("from outside");
            }
            12 => {
                let token = std::mem::take(&mut *self.yard.token.lock());
                token.cancel();
            }
            _ => {
                let held = self.yard.owned.lock().pop();
                drop(held);
            }
        }
    }

    fn change_caps(&self) {
        for custom in self.world.customs() {
            custom.set_cap(fastrand::u64(60..Custom::CAP));
            self.world.manager.poke().expect("from outside");
            custom.set_cap(Custom::CAP);
        }
        self.world.manager.poke().expect("from outside");
    }

    /// Takes what lives until the next phase, or for ever.
    fn keep(&self, for_ever: bool) {
        if for_ever {
            let held = self.acquire_owned(shortly(0));
            held.into_iter().for_each(Held::never_release);
        }
        let held = self.acquire_owned(shortly(0));
        self.yard.owned.lock().extend(held);
    }
}

struct Unwound;

fn end<G: AnyGuard>(mut held: Held<G>) {
    match fastrand::u8(..16) {
        0..4 => drop(held.release()),
        4 => {
            held.hook();
            drop(held);
        }
        _ => drop(held),
    }
}
