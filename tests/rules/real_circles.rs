//! R29: circles in real programs. What stays counts as held for ever, whatever thread holds it, and so hides no circle; waits
//! with a deadline belong to circles, too.

use crate::kit::{Pending, Rig, assert_says, next, quiet};
use mlx_wired::{Error, EventKind, Guard, Manager, SumPolicy, Ticket};
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

/// A thread of that name that has acquired `first`, and goes on with `then` when it is told to.
struct Named {
    go: Sender<()>,
    result: Pending<Result<u64, Error>>,
}

impl Named {
    fn holding(
        name: &'static str,
        first: Ticket,
        then: impl FnOnce(Guard<'_>) -> Result<u64, Error> + Send + 'static,
    ) -> Self {
        let ((go, may_go), (told, holds)) = (mpsc::channel(), mpsc::channel());
        let result = Pending::spawn_named(name, move || {
            let guard = first.acquire()?;
            told.send(()).expect("the test waits");
            may_go.recv().expect("the test goes on");
            then(guard)
        });
        holds.recv().expect("it acquires the first");
        Self { go, result }
    }

    fn goes(self) -> Pending<Result<u64, Error>> {
        self.go.send(()).expect("it holds the first");
        self.result
    }

    /// It goes on, seen to wait.
    #[track_caller]
    fn waits(self, manager: &Manager) -> Pending<Result<u64, Error>> {
        let pending = self.goes();
        pending.until_queued(manager);
        pending
    }
}

/// Grows its guard, and says how large it became.
fn grow(mut guard: Guard<'_>, bytes: u64) -> Result<u64, Error> {
    guard.resize(bytes)?;
    Ok(guard.bytes())
}

#[track_caller]
fn assert_circle(result: Result<u64, Error>) {
    let closed = result.as_ref().err();
    let is_circle = |error| matches!(error, &Error::WouldDeadlock { .. });
    assert!(closed.is_some_and(is_circle), "{result:?}");
}

#[test]
fn r29_the_weights_of_main_do_not_hide_the_circle_of_two_growers() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = |bytes| rig.ticket(&SumPolicy::capped(100), bytes);
    let weights = ticket(20).reservation().label("weights");
    let weights = weights.acquire()?;
    let first = Named::holding("first", ticket(40), |guard| grow(guard, 60));
    let second = Named::holding("second", ticket(40), |guard| grow(guard, 60));
    let first = first.waits(&rig.manager);
    // If the weights went, the first would grow; but main waits for both.
    assert_circle(second.goes().result());
    assert_eq!(first.result()?, 60);
    drop(weights);
    rig.finish()
}

#[test]
fn r29_an_owned_model_does_not_hide_the_circle_of_two_that_want_a_second() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = |bytes| rig.ticket(&SumPolicy::capped(100), bytes);
    let model = ticket(40).resident().label("model").acquire_owned()?;
    let [first, second] = ["first", "second"].map(|name| {
        let other = ticket(30);
        Named::holding(name, ticket(30), move |_held| {
            other.acquire().map(|guard| guard.bytes())
        })
    });
    let first = first.waits(&rig.manager);
    assert_circle(second.goes().result());
    assert_eq!(first.result()?, 30);
    drop(model);
    rig.finish()
}

#[test]
fn r29_a_circle_of_waits_with_deadlines_is_told_of_at_once() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let events = rig.manager.subscribe(1000);
    let half = rig.ticket(&SumPolicy::capped(100), 50);
    let [first, second] = ["upper half", "lower half"].map(|name| {
        let other = half.clone();
        Named::holding(name, half.clone(), move |_held| {
            other.admit_timeout(HOUR).map(|guard| guard.bytes())
        })
    });
    let first = first.waits(&rig.manager);
    let second = second.waits(&rig.manager);
    let told = next(&events, |kind| {
        matches!(kind, EventKind::CircleWithDeadline { .. })
    });
    let text = format!("{:?}", told.kind);
    assert_says(&text, "upper half");
    assert_says(&text, "lower half");
    // Each has a way out, so neither fails before its deadline.
    first.assert_pending();
    second.assert_pending();
    rig.clock.advance(HOUR);
    let results = [first.result(), second.result()];
    assert!(results.iter().any(Result::is_err), "{results:?}");
    rig.finish()
}
