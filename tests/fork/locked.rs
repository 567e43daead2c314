//! Children that are forked while another thread stands still where it holds something.

use crate::calls::World;
use crate::child::kept_in_child;
use crate::kit::{Custom, on};
use crate::stopping::while_one_stands;
use mlx_wired::clock::{Clock, Sleeper, SystemClock};
use mlx_wired::ffi::{NoMlx, RecordingBackend};
use mlx_wired::{CancelToken, Config, Error, Manager, MaxPolicy, SumPolicy, Wait};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

/// Where a thread stands until the test lets it go on.
#[derive(Debug, Clone, Default)]
struct Barrier(Arc<AtomicU32>);

impl Barrier {
    const SHUT: u32 = 1;
    const ENTERED: u32 = 2;

    fn shut(&self) {
        self.0.store(Self::SHUT, Ordering::SeqCst);
    }

    fn open(&self) {
        self.0.store(0, Ordering::SeqCst);
    }

    fn pass(&self) {
        let (shut, entered) = (Self::SHUT, Self::ENTERED);
        let stops = self
            .0
            .compare_exchange(shut, entered, Ordering::SeqCst, Ordering::SeqCst);
        while stops.is_ok() && self.0.load(Ordering::SeqCst) == entered {
            thread::yield_now();
        }
    }

    fn wait_entered(&self) {
        while self.0.load(Ordering::SeqCst) != Self::ENTERED {
            thread::yield_now();
        }
    }
}

/// A clock that is asked under the manager's lock.
#[derive(Debug)]
struct SlowClock(Barrier);

impl Clock for SlowClock {
    fn now(&self) -> Instant {
        self.0.pass();
        SystemClock.now()
    }

    fn park(&self, sleeper: &Sleeper, deadline: Option<Instant>) {
        SystemClock.park(sleeper, deadline);
    }
}

/// Ends a child, after its thread's locals were destroyed.
fn exit(status: i32) {
    // SAFETY: the child has this thread alone.
    unsafe { libc::exit(status) }
}

/// A child finds nothing, and does not wait, while `work` stands on another thread. `until` returns when it does, `go_on` ends it.
fn while_it_stands(
    world: &World,
    work: impl FnOnce() + Send,
    until: impl FnOnce(),
    go_on: impl FnOnce(),
) -> Result<(), Error> {
    let ticket = world.manager.ticket(&SumPolicy::uncapped(), 1);
    let borrowed = ticket.acquire()?;
    let owned = [ticket.acquire_owned()?, ticket.acquire_owned()?];
    thread::scope(|scope| {
        scope.spawn(work);
        until();
        let child = || kept_in_child(|| world.find_nothing(borrowed, owned), exit);
        let kept = catch_unwind(AssertUnwindSafe(child));
        go_on();
        kept.map(drop).unwrap_or_else(|panic| resume_unwind(panic));
    });
    Ok(())
}

#[test]
fn r43_while_the_managers_lock_is_held() -> Result<(), Error> {
    let barrier = Barrier::default();
    let manager = Manager::builder()
        .backend(RecordingBackend::metal().build())
        .clock(SlowClock(barrier.clone()))
        .config(Config::default().housekeeping(false))
        .build()?;
    let world = World::new(manager.clone());
    let maintains = || {
        barrier.shut();
        manager.maintain();
    };
    while_it_stands(
        &world,
        maintains,
        || barrier.wait_entered(),
        || barrier.open(),
    )
}

#[test]
fn r43_while_a_policy_is_asked() -> Result<(), Error> {
    let barrier = Barrier::default();
    let manager = Manager::builder().backend(NoMlx::new()).build()?;
    let asked = barrier.clone();
    let policy = Custom::new().admits(move |_, _, _| {
        asked.pass();
        true
    });
    let slow = manager.ticket(&policy, 1);
    let mut world = World::new(manager);
    // Of the group that is judged.
    world.ticket = slow.clone();
    let asks = || {
        barrier.shut();
        drop(slow.acquire());
    };
    while_it_stands(&world, asks, || barrier.wait_entered(), || barrier.open())
}

#[test]
fn r43_while_the_setter_is_called() -> Result<(), Error> {
    let (manager, backend) = on(RecordingBackend::metal());
    let world = World::new(manager.clone());
    let large = manager.ticket(&SumPolicy::uncapped(), 1 << 30);
    let gate = OnceLock::new();
    let raises = || {
        let _shut = gate.get_or_init(|| backend.gate());
        drop(large.acquire());
    };
    let gate = || gate.wait();
    while_it_stands(&world, raises, || gate().wait_entered(1), || gate().open())
}

#[test]
fn r43_while_others_wait_for_admission() -> Result<(), Error> {
    let manager = Manager::builder().backend(NoMlx::new()).build()?;
    let world = World::new(manager.clone());
    let held = manager
        .ticket(&SumPolicy::capped(100), 100)
        .acquire_owned()?;
    let wait = Wait::new().cancel(&world.token);
    let waits = || drop(world.ticket.acquire_owned_with(wait));
    let until = || {
        while manager.waiting().is_empty() {
            thread::yield_now();
        }
    };
    while_it_stands(&world, waits, until, || {
        assert_eq!(
            manager.waiting().len(),
            1,
            "the child has cancelled its own token"
        );
        drop(held);
    })
}

/// What a program does all day, by one thread that begins.
fn a_days_work(manager: &Manager, token: &CancelToken) -> Result<(), Error> {
    let policy = SumPolicy::capped(1000);
    let ticket = manager.ticket(&policy, 10).label("work").resident();
    let counted = manager.ticket(&MaxPolicy::new(), 7);
    let held = (ticket.acquire()?, counted.acquire()?);
    let mut owned = ticket.acquire_owned()?;
    owned.resize(20)?;
    drop(owned);
    let full = manager.ticket(&policy, 995);
    // Long enough to be in line.
    let wait = Wait::new().timeout(Duration::from_millis(1)).cancel(token);
    drop((full.try_acquire(), full.acquire_with(wait)));
    let events = manager.subscribe(4);
    drop((manager.snapshot(), manager.holders(), manager.waiting()));
    drop(ticket.acquire()?);
    events.drain().for_each(drop);
    drop(events);
    drop(held);
    drop(Manager::builder().backend(NoMlx::new()).build()?);
    Ok(())
}

/// Under whatever lock anything is allocated or freed, a child finds it held.
#[test]
fn r43_wherever_another_thread_allocates() -> Result<(), Error> {
    let (manager, _) = on(RecordingBackend::metal());
    let ticket = manager.ticket(&SumPolicy::uncapped(), 1);
    // Unwatched, so that the fast paths are taken.
    let (events, token) = (manager.subscribe(1), CancelToken::new());
    let mut world = World {
        manager: manager.clone(),
        ticket: ticket.clone(),
        events,
        token,
    };
    let mut stops = 0;
    loop {
        let borrowed = ticket.acquire()?;
        let owned = [ticket.acquire_owned()?, ticket.acquire_owned()?];
        // Its list of waiters has no memory yet.
        world.token = CancelToken::new();
        let work = || a_days_work(&manager, &world.token).expect("nobody is in its way");
        let mut kept = None;
        let stood = while_one_stands(stops + 1, work, || {
            kept = kept_in_child(|| world.find_nothing(borrowed, owned), exit);
        });
        drop(kept);
        if !stood {
            break;
        }
        stops += 1;
    }
    assert!(stops > 50, "it allocated {stops} times");
    Ok(())
}
