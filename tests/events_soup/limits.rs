//! The limit: what is computed, and what is set.

use super::Checked;
use super::guards::demand_of;
use super::plan::{CAP, Group};
use super::stream::Span;
use mlx_wired::ffi::{Call, Outcome};
use mlx_wired::{Event, EventKind, Kind};
use std::collections::HashMap;

/// A live guard: its group, its size, whether it drives.
type Live = (Group, u64, bool);

fn live(label: Option<&str>, bytes: u64) -> Live {
    let demand = demand_of(label);
    (demand.group, bytes, demand.kind != Kind::Reservation)
}

/// The limit that `group` calls for, if it has guards.
fn called_for(lives: &[Live], group: Group, baseline: u64) -> Option<u64> {
    let sizes = || lives.iter().filter(|it| it.0 == group).map(|it| it.1);
    let largest = sizes().max()?;
    let sum: u64 = sizes().sum();
    Some(match group {
        Group::Capped => (baseline + sum).min(CAP),
        Group::Max => baseline + largest,
        Group::Sum | Group::Own => baseline + sum,
    })
}

/// R2: the desired limit is what the guards call for that live by the events before.
///
/// Custom policies count with their last answers where theirs changes nothing, so with them there is only a least.
pub(crate) fn what_is_computed_is_called_for(span: &Span<'_>) -> Checked {
    // By ticket: guards of one ticket are alike.
    let mut lives: HashMap<u64, Vec<Live>> = HashMap::new();
    for it in span.start.map_or(&[][..], |it| &it.guards) {
        let guards = lives.entry(it.ticket).or_default();
        guards.push(live(it.label.as_deref(), it.bytes));
    }
    for (n, event) in span.events.iter().enumerate() {
        let (ticket, size) = (
            event.ticket.unwrap_or_default(),
            event.size.unwrap_or_default(),
        );
        let gone = match event.kind {
            EventKind::TicketEnded => Some(ticket),
            EventKind::TicketResized { from_ticket, .. } => Some(from_ticket),
            _ => None,
        };
        if let Some(guards) = gone.and_then(|gone| lives.get_mut(&gone)) {
            guards.pop();
        }
        match event.kind {
            EventKind::TicketStarted | EventKind::TicketResized { .. } => {
                let guards = lives.entry(ticket).or_default();
                guards.push(live(event.label.as_deref(), size));
            }
            EventKind::LimitComputed => {
                let lives: Vec<Live> = lives.values().flatten().copied().collect();
                let drives = lives.iter().any(|it| it.2);
                span.ensure(n, drives, "no driving guard lives")?;
                let limit = |group| called_for(&lives, group, event.baseline);
                let built_in = [Group::Capped, Group::Sum, Group::Max];
                let most = built_in.into_iter().filter_map(limit).max();
                let holds = match limit(Group::Own) {
                    None => event.desired == most,
                    Some(_) => event.desired >= most,
                };
                span.ensure(n, holds, format_args!("{:?}, not {most:?}", event.desired))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whoever follows the limit by the events knows every value that was set, and every failure.
pub(crate) fn each_call_is_told(events: &[Event], calls: &[Call]) -> Checked {
    let of_event = |event: &Event| match event.kind {
        EventKind::LimitApplied => Some(event.applied),
        EventKind::LimitApplyFailed(_) => Some(None),
        _ => None,
    };
    let of_call = |call: &Call| (call.outcome == Outcome::Applied).then_some(call.requested);
    let told: Vec<Option<u64>> = events.iter().filter_map(of_event).collect();
    let made: Vec<Option<u64>> = calls.iter().map(of_call).collect();
    match told == made {
        true => Ok(()),
        false => Err(format!(
            "each call is told: {told:?}, but {made:?} were made"
        )),
    }
}
