//! Threads that do whatever comes: shuttle chooses the settings, the policies and what they do, as well as when.

mod clock;
mod crew;
mod plan;
mod policy;
mod stillness;

use super::check::{Running, Size, explore, join_all, spawn};
use super::claim::Form;
use super::world::World;
use crew::Crew;
use plan::{Plan, SECOND, below, chance};
use std::sync::Arc;

/// The plan of the last execution is told if it fails.
fn serve(plan: impl Fn() -> Plan + Send + Sync + 'static) {
    struct Tell;
    thread_local! {
        static LAST: std::cell::RefCell<String> = const { std::cell::RefCell::new(String::new()) };
    }
    impl Drop for Tell {
        #[expect(clippy::print_stderr, reason = "for whoever reads the failure")]
        fn drop(&mut self) {
            if std::thread::panicking() {
                LAST.with(|last| eprintln!("{}", last.borrow()));
            }
        }
    }
    let _tell = Tell;
    explore(Size::Soup, move || {
        let plan = plan();
        LAST.with(|last| *last.borrow_mut() = format!("{plan:?}"));
        execute(plan);
    });
}

fn execute(plan: Plan) {
    let crew = begin(plan);
    let running: Vec<Running<()>> = (0..crew.plan.threads)
        .map(|me| {
            let crew = crew.clone();
            spawn(move || crew.work(me))
        })
        .collect();
    if chance(30) {
        crew.meddle();
    }
    crew.check(false);
    if chance(40) {
        // What is owed is done beside those who live.
        crew.world.clock.advance(SECOND * 2);
        crew.check(false);
    }
    // Who waits, waits for what was laid down.
    loop {
        let guard = crew.shelf.take();
        let nothing = guard.is_none();
        let alone = !nothing && crew.are_done();
        drop(guard);
        let meddles = chance(30);
        if meddles {
            crew.meddle();
        }
        if nothing || chance(50) {
            crew.check(alone && !meddles);
        }
        if nothing && crew.are_done() && crew.shelf.is_empty() {
            break;
        }
        let ends = || crew.end_pressure() || crew.end_bounded_waits();
        let goes_on = !nothing || !crew.shelf.is_empty() || ends();
        assert!(
            goes_on,
            "a circle, or nobody was told: {}",
            crew.world.manager.snapshot()
        );
    }
    join_all(running);
    end(crew);
}

fn begin(plan: Plan) -> Arc<Crew> {
    let crew = Crew::new(plan);
    let (world, plan) = (&crew.world, &crew.plan);
    if plan.initial > 0 && plan.baseline_override.is_none() {
        // Until the first call it counts with 0, and so would the oracle have to.
        let nine = world.active("nine", Form::Fixed(9 * plan.unit), plan.unit);
        drop(nine.acquire().expect("nothing fails yet"));
    }
    let calls = world.oracle.calls().len();
    if plan.failures > 0 && plan.fails_on {
        // Until it heals.
        world.oracle.fail_from(calls + below(6));
    } else {
        let failing = (0..plan.failures).map(|_| calls + below(6));
        world.oracle.fail(failing);
    }
    if plan.lays_down {
        (0..below(6)).for_each(|_| crew.prepare());
    }
    if chance(50) {
        world.open();
    }
    crew
}

fn end(crew: Arc<Crew>) {
    crew.drop_subscriber();
    crew.world.oracle.heal();
    match below(4) {
        0 => crew.world.manager.close(),
        1 => {
            crew.settle();
            return end_by_drop(crew);
        }
        _ => {}
    }
    crew.pass_time();
    crew.world.finish();
}

/// The last handle goes: what lingers ends at once.
fn end_by_drop(crew: Arc<Crew>) {
    let oracle = crew.world.oracle.clone();
    let world = Arc::into_inner(crew).map(Crew::into_world);
    if let Some(World { manager, .. }) = world.and_then(Arc::into_inner) {
        drop(manager);
        oracle.finish();
    }
}

#[test]
fn of_few_settings() {
    serve(|| Plan::random(false));
}

#[test]
fn of_all_settings() {
    serve(|| Plan::random(true));
}
