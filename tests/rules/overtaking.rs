//! R16: small tickets may pass a large head a bounded number of times.

use crate::kit::{Acquiring, Custom, Pending, Rig, SECOND, acquiring, quiet, until};
use mlx_wired::{CancelToken, Error, OwnedGuard, SumPolicy, Ticket, Wait};

/// A capacity of 100 in one group.
struct Line {
    rig: Rig,
    policy: SumPolicy,
}

impl Line {
    fn new(overtaking: u64) -> Result<Self, Error> {
        Ok(Self {
            rig: Rig::new(quiet().overtaking(overtaking))?,
            policy: SumPolicy::capped(100),
        })
    }

    fn ticket(&self, bytes: u64) -> Ticket {
        self.rig.ticket(&self.policy, bytes)
    }

    fn queued(&self, bytes: u64) -> Acquiring {
        self.rig.queued(&self.ticket(bytes))
    }

    /// Acquires on another thread what is admitted at once.
    fn passes(&self, bytes: u64) -> Result<OwnedGuard, Error> {
        acquiring(&self.ticket(bytes)).result()
    }

    fn sizes_waiting(&self) -> Vec<u64> {
        let waiting = self.rig.manager.waiting();
        waiting.iter().map(|waiter| waiter.bytes).collect()
    }
}

#[test]
fn r16_a_large_head_is_overtaken_so_often_and_then_served_next() -> Result<(), Error> {
    let line = Line::new(2)?;
    let held = line.passes(60)?;
    let large = line.queued(100);
    let small = [line.passes(10)?, line.passes(10)?];
    let third = line.queued(10);
    drop(small);
    assert_eq!(line.sizes_waiting(), [100, 10], "the head is next");
    drop(held);
    let large = large.result()?;
    third.assert_pending();
    drop(large);
    drop(third.result()?);
    line.rig.finish()
}

#[test]
fn r16_a_release_lets_those_behind_the_head_pass_in_their_order() -> Result<(), Error> {
    let line = Line::new(2)?;
    let held = [line.passes(60)?, line.passes(40)?];
    let large = line.queued(100);
    let small = [line.queued(25), line.queued(10), line.queued(5)];
    let [sixty, forty] = held;
    drop(forty);
    let [first, second, third] = small;
    let passed = (first.result()?, second.result()?);
    assert_eq!((passed.0.bytes(), passed.1.bytes()), (25, 10));
    assert_eq!(line.sizes_waiting(), [100, 5], "5 bytes are free");
    third.assert_pending();
    drop((sixty, passed));
    drop(large.result()?);
    drop(third.result()?);
    line.rig.finish()
}

#[test]
fn r16_zero_is_strict() -> Result<(), Error> {
    let line = Line::new(0)?;
    let held = line.passes(60)?;
    let large = line.queued(100);
    let small = line.queued(10);
    assert_eq!(line.sizes_waiting(), [100, 10]);
    drop(held);
    drop(large.result()?);
    drop(small.result()?);
    line.rig.finish()
}

#[test]
fn r16_who_fits_is_not_overtaken() -> Result<(), Error> {
    let line = Line::new(5)?;
    let held = line.passes(100)?;
    let waiting = [line.queued(60), line.queued(40), line.queued(30)];
    drop(held);
    let [sixty, forty, thirty] = waiting;
    let guards = (sixty.result()?, forty.result()?);
    thirty.assert_pending();
    drop(guards);
    drop(thirty.result()?);
    line.rig.finish()
}

#[test]
fn r16_each_waiter_is_overtaken_so_often() -> Result<(), Error> {
    let line = Line::new(1)?;
    let held = line.passes(60)?;
    let first = line.queued(100);
    let second = line.queued(100);
    let small = line.passes(10)?;
    // Both have been passed once, so the second is not passed when it is the head.
    drop((held, small));
    let first = first.result()?;
    let third = line.queued(10);
    drop(first);
    let second = second.result()?;
    third.assert_pending();
    drop(second);
    drop(third.result()?);
    line.rig.finish()
}

#[test]
fn r16_the_count_of_a_head_that_gives_up_goes_with_it() -> Result<(), Error> {
    let line = Line::new(1)?;
    let held = line.passes(60)?;
    let token = CancelToken::new();
    let large = line.ticket(100);
    let first = line.rig.queued_with(&large, Wait::new().cancel(&token));
    let small = line.passes(10)?;
    let second = line.queued(100);
    let blocked = line.queued(10);
    token.cancel();
    assert!(first.result().is_err());
    // The new head has not been passed yet.
    let passed = blocked.result()?;
    let behind = line.queued(10);
    drop((held, small, passed));
    drop(second.result()?);
    drop(behind.result()?);
    line.rig.finish()
}

#[test]
fn r16_overtaking_changes_at_any_time() -> Result<(), Error> {
    let line = Line::new(0)?;
    let held = line.passes(60)?;
    let large = line.queued(100);
    let small = [line.queued(10), line.queued(10), line.queued(10)];
    line.rig.manager.configure(|config| config.overtaking(2))?;
    let [first, second, third] = small;
    let passed = (first.result()?, second.result()?);
    third.assert_pending();
    line.rig.manager.configure(|config| config.overtaking(3))?;
    let third = third.result()?;
    line.rig.manager.configure(|config| config.overtaking(0))?;
    let fourth = line.queued(1);
    drop((held, passed, third));
    drop(large.result()?);
    drop(fourth.result()?);
    line.rig.finish()
}

#[test]
fn r16_a_thread_that_holds_a_guard_overtakes_too() -> Result<(), Error> {
    let line = Line::new(1)?;
    let ticket = line.ticket(50);
    let held = ticket.acquire()?;
    let large = line.queued(100);
    // The head waits for this thread, which passes it.
    let small = line.ticket(10);
    let second = small.acquire()?;
    drop((held, second));
    drop(large.result()?);
    line.rig.finish()
}

#[test]
fn r16_try_acquire_overtakes_nobody() -> Result<(), Error> {
    let line = Line::new(9)?;
    let held = line.passes(60)?;
    let large = line.queued(100);
    let refused = line.ticket(10).try_acquire().err();
    assert!(refused.is_some_and(|error| error.is_would_block()));
    drop(held);
    drop(large.result()?);
    line.rig.finish()
}

#[test]
fn r16_custom_policies_are_overtaken_alike() -> Result<(), Error> {
    let rig = Rig::new(quiet().overtaking(1))?;
    let policy = Custom::capped(100);
    let ticket = |bytes| rig.ticket(&policy, bytes);
    let held = ticket(60).acquire_owned()?;
    let large = rig.queued(&ticket(100));
    let small = acquiring(&ticket(10)).result()?;
    let blocked = rig.queued(&ticket(10));
    drop((held, small));
    let large = large.result()?;
    blocked.assert_pending();
    drop(large);
    drop(blocked.result()?);
    rig.finish()
}

#[test]
fn r16_overtaking_crosses_groups_under_a_budget() -> Result<(), Error> {
    let rig = Rig::new(quiet().budget(100).overtaking(1))?;
    let large = rig.ticket(&SumPolicy::uncapped(), 100);
    let small = rig.ticket(&SumPolicy::capped(50), 10);
    let held = rig.ticket(&SumPolicy::uncapped(), 60).acquire_owned()?;
    let head = rig.queued(&large);
    let passed = acquiring(&small).result()?;
    let blocked = rig.queued(&small);
    drop((held, passed));
    let head = head.result()?;
    blocked.assert_pending();
    drop(head);
    drop(blocked.result()?);
    rig.finish()
}

#[test]
fn r16_a_deadline_ends_a_wait_that_others_overtake() -> Result<(), Error> {
    let line = Line::new(3)?;
    let held = line.passes(60)?;
    let large = line.ticket(100);
    let head = line.rig.queued_with(&large, Wait::new().timeout(SECOND));
    let small = line.passes(10)?;
    line.rig.clock.advance(SECOND);
    assert!(head.result().is_err_and(|error| error.is_timeout()));
    until("nobody waits", || line.sizes_waiting().is_empty());
    drop((held, small));
    line.rig.finish()
}

#[test]
fn r16_nobody_is_passed_too_often_by_two_who_admit_at_once() -> Result<(), Error> {
    let rig = Rig::new(quiet().budget(100).overtaking(1))?;
    let ticket = |bytes| rig.ticket(&SumPolicy::uncapped(), bytes);
    let most = ticket(80).acquire_owned()?;
    let rest = [ticket(10).acquire_owned()?, ticket(10).acquire_owned()?];
    let (slow, brake) = Custom::slow();
    let slow = rig.ticket(&slow, 10);
    let large = rig.queued(&ticket(70));
    let passing = rig.queued(&slow);
    let behind = rig.queued(&ticket(10));
    let [first, second] = rest;
    // The one asks about whom it may let pass; the other has seen by then that nobody has passed the large one.
    let one = Pending::spawn(move || drop(first));
    brake.wait_stopped();
    let other = Pending::spawn(move || drop(second));
    until("both are released", || rig.manager.snapshot().live == 1);
    brake.release();
    one.result();
    other.result();
    drop(passing.result()?);
    assert_eq!(rig.manager.waiting().len(), 2, "passed once");
    drop(most);
    drop(large.result()?);
    drop(behind.result()?);
    rig.finish()
}

#[test]
fn r16_r40_overtaking_passes_at_most_64() -> Result<(), Error> {
    const MOST: usize = 64;
    let line = Line::new(1000)?;
    let held = line.passes(60)?;
    let (token, hundred) = (CancelToken::new(), line.ticket(100));
    let gives_up = line.rig.queued_with(&hundred, Wait::new().cancel(&token));
    let mut large: Vec<_> = (1..MOST).map(|_| line.queued(100)).collect();
    let passed = line.passes(10)?;
    // One more in line, and no waiter behind it is looked at.
    large.push(line.queued(100));
    let small = line.queued(10);
    assert_eq!(line.sizes_waiting().len(), MOST + 2);
    token.cancel();
    assert!(gives_up.result().is_err_and(|error| error.is_cancelled()));
    drop((held, passed, small.result()?));
    for large in large {
        drop(large.result()?);
    }
    line.rig.finish()
}
