//! Subscribers that are too slow.

use super::Checked;
use mlx_wired::{Event, Manager, Subscriber};

/// A subscriber of little room, and what it was told.
pub(crate) struct Slow {
    subscriber: Subscriber,
    told: Vec<Event>,
}

impl Slow {
    pub(crate) fn new(manager: &Manager, capacity: usize) -> Self {
        Self {
            subscriber: manager.subscribe(capacity),
            told: Vec::new(),
        }
    }

    /// Takes what is there, but does not go after what comes meanwhile.
    pub(crate) fn take(&mut self) {
        self.told.extend(self.subscriber.drain().take(50));
    }
}

/// The first event always finds room, so it says from where on everything was either told or lost.
pub(crate) fn what_is_told_and_lost_is_all(slow: &Slow, all: &[Event]) -> Checked {
    let lost = slow.subscriber.lost();
    let Some(first) = slow.told.first() else {
        return match lost {
            0 => Ok(()),
            _ => Err(format!("{lost} events were lost where there was room")),
        };
    };
    let since = all.len() as u64 - first.sequence;
    let told = slow.told.len() as u64;
    if told + lost != since {
        return Err(format!("{told} told and {lost} lost of {since} events"));
    }
    let mut last = None;
    for event in &slow.told {
        if last >= Some(event.sequence) {
            return Err(format!("after event {last:?} came {event:?}"));
        }
        last = Some(event.sequence);
        let others = &all[event.sequence as usize];
        if event != others {
            return Err(format!("{event:?} was told to others as {others:?}"));
        }
    }
    Ok(())
}
