//! A few threads in short bursts of the shortest calls, with next to nothing between them: the other scenarios look at so
//! much after each call that two of the fast path's hardly ever meet.
//!
//! After each burst all stop, and the limit must be exactly what is still held calls for. In some runs an owned guard
//! lives in each group throughout: beside what stays, a release need not look at so much.

use super::crew::Crew;
use super::forms::{Counts, Form, KINDS, SIZES};
use super::plan::Plan;
use super::world::World;
use fastrand::Rng;
use mlx_wired::{Config, Error, Guard, Kind, OwnedGuard, Ticket, WireMode};
use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Who fights for what: a thread's line, and the place of its size in [`SIZES`].
#[derive(Debug, Clone, Copy)]
struct Role {
    line: usize,
    size: usize,
    /// It waits for admission; else it tries again and again.
    waits: bool,
}

/// What stays, in runs in which something does.
const STAYING: [Role; 2] = [
    Role {
        line: 0,
        size: 2,
        waits: true,
    },
    Role {
        line: 1,
        size: 1,
        waits: true,
    },
];

/// What a burst asks of a thread.
#[derive(Debug, Clone, Copy)]
struct Order {
    cycles: u32,
    /// It keeps its last guard until the next burst.
    keeps: bool,
    /// How long it waits before it begins.
    delay: u32,
}

/// A run of so many bursts.
pub(crate) fn run(plan: Plan, bursts: usize) {
    let rng = &mut Rng::with_seed(plan.seed);
    // A higher limit in another group covers what is acquired here, until it falls.
    let here = match rng.u8(..8) {
        0..3 => Form::Uncapped,
        3 => Form::Max,
        4 => Form::Peak,
        5 => Form::Budget { base: 20, cap: 120 },
        _ => Form::Capped(100),
    };
    let forms = vec![here, Form::Fixed(100)];
    // Every drop is worth a call, or none but the last.
    let ratio = [0.0, 1.0][rng.usize(..2)];
    let config = Config::default()
        .growth_step(0)
        .shrink_threshold_ratio(ratio)
        .shrink_cooldown(Duration::ZERO)
        .housekeeping(false);
    let world = World::new(Plan {
        threads: plan.threads.min(3),
        config,
        mode: WireMode::Auto,
        forms,
        initial: 0,
        budget: None,
        ratio,
        failing: 0,
        panicking: false,
        calling_back: false,
        dawdling: 0,
        closing: false,
        leaking: false,
        ..plan
    });
    let staying: Vec<Role> = if rng.bool() {
        STAYING.into()
    } else {
        Vec::new()
    };
    let held: Arc<Vec<AtomicU64>> = Arc::new((0..2).map(|_| AtomicU64::new(0)).collect());
    let stay = |role: &Role| {
        held[role.line].fetch_add(SIZES[role.size], Ordering::Relaxed);
        let ticket = world.lines[role.line].ticket(role.size, 0);
        ticket.acquire_owned().expect("nothing is in the way")
    };
    let owned: Vec<OwnedGuard> = staying.iter().map(stay).collect();
    let roles: Vec<Role> = (0..world.plan.threads).map(|me| role(rng, me)).collect();
    Crew::new(&world).run(move |crew, me| {
        let fighter = Fighter {
            world: &crew.world,
            held: &held,
            role: roles[me],
            staying: &staying,
            ticket: crew.world.lines[roles[me].line].ticket(roles[me].size, 0),
        };
        fighter.fight(crew, me, &roles, bursts);
    });
    drop(owned);
    world.check_still();
}

/// The first two meet in different groups, or all in one.
fn role(rng: &mut Rng, me: usize) -> Role {
    let line = if me == 0 { rng.usize(..2) } else { 0 };
    Role {
        line,
        // Two of the larger of these do not fit under a cap.
        size: rng.usize(4..SIZES.len() - 1),
        waits: rng.bool(),
    }
}

struct Fighter<'a> {
    world: &'a World,
    /// The bytes held in each line.
    held: &'a [AtomicU64],
    role: Role,
    staying: &'a [Role],
    ticket: &'a Ticket,
}

impl<'a> Fighter<'a> {
    fn fight(&self, crew: &Crew, me: usize, roles: &[Role], bursts: usize) {
        debug_assert_eq!(KINDS[0], Kind::Active);
        // All draw the same orders.
        let mut rng = Rng::with_seed(self.world.plan.seed);
        // In short bursts nothing makes good what was lost; long ones are at it for more of the time.
        let most = [1, 3, 128][rng.usize(..3)];
        let mut kept: Option<Guard<'a>> = None;
        for burst in 0..bursts {
            // One who keeps what others wait for would keep them waiting for ever.
            let keeper = rng.usize(..roles.len() * 2);
            let orders: Vec<Order> = (0..roles.len())
                .map(|at| Order {
                    cycles: rng.u32(1..=most),
                    keeps: at == keeper,
                    delay: rng.u32(..100),
                })
                .collect();
            if burst % 64 == 0 {
                crew.begins(me, &(burst, self.role));
            }
            if !crew.meet() {
                return;
            }
            (0..orders[me].delay).for_each(|_| spin_loop());
            if let Some(guard) = kept.take() {
                self.release(guard);
            }
            self.burst(orders[me].cycles);
            if !crew.meet() {
                return;
            }
            if orders[me].keeps {
                kept = self.acquire();
            }
            if !crew.meet() {
                return;
            }
            if me == 0 {
                self.check(keeper, roles);
            }
        }
        // The last check is over.
        if let (true, Some(guard)) = (crew.meet(), kept.take()) {
            self.release(guard);
        }
    }

    fn burst(&self, cycles: u32) {
        for _ in 0..cycles {
            if let Some(guard) = self.acquire() {
                self.release(guard);
            }
        }
    }

    fn acquire(&self) -> Option<Guard<'a>> {
        let guard = if self.role.waits {
            Some(self.ticket.acquire().expect("its turn comes"))
        } else {
            (0..50).find_map(|_| self.try_acquire())
        }?;
        let bytes = self.ticket.bytes();
        let line = &self.world.lines[self.role.line].form;
        // Relaxed: see `accounts`.
        let held = self.held[self.role.line].fetch_add(bytes, Ordering::Relaxed) + bytes;
        let most = line.most().unwrap_or(u64::MAX);
        assert!(held <= most, "R1: {held} bytes live under {line:?}");
        self.check_limit();
        Some(guard)
    }

    fn try_acquire(&self) -> Option<Guard<'a>> {
        match self.ticket.try_acquire() {
            Ok(guard) => Some(guard),
            Err(Error::WouldBlock { .. }) => None,
            Err(error) => panic!("{error:?}"),
        }
    }

    fn release(&self, guard: Guard<'a>) {
        self.check_limit();
        let bytes = self.ticket.bytes();
        self.held[self.role.line].fetch_sub(bytes, Ordering::Relaxed);
        drop(guard);
    }

    /// R3, R4: the limit suffices for this thread's guard.
    fn check_limit(&self) {
        let limit = self.world.backend.current_limit();
        let needed = self.needed(Some(self.role));
        assert!(limit >= needed, "R4: the limit is {limit}, not {needed}");
    }

    /// R5, R6: the limit is what the one guard that is kept calls for, if one is, beside what stays.
    fn check(&self, keeper: usize, roles: &[Role]) {
        let limit = self.world.backend.current_limit();
        let staying: u64 = self.staying.iter().map(|role| SIZES[role.size]).sum();
        let held: u64 = self.held.iter().map(|it| it.load(Ordering::Relaxed)).sum();
        // One that only tries may have got none.
        let kept = roles.get(keeper).filter(|_| held > staying).copied();
        let needed = self.needed(kept);
        let is_low = limit == needed || (self.world.plan.ratio > 0.0 && needed > 0);
        assert!(
            limit >= needed && is_low,
            "R8: the limit is {limit}, not {needed}; {roles:?}, {kept:?} is kept"
        );
    }

    /// What one guard calls for, beside what stays.
    fn needed(&self, guard: Option<Role>) -> u64 {
        let mut counts: [Counts; 2] = Default::default();
        for role in self.staying.iter().chain(&guard) {
            counts[role.line][role.size] += 1;
        }
        let lines = self.world.lines.iter().zip(&counts);
        let limits = lines.map(|(line, counts)| line.form.limit(0, counts));
        limits.max().unwrap_or(0).min(self.world.bound())
    }
}
