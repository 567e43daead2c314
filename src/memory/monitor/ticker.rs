//! The monitor's thread.

use super::shared::Shared;
use crate::clock::{Sleeper, Waker};
use crate::memory::Error;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The thread. Dropping it stops and joins it.
#[derive(Debug)]
pub(super) struct Ticker {
    shared: Arc<Shared>,
    stops: Arc<AtomicBool>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    pub(super) fn start(shared: &Arc<Shared>, every: Duration) -> Result<Self, Error> {
        let stops = Arc::new(AtomicBool::new(false));
        // Counted from here, however long the thread takes to begin.
        let first = shared.source.clock.now().checked_add(every);
        let (tells, told) = mpsc::channel();
        let body = {
            let (shared, stops) = (shared.clone(), stops.clone());
            move || {
                // Made here: a sleeper is its thread's own.
                let sleeper = Sleeper::new();
                if tells.send(sleeper.wake_handle()).is_err() {
                    return;
                }
                run(&shared, &stops, &sleeper, (first, every));
            }
        };
        let thread = thread::Builder::new().name("mlx-wired monitor".to_owned());
        let thread = thread.spawn(body).map_err(Error::Thread)?;
        let waker = told.recv().expect("the thread tells before all else");
        Ok(Self {
            shared: shared.clone(),
            stops,
            waker,
            thread: Some(thread),
        })
    }
}

fn run(
    shared: &Shared,
    stops: &AtomicBool,
    sleeper: &Sleeper,
    (mut next, every): (Option<Instant>, Duration),
) {
    let clock = &shared.source.clock;
    while !stops.load(Ordering::Acquire) {
        let now = clock.now();
        // None is beyond what a clock can tell.
        let Some(due) = next.filter(|next| *next <= now) else {
            clock.park(sleeper, next);
            continue;
        };
        shared.tick();
        // What was missed, while the process was stopped, is not made up for.
        let after = |time: Instant| time.checked_add(every);
        next = after(due).filter(|next| *next > now).or(after(now));
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        let thread = self.thread.take();
        if !self.shared.source.is_own() {
            // The thread is not there to be joined.
            mem::forget(thread);
            return;
        }
        self.stops.store(true, Ordering::Release);
        self.waker.wake();
        if let Some(thread) = thread {
            // It may be the thread itself that drops the last of it, in a function that it calls.
            if thread.thread().id() != thread::current().id() {
                drop(thread.join());
            }
        }
    }
}
