//! Reclaimers (R27): they run on a waiter's thread while others come and go, give up, and wait for their turn to ask.
//!
//! No time passes unless a model says so: a waiter that sleeps through its turn to ask sleeps for ever.

use super::check::{Size, explore, join_all, spawn, yield_now};
use super::claim::Form;
use super::custom::Custom;
use super::world::{Demand, Held, World, eager, explore_in};
#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, Ordering};
use mlx_wired::clock::Clock;
use mlx_wired::{CancelToken, OwnedGuard, Reclaimer, Shortage, Wait};
#[cfg(not(loom))]
use shuttle::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// An owned guard, and its label.
type Labelled = (&'static str, Held<OwnedGuard>);

/// What reclaimers may give back, by the label.
#[derive(Clone)]
struct Shelf {
    world: Arc<World>,
    held: Arc<Mutex<Vec<Labelled>>>,
    /// How many threads are in a reclaimer. What they do is ordered by the manager.
    inside: Arc<AtomicU64>,
}

impl Shelf {
    fn new(world: &Arc<World>) -> Self {
        Self {
            world: world.clone(),
            held: Arc::default(),
            inside: Arc::default(),
        }
    }

    /// An evictable hold.
    fn put(&self, group: &'static str, form: Form, bytes: u64) {
        let hold = self.world.active(group, form, bytes).reservation();
        let hold = hold.acquire_owned().unwrap();
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.push((group, hold));
    }

    /// Releases what is there of a group.
    fn give_back(&self, group: &str) {
        let taken = {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            let place = held.iter().position(|(of, _)| *of == group);
            place.map(|place| held.remove(place))
        };
        drop(taken);
    }

    /// A reclaimer that gives back what it is told of.
    fn reclaimer(&self) -> Reclaimer {
        let gives = self.clone();
        let reclaims = move |shortage: &Shortage| gives.reclaim(shortage, true);
        self.world.manager.on_shortage(reclaims)
    }

    /// A reclaimer gives back what it is told of, if `may`. Two at once are a violation.
    fn reclaim(&self, shortage: &Shortage, may: bool) {
        // A panic would be an event.
        if self.inside.fetch_add(1, Ordering::Relaxed) > 0 {
            self.world.oracle.tell("two threads ask at once".to_owned());
        }
        if may {
            for hold in &shortage.evictable {
                self.give_back(hold.label.as_deref().unwrap_or_default());
            }
        }
        self.inside.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The step waits for a hold, then for work.
fn a_hold_is_given_back_while_work_leaves(form: Form) {
    let world = World::new(eager());
    let shelf = Shelf::new(&world);
    shelf.put("a", form, 2);
    let work = world.held("a", form, 2);
    let reclaimer = shelf.reclaimer();
    let step = world.active("a", form, 3);
    let leaving = spawn(move || drop(work));
    drop(step.acquire().unwrap());
    leaving.join();
    drop(reclaimer);
    world.finish();
}

#[test]
fn a_hold_is_given_back_while_work_leaves_capped() {
    explore(Size::Two, || {
        a_hold_is_given_back_while_work_leaves(Form::Capped(4));
    });
}

#[test]
fn a_hold_is_given_back_while_work_leaves_custom() {
    explore(Size::Small, || {
        a_hold_is_given_back_while_work_leaves(Form::Custom(4));
    });
}

/// Others come and go meanwhile: work, or a hold that fits beside the first.
fn a_hold_is_given_back_while_others_come_and_go(others: &[fn(Demand) -> Demand]) {
    let world = World::new(eager());
    let form = Form::Capped(4);
    let shelf = Shelf::new(&world);
    shelf.put("a", form, 3);
    let reclaimer = shelf.reclaimer();
    let step = world.active("a", form, 2);
    let others: Vec<_> = others
        .iter()
        .map(|kind| {
            let other = kind(world.active("a", form, 1));
            spawn(move || drop(other.acquire().unwrap()))
        })
        .collect();
    drop(step.acquire().unwrap());
    join_all(others);
    drop(reclaimer);
    world.finish();
}

#[test]
fn a_hold_is_given_back_while_work_comes_and_goes() {
    explore(Size::Three, || {
        a_hold_is_given_back_while_others_come_and_go(&[|it| it]);
    });
}

#[test]
fn a_hold_is_given_back_while_another_comes_and_goes() {
    explore(Size::Two, || {
        a_hold_is_given_back_while_others_come_and_go(&[Demand::reservation]);
    });
}

#[test]
fn a_hold_is_given_back_while_both_come_and_go() {
    explore(Size::Many, || {
        a_hold_is_given_back_while_others_come_and_go(&[|it| it, Demand::reservation]);
    });
}

/// Each line has a first that asks. One asks at a time, and the other is woken for its turn.
#[test]
fn the_first_of_two_lines() {
    explore_in(Size::Two, eager(), |world| {
        let form = Form::Capped(4);
        let shelf = Shelf::new(world);
        shelf.put("a", form, 3);
        shelf.put("b", form, 3);
        let _reclaimer = shelf.reclaimer();
        let [step, other] = ["a", "b"].map(|group| world.active(group, form, 2));
        let asking = spawn(move || drop(other.acquire().unwrap()));
        drop(step.acquire().unwrap());
        asking.join();
    });
}

/// Under a budget one line serves both groups. The holds are given back for the one of them that comes second.
#[test]
fn two_groups_in_one_line() {
    explore_in(Size::Small, eager().budget(4), |world| {
        let shelf = Shelf::new(world);
        shelf.put("b", Form::Sum, 3);
        let _reclaimer = shelf.reclaimer();
        let [step, other] = ["a", "b"].map(|group| world.active(group, Form::Sum, 2));
        let asking = spawn(move || drop(other.acquire().unwrap()));
        drop(step.acquire().unwrap());
        asking.join();
    });
}

/// Nothing is given back for the first, which gives up. The second is the first then, and asks.
fn the_first_gives_up(world: &Arc<World>, wait: Wait, end: impl FnOnce() + Send + 'static) {
    let form = Form::Capped(4);
    let shelf = Shelf::new(world);
    shelf.put("a", form, 3);
    let gives = shelf.clone();
    // The second lacks 2 bytes, the first 1.
    let reclaimer = world.manager.on_shortage(move |shortage| {
        gives.reclaim(shortage, shortage.missing == 2);
    });
    let (first, second) = (world.active("a", form, 2), world.active("a", form, 3));
    let gives_up = spawn(move || match first.acquire_with(wait) {
        Ok(guard) => drop(guard),
        Err(error) => assert!(error.is_cancelled() || error.is_timeout(), "{error}"),
    });
    let ending = spawn(end);
    drop(second.acquire().unwrap());
    join_all([gives_up, ending]);
    drop(reclaimer);
    world.finish();
}

#[test]
fn the_first_is_cancelled() {
    explore(Size::Three, || {
        let token = CancelToken::new();
        let wait = Wait::new().cancel(&token);
        the_first_gives_up(&World::new(eager()), wait, move || token.cancel());
    });
}

#[test]
fn the_first_times_out() {
    explore(Size::Three, || {
        let world = World::new(eager());
        let clock = world.clock.clone();
        let wait = Wait::new().deadline(clock.now() + SECOND / 2);
        the_first_gives_up(&world, wait, move || clock.advance(SECOND / 2));
    });
}

/// The waiter is set aside already, or about to be.
#[test]
fn a_reclaimer_comes() {
    explore_in(Size::Small, eager(), |world| {
        let form = Form::Capped(4);
        let shelf = Shelf::new(world);
        shelf.put("a", form, 3);
        let step = world.active("a", form, 2);
        let waits = spawn(move || drop(step.acquire().unwrap()));
        let _reclaimer = world
            .manager
            .on_shortage(move |shortage| shelf.reclaim(shortage, true));
        waits.join();
    });
}

/// Each of two that are registered at once is asked: each gives back one hold, and the step needs both.
#[test]
fn two_reclaimers_come() {
    explore_in(Size::Small, eager(), |world| {
        let form = Form::Capped(4);
        let shelf = Shelf::new(world);
        shelf.put("a", form, 2);
        shelf.put("a", form, 1);
        let register =
            |world: &World, gives: Shelf| world.manager.on_shortage(move |_| gives.give_back("a"));
        let other = spawn({
            let (world, gives) = (world.clone(), shelf.clone());
            move || register(&world, gives)
        });
        let _reclaimers = (register(world, shelf), other.join());
        let step = world.active("a", form, 4);
        drop(step.acquire().unwrap());
    });
}

/// Of two reclaimers the first goes. The second is asked all the same.
#[test]
fn a_reclaimer_goes_before_another() {
    explore_in(Size::Small, eager(), |world| {
        let form = Form::Capped(4);
        let shelf = Shelf::new(world);
        shelf.put("a", form, 3);
        let [first, second] = [false, true].map(|may| {
            let gives = shelf.clone();
            world
                .manager
                .on_shortage(move |shortage| gives.reclaim(shortage, may))
        });
        let step = world.active("a", form, 2);
        let waits = spawn(move || drop(step.acquire().unwrap()));
        drop(first);
        waits.join();
        drop(second);
    });
}

/// Of two reclaimers the first goes while the waiter asks its policy what it lacks. From then on it is not called.
#[test]
fn a_reclaimer_goes_while_a_policy_is_asked() {
    explore_in(Size::Two, eager(), |world| {
        let form = Form::Custom(4);
        let shelf = Shelf::new(world);
        shelf.put("a", form, 2);
        // The policy is asked about what stays.
        let stays = world.active("a", form, 1).staying_reservation();
        let stays = stays.acquire_owned().unwrap();
        let policy = Custom::new(&world.oracle, "a", 4);
        let (script, gives) = (policy.script.clone(), shelf.clone());
        let first = world.manager.on_shortage(move |shortage| {
            if script.was_asked.load(Ordering::Relaxed) {
                let oracle = &gives.world.oracle;
                oracle.tell("it was called though it is gone".to_owned());
            }
            gives.reclaim(shortage, false);
        });
        let second = world
            .manager
            .on_shortage(move |shortage| shelf.reclaim(shortage, true));
        let step = world.under(&policy, "a", form, 2);
        let waits = spawn(move || drop(step.acquire().unwrap()));
        drop(first);
        // This thread asks it no more.
        policy.script.notes.store(true, Ordering::Relaxed);
        waits.join();
        drop((second, stays));
    });
}

/// The only reclaimer goes, then the hold. A waiter that comes after that never asks it.
#[test]
fn a_reclaimer_goes() {
    explore_in(Size::Two, eager(), |world| {
        let form = Form::Capped(4);
        let shelf = Shelf::new(world);
        shelf.put("a", form, 3);
        let (calls, gives) = (Arc::new(AtomicU64::new(0)), shelf.clone());
        let counts = calls.clone();
        let reclaimer = world.manager.on_shortage(move |shortage| {
            counts.fetch_add(1, Ordering::Relaxed);
            gives.reclaim(shortage, false);
        });
        let step = world.active("a", form, 2);
        let waits = spawn(move || drop(step.acquire().unwrap()));
        drop(reclaimer);
        shelf.give_back("a");
        waits.join();
        let before = calls.load(Ordering::Relaxed);
        let hold = world.active("a", form, 3).staying_reservation();
        let hold = hold.acquire_owned().unwrap();
        let waiting = world.active("a", form, 2);
        let waits = spawn(move || drop(waiting.acquire_with(Wait::new().for_holds()).unwrap()));
        drop(hold);
        waits.join();
        assert_eq!(calls.load(Ordering::Relaxed), before, "it is gone");
    });
}

/// A waiter that asked in vain asks again, a second later.
#[test]
fn the_hold_is_in_use_at_first() {
    explore_in(Size::Many, eager(), |world| {
        let form = Form::Capped(4);
        let shelf = Shelf::new(world);
        shelf.put("a", form, 3);
        let (calls, gives) = (Arc::new(AtomicU64::new(0)), shelf.clone());
        let counts = calls.clone();
        let _reclaimer = world.manager.on_shortage(move |shortage| {
            let before = counts.fetch_add(1, Ordering::Relaxed);
            gives.reclaim(shortage, before > 1);
        });
        let step = world.active("a", form, 2);
        let waits = spawn(move || drop(step.acquire().unwrap()));
        while calls.load(Ordering::Relaxed) < 3 {
            world.clock.advance(SECOND);
            yield_now();
        }
        waits.join();
    });
}
