//! The baseline's events, which belong to the epoch here (difference 4).

use crate::compare::{Pair, same, tells};
use crate::differences::Difference;
use crate::trace::{Kind, Told};

fn of_baseline(events: &[Told]) -> Vec<(usize, &Told)> {
    let is = |event: &Told| matches!(event.kind, Kind::BaselineCaptured | Kind::BaselineRestored);
    let all = events.iter().enumerate();
    all.filter(|(_, event)| is(event)).collect()
}

/// Ours come exactly where an epoch begins or its baseline is set back; theirs, which were found to fit their step,
/// may come anywhere.
pub(crate) fn compare(pair: &mut Pair<'_>) -> Result<(), String> {
    let ours = of_baseline(&pair.observed.events);
    let theirs = of_baseline(&pair.step.events);
    let (driven, drives) = (pair.before.is_driven(), pair.after.is_driven());
    let baseline = pair.header.baseline();
    let begins = !driven && drives;
    let restores = driven && !drives && pair.before.in_force != baseline;
    let kinds: Vec<Kind> = ours.iter().map(|(_, event)| event.kind).collect();
    let expected = if begins {
        vec![Kind::BaselineCaptured]
    } else if restores {
        vec![Kind::BaselineRestored]
    } else {
        Vec::new()
    };
    same("baseline events", &expected, &kinds)?;
    for (index, event) in &ours {
        let started = Kind::TicketStarted;
        let start = pair
            .observed
            .events
            .iter()
            .position(|event| event.kind == started);
        if begins && start.is_none_or(|start| start < *index) {
            return Err("an epoch begins after its first guard".into());
        }
        let wanted = Told {
            kind: event.kind,
            ticket: None,
            size: None,
            baseline: Some(baseline),
            desired: None,
            applied: Some(baseline),
            live: pair.after.live() - u64::from(begins),
            waiters: pair.after.waiters(),
        };
        same("a baseline event", &wanted, event)?;
    }
    let common = theirs
        .iter()
        .filter(|(_, theirs)| ours.iter().any(|(_, ours)| tells(theirs, ours)))
        .count();
    for _ in 0..theirs.len() + ours.len() - 2 * common {
        pair.differences.note(Difference::BaselineEvents);
    }
    Ok(())
}
