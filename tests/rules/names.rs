//! R42: names are data. Labels, policies' and threads' names and messages are printed escaped and cut.

use crate::kit::{Custom, Pending, Rig, quiet};
use mlx_wired::recorder::Recorder;
use mlx_wired::{Config, Error, SumPolicy};
use std::time::Duration;

/// What forges a line of a log, what commands a terminal, what is longer than any message.
fn names() -> [String; 4] {
    [
        "qwen\n2026-11-29T00:00:00Z INFO admin logged in\r\n".to_owned(),
        "qwen\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m".to_owned(),
        "ab\u{202e}cd\u{2066}\u{200f}\u{2028}ef".to_owned(),
        "x".repeat(1 << 20),
    ]
}

/// Each line is of plain characters, and all is shorter than `most`.
#[track_caller]
fn assert_plain(text: &str, most: usize) {
    assert!(text.len() < most, "{} bytes", text.len());
    let acts =
        |c: char| (c.is_control() && c != '\n') || "\u{202e}\u{2066}\u{200f}\u{2028}".contains(c);
    assert!(!text.contains(acts), "{text:?}");
    assert!(
        !text.lines().any(|line| line.starts_with("2026-")),
        "{text}"
    );
}

#[test]
fn r42_labels_are_escaped_and_cut_in_errors_and_snapshots() -> Result<(), Error> {
    for label in names() {
        let rig = Rig::new(quiet())?;
        let recorder = Recorder::new(&rig.manager);
        let ticket = rig.ticket(&SumPolicy::capped(10), 8).label(&*label);
        let held = ticket.acquire_owned()?;
        let waiting = rig.queued(&ticket);
        let error = ticket
            .admit_timeout(Duration::ZERO)
            .expect_err("8 of 10 are held");
        assert_plain(&error.to_string(), 161);
        assert_plain(&format!("{error:#}"), 1 << 10);
        assert_plain(&rig.manager.snapshot().to_string(), 4 << 10);
        for holder in rig.manager.holders() {
            assert_plain(&holder.to_string(), 256);
            assert_eq!(
                holder.label.as_deref(),
                Some(&*label),
                "as data it is whole"
            );
        }
        assert_plain(&recorder.finish().leaks().to_string(), 1 << 10);
        drop(held);
        drop(waiting.result()?);
        rig.finish()?;
    }
    Ok(())
}

#[test]
fn r42_names_of_policies_are_escaped_and_cut() -> Result<(), Error> {
    for name in names() {
        let rig = Rig::new(quiet())?;
        let policy = Custom::capped(10).named(&name).called(&name);
        let held = rig.ticket(&policy, 8).acquire_owned()?;
        let ticket = rig.ticket(&policy, 8);
        let late = ticket
            .admit_timeout(Duration::ZERO)
            .expect_err("8 of 10 are held");
        let never = rig.ticket(&policy, 11).acquire().err();
        for error in [late, never.expect("11 never fit")] {
            assert_plain(&error.to_string(), 161);
            assert_plain(&format!("{error:#}"), 1 << 10);
        }
        assert_plain(&rig.manager.snapshot().to_string(), 4 << 10);
        drop(held);
        rig.finish()?;
    }
    Ok(())
}

#[test]
fn r42_names_of_threads_are_escaped_and_cut() -> Result<(), Error> {
    for name in names() {
        let rig = Rig::new(quiet())?;
        let ticket = rig.ticket(&SumPolicy::capped(10), 8);
        let acquires = ticket.clone();
        let named = Pending::spawn_named(&name, move || acquires.acquire_owned());
        let held = named.result()?;
        let error = ticket
            .admit_timeout(Duration::ZERO)
            .expect_err("8 of 10 are held");
        assert_plain(&format!("{error:#}"), 1 << 10);
        assert_plain(&rig.manager.snapshot().to_string(), 4 << 10);
        drop(held);
        rig.finish()?;
    }
    Ok(())
}

#[test]
fn r42_messages_are_told_whole_and_in_one_line() -> Result<(), Error> {
    const MESSAGE: &str = "the table is gone\n2026-11-29T00:00:00Z INFO admin logged in \u{1b}[2J";
    let escaped = MESSAGE.escape_default().to_string();
    let rig = Rig::new(quiet())?;
    let policy = Custom::new().admits(|_, _, _| panic!("{MESSAGE}"));
    let panicked = rig.ticket(&policy, 1).acquire().err();
    let ticket = rig.ticket(&SumPolicy::uncapped(), 1);
    let mut guard = ticket.acquire()?;
    guard.before_release(|| Err(MESSAGE.into()));
    let failed = guard.release().error;
    for error in [panicked, failed] {
        let error = error.expect("it fails");
        assert_plain(&error.to_string(), 161);
        let all = format!("{error:#}");
        assert_plain(&all, 1 << 10);
        assert!(all.contains(&escaped), "{all}");
    }
    rig.finish()
}

#[test]
fn r42_a_snapshot_of_many_long_names_is_no_longer_than_of_short_ones_by_much() -> Result<(), Error>
{
    let printed = |label: &str| -> Result<usize, Error> {
        let rig = Rig::new(Config::default().housekeeping(false))?;
        let ticket = rig.ticket(&SumPolicy::capped(100), 1).label(label);
        let (manager, acquires) = (rig.manager.clone(), ticket.clone());
        let guards = Pending::spawn(move || (0..100).map(|_| acquires.acquire_owned()).collect());
        let guards: Result<Vec<_>, Error> = guards.result();
        let guards = guards?;
        let length = manager.snapshot().to_string().len();
        drop(guards);
        rig.finish()?;
        Ok(length)
    };
    let (short, long) = (printed("x")?, printed(&"x".repeat(1 << 16))?);
    assert!(long < short + 20 * 100, "{long} against {short}");
    Ok(())
}
