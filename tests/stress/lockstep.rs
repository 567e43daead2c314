//! Threads that make one move each, at the same moment, and then all stop: whatever a move has lost, nothing that comes
//! later makes good before it is seen.
//!
//! The moves of a turn are chosen so that every wait without bounds must end by the other moves of the same turn.

use super::accounts::Claim;
use super::crew::Crew;
use super::events::Tally;
use super::held::{AnyGuard, Held, shortly};
use super::moves::{How, Move, draw};
use super::plan::Plan;
use super::world::World;
use fastrand::Rng;
use mlx_wired::{CancelToken, Error, Guard, OwnedGuard, Subscriber, Wait};
use parking_lot::Mutex;
use std::hint::spin_loop;
use std::sync::Arc;
use std::thread::yield_now;

/// What a thread holds, as all may know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hand {
    pub(crate) claim: Claim,
    /// It lies where every thread reaches it.
    pub(crate) owned: bool,
}

/// What the threads share.
struct Table {
    hands: Mutex<Vec<Option<Hand>>>,
    owned: Vec<Mutex<Option<Held<OwnedGuard>>>>,
    tokens: Vec<Mutex<CancelToken>>,
}

/// A run of so many turns.
pub(crate) fn run(plan: Plan, turns: usize) {
    // What a hold must leave to others, the moves do not reckon with.
    let world = World::new(Plan { room: 0, ..plan });
    let crew = Crew::new(&world);
    let places = || 0..world.plan.threads;
    let table = Arc::new(Table {
        hands: Mutex::new(places().map(|_| None).collect()),
        owned: places().map(|_| Mutex::default()).collect(),
        tokens: places().map(|_| Mutex::default()).collect(),
    });
    crew.run({
        let table = table.clone();
        move |crew, me| Player::new(crew, &table, me).play(turns)
    });
    drop(table);
    world.check_end();
}

struct Player<'a> {
    crew: &'a Crew,
    world: &'a Arc<World>,
    table: &'a Table,
    me: usize,
    bound: Option<Held<Guard<'a>>>,
    subscriber: Option<Subscriber>,
}

impl<'a> Player<'a> {
    fn new(crew: &'a Crew, table: &'a Table, me: usize) -> Self {
        Self {
            crew,
            world: &crew.world,
            table,
            me,
            bound: None,
            subscriber: None,
        }
    }

    fn play(mut self, turns: usize) {
        let plan = &self.world.plan;
        // All draw the same moves.
        let mut rng = Rng::with_seed(plan.seed);
        let every = [1, 1, 4, 16][rng.usize(..4)];
        let close_at = plan.closing.then(|| rng.usize(turns / 2..turns));
        let mut tally = Tally::default();
        for turn in 0..turns {
            let hands = self.table.hands.lock().clone();
            let moves = draw(&mut rng, self.world, &hands, close_at == Some(turn));
            self.crew.begins(self.me, &moves[self.me]);
            if !self.crew.meet() {
                return;
            }
            (0..fastrand::u32(..300)).for_each(|_| spin_loop());
            self.make(&moves[self.me]);
            self.show();
            if !self.crew.meet() {
                return;
            }
            if self.me == 0 && turn % every == 0 {
                self.world.check_still();
                tally.check(self.world);
                self.world.learn_baseline();
            }
        }
        if self.crew.meet() {
            self.end();
        }
    }

    /// Tells the others what it holds.
    fn show(&self) {
        let owned = self.table.owned[self.me].lock();
        let hand = match (&self.bound, &*owned) {
            (Some(held), _) => Some((held.claim, false)),
            (None, Some(held)) => Some((held.claim, true)),
            (None, None) => None,
        };
        let hand = hand.map(|(claim, owned)| Hand { claim, owned });
        // While what lies here is locked: whoever releases it says so after that.
        self.table.hands.lock()[self.me] = hand;
        *self.table.tokens[self.me].lock() = CancelToken::new();
    }

    fn make(&mut self, what: &Move) {
        let world = self.world;
        let manager = &world.manager;
        match what {
            Move::Idle => {}
            Move::Acquire(claim, kind, how, owned) => self.acquire(*claim, *kind, *how, *owned),
            Move::Release => self.release(),
            Move::ReleaseOf(other) => {
                let held = self.table.owned[*other].lock().take();
                drop(held);
                self.table.hands.lock()[*other] = None;
            }
            Move::Resize(size, how) => self.resize(*size, *how),
            Move::Cancel(other) => {
                let token = self.table.tokens[*other].lock().clone();
                token.cancel();
            }
            Move::Poke => manager.poke().expect("from outside"),
            Move::Maintain => manager.maintain(),
            Move::Snapshot => world.check_snapshot(),
            Move::Holders => drop((manager.holders(), manager.waiting())),
            Move::Overtaking => {
                let times = fastrand::u64(..=world.plan.overtaking);
                let changed = manager.configure(|config| config.overtaking(times));
                changed.expect("it may change at any time");
            }
            Move::Subscribe => match self.subscriber.take() {
                Some(subscriber) => Tally::check_order(&subscriber),
                None => self.subscriber = Some(manager.subscribe(fastrand::usize(1..64))),
            },
            Move::NewGroup => {
                let policy = mlx_wired::SumPolicy::uncapped();
                let policy = policy.with_id(mlx_wired::PolicyId::unique());
                drop(manager.ticket(&policy, 1));
            }
            Move::ChangeCaps => {
                for custom in world.customs() {
                    custom.set_cap(60);
                    yield_now();
                    custom.set_cap(super::custom::Custom::CAP);
                }
                manager.poke().expect("from outside");
            }
            Move::Close => world.close(),
        }
    }

    fn acquire(&mut self, claim: Claim, kind: usize, how: How, owned: bool) {
        let ticket = self.world.lines[claim.line].ticket(claim.size, kind);
        let wait = self.wait(how);
        let world = self.world;
        let result = if owned {
            let held = world.hold(claim, || ticket.acquire_owned_with(wait));
            held.map(|held| *self.table.owned[self.me].lock() = Some(held))
        } else {
            let held = world.hold(claim, || match how {
                How::Block => ticket.acquire(),
                How::Try => ticket.try_acquire(),
                How::Shortly | How::Cancelled => ticket.acquire_with(wait),
            });
            held.map(|held| self.bound = Some(held))
        };
        self.check(how, result);
    }

    fn wait(&self, how: How) -> Wait {
        match how {
            How::Block => Wait::new(),
            How::Try => shortly(0),
            How::Shortly => shortly(60),
            How::Cancelled => Wait::new().cancel(&self.table.tokens[self.me].lock()),
        }
    }

    /// A wait without bounds ends with a guard, or with an error that says why none comes.
    fn check(&self, how: How, result: Result<(), Error>) {
        match (how, result) {
            (_, Ok(())) => {}
            (How::Try, Err(Error::WouldBlock { .. })) => {}
            (How::Try | How::Shortly, Err(Error::Timeout { .. })) => {}
            (How::Cancelled, Err(Error::Cancelled { .. })) => {}
            (
                _,
                Err(
                    Error::SetLimit { .. }
                    | Error::PolicyPanicked { .. }
                    | Error::Closed
                    | Error::NeverAdmissible { .. }
                    | Error::NoRoom { .. }
                    | Error::WouldDeadlock { .. },
                ),
            ) => {}
            (how, Err(error)) => panic!("{how:?} ends with {error:?}"),
        }
    }

    fn resize(&mut self, size: usize, how: How) {
        let wait = self.wait(how);
        let result = if let Some(held) = &mut self.bound {
            resize(held, size, how, wait)
        } else if let Some(held) = &mut *self.table.owned[self.me].lock() {
            resize(held, size, how, wait)
        } else {
            Ok(())
        };
        self.check(how, result);
    }

    fn release(&mut self) {
        if let Some(held) = self.bound.take() {
            release(held);
        }
        let held = self.table.owned[self.me].lock().take();
        if let Some(held) = held {
            let custom = self.world.customs().next();
            match custom.filter(|_| self.world.plan.calling_back) {
                Some(custom) if fastrand::bool() => {
                    custom.give(Box::new(held));
                    yield_now();
                    custom.take_back();
                }
                _ => release(held),
            }
        }
    }

    fn end(&mut self) {
        if self.world.plan.leaking && fastrand::bool() {
            if let Some(held) = self.bound.take() {
                held.never_release();
            }
            let held = self.table.owned[self.me].lock().take();
            if let Some(held) = held {
                held.never_release();
            }
        }
        self.release();
    }
}

fn resize<G: AnyGuard>(held: &mut Held<G>, size: usize, how: How, wait: Wait) -> Result<(), Error> {
    held.resize(size, |guard, bytes| match how {
        How::Try => guard.try_resize(bytes),
        _ => guard.resize_with(bytes, wait),
    })
}

fn release<G: AnyGuard>(mut held: Held<G>) {
    match fastrand::u8(..8) {
        0 => drop(held.release()),
        1 => {
            held.hook();
            drop(held);
        }
        _ => drop(held),
    }
}
