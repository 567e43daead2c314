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
    thread::scope(|scope| {
        for _ in 0..waiters {
            let wait = || drop(ticket.acquire().expect("its turn comes"));
            thread::Builder::new()
                .stack_size(STACK)
                .spawn_scoped(scope, wait)
                .expect("the system has room for the threads");
        }
        while manager.waiting().len() < waiters {
            thread::sleep(Duration::from_millis(1));
        }
        drop(guard);
    });
    report.at_most(ROW, clock.wakeups() as f64, WAITERS as f64, None);
}
