//! R30: the one line that is ever printed, and that a notice costs what it tells. Each in a process of its own.

use crate::kit::{Rig, SECOND, again, is_again, until};
use mlx_wired::{Config, Error, OwnedGuard, SumPolicy};

/// A wait for half a minute.
fn stall(rig: &Rig) -> Result<(), Error> {
    let policy = SumPolicy::capped(10);
    let held = rig.ticket(&policy, 8).label("decode");
    let held = held.acquire()?;
    let step = rig.ticket(&policy, 4).label("prefill\n\u{1b}[2J");
    let waiting = rig.queued(&step);
    let before = rig.manager.stats().stalls;
    rig.clock.advance(30 * SECOND);
    until("it is told of", || rig.manager.stats().stalls > before);
    // It tells with nothing locked, of guards that live then, and sleeps again.
    waiting.until_queued(&rig.manager);
    drop(held);
    drop(waiting.result()?);
    Ok(())
}

#[test]
fn r30_a_stalled_line_is_one_line_of_stderr_where_nothing_listens() -> Result<(), Error> {
    let test = "printed::r30_a_stalled_line_is_one_line_of_stderr_where_nothing_listens";
    if is_again() {
        let config = Config::default().housekeeping(false);
        stall(&Rig::new(config.clone())?)?;
        // These print nothing.
        stall(&Rig::new(config.clone().quiet(true))?)?;
        let watched = Rig::new(config)?;
        let _events = watched.manager.subscribe(100);
        return stall(&watched);
    }
    for variable in ["", "0"] {
        let (_, told) = again(test, &[("MLX_WIRED_QUIET", variable)]);
        let lines: Vec<_> = told.lines().collect();
        assert_eq!(lines.len(), 1, "{lines:?}");
        for word in [
            "mlx-wired: prefill\\n\\u{1b}[2J has waited 30.0s for 4 B at ",
            "kit/threads.rs",
            "0 more wait behind it",
            "no waiter for 30.0s: 8 B of 10 B in use; ",
            "decode, 8 B, acquired at ",
            file!(),
        ] {
            assert!(lines[0].contains(word), "no {word} in {}", lines[0]);
        }
    }
    let (_, told) = again(test, &[("MLX_WIRED_QUIET", "1")]);
    assert_eq!(told, "");
    Ok(())
}

/// The most that was resident, in KiB.
#[cfg(target_os = "linux")]
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let words = line.and_then(|line| line.split_whitespace().nth(1));
    words.and_then(|it| it.parse().ok()).expect("a number")
}

/// 200 waiters beside 20,000 guards.
#[test]
#[cfg(target_os = "linux")]
fn r30_a_notice_takes_no_memory_for_those_it_does_not_tell_of() -> Result<(), Error> {
    if !is_again() {
        let test = "printed::r30_a_notice_takes_no_memory_for_those_it_does_not_tell_of";
        again(test, &[("MLX_WIRED_QUIET", "1")]);
        return Ok(());
    }
    let rig = Rig::new(Config::default())?;
    let page = rig.ticket(&SumPolicy::uncapped(), 1).label("kv page");
    let pages: Result<Vec<OwnedGuard>, Error> = (0..20_000).map(|_| page.acquire_owned()).collect();
    let pages = pages?;
    let slot = rig.ticket(&SumPolicy::capped(1), 1).label("slot");
    let busy = slot.acquire_owned()?;
    let waiting: Vec<_> = (0..200).map(|_| rig.queued(&slot)).collect();
    let before = peak();
    for told in 1..=2 {
        rig.clock.advance(30 * SECOND);
        until("it is told of", || rig.manager.stats().stalls == told);
    }
    drop(busy);
    for waiting in waiting {
        drop(waiting.result()?);
    }
    let grown = peak() - before;
    assert!(
        grown < 3 << 10,
        "{grown} KiB for two notices that nothing reads"
    );
    drop(pages);
    Ok(())
}
