//! The forking thread's own guards: their drops do nothing in the child.

use crate::calls::refused;
use crate::child::in_child;
use crate::kit::on;
use mlx_wired::ffi::{NoMlx, RecordingBackend};
use mlx_wired::{Error, FixedPolicy, Guard, Manager, OwnedGuard, SumPolicy};
use std::sync::Arc;

#[test]
fn r43_a_guard_that_is_dropped_in_a_child_does_nothing() -> Result<(), Error> {
    let (manager, backend) = on(RecordingBackend::metal());
    let ticket = manager.ticket(&SumPolicy::uncapped(), 10);
    let kept = Arc::new(());
    let told = kept.clone();
    // By a session; by the fast path; over the slab's slots; grown; with a hook.
    let borrowed: Vec<Guard<'_>> = (0..70)
        .map(|_| ticket.acquire())
        .collect::<Result<_, _>>()?;
    let mut grown = ticket.acquire_owned()?;
    grown.resize(20)?;
    let mut hooked = ticket.acquire_owned()?;
    hooked.before_release(move || {
        drop(told);
        unreachable!("it is the parent's");
    });
    let limit = backend.current_limit();
    in_child(|| {
        drop(borrowed);
        drop(grown);
        drop(hooked);
        assert_eq!(Arc::strong_count(&kept), 2, "the hook stays");
        drop((ticket.clone(), manager));
        assert_eq!(
            (backend.current_limit(), backend.synchronizations().len()),
            (limit, 0)
        );
    });
    Ok(())
}

/// Its release needs no lock until it has found that it was the last.
#[test]
fn r43_the_last_guard_of_the_fast_path_is_dropped_in_a_child() -> Result<(), Error> {
    let manager = Manager::builder().backend(NoMlx::new()).build()?;
    let ticket = manager.ticket(&FixedPolicy::new(10), 1);
    let first = ticket.acquire_owned()?;
    let last = ticket.acquire()?;
    drop(first);
    in_child(|| drop(last));
    assert_eq!(manager.snapshot().live, 0);
    Ok(())
}

#[test]
fn r43_a_release_in_a_child_says_so() -> Result<(), Error> {
    let (manager, _) = on(RecordingBackend::metal());
    let ticket = manager.ticket(&SumPolicy::uncapped(), 10);
    let forms: [fn(OwnedGuard); 4] = [
        |guard| assert_eq!(guard.release().error, Some(Error::Forked)),
        |guard| assert_eq!(guard.release_evaluated().error, Some(Error::Forked)),
        |guard| assert_eq!(guard.release_after(|| {}).error, Some(Error::Forked)),
        OwnedGuard::leak,
    ];
    for form in forms {
        let mut guard = ticket.acquire_owned()?;
        in_child(|| {
            refused(guard.resize(5));
            refused(guard.resize(10));
            form(guard);
        });
    }
    Ok(())
}

/// The parent's next acquire would take no lock: it is in the forking thread's slab that the child finds no room.
#[test]
fn r43_the_fast_path_gives_nothing_either() -> Result<(), Error> {
    let (manager, _) = on(RecordingBackend::metal());
    let fixed = manager.ticket(&FixedPolicy::new(10), 1);
    let capped = manager.ticket(&SumPolicy::capped(100), 1);
    let _kept = (fixed.acquire_owned()?, capped.acquire_owned()?);
    for ticket in [&fixed, &capped] {
        let held = ticket.acquire()?;
        drop(ticket.acquire()?);
        in_child(|| {
            refused(ticket.acquire());
            refused(ticket.acquire_owned());
            drop(held);
            refused(ticket.try_acquire());
        });
        drop(ticket.acquire()?);
    }
    Ok(())
}

/// The child of a thread that holds nothing has the same answer.
#[test]
fn r43_a_thread_without_a_guard_before_gets_none() -> Result<(), Error> {
    let (manager, _) = on(RecordingBackend::metal());
    let ticket = manager.ticket(&SumPolicy::uncapped(), 10);
    // The fast path is open.
    let _held = ticket.acquire_owned()?;
    std::thread::scope(|scope| {
        scope.spawn(|| in_child(|| refused(ticket.acquire())));
    });
    in_child(|| refused(ticket.acquire()));
    Ok(())
}

#[test]
fn r43_a_hook_that_forks() -> Result<(), Error> {
    let (manager, _) = on(RecordingBackend::metal());
    let ticket = manager.ticket(&SumPolicy::uncapped(), 10);
    for explicit in [false, true] {
        let parent = std::process::id();
        let mut guard = ticket.acquire()?;
        guard.before_release(|| {
            let child = crate::child::fork(|| {});
            if child != 0 {
                crate::child::ends_well(child);
            }
            Ok(())
        });
        if explicit {
            drop(guard.release());
        } else {
            drop(guard);
        }
        if std::process::id() != parent {
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(0) }
        }
    }
    assert_eq!(manager.snapshot().live, 0);
    Ok(())
}
