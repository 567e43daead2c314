//! R22: guards that are released inside a policy.

use crate::kit::{Custom, Pending, Rig, acquiring, eager};
use mlx_wired::{CancelToken, Error, OwnedGuard, SumPolicy, Wait};
use parking_lot::Mutex;
use std::sync::Arc;

/// A place where a test leaves a guard for a policy to drop.
type Stash = Arc<Mutex<Option<OwnedGuard>>>;

#[test]
fn r22_a_guard_released_inside_a_policy_is_examined_afterwards() -> Result<(), Error> {
    for in_limit in [false, true] {
        let rig = Rig::new(eager())?;
        let stash = Stash::default();
        let (first, second) = (stash.clone(), stash.clone());
        let release = |stash: &Stash| drop(stash.lock().take());
        let policy = Custom::new()
            .admits(move |_, _, _| {
                if !in_limit {
                    release(&first);
                }
                true
            })
            .limits(move |_, live| {
                if in_limit {
                    release(&second);
                }
                live.sum
            });
        let other = rig.ticket(&SumPolicy::capped(100), 100);
        *stash.lock() = Some(other.acquire_owned()?);
        let waiting = rig.queued(&other);
        let ticket = rig.ticket(&policy, 10);
        let guard = Pending::spawn(move || ticket.acquire_owned()).result()?;
        let admitted = waiting.result()?;
        assert_eq!(rig.limit(), 100);
        drop(admitted);
        assert_eq!(rig.limit(), 10);
        drop(guard);
        rig.finish()?;
    }
    Ok(())
}

#[test]
fn r22_a_guard_of_the_same_group_released_inside_can_admit() -> Result<(), Error> {
    let rig = Rig::new(eager())?;
    let stash = Stash::default();
    let inner = stash.clone();
    let policy = Custom::new()
        .admits(move |_, live, new| {
            let fits = live.sum + new <= 100;
            if !fits {
                // Makes room, too late for this answer.
                drop(inner.lock().take());
            }
            fits
        })
        .ever(|_, _| true);
    let ticket = rig.ticket(&policy, 100);
    *stash.lock() = Some(ticket.acquire_owned()?);
    let acquired = acquiring(&ticket).result()?;
    assert_eq!(rig.limit(), 100);
    drop(acquired);
    rig.finish()
}

#[test]
fn r22_a_guard_released_inside_can_admit_after_a_head_gave_up() -> Result<(), Error> {
    let rig = Rig::new(eager())?;
    let stash = Stash::default();
    let inner = stash.clone();
    let policy = Custom::new()
        .admits(move |_, live, new| {
            let fits = live.sum + new <= 100;
            if !fits && new == 50 {
                drop(inner.lock().take());
            }
            fits
        })
        .ever(|_, _| true);
    let of = |bytes| rig.ticket(&policy, bytes);
    *stash.lock() = Some(of(60).acquire_owned()?);
    let token = CancelToken::new();
    let head = rig.queued_with(&of(100), Wait::new().cancel(&token));
    let behind = rig.queued(&of(50));
    token.cancel();
    assert!(head.result().is_err());
    drop(behind.result()?);
    rig.finish()
}
