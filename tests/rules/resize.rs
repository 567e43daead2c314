//! R21: live guards that change their size.

use crate::kit::{
    Custom, Pending, Rig, SECOND, eager, forget_unused_groups, kinds, numbers, quiet, would_block,
};
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::{
    BudgetPolicy, Error, EventKind, FixedPolicy, GroupLimit, MaxPolicy, Obstacle, PeakPolicy,
    SumPolicy, Ticket,
};

const MAX_SUM: u64 = (1 << 44) - 1;

fn in_use(ticket: &Ticket) -> u64 {
    match ticket.try_acquire() {
        Err(Error::WouldBlock { in_use, .. }) => in_use,
        other => panic!("expected a full group, got {other:?}"),
    }
}

#[test]
fn r21_resize_changes_the_demand_and_the_limit() -> Result<(), Error> {
    let rig = Rig::on(RecordingBackend::metal().initial_limit(7), eager())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    let mut owned = ticket.acquire_owned()?;
    let mut guard = ticket.acquire()?;
    guard.resize(50)?;
    assert_eq!((guard.bytes(), guard.wanted(), rig.limit()), (50, 67, 67));
    owned.resize(30)?;
    assert_eq!((owned.bytes(), owned.wanted(), rig.limit()), (30, 87, 87));
    guard.resize(20)?;
    assert_eq!((guard.bytes(), guard.wanted(), rig.limit()), (20, 57, 57));
    owned.resize(1)?;
    assert_eq!(rig.limit(), 28);
    assert_eq!(guard.ticket().bytes(), 10, "the ticket is what it was");
    drop(guard);
    assert_eq!(rig.limit(), 8);
    drop(owned);
    rig.finish()
}

#[test]
fn r21_every_kind_and_policy_resizes() -> Result<(), Error> {
    let rig = Rig::new(eager())?;
    let manager = &rig.manager;
    let cases = [
        (manager.ticket(&SumPolicy::uncapped(), 10), 100, 5),
        (manager.ticket(&SumPolicy::capped(100), 10), 100, 5),
        (
            manager.ticket(&BudgetPolicy::new(3).with_cap(200), 10),
            103,
            8,
        ),
        (manager.ticket(&MaxPolicy::new(), 10), 100, 5),
        (manager.ticket(&PeakPolicy, 10), 100, 5),
        (manager.ticket(&FixedPolicy::new(40), 10), 40, 40),
        (manager.ticket(&Custom::capped(100), 10), 100, 5),
    ];
    for (ticket, grown, shrunk) in cases {
        for ticket in [ticket.clone(), ticket.resident()] {
            let mut guard = ticket.acquire()?;
            guard.resize(100)?;
            assert_eq!((rig.limit(), guard.wanted()), (grown, grown), "{ticket:?}");
            guard.resize(5)?;
            assert_eq!(
                (rig.limit(), guard.wanted()),
                (shrunk, shrunk),
                "{ticket:?}"
            );
            assert_eq!(guard.ticket().kind(), ticket.kind());
            drop(guard);
            assert_eq!(rig.limit(), 0);
        }
    }
    rig.finish()
}

#[test]
fn r21_a_reservation_resizes_without_holding_the_limit_up() -> Result<(), Error> {
    let rig = Rig::new(eager())?;
    let policy = SumPolicy::capped(100);
    let weights = rig.ticket(&policy, 10).reservation();
    let step = rig.ticket(&policy, 10);
    let mut weights = weights.acquire()?;
    weights.resize(60)?;
    assert_eq!(rig.calls(), 0);
    let work = step.acquire()?;
    assert_eq!(rig.limit(), 70);
    weights.resize(90)?;
    assert_eq!(rig.limit(), 100);
    weights.resize(0)?;
    assert_eq!(rig.limit(), 10);
    drop(work);
    drop(weights);
    rig.finish()
}

#[test]
fn r21_sizes_of_zero() -> Result<(), Error> {
    let rig = Rig::new(eager())?;
    let ticket = rig.ticket(&SumPolicy::capped(10), 0);
    let mut guard = ticket.acquire()?;
    guard.resize(10)?;
    assert_eq!(rig.limit(), 10);
    guard.resize(0)?;
    assert_eq!((guard.bytes(), rig.limit()), (0, 0));
    guard.resize(0)?;
    guard.resize(7)?;
    assert_eq!(rig.limit(), 7);
    drop(guard);
    rig.finish()
}

#[test]
fn r21_the_same_size_costs_nothing() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::capped(10), 10);
    let mut guard = ticket.acquire()?;
    let waiting = rig.queued(&ticket);
    guard.resize(10)?;
    guard.try_resize(10)?;
    drop(guard);
    drop(waiting.result()?);
    rig.finish()
}

#[test]
fn r21_a_shrink_admits_waiters() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policies = [SumPolicy::capped(100), SumPolicy::new()];
    for (policy, all) in policies
        .iter()
        .zip([100, rig.manager.budget().expect("Metal")])
    {
        let half = rig.ticket(policy, all / 2);
        let whole = rig.ticket(policy, all);
        let mut guard = whole.acquire()?;
        let waiting = [(); 2].map(|()| rig.queued(&half));
        guard.try_resize(all / 2)?;
        let [first, second] = waiting;
        drop(first.result()?);
        let second = second.result()?;
        drop((guard, second));
    }
    rig.finish()
}

#[test]
fn r21_try_resize_tells_the_numbers_and_changes_nothing() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::capped(100), 40);
    let (mut guard, mut owned) = (ticket.acquire()?, ticket.acquire_owned()?);
    let expected = Err(would_block(61, (80, 100), Obstacle::Cap));
    assert_eq!(guard.try_resize(61), expected);
    assert_eq!(owned.try_resize(61), expected);
    assert_eq!((guard.bytes(), owned.bytes(), rig.limit()), (40, 40, 80));
    guard.try_resize(60)?;
    assert_eq!(in_use(&ticket), 100);
    drop((guard, owned));
    rig.finish()
}

#[test]
fn r21_a_failing_setter_gives_the_old_size_back() -> Result<(), Error> {
    let rig = Rig::new(eager())?;
    let ticket = rig.ticket(&SumPolicy::capped(100), 10);
    for owned in [false, true] {
        let events = rig.manager.subscribe(100);
        rig.backend.set_failing(false);
        let result = if owned {
            let mut guard = ticket.acquire_owned()?;
            rig.backend.fail_next(1);
            (guard.resize(80), guard.bytes(), rig.limit())
        } else {
            let mut guard = ticket.acquire()?;
            rig.backend.fail_next(1);
            (guard.resize(80), guard.bytes(), rig.limit())
        };
        assert!(matches!(result.0, Err(Error::SetLimit { limit: 80, .. })));
        assert_eq!((result.1, result.2), (10, 10));
        let mut told = kinds(&events);
        told.retain(|kind| {
            matches!(
                kind,
                EventKind::TicketResized { .. } | EventKind::TicketEnded
            )
        });
        assert!(
            matches!(
                told[..],
                [
                    EventKind::TicketResized { from: 10, .. },
                    EventKind::TicketResized { from: 80, .. },
                    EventKind::TicketEnded,
                ]
            ),
            "the guard ends once: {told:?}"
        );
    }
    drop(rig.ticket(&SumPolicy::capped(100), 100).try_acquire()?);
    rig.finish()
}

#[test]
fn r21_what_cannot_be_is_refused_at_once() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let capped = rig.ticket(&SumPolicy::capped(100), 10);
    let mut guard = capped.acquire()?;
    let never = Err(Error::NeverAdmissible {
        size: 101,
        capacity: Some(100),
        contention: Box::default(),
        obstacle: Obstacle::Cap,
    });
    assert_eq!(guard.resize(101).map_err(numbers), never);
    assert_eq!(guard.try_resize(101).map_err(numbers), never);
    assert_eq!(guard.resize_timeout(101, SECOND).map_err(numbers), never);
    let uncapped = rig.ticket(&MaxPolicy::new(), 10);
    let (mut first, mut second) = (uncapped.acquire()?, uncapped.acquire()?);
    let full = |requested| {
        Err(Error::GroupFull {
            what: GroupLimit::Bytes,
            requested,
            maximum: MAX_SUM,
        })
    };
    assert_eq!(first.resize(MAX_SUM + 1), full(MAX_SUM + 1));
    assert_eq!(first.resize(u64::MAX), full(u64::MAX));
    assert_eq!(first.resize(MAX_SUM - 9), full(MAX_SUM - 9), "10 are held");
    first.resize(MAX_SUM - 10)?;
    assert_eq!(second.resize(11), full(11));
    second.resize(0)?;
    first.resize(MAX_SUM)?;
    first.resize(5)?;
    assert_eq!((guard.bytes(), first.bytes(), second.bytes()), (10, 5, 0));
    drop((guard, first, second));
    rig.finish()
}

#[test]
fn r21_holders_and_events_tell_the_new_size() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let events = rig.manager.subscribe(100);
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10).label("cache");
    let (mut guard, line) = (ticket.acquire()?, line!());
    let mut owned = ticket.acquire_owned()?;
    guard.resize(30)?;
    owned.resize(20)?;
    let holders = rig.manager.holders();
    let told: Vec<_> = holders
        .iter()
        .map(|holder| (holder.bytes, holder.label.as_deref(), holder.bound))
        .collect();
    assert_eq!(
        told,
        [(30, Some("cache"), true), (20, Some("cache"), false)]
    );
    assert_eq!(holders[0].place.line(), line, "where it was acquired");
    let resized: Vec<_> = events
        .drain()
        .filter(|event| matches!(event.kind, EventKind::TicketResized { .. }))
        .map(|event| (event.size, event.kind))
        .collect();
    let from = || EventKind::TicketResized {
        from: 10,
        from_ticket: ticket.id(),
    };
    assert_eq!(resized, [(Some(30), from()), (Some(20), from())]);
    drop((guard, owned));
    assert!(rig.manager.holders().is_empty());
    rig.finish()
}

#[test]
fn r21_an_owned_guard_that_another_thread_resizes_is_still_that_of_its_acquirer()
-> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    let mut guard = ticket.acquire_owned()?;
    let guard = Pending::spawn(move || guard.resize(20).map(|()| guard)).result()?;
    assert_eq!(rig.manager.holders()[0].thread, std::thread::current().id());
    drop(guard);
    rig.finish()
}

#[test]
fn r21_resizing_from_a_policy_is_refused() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    let guard = parking_lot::Mutex::new(ticket.acquire_owned()?);
    let (sent, results) = std::sync::mpsc::channel();
    let policy = Custom::new().admits(move |_, _, _| {
        let mut guard = guard.lock();
        let results = (guard.resize(20), guard.try_resize(5), guard.bytes());
        sent.send(results).is_ok()
    });
    let asks = rig.ticket(&policy, 1);
    drop(asks.acquire()?);
    let refused = || Err(Error::Reentrant);
    assert_eq!(results.recv(), Ok((refused(), refused(), 10)));
    drop((asks, policy));
    // The policy had the guard, and goes with its group.
    forget_unused_groups(&rig.manager);
    rig.finish()
}

#[test]
fn r21_a_custom_policy_is_asked_about_the_others_only() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let (sent, asked) = std::sync::mpsc::channel();
    let policy = Custom::new()
        .with_sizes()
        .admits(move |context, live, new| {
            let told = (live.count, live.sum, live.max, live.each.to_vec(), new);
            sent.send((told, context.total_live)).is_ok()
        });
    let ticket = |bytes| rig.ticket(&policy, bytes);
    let (small, large) = (ticket(10).acquire_owned()?, ticket(30));
    let mut large = large.acquire()?;
    large.resize(40)?;
    large.resize(35)?;
    let asked: Vec<_> = asked.try_iter().skip(2).collect();
    let about_the_other = ((1, 10, 10, vec![10], 40), 10);
    assert_eq!(asked, [about_the_other], "and not for less");
    drop((small, large));
    rig.finish()
}
