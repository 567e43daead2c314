//! R25: a budget over all groups.

use crate::kit::{
    Acquiring, Custom, GIB, Pending, Rig, SECOND, assert_matches, eager, numbers, queued, quiet,
    would_block,
};
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::{
    BudgetPolicy, CancelToken, Config, Error, FixedPolicy, MaxPolicy, Obstacle, OwnedGuard,
    PolicyId, SumPolicy, Wait, WireMode,
};

#[test]
fn r25_two_groups_are_not_both_admitted() -> Result<(), Error> {
    let rig = Rig::new(quiet().budget(48 * GIB))?;
    let one = rig.ticket(&SumPolicy::new(), 40 * GIB);
    let two = rig.ticket(&MaxPolicy::new(), 40 * GIB);
    let guard = one.acquire()?;
    let refused = two.try_acquire().err();
    let expected = would_block(40 * GIB, (40 * GIB, 48 * GIB), Obstacle::Budget);
    assert_eq!(refused, Some(expected));
    let waiting = rig.queued(&two);
    let small = rig.ticket(&FixedPolicy::new(1), 8 * GIB);
    let behind = rig.queued(&small);
    drop(guard);
    drop((waiting.result()?, behind.result()?));
    rig.finish()
}

#[test]
fn r25_each_policy_counts_beside_the_budget() -> Result<(), Error> {
    let rig = Rig::new(quiet().budget(100))?;
    let capped = rig.ticket(&SumPolicy::capped(20), 15);
    let custom = rig.ticket(&Custom::capped(60), 50);
    let first = (capped.acquire()?, custom.acquire()?);
    // The policies' own caps, not the budget: 65 of 100.
    assert!(capped.try_acquire().is_err_and(|e| e.is_would_block()));
    assert!(custom.try_acquire().is_err_and(|e| e.is_would_block()));
    let rest = rig.ticket(&SumPolicy::uncapped(), 35);
    let second = rest.try_acquire()?;
    let more = rig.ticket(&SumPolicy::uncapped(), 1);
    assert!(more.try_acquire().is_err_and(|e| e.is_would_block()));
    drop((first, second));
    rig.finish()
}

/// Who waits, in turn.
fn served(rig: &Rig, queue: Vec<Acquiring>, holder: OwnedGuard) -> Result<(), Error> {
    let mut left = queue.len();
    let mut guard = holder;
    for pending in queue {
        drop(guard);
        guard = pending.result()?;
        left -= 1;
        assert_eq!(rig.manager.waiting().len(), left, "one at a time, in turn");
    }
    drop(guard);
    Ok(())
}

#[test]
fn r25_one_queue_serves_all_groups_in_turn() -> Result<(), Error> {
    let rig = Rig::new(quiet().budget(10))?;
    let manager = &rig.manager;
    let tickets = [
        manager.ticket(&SumPolicy::capped(10), 10),
        manager.ticket(&MaxPolicy::new(), 10),
        manager.ticket(&Custom::capped(10), 10),
        manager
            .ticket(&FixedPolicy::new(3), 10)
            .reservation()
            .evictable(),
        manager
            .ticket(&SumPolicy::uncapped(), 10)
            .resident()
            .evictable(),
    ];
    let holder = tickets[0].acquire_owned()?;
    let order = [1, 3, 2, 0, 4, 2, 1, 0, 3];
    let queue = order.map(|index: usize| queued(manager, &tickets[index], Wait::new()));
    let places: Vec<u64> = manager.waiting().iter().map(|w| w.ticket).collect();
    assert_eq!(places, order.map(|index| tickets[index].id()));
    served(&rig, queue.into(), holder)?;
    rig.finish()
}

#[test]
fn r25_nobody_of_another_group_overtakes() -> Result<(), Error> {
    let rig = Rig::new(quiet().budget(100))?;
    let held = rig.ticket(&SumPolicy::uncapped(), 60).acquire_owned()?;
    let head = rig.queued(&rig.ticket(&MaxPolicy::new(), 50));
    // It would fit, and its policy never refuses.
    let small = rig.ticket(&FixedPolicy::new(1), 1);
    assert!(small.try_acquire().is_err_and(|e| e.is_would_block()));
    let behind = rig.queued(&small);
    drop(held);
    drop((head.result()?, behind.result()?));
    rig.finish()
}

#[test]
fn r25_a_head_that_gives_up_lets_other_groups_go_on() -> Result<(), Error> {
    let rig = Rig::new(quiet().budget(100))?;
    let held = rig.ticket(&SumPolicy::uncapped(), 60).acquire_owned()?;
    let large = rig.ticket(&MaxPolicy::new(), 50);
    let small = rig.ticket(&Custom::new(), 40);
    let token = CancelToken::new();
    for wait in [Wait::new().cancel(&token), Wait::new().timeout(SECOND)] {
        let head = rig.queued_with(&large, wait);
        let behind = rig.queued(&small);
        token.cancel();
        rig.clock.advance(SECOND);
        assert!(head.result().is_err());
        drop(behind.result()?);
    }
    drop(held);
    rig.finish()
}

#[test]
fn r25_what_exceeds_the_budget_never_comes() -> Result<(), Error> {
    let rig = Rig::new(quiet().budget(48))?;
    let manager = &rig.manager;
    let budget = Obstacle::Budget;
    for (ticket, capacity, obstacle) in [
        (manager.ticket(&SumPolicy::uncapped(), 49), 48, budget),
        (manager.ticket(&Custom::new(), 49), 48, budget),
        (manager.ticket(&SumPolicy::capped(50), 49), 48, budget),
        (
            manager.ticket(&SumPolicy::capped(40), 41),
            40,
            Obstacle::Cap,
        ),
        (
            manager.ticket(&SumPolicy::capped(40), 49),
            40,
            Obstacle::Cap,
        ),
    ] {
        let never = Error::NeverAdmissible {
            size: ticket.bytes(),
            capacity: Some(capacity),
            contention: Box::default(),
            obstacle,
        };
        let refused = [ticket.acquire().err(), ticket.try_acquire().err()];
        assert_eq!(
            refused.map(|error| error.map(numbers)),
            [Some(never.clone()), Some(never)]
        );
    }
    assert_eq!(rig.calls(), 0);
    rig.finish()
}

#[test]
fn r25_zero_admits_nothing_but_nothing() -> Result<(), Error> {
    let rig = Rig::new(quiet().budget(0))?;
    let one = rig.ticket(&SumPolicy::uncapped(), 1);
    let nothing = rig.ticket(&SumPolicy::uncapped(), 0);
    assert!(matches!(one.acquire(), Err(Error::NeverAdmissible { .. })));
    drop((nothing.acquire()?, nothing.try_acquire()?));
    rig.finish()
}

#[test]
fn r25_reservations_and_residents_count() -> Result<(), Error> {
    let rig = Rig::new(quiet().budget(100))?;
    let policy = SumPolicy::uncapped();
    let weights = rig.ticket(&policy, 40).reservation().evictable();
    let model = rig.ticket(&MaxPolicy::new(), 40).resident();
    let step = rig.ticket(&policy, 30);
    let weights = weights.acquire()?;
    let model = model.acquire()?;
    assert!(step.try_acquire().is_err_and(|e| e.is_would_block()));
    let waiting = rig.queued(&step);
    drop(weights);
    drop(waiting.result()?);
    drop(model);
    rig.finish()
}

#[test]
fn r25_resizing_counts_against_the_budget() -> Result<(), Error> {
    let rig = Rig::new(eager().budget(100))?;
    let mut one = rig.ticket(&SumPolicy::uncapped(), 40).acquire_owned()?;
    let two = rig.ticket(&MaxPolicy::new(), 40);
    let mut two = two.acquire()?;
    two.try_resize(60)?;
    let refused = two.try_resize(61);
    let expected = Err(would_block(61, (100, 100), Obstacle::Budget));
    assert_eq!((refused, two.bytes()), (expected, 60));
    assert_matches!(two.resize(101), Err(Error::NeverAdmissible { .. }));
    let waiting = rig.queued(&rig.ticket(&Custom::new(), 20));
    // Growing comes before the queue, whatever its group.
    let grown = Pending::spawn(move || one.resize(60).map(|()| one));
    grown.until_queued(&rig.manager);
    two.resize(40)?;
    let one = grown.result()?;
    waiting.assert_pending();
    two.resize(20)?;
    drop(waiting.result()?);
    drop((one, two));
    rig.finish()
}

#[test]
fn r25_old_tickets_go_by_the_new_budget() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let one = rig.ticket(&SumPolicy::uncapped(), 10);
    let two = rig.ticket(&MaxPolicy::new(), 10);
    // Both have been admitted without the lock.
    drop([(); 3].map(|()| (one.acquire_owned(), two.acquire_owned())));
    rig.manager.configure(|config| config.budget(25))?;
    let guards = (one.acquire()?, two.acquire()?);
    assert!(one.try_acquire().is_err_and(|e| e.is_would_block()));
    assert!(two.try_acquire().is_err_and(|e| e.is_would_block()));
    drop(guards);
    rig.finish()
}

#[test]
fn r25_mode_off_knows_no_budget() -> Result<(), Error> {
    let rig = Rig::new(quiet().mode(WireMode::Uncoordinated).budget(10))?;
    let policies = [SumPolicy::uncapped(), SumPolicy::capped(5)];
    let tickets = policies.map(|policy| rig.ticket(&policy, 40));
    let custom = rig.ticket(&Custom::capped(5), 40);
    let mut guards = Vec::new();
    for ticket in [&tickets[0], &tickets[1], &custom, &tickets[1]] {
        guards.push(ticket.acquire()?);
    }
    guards[1].resize(400)?;
    drop(guards);
    assert_eq!(rig.calls(), 0);
    rig.finish()
}

#[test]
fn r25_without_wired_memory_the_budget_holds_too() -> Result<(), Error> {
    for (device, config) in [
        (RecordingBackend::cuda(), quiet()),
        (RecordingBackend::cpu(), quiet()),
        (RecordingBackend::metal(), quiet().mode(WireMode::Never)),
    ] {
        let config: Config = config.budget(48);
        let rig = Rig::on(device, config)?;
        let one = rig.ticket(&SumPolicy::new(), 40);
        let two = rig.ticket(&MaxPolicy::new(), 40);
        let guard = one.acquire()?;
        let waiting = rig.queued(&two);
        drop(guard);
        drop(waiting.result()?);
        assert_eq!(rig.calls(), 0);
        rig.finish()?;
    }
    Ok(())
}

#[test]
fn r25_the_deadline_tells_what_all_groups_hold() -> Result<(), Error> {
    let rig = Rig::new(quiet().budget(100))?;
    let held = rig.ticket(&MaxPolicy::new(), 70).acquire_owned()?;
    let ticket = rig.ticket(&SumPolicy::capped(90), 40);
    let other = rig.ticket(&FixedPolicy::new(1), 40);
    let waiting = rig.queued_with(&ticket, Wait::new().timeout(SECOND));
    let behind = rig.queued(&other);
    rig.clock.advance(SECOND);
    let expected = Error::Timeout {
        requested: 40,
        in_use: 70,
        capacity: Some(100),
        waited: SECOND,
        waiting: 1,
        contention: Box::default(),
        obstacle: Obstacle::Budget,
    };
    assert_eq!(waiting.result().err().map(numbers), Some(expected));
    drop(held);
    drop(behind.result()?);
    rig.finish()
}

#[test]
fn r8_a_newer_policy_that_gets_in_by_another_groups_release_lowers_the_limit() -> Result<(), Error>
{
    let rig = Rig::new(eager().budget(100))?;
    let ticket = |base, bytes| {
        let policy = BudgetPolicy::new(base)
            .with_cap(5000)
            .with_id(PolicyId::named("two bases"));
        rig.ticket(&policy, bytes)
    };
    let first = ticket(1000, 10).acquire_owned()?;
    let other = rig.ticket(&SumPolicy::uncapped(), 60);
    let other = other.acquire_owned()?;
    assert_eq!(rig.limit(), 1010);
    let next = rig.queued(&ticket(0, 40));
    drop(other);
    let second = next.result()?;
    assert_eq!(rig.limit(), 50);
    drop((first, second));
    rig.finish()
}

#[test]
fn r25_the_line_of_all_groups_is_told_whatever_leaves_less() -> Result<(), Error> {
    let rig = Rig::new(quiet().budget(100))?;
    let ticket = |cap, bytes| rig.ticket(&SumPolicy::capped(cap), bytes);
    let held = (
        ticket(50, 45).acquire_owned()?,
        ticket(20, 20).acquire_owned()?,
    );
    let waiting = rig.queued(&ticket(20, 1));
    let refused = ticket(50, 20).try_acquire().map(drop).err();
    let expected = Error::WouldBlock {
        requested: 20,
        in_use: 45,
        capacity: Some(50),
        waiting: 1,
        obstacle: Obstacle::Cap,
    };
    assert_eq!(refused, Some(expected));
    drop(held);
    drop(waiting.result()?);
    rig.finish()
}

#[test]
fn r25_an_error_tells_of_whatever_leaves_less() -> Result<(), Error> {
    let rig = Rig::new(quiet().budget(100))?;
    let held = rig.ticket(&MaxPolicy::new(), 10).acquire_owned()?;
    let ticket = |bytes| rig.ticket(&SumPolicy::capped(50), bytes);
    let guard = ticket(45).acquire_owned()?;
    let refused = |bytes| ticket(bytes).try_acquire().map(drop).err();
    let expected = |in_use, capacity, obstacle| Some(would_block(20, (in_use, capacity), obstacle));
    assert_eq!(refused(20), expected(45, 50, Obstacle::Cap), "5 against 45");
    let more = rig.ticket(&MaxPolicy::new(), 42).acquire_owned()?;
    assert_eq!(
        refused(20),
        expected(97, 100, Obstacle::Budget),
        "5 against 3"
    );
    drop((held, guard, more));
    rig.finish()
}
