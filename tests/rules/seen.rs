//! R39: what is seen of scarce memory, and what snapshots tell of budget, pressure, policies and waits.

use crate::kit::{Custom, GIB, Rig, SECOND, queued, quiet};
use mlx_wired::snapshot::WaitReason;
use mlx_wired::{
    Error, EventKind, FixedPolicy, MaxPolicy, PolicyId, Subscriber, SumPolicy, Wait, WireMode,
};

/// 48 GiB are recommended.
const CEILING: u64 = 48 * GIB;

/// Nothing was told.
const NONE: [u64; 0] = [];

/// The events of live bytes above the ceiling: how many bytes each tells.
fn above(events: &Subscriber) -> Vec<u64> {
    let told = events.drain().filter_map(|event| match event.kind {
        EventKind::LiveAboveCeiling { bytes, ceiling } => {
            assert_eq!(ceiling, CEILING);
            Some(bytes / GIB)
        }
        _ => None,
    });
    told.collect()
}

/// The events of models near the ceiling: how large each is.
fn near(events: &Subscriber) -> Vec<u64> {
    let told = events.drain().filter_map(|event| match event.kind {
        EventKind::ModelNearCeiling { model, ceiling } => {
            assert_eq!(ceiling, CEILING);
            assert!(event.size == Some(model), "{event:?}");
            Some(model / GIB)
        }
        _ => None,
    });
    told.collect()
}

#[test]
fn r39_live_bytes_that_pass_the_ceiling_over_all_groups_are_told_of_once() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let events = rig.manager.subscribe(1000);
    let sum = |gib: u64| rig.ticket(&SumPolicy::uncapped(), gib * GIB);
    let max = |gib: u64| rig.ticket(&MaxPolicy::new(), gib * GIB);
    let (twenty, eight, one) = (sum(20), sum(8), sum(1));
    let kept = (twenty.acquire_owned()?, max(20).acquire_owned()?);
    let at_ceiling = eight.acquire_owned()?;
    assert_eq!(above(&events), NONE, "48 of 48 GiB");
    let first = one.acquire_owned()?;
    assert_eq!(above(&events), [49]);
    let more = max(10).acquire_owned()?;
    drop(more);
    assert_eq!(above(&events), NONE, "above it all the while");
    drop(first);
    let again = one.acquire_owned()?;
    assert_eq!(above(&events), [49], "it fell to the ceiling between");
    drop((again, at_ceiling));
    let mut grown = eight.acquire_owned()?;
    grown.resize(9 * GIB)?;
    assert_eq!(above(&events), [49], "by growing");
    grown.resize(8 * GIB)?;
    grown.resize(10 * GIB)?;
    assert_eq!(above(&events), [50], "and again");
    drop((grown, kept));
    rig.finish()
}

#[test]
fn r39_live_bytes_are_looked_at_where_no_limit_changes() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    // The limit is at the ceiling all the while, and each pair is one record of the journal.
    let policy = FixedPolicy::new(CEILING);
    let most = rig.ticket(&policy, 48 * GIB).acquire_owned()?;
    let events = rig.manager.subscribe(1000);
    let ticket = rig.ticket(&policy, GIB);
    for _ in 0..4 {
        drop(ticket.acquire()?);
        assert_eq!(above(&events), [49]);
    }
    drop(most);
    rig.finish()
}

#[test]
fn r39_what_passed_the_ceiling_unwatched_is_no_event() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = FixedPolicy::new(CEILING);
    let ticket = rig.ticket(&policy, 30 * GIB);
    let guards = (ticket.acquire_owned()?, ticket.acquire_owned()?);
    let events = rig.manager.subscribe(1000);
    let small = rig.ticket(&policy, 1);
    drop(small.acquire()?);
    assert_eq!(above(&events), NONE);
    drop(guards.0);
    let again = ticket.acquire_owned()?;
    assert_eq!(above(&events), [60]);
    drop((guards.1, again));
    rig.finish()
}

#[test]
fn r39_where_nothing_is_wired_there_is_no_ceiling_to_pass() -> Result<(), Error> {
    let device = mlx_wired::ffi::RecordingBackend::cpu();
    let rig = Rig::on(device, quiet())?;
    let events = rig.manager.subscribe(1000);
    let ticket = rig.ticket(&SumPolicy::uncapped(), 1 << 43);
    drop(ticket.resident().acquire()?);
    let told = events.drain().any(|event| {
        let kind = event.kind;
        matches!(
            kind,
            EventKind::LiveAboveCeiling { .. } | EventKind::ModelNearCeiling { .. }
        )
    });
    assert!(!told);
    rig.finish()
}

#[test]
fn r39_a_resident_model_near_the_ceiling_is_told_of() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let events = rig.manager.subscribe(1000);
    let policy = SumPolicy::new();
    let model = |gib: u64| rig.ticket(&policy, gib * GIB).resident();
    drop(model(43).acquire_owned()?);
    assert_eq!(near(&events), NONE, "43 of 48 GiB");
    let held = model(46).acquire_owned()?;
    assert_eq!(near(&events), [46]);
    // After a wait.
    let waiting = rig.queued(&model(45));
    assert_eq!(near(&events), NONE, "it waits");
    drop(held);
    drop(waiting.result()?);
    assert_eq!(near(&events), [45]);
    // By growing to it, and not again while it stays near.
    let mut grown = model(30).acquire_owned()?;
    grown.resize(44 * GIB)?;
    grown.resize(45 * GIB)?;
    assert_eq!(near(&events), [44]);
    grown.resize(30 * GIB)?;
    grown.resize(46 * GIB)?;
    assert_eq!(near(&events), [46]);
    drop(grown);
    // Work and reservations are no models.
    drop(rig.ticket(&policy, 46 * GIB).acquire_owned()?);
    let weights = rig.ticket(&policy, 46 * GIB).reservation();
    drop(weights.acquire_owned()?);
    assert_eq!(near(&events), NONE);
    drop(rig.manager.wire_max(46 * GIB)?);
    assert_eq!(near(&events), [46]);
    rig.finish()
}

#[test]
fn r39_a_resident_that_changes_nothing_is_told_of_too() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let fixed = FixedPolicy::new(CEILING);
    let most = rig.ticket(&fixed, 1).acquire_owned()?;
    let events = rig.manager.subscribe(1000);
    let model = rig.ticket(&fixed, 46 * GIB).resident();
    for _ in 0..3 {
        drop(model.acquire()?);
        assert_eq!(near(&events), [46]);
    }
    drop(most);
    rig.finish()
}

/// A line of the rig's snapshot that tells all of this.
#[track_caller]
fn assert_line(rig: &Rig, words: &[&str]) {
    let text = rig.manager.snapshot().to_string();
    let tells = |line: &str| words.iter().all(|word| line.contains(word));
    assert!(text.lines().any(tells), "no line tells {words:?}:\n{text}");
}

#[test]
fn r39_a_snapshot_tells_the_budget_and_the_pressure() -> Result<(), Error> {
    let rig = Rig::new(quiet().budget(24 * GIB))?;
    assert_line(&rig, &["budget", "24 GiB"]);
    rig.manager.set_pressure(0.75)?;
    assert_line(&rig, &["pressure", "0.75"]);
    let other = Rig::new(quiet())?;
    let text = other.manager.snapshot().to_string();
    assert!(
        !text.contains("budget") && !text.contains("pressure"),
        "{text}"
    );
    Ok(())
}

#[test]
fn r39_a_snapshot_tells_policies_of_one_label_apart() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let named = |name: &str| SumPolicy::capped(GIB).with_id(PolicyId::named(name));
    let decode = rig.ticket(&named("decode"), 1).acquire_owned()?;
    let prefill = rig.ticket(&named("pre\nfill"), 2).acquire_owned()?;
    let unnamed = rig.ticket(&SumPolicy::capped(3), 3).acquire_owned()?;
    assert_line(&rig, &["SumPolicy decode: 1 B of 1 GiB"]);
    assert_line(&rig, &["SumPolicy pre\\nfill: 2 B of 1 GiB"]);
    let groups = rig.manager.snapshot().groups;
    let names: Vec<_> = groups.iter().map(|group| group.name.as_deref()).collect();
    assert_eq!(names[..2], [Some("decode"), Some("pre\nfill")]);
    drop((decode, prefill, unnamed));
    rig.finish()
}

/// The size, the position and the reason of each waiter in a snapshot.
fn waits(rig: &Rig) -> Vec<(u64, usize, WaitReason)> {
    let waiters = rig.manager.snapshot().waiters;
    let told = waiters.iter().map(|it| (it.bytes, it.position, it.why));
    told.collect()
}

#[test]
fn r39_a_snapshot_tells_why_each_waits_and_its_position() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let (policy, own) = (SumPolicy::capped(100), Custom::capped(10));
    let mut grown = rig.ticket(&policy, 60).acquire_owned()?;
    let other = rig.ticket(&policy, 40).acquire_owned()?;
    let held = rig.ticket(&own, 8).acquire_owned()?;
    let wants = |bytes| rig.queued(&rig.ticket(&policy, bytes));
    let waiting = [wants(1), wants(2)];
    let of_own = rig.queued(&rig.ticket(&own, 4));
    let grows = crate::kit::Pending::spawn(move || grown.resize(70).map(|()| grown));
    grows.until_queued(&rig.manager);

    let work = WaitReason::Work {
        in_use: 100,
        capacity: Some(100),
    };
    // In the order of arrival; the guard that grows is the first in line.
    let expected = [
        (1, 1, WaitReason::Line),
        (2, 2, WaitReason::Line),
        (4, 0, WaitReason::Policy),
        (70, 0, work),
    ];
    assert_eq!(waits(&rig), expected);
    assert_line(&rig, &["waits: 70 B", "first: 100 B of 100 B in use"]);
    assert_line(&rig, &["waits: 2 B", "2 before it"]);
    rig.manager.set_pressure(0.5)?;
    assert_eq!(waits(&rig)[2], (4, 0, WaitReason::Pressure(0.5)));
    drop((other, held));
    for waiting in waiting {
        drop(waiting.result()?);
    }
    drop((grows.result()?, of_own.result()?));
    rig.finish()
}

#[test]
fn r39_under_a_budget_positions_are_in_the_one_line() -> Result<(), Error> {
    let rig = Rig::new(quiet().budget(10))?;
    let [one, two] = [(); 2].map(|()| rig.ticket(&Custom::new(), 4));
    let held = rig.ticket(&Custom::new(), 8).acquire_owned()?;
    let waiting = [&two, &one, &two].map(|it| rig.queued(it));
    let why = WaitReason::Budget {
        in_use: 8,
        budget: 10,
    };
    let expected = [
        (4, 0, why),
        (4, 1, WaitReason::Line),
        (4, 2, WaitReason::Line),
    ];
    assert_eq!(waits(&rig), expected);
    drop(held);
    for waiting in waiting {
        drop(waiting.result()?);
    }
    rig.finish()
}

#[test]
fn r39_a_ticket_tells_what_is_in_use_left_and_waited_for() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = SumPolicy::capped(100);
    let [step, rest] = [30, 60].map(|bytes| rig.ticket(&policy, bytes));
    let told = || (step.in_use(), step.available(), step.waiters());
    assert_eq!(told(), (0, Some(100), 0));
    let guard = step.acquire()?;
    let weights = rest.acquire_owned()?;
    assert_eq!(told(), (90, Some(10), 0));
    let waiting = rig.queued(&rest);
    let timed = rig.queued_with(&rest, Wait::new().timeout(SECOND));
    assert_eq!(told(), (90, Some(10), 2));
    rig.clock.advance(SECOND);
    assert!(timed.result().is_err_and(|error| error.is_timeout()));
    assert_eq!(told(), (90, Some(10), 1));
    drop(weights);
    let waited = waiting.result()?;
    assert_eq!(told(), (90, Some(10), 0));
    drop((guard, waited));
    assert_eq!(told(), (0, Some(100), 0));

    let open = rig.ticket(&SumPolicy::uncapped(), 1).available();
    let own = rig.ticket(&Custom::capped(10), 1).available();
    let device = rig.ticket(&SumPolicy::new(), 1).available();
    assert_eq!((open, own, device), (None, None, Some(CEILING)));
    rig.finish()
}

#[test]
fn r39_each_ticket_of_a_group_tells_what_its_own_policy_leaves() -> Result<(), Error> {
    let rig = Rig::new(quiet().baseline_override(5))?;
    let id = PolicyId::named("shared");
    let [small, large] = [50, 100].map(|cap| {
        let policy = SumPolicy::capped(cap).with_id(id.clone());
        rig.ticket(&policy, 40)
    });
    let guard = large.acquire()?;
    assert_eq!((small.available(), large.available()), (Some(5), Some(55)));
    drop(guard);
    rig.restoring(5).finish()
}

#[test]
fn r39_under_a_budget_the_smaller_room_is_what_is_left() -> Result<(), Error> {
    let rig = Rig::new(quiet().budget(100))?;
    let open = rig.ticket(&SumPolicy::uncapped(), 70);
    let capped = rig.ticket(&SumPolicy::capped(20), 5);
    let room = || {
        (
            open.available(),
            capped.available(),
            rig.manager.available(),
        )
    };
    assert_eq!(room(), (Some(100), Some(20), Some(100)));
    let first = capped.acquire()?;
    assert_eq!(room(), (Some(95), Some(15), Some(95)));
    let second = open.acquire()?;
    assert_eq!(room(), (Some(25), Some(15), Some(25)));
    drop((first, second));
    rig.finish()
}

#[test]
fn r39_a_manager_tells_of_all_groups_and_of_a_policys() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let manager = &rig.manager;
    let (sum, own) = (SumPolicy::capped(100), Custom::capped(50));
    assert_eq!((manager.in_use_by(&sum), manager.waiters_for(&sum)), (0, 0));
    assert_eq!(manager.available_to(&sum), Some(100));
    let guards = (
        manager.ticket(&sum, 30).acquire_owned()?,
        manager.ticket(&own, 50).acquire_owned()?,
    );
    let waiting = queued(manager, &manager.ticket(&own, 1), Wait::new());
    assert_eq!((manager.in_use_by(&sum), manager.in_use_by(&own)), (30, 50));
    assert_eq!(
        (manager.waiters_for(&sum), manager.waiters_for(&own)),
        (0, 1)
    );
    assert_eq!(manager.available_to(&sum), Some(70));
    assert_eq!(manager.available_to(&own), None);
    assert_eq!((manager.in_use(), manager.waiters()), (80, 1));
    assert_eq!(manager.available(), Some(CEILING - 80));
    drop(guards);
    drop(waiting.result()?);
    assert_eq!((manager.in_use(), manager.waiters()), (0, 0));
    // Groups without tickets are forgotten; others take their places.
    for n in 1..100 {
        let policy = SumPolicy::capped(n).with_id(PolicyId::unique());
        let guard = manager.ticket(&policy, n).acquire_owned()?;
        assert_eq!((manager.in_use_by(&policy), manager.in_use()), (n, n));
        drop(guard);
    }
    rig.finish()
}

#[test]
fn r39_what_is_left_follows_the_settings() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::new(), 1);
    assert_eq!(ticket.available(), Some(CEILING));
    rig.manager.configure(|config| config.margin(0.5))?;
    assert_eq!(ticket.available(), Some(CEILING / 2));
    rig.manager.configure(|config| config.budget(10))?;
    assert_eq!(ticket.available(), Some(10));
    rig.manager
        .configure(|config| config.budget(None).mode(WireMode::Uncoordinated))?;
    assert_eq!((ticket.available(), rig.manager.available()), (None, None));
    rig.finish()
}
