use super::*;
use crate::ffi::RecordingBackend;
use crate::manager::state::word::MAX_SUM;
use crate::{Config, Error, Manager, MaxPolicy, SumPolicy, Wait};

/// An acquirer that was interrupted after it had read `admit`, while the settings changed to `config`: what it gets
/// while `held` bytes are in use, since before the change or since after it.
fn late(change: impl Fn(Config) -> Config, held: u64, bytes: u64, before: bool) -> Option<Error> {
    let manager = Manager::builder()
        .backend(RecordingBackend::metal().build())
        .build()
        .expect("the default settings are valid");
    let held = manager.ticket(&SumPolicy::new(), held);
    let ticket = manager.ticket(&SumPolicy::new(), bytes);
    drop((ticket.acquire(), held.acquire()));
    let admit = ticket.group.gates.admit.load(Ordering::Relaxed);
    let hold = || (manager.wire_max(0), held.acquire().expect("it fits"));
    let held_before = before.then(hold);
    manager.configure(change).expect("it changes at any time");
    // Whatever is admitted is covered.
    let _held = held_before.unwrap_or_else(hold);
    let fast = ticket.count_below(admit);
    assert!(matches!(fast, Fast::Added(_)), "over what may be held");
    let location = Location::caller();
    ticket.acquire_locked(fast, Wait::none(), location).err()
}

#[test]
fn a_stale_admit_does_not_pass_a_lower_cap() {
    for before in [false, true] {
        let refused = late(|config| config.margin(0.5), 20 << 30, 10 << 30, before);
        assert!(refused.is_some_and(|error| error.is_would_block()));
    }
}

#[test]
fn a_stale_admit_does_not_pass_a_budget() {
    for before in [false, true] {
        let refused = late(|config| config.budget(15), 10, 10, before);
        assert!(refused.is_some_and(|error| error.is_would_block()));
    }
}

/// One that was counted before the first waiter came does not wait behind it.
#[test]
fn r16_one_that_was_counted_first_keeps_its_place() -> Result<(), Error> {
    let manager = Manager::builder()
        .backend(RecordingBackend::metal().build())
        .build()?;
    let ticket = manager.ticket(&SumPolicy::capped(10), 6);
    drop(ticket.acquire()?);
    let admit = ticket.group.gates.admit.load(Ordering::Relaxed);
    let fast = ticket.count_below(admit);
    assert!(matches!(fast, Fast::Added(_)), "nothing is covered");
    std::thread::scope(|scope| {
        let later = scope.spawn(|| ticket.acquire_owned());
        while manager.waiting().is_empty() {
            std::thread::yield_now();
        }
        let location = Location::caller();
        let kept = ticket.acquire_locked(fast, Wait::none(), location);
        if kept.is_ok() {
            ticket.release_demand(None);
        }
        drop(later.join().expect("it fits once the first has left")?);
        kept.map(drop)
    })
}

/// A guard that is the last of its size leaves while another of that size does not fit, and counts for a moment.
#[test]
fn a_refusal_looks_for_the_shrink_that_it_hid() -> Result<(), Error> {
    let config = Config::default().shrink_cooldown(std::time::Duration::ZERO);
    let manager = Manager::builder()
        .backend(RecordingBackend::metal().build())
        .config(config)
        .build()?;
    let small = manager.ticket(&MaxPolicy::new(), 1);
    let large = manager.ticket(&MaxPolicy::new(), MAX_SUM - 1);
    let _stays = small.acquire()?;
    drop(large.acquire()?);
    manager.maintain();
    let leaves = large.acquire()?;
    manager.maintain();
    // The release takes the other for one that stays.
    let count = large.size_count.as_ref().expect("Max counts sizes");
    count.0.fetch_sub(1, Ordering::Relaxed);
    let admit = large.group.gates.admit.load(Ordering::Relaxed);
    assert!(matches!(large.count_below(admit), Fast::Closed));
    large.look_under_lock_if_needed(large.subtract_and_remember(), false);
    std::mem::forget(leaves);
    assert_eq!(manager.applied(), 1);
    Ok(())
}
