//! A thousand waiters, admitted one after another: each is woken once, for itself.

use crate::counting::CountingClock;
use crate::prepared::BYTES;
use crate::report::Report;
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::{Manager, SumPolicy};
use std::thread;
use std::time::Duration;

const ROW: &str = "wakeups/1000-waiters";
const WAITERS: usize = 1000;
const STACK: usize = 64 << 10;

pub(crate) fn run(report: &mut Report) {
    if !report.wants(ROW) {
        return;
    }
    let waiters = if report.is_quick() { 10 } else { WAITERS };
    let clock = CountingClock::default();
    let manager = Manager::builder()
        .backend(RecordingBackend::metal().build())
        .clock(clock.clone())
        .build()
        .expect("the default configuration is valid");
    let ticket = manager.ticket(&SumPolicy::capped(BYTES), BYTES);
    let guard = ticket.acquire().expect("nothing is in the way");
    let began = thread::scope(|scope| {
        let wait = || drop(ticket.acquire().expect("its turn comes"));
        let began = (0..waiters)
            .map_while(|_| {
                let thread = thread::Builder::new().stack_size(STACK);
                thread.spawn_scoped(scope, wait).ok()
            })
            .count();
        while manager.waiting().len() < began {
            thread::sleep(Duration::from_millis(1));
        }
        drop(guard);
        began
    });
    if began < waiters {
        // The system has no room for so many threads.
        report.skip(ROW, Some(WAITERS as f64));
        return;
    }
    report.at_most(ROW, clock.wakeups() as f64, WAITERS as f64, None);
}
