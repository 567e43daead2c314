//! R40: groups and sizes in which nothing lives and nothing waits cost nothing, and are there when they are used again.

use crate::kit::{Custom, Rig, SECOND, effort, forget_unused_groups, quiet};
use mlx_wired::ffi::NoMlx;
use mlx_wired::{BudgetPolicy, Config, Error, Manager, MaxPolicy, PeakPolicy, SumPolicy, Ticket};
use std::time::Duration;

/// How many policies or sizes a server has, nearly all of them idle.
const IDLE: u64 = 10_000;
/// What may differ from run to run. Walking what is idle makes it a hundred times as much.
const FACTOR: u32 = 10;

fn pairs(ticket: &Ticket) -> Duration {
    effort(|| {
        for _ in 0..200 {
            drop(ticket.acquire().expect("it fits"));
        }
    })
}

#[track_caller]
fn assert_cheap(alone: Duration, beside: Duration) {
    assert!(
        beside < FACTOR * alone,
        "200 pairs: {alone:?} alone, {beside:?} beside {IDLE} that are idle"
    );
}

/// Times pairs that begin and end an epoch, alone and beside what `idle` makes.
#[track_caller]
fn compare(
    config: Config,
    first: impl Fn(&Manager) -> Ticket,
    idle: impl Fn(&Manager, u64) -> Ticket,
) {
    let manager = Manager::builder()
        .backend(NoMlx::new())
        .config(config)
        .build()
        .expect("the settings are valid");
    let first = first(&manager);
    pairs(&first);
    let alone = pairs(&first).max(pairs(&first));
    let others: Vec<Ticket> = (1..IDLE).map(|n| idle(&manager, n)).collect();
    // Each has been in use once.
    for other in &others {
        drop(other.acquire().expect("it fits"));
    }
    // The idle ones are found to be idle.
    pairs(&first);
    let beside = pairs(&first).min(pairs(&first));
    assert_cheap(alone, beside);
}

#[test]
fn r40_a_pair_costs_the_same_beside_idle_groups() {
    let session = |manager: &Manager| manager.ticket(&BudgetPolicy::new(0), 1 << 20);
    compare(Config::default(), session, |manager, _| session(manager));
}

#[test]
fn r40_a_pair_under_a_budget_costs_the_same_beside_idle_groups() {
    let session = |manager: &Manager| manager.ticket(&BudgetPolicy::new(0), 1 << 20);
    let config = Config::default().budget(1 << 30);
    compare(config, session, |manager, _| session(manager));
}

#[test]
fn r40_a_pair_costs_the_same_beside_idle_sizes() {
    let of = |manager: &Manager, bytes| manager.ticket(&MaxPolicy::new(), bytes);
    compare(Config::default(), |manager| of(manager, 1), of);
    let policy = Custom::new().with_sizes();
    let of = |manager: &Manager, bytes| manager.ticket(&policy, bytes);
    compare(Config::default(), |manager| of(manager, 1), of);
}

/// What may be held has changed, and each was in use since then, beside one that stays.
#[test]
fn r40_groups_that_were_idle_when_all_were_judged_again_cost_nothing() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let manager = &rig.manager;
    let session = || manager.ticket(&BudgetPolicy::new(0), 1 << 20);
    let (first, stays) = (session(), manager.ticket(&BudgetPolicy::new(0), 1 << 30));
    pairs(&first);
    let alone = pairs(&first).max(pairs(&first));
    let others: Vec<Ticket> = (1..IDLE).map(|_| session()).collect();
    manager.poke()?;
    let staying = stays.acquire()?;
    for other in &others {
        drop(other.acquire()?);
    }
    drop(staying);
    pairs(&first);
    let beside = pairs(&first).min(pairs(&first));
    assert_cheap(alone, beside);
    rig.finish()
}

/// More groups than are looked at while they are few, one in use after the other, beside one that stays.
#[test]
fn r40_a_group_that_was_idle_is_covered_and_restored_as_before() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let stays = rig.ticket(&SumPolicy::uncapped(), 5);
    let tickets: Vec<Ticket> = (0..200)
        .map(|n| rig.ticket(&BudgetPolicy::new(n), 100))
        .collect();
    for _ in 0..2 {
        let staying = stays.acquire()?;
        for (base, ticket) in (0..).zip(&tickets) {
            let guard = ticket.acquire()?;
            assert!(rig.limit() >= base + 100, "{base}");
            assert_eq!(rig.manager.snapshot().live, 2);
            drop(guard);
        }
        drop(staying);
        rig.backend.assert_baseline(0);
    }
    // All at once, and none of them beside those.
    let guards: Vec<_> = tickets
        .iter()
        .map(Ticket::acquire)
        .collect::<Result<_, _>>()?;
    assert_eq!((rig.limit(), rig.manager.snapshot().live), (299, 200));
    drop(guards);
    rig.finish()
}

#[test]
fn r40_a_size_that_was_idle_counts_as_before() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let sizes: Vec<Ticket> = (1..=200)
        .map(|bytes| rig.ticket(&PeakPolicy, bytes))
        .collect();
    let staying = sizes[9].acquire()?;
    for _ in 0..2 {
        for ticket in &sizes {
            let guard = ticket.acquire()?;
            let most = ticket.bytes().max(10);
            assert!(rig.limit() >= most, "{most}");
            assert_eq!(rig.manager.snapshot().desired, most);
            drop(guard);
        }
    }
    assert_eq!(rig.manager.snapshot().desired, 10);
    drop(staying);
    rig.finish()
}

/// What a policy leaves to the call around it is done, though no group is looked at by then.
#[test]
fn r22_what_is_due_is_done_after_a_policy_that_is_the_first_to_be_asked() -> Result<(), Error> {
    let rig = Rig::new(quiet().linger(SECOND))?;
    drop(rig.ticket(&SumPolicy::uncapped(), 10).acquire()?);
    forget_unused_groups(&rig.manager);
    rig.clock.advance(SECOND);
    assert_eq!(rig.limit(), 10, "the end of linger is due");
    let manager = rig.manager.clone();
    let refuses = Custom::new().ever(|_, _| true).admits(move |_, _, _| {
        manager.maintain();
        false
    });
    let refused = rig.ticket(&refuses, 1).try_acquire().err();
    assert!(refused.is_some_and(|error| error.is_would_block()));
    assert_eq!(rig.limit(), 0);
    rig.finish()
}
