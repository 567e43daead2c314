//! R26, R26a, R26b, R29: holds, what they leave, and who waits for them.

use crate::kit::{Custom, Pending, Rig, SECOND, Worker, acquiring, quiet};
use mlx_wired::{CancelToken, Error, Guard, OwnedGuard, PolicyId, SumPolicy, Ticket, Wait};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A group that may hold 10.
pub(crate) struct Ten {
    pub(crate) rig: Rig,
}

impl Ten {
    pub(crate) fn new() -> Result<Self, Error> {
        Ok(Self {
            rig: Rig::new(quiet())?,
        })
    }

    pub(crate) fn active(&self, bytes: u64) -> Ticket {
        self.rig.ticket(&SumPolicy::capped(10), bytes)
    }

    pub(crate) fn reservation(&self, bytes: u64) -> Ticket {
        self.active(bytes).reservation()
    }

    pub(crate) fn queued(&self, ticket: &Ticket) -> Pending<Result<OwnedGuard, Error>> {
        self.rig.queued(ticket)
    }

    /// A thread that holds `first`.
    pub(crate) fn worker(&self, first: &Ticket) -> Worker {
        Worker::holding(&self.rig.manager, first)
    }
}

#[track_caller]
pub(crate) fn is_no_room<T>(result: Result<T, Error>) -> (u64, u64, usize) {
    match result.map(|_| ()) {
        Err(Error::NoRoom {
            size, held, others, ..
        }) => (size, held, others),
        other => panic!("expected no room, got {other:?}"),
    }
}

#[test]
fn r26a_a_job_that_queues_does_not_block_the_steps_of_the_job_it_waits_for() -> Result<(), Error> {
    let ten = Ten::new()?;
    let trainer = ten.worker(&ten.reservation(6).room_for(2));
    let next = ten.queued(&ten.reservation(6));
    assert_eq!(trainer.wants(&ten.active(2), Wait::new()).result()?, 2);
    assert_eq!(next.result()?.bytes(), 6);
    ten.rig.finish()
}

#[test]
fn r26a_a_step_that_waits_for_holds_does_not_block_others_steps() -> Result<(), Error> {
    let ten = Ten::new()?;
    let trainer = ten.worker(&ten.reservation(6).room_for(2));
    let large = ten.rig.queued_with(&ten.active(5), Wait::new().for_holds());
    assert_eq!(trainer.wants(&ten.active(2), Wait::new()).result()?, 2);
    assert_eq!(large.result()?.bytes(), 5);
    ten.rig.finish()
}

#[test]
fn r26a_a_second_model_that_waits_does_not_stop_the_first_from_serving() -> Result<(), Error> {
    let ten = Ten::new()?;
    let model = ten.active(6).resident();
    let first = model.acquire_owned()?;
    let second = ten.queued(&model);
    drop(acquiring(&ten.active(1)).result()?);
    second.assert_pending();
    drop(first);
    drop(second.result()?);
    ten.rig.finish()
}

#[test]
fn r26a_jobs_take_turns() -> Result<(), Error> {
    let ten = Ten::new()?;
    let first = ten.reservation(6).acquire_owned()?;
    let second = ten.queued(&ten.reservation(6));
    drop(first);
    drop(second.result()?);
    ten.rig.finish()
}

#[test]
fn r26b_a_hold_of_no_bytes_that_goes_gives_its_room_back() -> Result<(), Error> {
    let ten = Ten::new()?;
    let promise = ten.reservation(0).room_for(8).acquire_owned()?;
    let next = ten.queued(&ten.reservation(5));
    drop(promise);
    assert_eq!(next.result()?.bytes(), 5);
    ten.rig.finish()
}

#[test]
fn r26b_a_hold_of_another_group_leaves_the_room_under_a_budget() -> Result<(), Error> {
    let rig = Rig::new(quiet().budget(10))?;
    let (one, other) = (SumPolicy::uncapped(), SumPolicy::capped(100));
    let ticket = |bytes| rig.ticket(&one, bytes);
    let trainer = Worker::holding(&rig.manager, &ticket(6).reservation().room_for(2));
    let three = rig.ticket(&other, 3).reservation();
    let three = rig.queued(&three);
    assert_eq!(trainer.wants(&ticket(2), Wait::new()).result()?, 2);
    drop(three.result()?);
    rig.finish()
}

#[test]
fn r26b_a_hold_that_grows_leaves_the_room() -> Result<(), Error> {
    let ten = Ten::new()?;
    let trainer = ten.worker(&ten.reservation(4).room_for(2));
    let mut growing = ten.reservation(1).acquire_owned()?;
    assert!(growing.try_resize(6).is_err_and(|e| e.is_would_block()));
    let growing = Pending::spawn(move || growing.resize(6).map(|()| growing));
    growing.until_queued(&ten.rig.manager);
    assert_eq!(trainer.wants(&ten.active(2), Wait::new()).result()?, 2);
    assert_eq!(growing.result()?.bytes(), 6);
    ten.rig.finish()
}

#[test]
fn r26b_each_room_is_measured_by_its_own_holds_cap() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = |cap, bytes| {
        let policy = SumPolicy::capped(cap).with_id(PolicyId::named("shared"));
        rig.ticket(&policy, bytes)
    };
    let trainer = Worker::holding(&rig.manager, &ticket(10, 6).reservation().room_for(2));
    let five = rig.queued(&ticket(20, 5).reservation());
    assert_eq!(trainer.wants(&ticket(10, 2), Wait::new()).result()?, 2);
    drop(five.result()?);
    // One that wants no room has no say.
    let small = ticket(10, 1).reservation().acquire_owned()?;
    drop(ticket(20, 12).reservation().acquire()?);
    drop(small);
    rig.finish()
}

#[test]
fn r26b_room_that_could_never_be_left() -> Result<(), Error> {
    let ten = Ten::new()?;
    let never = ten.reservation(6).room_for(5).try_acquire().map(drop);
    assert!(never.is_err_and(|error| matches!(error, Error::NeverAdmissible { .. })));
    drop(ten.active(6).room_for(5).acquire()?);
    ten.rig.finish()
}

#[test]
fn r26b_a_policy_that_is_closed_for_now_may_leave_room_later() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let open = Arc::new(AtomicBool::new(false));
    let policy = Custom::capped(10).admits({
        let open = open.clone();
        move |_, live, new| open.load(Ordering::SeqCst) && live.sum + new <= 10
    });
    let policy = policy.ever(|_, new| new <= 10);
    let ticket = rig.ticket(&policy, 6).reservation().room_for(2);
    let waiting = rig.queued(&ticket);
    open.store(true, Ordering::SeqCst);
    rig.manager.poke()?;
    drop(waiting.result()?);
    rig.finish()
}

#[test]
fn r26a_a_custom_policy_is_asked_with_the_holds_as_its_group() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    // What is asked last about a demand of 5.
    let (count, sum, total) = <(Arc<AtomicU64>, Arc<AtomicU64>, Arc<AtomicU64>)>::default();
    let policy = Custom::new().admits({
        let (count, sum, total) = (count.clone(), sum.clone(), total.clone());
        move |context, live, new| {
            if new == 5 && live.sum > 0 && context.pressure == 0.0 {
                count.store(live.count, Ordering::SeqCst);
                sum.store(live.sum, Ordering::SeqCst);
                total.store(context.total_live, Ordering::SeqCst);
            }
            live.sum + new <= 10
        }
    });
    let ticket = |bytes| rig.ticket(&policy, bytes);
    let elsewhere = rig.ticket(&SumPolicy::uncapped(), 3).reservation();
    let elsewhere = elsewhere.acquire_owned()?;
    let (holds, work) = (
        ticket(2).resident().acquire_owned()?,
        ticket(4).acquire_owned()?,
    );
    rig.manager.set_pressure(0.3)?;
    let waits = rig.queued(&ticket(5));
    let asked = [&count, &sum, &total].map(|it| it.load(Ordering::SeqCst));
    assert_eq!(asked, [1, 2, 2]);
    drop((work, holds));
    drop(waits.result()?);
    drop(elsewhere);
    rig.finish()
}

#[test]
fn r26a_a_demand_for_a_hold_overtakes_nobody() -> Result<(), Error> {
    let rig = Rig::new(quiet().overtaking(4))?;
    let ticket = |bytes| rig.ticket(&SumPolicy::capped(10), bytes);
    let work = ticket(2).acquire_owned()?;
    let large = rig.queued(&ticket(9));
    let hold = rig.queued(&ticket(3).reservation());
    // Work does.
    drop(acquiring(&ticket(3)).result()?);
    hold.assert_pending();
    drop(work);
    drop(large.result()?);
    drop(hold.result()?);
    rig.finish()
}

#[test]
fn r26a_what_does_not_fit_beside_a_hold_is_not_overtaken() -> Result<(), Error> {
    let rig = Rig::new(quiet().overtaking(1))?;
    let ticket = |bytes| rig.ticket(&SumPolicy::capped(10), bytes);
    let work = ticket(10).acquire_owned()?;
    let hold = rig.queued(&ticket(5).reservation());
    let large = rig.queued_with(&ticket(6), Wait::new().for_holds());
    let small = rig.queued(&ticket(1));
    // The hold is let in, the large one is set aside, and the small one passes nobody.
    drop(work);
    let (hold, small) = (hold.result()?, small.result()?);
    let snapshot = rig.manager.snapshot();
    let overtaken: Vec<u64> = snapshot.waiters.iter().map(|it| it.overtaken).collect();
    assert_eq!(overtaken, [0], "{snapshot}");
    drop((hold, small));
    drop(large.result()?);
    rig.finish()
}

#[test]
fn r26a_one_that_is_set_aside_delays_later_demands_for_holds_alone() -> Result<(), Error> {
    let ten = Ten::new()?;
    let first = ten.reservation(6).acquire_owned()?;
    let second = ten.queued(&ten.reservation(5));
    // It would fit.
    let third = ten.queued(&ten.reservation(1));
    let refused = ten.reservation(1).try_acquire().map(drop);
    assert!(refused.is_err_and(|error| error.is_would_block()));
    let mut small = ten.active(1).acquire_owned()?;
    small.resize(2)?;
    drop(first);
    let (second, third) = (second.result()?, third.result()?);
    drop((second, third, small));
    ten.rig.finish()
}

#[test]
fn r26a_those_that_come_back_are_last_in_line() -> Result<(), Error> {
    let ten = Ten::new()?;
    let (hold, work) = (
        ten.reservation(5).evictable(),
        ten.active(5).acquire_owned()?,
    );
    let hold = hold.acquire_owned()?;
    let aside = ten.queued(&ten.active(6));
    let in_line = ten.queued(&ten.active(5));
    drop(hold);
    // There is room for one of them at a time.
    let in_line = in_line.result()?;
    aside.assert_pending();
    drop((in_line, work));
    drop(aside.result()?);
    ten.rig.finish()
}

#[test]
fn r26a_errors_count_who_waits_in_line() -> Result<(), Error> {
    let rig = Rig::new(quiet().budget(10))?;
    let ticket = |bytes| rig.ticket(&SumPolicy::uncapped(), bytes);
    let _hold = ticket(6).reservation().acquire_owned()?;
    let aside = ticket(5).reservation();
    let token = CancelToken::new();
    let cancelled = rig.queued_with(&aside, Wait::new().cancel(&token));
    let waiting = |result: Result<Guard<'_>, Error>| match result.map(|_| ()) {
        Err(Error::WouldBlock { waiting, .. }) => waiting,
        other => panic!("{other:?}"),
    };
    assert_eq!(waiting(aside.try_acquire()), 0);
    let short = rig.queued_with(&aside, Wait::new().timeout(SECOND));
    rig.clock.advance(SECOND);
    let Err(Error::Timeout { waiting, .. }) = short.result() else {
        panic!("its time is over");
    };
    assert_eq!(waiting, 0);
    token.cancel();
    assert!(cancelled.result().is_err_and(|error| error.is_cancelled()));
    Ok(())
}

#[test]
fn r26_an_evictable_hold_is_waited_for_until_the_program_gives_it_back() -> Result<(), Error> {
    let ten = Ten::new()?;
    let model = ten.active(6).resident().evictable().acquire_owned()?;
    let refused = ten.active(5).try_acquire().map(drop);
    assert!(refused.is_err_and(|error| error.is_would_block()));
    let request = ten.queued(&ten.active(5));
    drop(model);
    drop(request.result()?);
    ten.rig.finish()
}

#[test]
fn r26_no_room_says_how_much_stays_and_how_many() -> Result<(), Error> {
    let ten = Ten::new()?;
    let _stay = (
        ten.reservation(4).acquire_owned()?,
        ten.active(2).resident().acquire_owned()?,
    );
    let _goes = ten.reservation(1).evictable().acquire_owned()?;
    assert_eq!(is_no_room(ten.active(5).try_acquire()), (5, 6, 1));
    let mut grows = ten.active(1).acquire_owned()?;
    assert_eq!(is_no_room(grows.try_resize(5)), (5, 6, 1));
    assert_eq!(grows.bytes(), 1);
    Ok(())
}

#[test]
fn r26_what_stays_is_seen_behind_any_number_that_do_not() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = |bytes| rig.ticket(&SumPolicy::capped(100), bytes);
    let models = ticket(1).resident().evictable();
    let models: Result<Vec<_>, _> = (0..70).map(|_| models.acquire_owned()).collect();
    let stays = ticket(20).resident().acquire_owned()?;
    assert_eq!(is_no_room(ticket(81).try_acquire()), (81, 20, 0));
    drop((models?, stays));
    rig.finish()
}

#[test]
fn r26_one_that_is_set_aside_is_refused_once_what_is_in_its_way_stays() -> Result<(), Error> {
    let ten = Ten::new()?;
    let model = ten.active(6).resident().evictable().acquire_owned()?;
    let aside = ten.queued(&ten.active(5));
    model.leak();
    assert_eq!(is_no_room(aside.result()), (5, 6, 0));
    Ok(())
}
