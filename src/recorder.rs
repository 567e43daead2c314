//! Recording what a manager does, with MLX's memory counters beside it.
//!
//! A [`Recorder`] subscribes to a manager's events, samples the memory counters, and gives a [`Recording`]: which thread
//! held what or waited, when; what each source used in total; what is still held at the end. With the feature `timeline` a
//! recording is written (`Recording::write_to`) as a page with charts, a trace that Perfetto opens, and tables.
//!
//! ```
//! use mlx_wired::recorder::Recorder;
//! use mlx_wired::{Manager, SumPolicy};
//! use std::time::Duration;
//!
//! let manager = Manager::builder().backend(mlx_wired::ffi::NoMlx::new()).build()?;
//! let recorder = Recorder::new(&manager).in_background(Duration::from_millis(20))?;
//!
//! let step = manager.ticket(&SumPolicy::capped(1 << 30), 256 << 20).label("step");
//! drop(step.acquire()?);
//!
//! let recording = recorder.finish();
//! assert_eq!(recording.totals()[0].guards, 1);
//! println!("{}", recording.leaks());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod background;
#[cfg(feature = "timeline")]
mod chrome;
mod heat_map;
mod intervals;
mod leaks;
#[cfg(feature = "timeline")]
mod page;
mod program;
mod samples;
#[cfg(feature = "timeline")]
mod series;
#[cfg(feature = "timeline")]
mod tables;
mod totals;
#[cfg(feature = "timeline")]
mod write;

pub use background::BackgroundRecorder;
pub use heat_map::HeatMap;
pub use intervals::{End, Interval, What};
pub use leaks::{LeakReport, Outstanding};
pub use samples::Sample;
pub use totals::SourceTotal;
#[cfg(feature = "timeline")]
pub use write::Written;

use crate::ffi::{Backend, Device};
use crate::fork;
use crate::manager::inner::Inner;
use crate::user_code;
use crate::{Event, Manager, Snapshot, Subscriber};
use samples::Samples;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// Records a manager's events and memory, in bounded space.
///
/// While it lives, every acquire and release of the manager is recorded, which costs them time. It does not keep the manager
/// alive.
#[derive(Debug)]
pub struct Recorder {
    program: Arc<str>,
    subscriber: Subscriber,
    manager: Weak<Inner>,
    backend: Arc<dyn Backend>,
    device: Device,
    start: Snapshot,
    /// The latest, from when the manager still lived.
    end: Option<Snapshot>,
    keep: usize,
    events: VecDeque<Event>,
    dropped: u64,
    samples: Samples,
}

impl Recorder {
    /// How many events [`new`](Self::new) keeps.
    pub const EVENTS: usize = 100_000;

    /// The most events that may come between two polls.
    const BETWEEN_POLLS: usize = 1 << 14;

    /// Begins to record. The latest [`EVENTS`](Self::EVENTS) events are kept.
    #[must_use]
    pub fn new(manager: &Manager) -> Self {
        Self::with_capacity(manager, Self::EVENTS)
    }

    /// Begins to record, and keeps the latest `events` events (at least 1).
    #[must_use]
    pub fn with_capacity(manager: &Manager, events: usize) -> Self {
        let keep = events.max(1);
        let subscriber = manager.subscribe(Self::BETWEEN_POLLS);
        let inner = manager.inner();
        let mut recorder = Self {
            program: program::of_this_process(),
            subscriber,
            manager: Arc::downgrade(inner),
            backend: inner.backend.clone(),
            device: inner.device.clone(),
            // Whatever happened since the subscription began is in the snapshot: see `poll`.
            start: manager.snapshot(),
            end: None,
            keep,
            events: VecDeque::new(),
            dropped: 0,
            samples: Samples::default(),
        };
        recorder.poll();
        recorder
    }

    /// What the recorded program is called in what is written. Without this it is the name that it was started by, without
    /// its folder.
    ///
    /// It is printed escaped, and cut after 80 bytes.
    ///
    /// ```
    /// use mlx_wired::Manager;
    /// use mlx_wired::recorder::Recorder;
    ///
    /// let manager = Manager::builder().backend(mlx_wired::ffi::NoMlx::new()).build()?;
    /// let recording = Recorder::new(&manager).program("nightly training").finish();
    /// assert_eq!(recording.program(), "nightly training");
    /// # Ok::<(), mlx_wired::Error>(())
    /// ```
    #[must_use]
    pub fn program(mut self, name: impl Into<Arc<str>>) -> Self {
        self.program = name.into();
        self
    }

    /// Takes the events that have come, and a sample of memory. To be called often enough that not more than 16,384 events
    /// come in between; [`in_background`](Self::in_background) does it by itself.
    pub fn poll(&mut self) {
        if fork::is_child() {
            return;
        }
        // What had come before this call: threads that go on meanwhile must not keep it from returning.
        for event in self.subscriber.drain().take(2 * Self::BETWEEN_POLLS) {
            if event.time < self.start.time {
                continue;
            }
            if self.events.len() == self.keep {
                self.events.pop_front();
                self.dropped += 1;
            }
            self.events.push_back(event);
        }
        if self.manager.strong_count() == 0 {
            return;
        }
        // Without the manager: the backend's call must not keep it alive.
        let memory = user_code::catch(|| self.backend.memory());
        if let Some(inner) = self.manager.upgrade() {
            let memory = memory.ok().and_then(Result::ok);
            self.samples.push(inner.sample(memory));
        }
    }

    /// What is recorded if nothing was seen but the start.
    fn unseen(&self) -> Recording {
        Recording {
            program: self.program.clone(),
            device: self.device.clone(),
            at_start: self.start.clone(),
            at_end: None,
            end: self.start.time,
            events: Vec::new(),
            samples: Vec::new(),
            lost: 0,
            dropped: 0,
        }
    }

    /// Ends the recording. In a forked child it is what was taken before the fork.
    #[must_use]
    pub fn finish(mut self) -> Recording {
        // Before the last poll, so that what it shows as gone has been told.
        let manager = (!fork::is_child())
            .then(|| self.manager.upgrade())
            .flatten();
        self.end = manager.map(|inner| inner.snapshot());
        self.poll();
        if let Some(end) = &self.end {
            while self
                .events
                .back()
                .is_some_and(|event| event.time > end.time)
            {
                self.events.pop_back();
            }
        }
        let events: Vec<Event> = self.events.into();
        let samples = self.samples.into_vec();
        let last_sample = samples.last().map(|sample| sample.time);
        let last_event = events.last().map(|event| event.time);
        let ends = [
            self.end.as_ref().map(|end| end.time),
            last_sample,
            last_event,
        ];
        let end = ends.into_iter().flatten().max();
        Recording {
            end: end.unwrap_or(self.start.time),
            lost: self.subscriber.lost(),
            dropped: self.dropped,
            program: self.program,
            device: self.device,
            at_start: self.start,
            at_end: self.end,
            events,
            samples,
        }
    }
}

/// What a [`Recorder`] has seen.
#[derive(Debug, Clone)]
pub struct Recording {
    program: Arc<str>,
    device: Device,
    at_start: Snapshot,
    at_end: Option<Snapshot>,
    end: Instant,
    events: Vec<Event>,
    samples: Vec<Sample>,
    lost: u64,
    dropped: u64,
}

impl Recording {
    /// What the recorded program is called.
    #[must_use]
    pub fn program(&self) -> &str {
        &self.program
    }

    /// From when on events are known: the start, or the first that was kept.
    #[must_use]
    pub fn begin(&self) -> Instant {
        match self.events.first() {
            Some(first) if self.dropped > 0 => first.time,
            _ => self.at_start.time,
        }
    }

    /// How long it is.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.after_begin(self.end)
    }

    /// The events, in order.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The samples of memory, in order. In a long recording they are thinned out.
    #[must_use]
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// The manager's state when the recording began.
    #[must_use]
    pub fn at_start(&self) -> &Snapshot {
        &self.at_start
    }

    /// The manager's state at the end; `None` if the manager was gone.
    #[must_use]
    pub fn at_end(&self) -> Option<&Snapshot> {
        self.at_end.as_ref()
    }

    /// The device.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// How many events are missing: those that came too fast between two polls, and the oldest, once there were more than
    /// are kept.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.lost + self.dropped
    }

    fn after_begin(&self, time: Instant) -> Duration {
        time.saturating_duration_since(self.begin())
    }
}
