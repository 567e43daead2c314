//! R1, R16, R17 and R18: who is admitted, and in which order.

use crate::kit::{
    Acquiring, Custom, GIB, HookedClock, Rig, SECOND, assert_matches, numbers, quiet, would_block,
};
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::{
    BudgetPolicy, CancelToken, Error, FixedPolicy, MaxPolicy, Obstacle, PeakPolicy, SumPolicy,
    Ticket, Wait,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

#[test]
fn r1_sizes_of_all_kinds_count() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = SumPolicy::capped(30);
    let ticket = rig.ticket(&policy, 10);
    let guards = (
        ticket.acquire()?,
        ticket.clone().reservation().acquire_owned()?,
        ticket.clone().resident().acquire_owned()?,
    );
    let refused = ticket.try_acquire().err();
    let expected = would_block(10, (30, 30), Obstacle::Cap);
    assert_eq!(refused, Some(expected));
    drop(guards);
    rig.finish()
}

#[test]
fn r1_groups_do_not_count_for_each_other() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let first = rig.ticket(&SumPolicy::capped(10), 10);
    let second = rig.ticket(&SumPolicy::capped(11), 11);
    let equal = rig.ticket(&SumPolicy::capped(10), 1);
    let guards = (first.acquire()?, second.try_acquire()?);
    assert!(equal.try_acquire().is_err(), "equal caps are one group");
    drop(guards);
    rig.finish()
}

#[test]
fn r1_mlxs_own_baseline_does_not_refuse_and_an_override_does() -> Result<(), Error> {
    let device = || RecordingBackend::metal().initial_limit(40 * GIB);
    let rig = Rig::on(device(), quiet())?;
    let ticket = rig.ticket(&SumPolicy::new(), 48 * GIB);
    drop(ticket.try_acquire()?);
    drop(ticket.try_acquire()?);
    rig.finish()?;
    let rig = Rig::on(device(), quiet().baseline_override(40 * GIB))?;
    let fits = rig.ticket(&SumPolicy::new(), 8 * GIB);
    drop(fits.try_acquire()?);
    let never = rig.ticket(&SumPolicy::new(), 8 * GIB + 1);
    let error = never.try_acquire().err();
    let expected = Error::NeverAdmissible {
        size: 8 * GIB + 1,
        capacity: Some(8 * GIB),
        contention: Box::default(),
        // MiB: it leaves the override's 40 GiB and the demand room.
        obstacle: Obstacle::Device {
            wired_limit_mb: Some(48 * 1024 + 1),
        },
    };
    assert_eq!(error.map(numbers), Some(expected));
    rig.finish()
}

#[test]
fn r1_policies_without_a_cap_admit_always() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let manager = &rig.manager;
    for ticket in [
        manager.ticket(&SumPolicy::uncapped(), 40 * GIB),
        manager.ticket(&MaxPolicy::new(), 40 * GIB),
        manager.ticket(&PeakPolicy, 40 * GIB),
        manager.ticket(&FixedPolicy::new(1), 40 * GIB),
        manager.ticket(&Custom::new(), 40 * GIB),
    ] {
        let guards = (
            ticket.try_acquire()?,
            ticket.try_acquire()?,
            ticket.try_acquire()?,
        );
        drop(guards);
    }
    rig.finish()
}

#[test]
fn r1_a_budget_counts_its_base() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = BudgetPolicy::new(60).with_cap(100);
    let ticket = rig.ticket(&policy, 20);
    let guards = (ticket.try_acquire()?, ticket.try_acquire()?);
    assert_eq!(rig.limit(), 100);
    assert!(ticket.try_acquire().is_err());
    drop(guards);
    rig.finish()
}

/// Waits for a guard and tells the number of the one who got it.
fn admitted_next(queue: &mut Vec<(usize, Acquiring)>) -> Result<mlx_wired::OwnedGuard, Error> {
    let (_, head) = queue.remove(0);
    let guard = head.result()?;
    for (_, behind) in queue {
        behind.assert_pending();
    }
    Ok(guard)
}

#[test]
fn r16_first_in_first_out() -> Result<(), Error> {
    for custom in [false, true] {
        let rig = Rig::new(quiet())?;
        let of = |bytes| -> Ticket {
            if custom {
                rig.ticket(&Custom::capped(100).named("fifo"), bytes)
            } else {
                rig.ticket(&SumPolicy::capped(100), bytes)
            }
        };
        let mut guard = of(100).acquire_owned()?;
        let mut queue = Vec::new();
        for n in 0..6 {
            // Some would fit beside others; none fits beside its predecessor.
            let size = if n % 2 == 0 { 100 } else { 60 };
            queue.push((n, rig.queued(&of(size))));
        }
        while !queue.is_empty() {
            drop(guard);
            guard = admitted_next(&mut queue)?;
            assert_eq!(rig.manager.waiting().len(), queue.len());
        }
        drop(guard);
        rig.finish()?;
    }
    Ok(())
}

#[test]
fn r16_nobody_overtakes_a_waiting_head() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = SumPolicy::capped(100);
    let large = rig.ticket(&policy, 100);
    let small = rig.ticket(&policy, 1);
    let guard = small.acquire()?;
    let head = rig.queued(&large);
    let refused = small.try_acquire().err();
    let expected = Error::WouldBlock {
        requested: 1,
        in_use: 1,
        capacity: Some(100),
        waiting: 1,
        obstacle: Obstacle::Line,
    };
    assert_eq!(refused, Some(expected), "1 would fit, but one waits");
    let behind = rig.queued(&small);
    drop(guard);
    let large = head.result()?;
    behind.assert_pending();
    drop(large);
    drop(behind.result()?);
    rig.finish()
}

#[test]
fn r16_one_release_admits_as_many_as_fit() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = SumPolicy::capped(100);
    let large = rig.ticket(&policy, 100);
    let third = rig.ticket(&policy, 33);
    let guard = large.acquire()?;
    let waiting = [0, 1, 2].map(|_| rig.queued(&third));
    let last = rig.queued(&third);
    drop(guard);
    let mut guards = Vec::new();
    for pending in waiting {
        guards.push(pending.result()?);
    }
    last.assert_pending();
    assert_eq!(rig.limit(), 100, "R5: no shrink between");
    guards.clear();
    drop(last.result()?);
    rig.finish()
}

#[test]
fn r16_a_head_that_gives_up_lets_the_next_be_examined() -> Result<(), Error> {
    for custom in [false, true] {
        let rig = Rig::new(quiet())?;
        let of = |bytes| -> Ticket {
            if custom {
                rig.ticket(&Custom::capped(100).named("give up"), bytes)
            } else {
                rig.ticket(&SumPolicy::capped(100), bytes)
            }
        };
        let guard = of(50).acquire_owned()?;
        let token = CancelToken::new();
        let cancelled = rig.queued_with(&of(100), Wait::new().cancel(&token));
        let timed = rig.queued_with(&of(100), Wait::new().timeout(SECOND));
        let fits = rig.queued(&of(50));
        token.cancel();
        assert_matches!(
            cancelled.result(),
            Err(Error::Cancelled { requested: 100, .. })
        );
        fits.assert_pending();
        rig.clock.advance(SECOND);
        assert!(timed.result().is_err_and(|error| error.is_timeout()));
        let fitted = fits.result()?;
        drop((guard, fitted));
        rig.finish()?;
    }
    Ok(())
}

#[test]
fn r17_wake_ups_equal_admissions() -> Result<(), Error> {
    const WAITERS: usize = 50;
    let wakes = Arc::new(AtomicUsize::new(0));
    let counts = wakes.clone();
    let rig = Rig::clocked(quiet(), |clock| {
        HookedClock::new(clock).after_sleep(move || {
            counts.fetch_add(1, Ordering::SeqCst);
        })
    })?;
    let ticket = rig.ticket(&SumPolicy::capped(10), 10);
    let mut guard = ticket.acquire_owned()?;
    let waiting: Vec<_> = (0..WAITERS).map(|_| rig.queued(&ticket)).collect();
    for pending in waiting {
        drop(guard);
        guard = pending.result()?;
    }
    drop(guard);
    assert_eq!(wakes.load(Ordering::SeqCst), WAITERS);
    rig.finish()
}

fn refusals(ticket: &Ticket) -> [Option<Error>; 9] {
    let token = CancelToken::new();
    [
        ticket.acquire().err(),
        ticket.try_acquire().err(),
        ticket.admit_timeout(SECOND).err(),
        ticket.admit_timeout(std::time::Duration::ZERO).err(),
        ticket.admit_deadline(Instant::now()).err(),
        ticket.acquire_with(Wait::new().cancel(&token)).err(),
        ticket.acquire_owned().err(),
        ticket.acquire_owned_with(Wait::new().timeout(SECOND)).err(),
        ticket.with(|_| ()).err(),
    ]
}

#[test]
fn r18_an_impossible_demand_fails_at_once_in_every_acquiring_call() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let manager = &rig.manager;
    let cases = [
        (
            manager.ticket(&SumPolicy::capped(100), 101),
            Some(100),
            Obstacle::Cap,
        ),
        (
            manager.ticket(&SumPolicy::new(), 48 * GIB + 1),
            Some(48 * GIB),
            Obstacle::Device {
                wired_limit_mb: Some(48 * 1024 + 1),
            },
        ),
        (
            manager.ticket(&BudgetPolicy::new(10).with_cap(100), 91),
            Some(90),
            Obstacle::Cap,
        ),
        (
            manager.ticket(&Custom::capped(100), 101),
            None,
            Obstacle::Policy,
        ),
    ];
    for (ticket, capacity, obstacle) in cases {
        let never = Error::NeverAdmissible {
            size: ticket.bytes(),
            capacity,
            contention: Box::default(),
            obstacle,
        };
        for kind in [
            ticket.clone(),
            ticket.clone().reservation(),
            ticket.resident(),
        ] {
            for refused in refusals(&kind) {
                assert_eq!(refused.map(numbers), Some(never.clone()), "{kind:?}");
            }
        }
    }
    assert_eq!(rig.calls(), 0);
    rig.finish()
}

#[test]
fn r18_an_impossible_demand_does_not_wait_behind_others() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = SumPolicy::capped(100);
    let full = rig.ticket(&policy, 100);
    let guard = full.acquire()?;
    let waiting = rig.queued(&full);
    let never = rig.ticket(&policy, 101);
    for refused in refusals(&never) {
        assert_matches!(refused, Some(Error::NeverAdmissible { .. }));
    }
    drop(guard);
    drop(waiting.result()?);
    rig.finish()
}

#[test]
fn r18_a_base_above_the_cap_refuses_even_nothing() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&BudgetPolicy::new(101).with_cap(100), 0);
    let refused = ticket.try_acquire().err();
    assert_matches!(refused, Some(Error::NeverAdmissible { size: 0, .. }));
    rig.finish()
}

#[test]
fn r18_whoever_could_be_admitted_at_better_times_waits() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = Custom::new().admits(|context, _, _| context.pressure == 0.0);
    let ticket = rig.ticket(&policy, 1);
    rig.manager.set_pressure(1.0)?;
    let waiting = rig.queued(&ticket);
    rig.manager.set_pressure(0.0)?;
    drop(waiting.result()?);
    rig.finish()
}

#[test]
fn r18_a_demand_over_its_cap_is_never_admissible_however_large() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::capped(100), u64::MAX);
    let never = Error::NeverAdmissible {
        size: u64::MAX,
        capacity: Some(100),
        contention: Box::default(),
        obstacle: Obstacle::Cap,
    };
    assert_eq!(ticket.acquire().err().map(numbers), Some(never));
    rig.finish()
}
