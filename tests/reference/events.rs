//! What the events tell must add up to what the model knows (R24).

use crate::model::Model;
use mlx_wired::{EventKind, Manager, Subscriber};
use std::collections::HashSet;
use std::thread::ThreadId;

pub(crate) struct Events {
    subscriber: Subscriber,
    next: u64,
    applied: Vec<u64>,
    live: i64,
    failures: usize,
    waits: u64,
    /// Those who wait still, by what was told.
    waiting: HashSet<ThreadId>,
    timeouts: u64,
    cancellations: u64,
    clamped: u64,
    foreign: u64,
    circles: u64,
}

impl Events {
    pub(crate) fn new(manager: &Manager) -> Self {
        Self {
            subscriber: manager.subscribe(1024),
            next: 0,
            applied: Vec::new(),
            live: 0,
            failures: 0,
            waits: 0,
            waiting: HashSet::new(),
            timeouts: 0,
            cancellations: 0,
            clamped: 0,
            foreign: 0,
            circles: 0,
        }
    }

    pub(crate) fn compare(&mut self, model: &Model) {
        let events: Vec<_> = self.subscriber.drain().collect();
        for event in events {
            assert_eq!(event.sequence, self.next, "events are numbered");
            self.next += 1;
            match event.kind {
                EventKind::AdmissionTimedOut
                | EventKind::AdmissionCancelled
                | EventKind::AdmissionFailed(_) => {
                    assert!(self.waiting.remove(&event.thread), "it began");
                }
                EventKind::AdmissionGranted | EventKind::TicketResized { .. } => {
                    self.waiting.remove(&event.thread);
                }
                EventKind::AdmissionWait => {
                    assert!(self.waiting.insert(event.thread), "one at a time");
                }
                _ => {}
            }
            match event.kind {
                EventKind::TicketStarted => self.live += 1,
                EventKind::TicketEnded => self.live -= 1,
                EventKind::LimitApplied => self.applied.extend(event.applied),
                EventKind::LimitApplyFailed(_) => self.failures += 1,
                EventKind::AdmissionWait => self.waits += 1,
                EventKind::AdmissionTimedOut => self.timeouts += 1,
                EventKind::AdmissionCancelled => self.cancellations += 1,
                EventKind::LimitClamped { .. } => self.clamped += 1,
                EventKind::ForeignLimit { .. } => self.foreign += 1,
                EventKind::CircleWithDeadline { .. } => self.circles += 1,
                _ => {}
            }
        }
        assert_eq!(self.subscriber.lost(), 0);
        assert_eq!(self.live, model.live.len() as i64, "started and ended");
        assert_eq!(
            self.waiting.len(),
            model.waiters().count(),
            "waits end once"
        );
        assert_eq!(self.failures, model.setter.failures());
        let counts = &model.counts;
        let told = (self.waits, self.timeouts, self.cancellations);
        let counted = (counts.waits, counts.timeouts, counts.cancellations);
        assert_eq!(told, counted, "waits, timeouts, cancellations");
        let told = (self.clamped, self.foreign);
        assert_eq!(told, (counts.clamped, counts.foreign_changes));
        assert_eq!(self.circles, model.circles_told, "circles told of");
        if model.calls_the_setter_only() {
            let calls = model.setter.calls.iter().filter(|(_, applied)| *applied);
            let calls: Vec<u64> = calls.map(|(limit, _)| *limit).collect();
            assert_eq!(self.applied, calls, "limits applied");
        }
    }
}
