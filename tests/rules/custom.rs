//! R20 and the policies of the user's own: what they are told, and when they are asked again.

use crate::kit::{Custom, Pending, Rig, Worker, acquiring, deadlock, eager, quiet, until};
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::{Context, Error, SumPolicy, Wait, WireMode};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

#[test]
fn r20_poke_examines_the_queue_again() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let open = Arc::new(AtomicBool::new(false));
    let flag = open.clone();
    let policy = Custom::new()
        .admits(move |_, _, _| flag.load(Ordering::SeqCst))
        .ever(|_, _| true);
    let ticket = rig.ticket(&policy, 10);
    let waiting = rig.queued(&ticket);
    rig.manager.poke()?;
    waiting.assert_pending();
    open.store(true, Ordering::SeqCst);
    rig.manager.poke()?;
    drop(waiting.result()?);
    rig.finish()
}

#[test]
fn r20_poke_asks_for_the_limit_again() -> Result<(), Error> {
    let rig = Rig::new(eager())?;
    let extra = Arc::new(AtomicU64::new(5));
    let more = extra.clone();
    let policy = Custom::new().limits(move |_, live| live.sum + more.load(Ordering::SeqCst));
    let ticket = rig.ticket(&policy, 10);
    let guard = ticket.acquire()?;
    assert_eq!(rig.limit(), 15);
    extra.store(50, Ordering::SeqCst);
    rig.manager.poke()?;
    assert_eq!(rig.limit(), 60);
    extra.store(0, Ordering::SeqCst);
    rig.manager.poke()?;
    assert_eq!(rig.limit(), 10);
    drop(guard);
    rig.finish()
}

#[test]
fn r20_a_poke_during_a_call_raises_the_limit_though_somebody_waits_for_that_call()
-> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let extra = Arc::new(AtomicU64::new(0));
    let more = extra.clone();
    let policy = Custom::new().limits(move |_, live| live.sum + more.load(Ordering::SeqCst));
    let gate = rig.backend.gate();
    let first = acquiring(&rig.ticket(&policy, 10));
    gate.wait_entered(1);
    // The call that is in flight is enough for it.
    let sum = SumPolicy::uncapped();
    let covered = acquiring(&rig.ticket(&sum, 5));
    until("it waits", || rig.manager.snapshot().uncovered == 2);
    extra.store(50, Ordering::SeqCst);
    rig.manager.poke()?;
    gate.open();
    let guards = (first.result()?, covered.result()?);
    assert_eq!(rig.requested(), [10, 60]);
    drop(guards);
    rig.finish()
}

#[test]
fn r20_pressure_reaches_policies_and_its_fall_admits() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = Custom::new().admits(|context, _, _| context.pressure < 0.5);
    let ticket = rig.ticket(&policy, 10);
    rig.manager.set_pressure(0.9)?;
    let refused = ticket.try_acquire().err();
    assert!(refused.is_some_and(|error| error.is_would_block()));
    let waiting = rig.queued(&ticket);
    rig.manager.set_pressure(0.6)?;
    waiting.assert_pending();
    rig.manager.set_pressure(0.1)?;
    drop(waiting.result()?);
    rig.finish()
}

#[test]
fn r20_pressure_out_of_range_is_clamped() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let policy = Custom::new().admits(move |context, _, _| {
        log.lock().push(context.pressure);
        true
    });
    let ticket = rig.ticket(&policy, 1);
    for pressure in [-3.0, 7.0, f64::NAN] {
        rig.manager.set_pressure(pressure)?;
        drop(ticket.acquire()?);
    }
    assert_eq!(*seen.lock(), [0.0, 1.0, 1.0]);
    rig.finish()
}

/// The contexts that a policy was asked with: to admit, and for the limit.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<(Vec<Context>, Vec<Context>)>>);

impl Seen {
    fn policy(&self) -> Custom {
        let (admits, limits) = (self.0.clone(), self.0.clone());
        Custom::new()
            .admits(move |context, _, _| {
                admits.lock().0.push(context.clone());
                true
            })
            .limits(move |context, live| {
                limits.lock().1.push(context.clone());
                context.baseline + live.sum
            })
    }

    fn baselines(&self) -> (Vec<u64>, Vec<u64>) {
        let seen = self.0.lock();
        let of = |contexts: &[Context]| contexts.iter().map(|c| c.baseline).collect();
        (of(&seen.0), of(&seen.1))
    }
}

#[test]
fn r1_the_baseline_is_zero_for_admission_and_mlxs_for_the_limit() -> Result<(), Error> {
    let rig = Rig::on(RecordingBackend::metal().initial_limit(100), quiet())?;
    let seen = Seen::default();
    let ticket = rig.ticket(&seen.policy(), 10);
    let guard = ticket.acquire()?;
    assert_eq!(rig.limit(), 110);
    drop(ticket.acquire()?);
    let (admission, limit) = seen.baselines();
    assert_eq!(admission, [0, 0]);
    assert_eq!(limit[0], 0, "until MLX has answered");
    assert!(
        limit[1..].iter().all(|baseline| *baseline == 100),
        "{limit:?}"
    );
    drop(guard);
    rig.finish()
}

#[test]
fn r1_a_configured_baseline_counts_in_both() -> Result<(), Error> {
    let rig = Rig::on(
        RecordingBackend::metal().initial_limit(100),
        quiet().baseline_override(40),
    )?
    .restoring(40);
    let seen = Seen::default();
    let ticket = rig.ticket(&seen.policy(), 10);
    drop(ticket.acquire()?);
    let (admission, limit) = seen.baselines();
    assert_eq!(admission, [40]);
    assert!(limit.iter().all(|baseline| *baseline == 40), "{limit:?}");
    assert_eq!(rig.requested(), [50, 40]);
    rig.finish()
}

#[test]
fn r1_a_policy_sees_its_group_and_the_whole() -> Result<(), Error> {
    let rig = Rig::new(quiet().margin(0.5).reserve(1))?;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let policy = Custom::new()
        .with_sizes()
        .admits(move |context, live, new| {
            let mut log = log.lock();
            log.push((live.count, live.sum, live.max, live.each.to_vec(), new));
            log.push((0, context.total_live, 0, Vec::new(), 0));
            assert_eq!(context.ceiling, Some(24 << 30));
            assert_eq!(context.budget, Some(24 << 30));
            assert_eq!(context.memory_size, Some(64 << 30));
            assert_eq!(context.mode, WireMode::Auto);
            true
        });
    let other = rig.ticket(&SumPolicy::uncapped(), 1000);
    let _other = other.acquire()?;
    let weights = rig.ticket(&policy, 5).reservation();
    let step = rig.ticket(&policy, 20);
    let first = weights.acquire()?;
    let second = step.acquire()?;
    let third = weights.acquire()?;
    let none = |sum| (0, sum, 0, Vec::new(), 0);
    let expected = [
        (0, 0, 0, vec![], 5),
        none(1000),
        (1, 5, 5, vec![5], 20),
        none(1005),
        (2, 25, 20, vec![20, 5], 5),
        none(1025),
    ];
    assert_eq!(*seen.lock(), expected);
    drop((first, second, third));
    drop(_other);
    rig.finish()
}

#[test]
fn r2_the_newest_custom_policy_of_an_id_speaks_for_its_group() -> Result<(), Error> {
    let rig = Rig::new(eager())?;
    let plain = Custom::new().named("shared id");
    let doubled = Custom::new()
        .named("shared id")
        .limits(|_, live| 2 * live.sum);
    let plain = rig.ticket(&plain, 10);
    let doubled = rig.ticket(&doubled, 10);
    let first = plain.acquire()?;
    assert_eq!(rig.limit(), 10);
    let second = doubled.acquire()?;
    assert_eq!(rig.limit(), 40);
    drop(second);
    assert_eq!(rig.limit(), 20, "even after its guard has gone");
    drop(first);
    let again = plain.acquire()?;
    assert_eq!(rig.limit(), 10, "the group was empty between");
    drop(again);
    rig.finish()
}

#[test]
fn r19_who_waits_for_something_outside_is_in_no_circle() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let open = Arc::new(AtomicBool::new(true));
    let gate = open.clone();
    let gated = Custom::new()
        .admits(move |_, _, _| gate.load(Ordering::SeqCst))
        .ever(|_, _| true);
    let calm = Custom::new().admits(|context, _, _| context.pressure < 0.5);
    let shared = Custom::new().admits(|context, _, new| context.total_live + new <= 35);
    let other = rig.ticket(&SumPolicy::uncapped(), 30);
    for policy in [gated, calm, shared] {
        let ticket = rig.ticket(&policy, 10);
        let worker = Worker::holding(&rig.manager, &ticket);
        open.store(false, Ordering::SeqCst);
        rig.manager.set_pressure(1.0)?;
        let others = other.acquire()?;
        let waiting = worker.waits(&ticket, Wait::new());
        rig.manager.poke()?;
        assert_eq!(rig.manager.waiting().len(), 1);
        open.store(true, Ordering::SeqCst);
        drop(others);
        rig.manager.set_pressure(0.0)?;
        assert_eq!(waiting.result(), Ok(10));
    }
    rig.finish()
}

#[test]
fn r19_pressure_hides_no_circle() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = Custom::new()
        .admits(|context, live, new| context.pressure < 0.5 && live.sum + new <= 100)
        .ever(|_, new| new <= 100);
    let worker = Worker::holding(&rig.manager, &rig.ticket(&policy, 60));
    rig.manager.set_pressure(1.0)?;
    // It would wait for itself once the pressure has gone.
    let waiting = worker.wants(&rig.ticket(&policy, 50), Wait::new());
    assert_eq!(deadlock(waiting.result()), (50, 60, 1));
    rig.finish()
}

#[test]
fn r3_a_limit_that_goes_by_the_whole_counts_who_comes() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = Custom::capped(100).limits(|context, _| context.total_live);
    let ticket = rig.ticket(&policy, 10);
    let first = ticket.acquire()?;
    assert_eq!(rig.limit(), 10);
    let second = ticket.acquire()?;
    assert_eq!(rig.limit(), 20);
    drop((first, second));
    rig.finish()
}

#[test]
fn r19_a_policy_that_changes_its_mind_makes_no_circle_of_one_guard() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let refusals = Arc::new(AtomicU64::new(2));
    let left = refusals.clone();
    let policy = Custom::new()
        .admits(move |_, _, new| {
            let refuses = |left: u64| left.checked_sub(u64::from(new == 100));
            new != 100
                || left
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, refuses)
                    .is_err()
        })
        .ever(|_, _| true);
    let small = rig.ticket(&policy, 25);
    let growing = Pending::spawn(move || {
        let mut guard = small.acquire()?;
        guard.resize(100)?;
        Ok::<_, Error>(guard.bytes())
    });
    growing.until_queued(&rig.manager);
    // Nothing else is held: whatever it waits for is outside.
    rig.manager.poke()?;
    rig.manager.poke()?;
    assert_eq!(growing.result(), Ok(100));
    rig.finish()
}

/// What a policy saw: count, sum, largest, each.
type Asked = (u64, u64, u64, Vec<u64>);

/// Whatever was asked last about the limit is what lives; whatever was asked adds up.
#[test]
fn r1_a_policy_that_wants_sizes_sees_each_in_descending_order() -> Result<(), Error> {
    let rig = Rig::new(eager())?;
    let (admits, limits) = (Arc::new(Mutex::new(Vec::new())), Arc::default());
    let (asked, all): (_, Arc<Mutex<Vec<Asked>>>) = (admits.clone(), limits);
    let told = all.clone();
    let see = |live: &mlx_wired::Sizes<'_>| -> Asked {
        (live.count, live.sum, live.max, live.each.to_vec())
    };
    let policy = Custom::new()
        .with_sizes()
        .admits(move |_, live, _| {
            asked.lock().push(see(live));
            true
        })
        .limits(move |_, live| {
            told.lock().push(see(live));
            live.sum
        });
    let ticket = |bytes| rig.ticket(&policy, bytes);
    let sees = |each: &[u64]| {
        let last = all.lock().last().cloned();
        let sum = each.iter().sum();
        assert_eq!(last, Some((each.len() as u64, sum, each[0], each.to_vec())));
        assert_eq!(rig.limit(), sum);
    };
    let five = ticket(5).acquire_owned()?;
    sees(&[5]);
    let mut three = ticket(3).acquire_owned()?;
    sees(&[5, 3]);
    let eight = ticket(8).acquire_owned()?;
    sees(&[8, 5, 3]);
    let another = ticket(5).acquire_owned()?;
    sees(&[8, 5, 5, 3]);
    let resident = ticket(4).reservation().acquire_owned()?;
    sees(&[8, 5, 5, 4, 3]);
    three.resize(6)?;
    sees(&[8, 6, 5, 5, 4]);
    drop(five);
    sees(&[8, 6, 5, 4]);
    drop(eight);
    sees(&[6, 5, 4]);
    three.resize(1)?;
    sees(&[5, 4, 1]);
    drop(another);
    sees(&[4, 1]);
    drop((three, resident));
    let admits = admits.lock();
    let all = all.lock();
    for (count, sum, max, each) in admits.iter().chain(&*all) {
        assert!(each.is_sorted_by(|one, next| one >= next), "{each:?}");
        let first = each.first().copied().unwrap_or(0);
        let adds_up = (each.len() as u64, each.iter().sum::<u64>(), first);
        assert_eq!((*count, *sum, *max), adds_up);
    }
    drop((admits, all));
    rig.finish()
}

#[test]
fn r19_a_policy_that_goes_by_the_whole_may_wait_for_itself() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = Custom::new().admits(|context, _, new| context.total_live + new <= 100);
    let ticket = rig.ticket(&policy, 60);
    let waits = Worker::holding(&rig.manager, &ticket).wants(&ticket, Wait::new());
    assert_eq!(deadlock(waits.result()), (60, 60, 1));
    rig.finish()
}

/// What lives in other groups is for such a policy a reason outside: it waits, is told of no holds, and a poke tells it.
#[test]
fn r26a_a_policy_that_goes_by_the_whole_waits_in_line_beside_other_groups_holds()
-> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = Custom::new().admits(|context, _, new| context.total_live + new <= 100);
    let ticket = rig.ticket(&policy, 30);
    let hold = rig.ticket(&SumPolicy::uncapped(), 80).reservation();
    let hold = hold.acquire_owned()?;
    let refused = ticket.try_acquire().err();
    assert!(refused.is_some_and(|error| error.is_would_block()));
    let waiting = rig.queued(&ticket);
    assert!(!rig.manager.waiting()[0].set_aside);
    drop(hold);
    rig.manager.poke()?;
    drop(waiting.result()?);
    rig.finish()
}
