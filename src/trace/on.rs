//! With `tracing`: a span for each guard and wait at level DEBUG, events for the limit at DEBUG and TRACE, and for what
//! an operator should look at, at WARN.

use crate::event::{Event, EventKind};
use crate::holders::About;
use crate::print::{Name, Place};
use crate::user_code;
use std::borrow::Cow;
use std::panic::Location;
use tracing::level_filters::LevelFilter;
use tracing::span::EnteredSpan;
use tracing::{Level, Span};

/// The level that a kind is reported at; `None` if a span tells it, or it is not reported.
fn level(kind: &EventKind) -> Option<Level> {
    Some(match kind {
        EventKind::LimitComputed => Level::TRACE,
        EventKind::BaselineCaptured
        | EventKind::LimitApplied
        | EventKind::BaselineRestored
        | EventKind::BudgetChanged { .. } => Level::DEBUG,
        EventKind::PressureChanged { .. } => Level::INFO,
        EventKind::LimitApplyFailed(_)
        | EventKind::LimitClamped { .. }
        | EventKind::ForeignLimit { .. }
        | EventKind::PolicyPanicked(_)
        | EventKind::ReleaseFailed(_)
        | EventKind::SynchronizationSkipped
        | EventKind::WireModeUnrecognised(_)
        | EventKind::ModelNearCeiling { .. }
        | EventKind::ReclaimerPanicked(_)
        | EventKind::CircleWithDeadline { .. }
        | EventKind::LiveAboveCeiling { .. }
        | EventKind::WaitStalled { .. } => Level::WARN,
        EventKind::AdmissionWait
        | EventKind::AdmissionGranted
        | EventKind::AdmissionCancelled
        | EventKind::AdmissionTimedOut
        | EventKind::AdmissionFailed(_)
        | EventKind::TicketStarted
        | EventKind::TicketEnded
        | EventKind::TicketResized { .. } => return None,
    })
}

/// Whether some subscriber may be interested. One relaxed load.
pub(crate) fn wants(kind: &EventKind) -> bool {
    let most = LevelFilter::current();
    most != LevelFilter::OFF && level(kind).is_some_and(|level| level <= most)
}

/// Whether the calling thread's subscriber takes warnings. It is asked: the caller holds no lock.
pub(crate) fn wants_warnings() -> bool {
    let asks = || tracing::enabled!(target: "mlx_wired", Level::WARN);
    LevelFilter::current() >= LevelFilter::WARN && user_code::catch(asks).unwrap_or(false)
}

/// What happened under the lock and must be reported once it is free.
#[derive(Debug, Default)]
pub(crate) struct Kept(Vec<Event>);

impl Kept {
    pub(crate) fn push(&mut self, event: &Event) {
        self.0.push(event.clone());
    }

    /// Calls subscribers. The caller holds no lock.
    pub(crate) fn report(self) {
        for event in self.0 {
            // A subscriber that panics loses this event.
            let _caught = user_code::catch(|| report(&event));
        }
    }
}

/// A name as text that may be printed.
fn printed(name: &str) -> Cow<'_, str> {
    Name::new(name).text()
}

/// One event with the fields that every kind has, and its own.
macro_rules! limit_event {
    ($level:expr, $event:expr, $($own:tt)*) => {
        tracing::event!(
            target: "mlx_wired",
            $level,
            baseline = $event.baseline,
            desired = $event.desired,
            applied = $event.applied,
            live = $event.live,
            waiters = $event.waiters,
            ticket = $event.ticket,
            size = $event.size,
            policy = $event.policy.as_deref().map(printed).as_deref(),
            label = $event.label.as_deref().map(printed).as_deref(),
            $($own)*
        )
    };
}

fn report(event: &Event) {
    match &event.kind {
        EventKind::LimitComputed => limit_event!(Level::TRACE, event, "limit computed"),
        EventKind::BaselineCaptured => limit_event!(Level::DEBUG, event, "baseline captured"),
        EventKind::LimitApplied => limit_event!(Level::DEBUG, event, "limit applied"),
        EventKind::BaselineRestored => limit_event!(Level::DEBUG, event, "baseline restored"),
        EventKind::BudgetChanged { from, to } => {
            limit_event!(Level::DEBUG, event, from, to, "the budget changed");
        }
        EventKind::PressureChanged { from, to } => {
            let (from, to) = (from.to_string(), to.to_string());
            limit_event!(Level::INFO, event, from, to, "the pressure changed");
        }
        EventKind::LimitApplyFailed(error) => {
            let error = &*Name::whole(error).text();
            limit_event!(Level::WARN, event, error, "the limit could not be set");
        }
        EventKind::LimitClamped { ceiling } => {
            limit_event!(Level::WARN, event, ceiling, "the limit is at its ceiling");
        }
        EventKind::ForeignLimit { expected, found } => {
            limit_event!(
                Level::WARN,
                event,
                expected,
                found,
                "other code changed the limit"
            );
        }
        EventKind::PolicyPanicked(panic) => {
            let panic = &*Name::whole(panic).text();
            limit_event!(Level::WARN, event, panic, "a policy panicked");
        }
        EventKind::ReleaseFailed(reason) => {
            let reason = &*Name::whole(reason).text();
            limit_event!(
                Level::WARN,
                event,
                reason,
                "what runs before a release failed"
            );
        }
        EventKind::SynchronizationSkipped => {
            limit_event!(
                Level::WARN,
                event,
                "a release does not synchronise: no error handler that returns"
            );
        }
        EventKind::WireModeUnrecognised(value) => {
            let value = &*printed(value);
            limit_event!(
                Level::WARN,
                event,
                value,
                "MLX_WIRED is neither auto nor never"
            );
        }
        EventKind::ModelNearCeiling { model, ceiling } => {
            limit_event!(
                Level::WARN,
                event,
                model,
                ceiling,
                "the model is near the ceiling"
            );
        }
        EventKind::ReclaimerPanicked(panic) => {
            limit_event!(Level::WARN, event, panic, "a reclaimer panicked");
        }
        EventKind::CircleWithDeadline { threads } => {
            limit_event!(
                Level::WARN,
                event,
                ?threads,
                "threads wait for each other until a deadline"
            );
        }
        EventKind::LiveAboveCeiling { bytes, ceiling } => {
            limit_event!(
                Level::WARN,
                event,
                bytes,
                ceiling,
                "more is live than the ceiling allows to be wired"
            );
        }
        EventKind::WaitStalled {
            waited,
            stood,
            behind,
            why,
            largest,
        } => {
            let place = event.place.map(tracing::field::display);
            let largest = largest.as_ref().map(tracing::field::display);
            limit_event!(
                Level::WARN,
                event,
                ?waited,
                ?stood,
                behind,
                place,
                %why,
                largest,
                "a line of waits for admission stands still"
            );
        }
        // Spans tell of these.
        EventKind::AdmissionWait
        | EventKind::AdmissionGranted
        | EventKind::AdmissionCancelled
        | EventKind::AdmissionTimedOut
        | EventKind::AdmissionFailed(_)
        | EventKind::TicketStarted
        | EventKind::TicketEnded
        | EventKind::TicketResized { .. } => {}
    }
}

/// The span of a ticket's guard or wait.
macro_rules! ticket_span {
    ($name:literal, $ticket:expr, $about:expr, $($own:tt)*) => {
        tracing::debug_span!(
            target: "mlx_wired",
            $name,
            ticket = $ticket,
            label = $about.label.as_deref().map(printed).as_deref(),
            policy = &*printed(&$about.policy),
            size = $about.bytes,
            kind = ?$about.kind,
            $($own)*
        )
    };
}

/// The span of a guard, from its admission to its release. Not entered, since guards need not nest.
#[derive(Debug)]
pub(crate) struct GuardSpan(Option<Span>);

impl GuardSpan {
    /// None if no subscriber can be interested, which one relaxed load tells.
    #[inline]
    pub(crate) fn open(ticket: u64, about: &About) -> Option<Self> {
        if LevelFilter::current() < LevelFilter::DEBUG {
            return None;
        }
        Self::open_enabled(ticket, about)
    }

    #[cold]
    fn open_enabled(ticket: u64, about: &About) -> Option<Self> {
        let opened = user_code::catch(|| ticket_span!("guard", ticket, about,));
        let span = opened.ok().filter(|span| !span.is_disabled())?;
        Some(Self(Some(span)))
    }
}

impl Drop for GuardSpan {
    fn drop(&mut self) {
        let span = self.0.take();
        let _caught = user_code::catch(|| drop(span));
    }
}

/// The span of a wait for admission, entered by the waiting thread.
#[derive(Debug)]
pub(crate) struct WaitSpan(Option<EnteredSpan>);

impl WaitSpan {
    pub(crate) fn open(ticket: u64, about: &About, location: &'static Location<'static>) -> Self {
        let entered = user_code::catch(|| {
            let span = ticket_span!("wait", ticket, about, place = %Place(location));
            span.entered()
        });
        Self(entered.ok())
    }
}

impl Drop for WaitSpan {
    fn drop(&mut self) {
        let span = self.0.take();
        let _caught = user_code::catch(|| drop(span));
    }
}
