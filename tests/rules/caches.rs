//! R28: caches that grow a little at a time cost few calls of the setter, many at once too.

use crate::kit::{GIB, Pending, Rig, SECOND, eager};
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::{CancelToken, Config, Error, OwnedGuard, SumPolicy, Wait};

const CEILING: u64 = 64 * GIB;
const CACHES: u64 = 16;
const GROWTHS: u64 = 1000;
/// By which each cache grows at a time: all together up to the ceiling.
const BY: u64 = CEILING / CACHES / (GROWTHS + 1);
/// A call for each step of a 64th of the ceiling, and one.
const CALLS: usize = 65;

/// The default step and the default thresholds of R7.
fn rig() -> Result<Rig, Error> {
    let device = RecordingBackend::metal()
        .recommended(CEILING)
        .memory_size(96 * GIB);
    Rig::on(device, Config::default().housekeeping(false).quiet(true))
}

fn caches(rig: &Rig) -> Result<Vec<OwnedGuard>, Error> {
    let cache = rig.ticket(&SumPolicy::new(), BY);
    (0..CACHES).map(|_| cache.acquire_owned()).collect()
}

#[test]
fn r28_sixteen_caches_that_grow_in_turn_cost_no_more_calls_than_one() -> Result<(), Error> {
    let rig = rig()?;
    let mut caches = caches(&rig)?;
    let before = rig.calls();
    let mut live = CACHES * BY;
    for grown in 1..=GROWTHS {
        for cache in &mut caches {
            // Whatever the cooldown would allow.
            rig.clock.advance(2 * SECOND);
            cache.resize((1 + grown) * BY)?;
            live += BY;
            let limit = rig.limit();
            assert!(limit >= live, "{limit} is below {live}");
        }
    }
    let calls = rig.calls() - before;
    assert!(calls <= CALLS, "{calls} calls");
    drop(caches);
    rig.finish()
}

#[test]
fn r28_sixteen_caches_that_grow_at_once_cost_no_more_calls_than_one() -> Result<(), Error> {
    let rig = rig()?;
    let caches = caches(&rig)?;
    let before = rig.calls();
    let growing = caches.into_iter().map(|mut cache| {
        Pending::spawn(move || {
            let mut sizes = (1..=GROWTHS).map(|grown| (1 + grown) * BY);
            let grown = sizes.try_for_each(|bytes| cache.resize(bytes));
            grown.map(|()| cache)
        })
    });
    let growing: Vec<_> = growing.collect();
    let caches: Result<Vec<_>, _> = growing.into_iter().map(Pending::result).collect();
    let calls = rig.calls() - before;
    assert!(calls <= CALLS, "{calls} calls");
    drop(caches?);
    rig.finish()
}

#[test]
fn r28_a_growth_that_waits_or_fails_rounds_nothing() -> Result<(), Error> {
    let rig = Rig::new(eager().growth_step(64))?;
    let capped = |bytes| rig.ticket(&SumPolicy::capped(100), bytes);
    let mut cache = capped(10).acquire_owned()?;
    let other = capped(60).acquire_owned()?;
    let token = CancelToken::new();
    let wait = Wait::new().cancel(&token);
    let growing = Pending::spawn(move || (cache.resize_with(50, wait), cache));
    growing.until_queued(&rig.manager);
    let uncapped = rig.ticket(&SumPolicy::uncapped(), 80);
    let elsewhere = uncapped.acquire_owned()?;
    assert_eq!(rig.limit(), 80, "it waits to grow");
    token.cancel();
    let (cancelled, mut cache) = growing.result();
    assert!(cancelled.is_err_and(|error| error.is_cancelled()));
    drop(elsewhere);
    assert_eq!(rig.limit(), 70, "it has not grown");
    let calls = rig.calls();
    let refused = cache.try_resize(50);
    assert!(refused.is_err_and(|error| error.is_would_block()));
    assert_eq!((rig.limit(), rig.calls()), (70, calls));
    cache.resize(30)?;
    assert_eq!(rig.limit(), 128, "it has grown");
    drop(cache);
    assert_eq!(rig.limit(), 60);
    drop(other);
    rig.finish()
}
