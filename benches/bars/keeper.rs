//! A thread that holds borrowed guards: they belong to the thread that acquired them.

use mlx_wired::Ticket;
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};

/// Guards on a thread of their own, which sleeps until this is dropped.
pub(crate) struct Keeper {
    /// Its end wakes the thread.
    holds: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// So many guards of `ticket`, which are held by the time this returns.
    pub(crate) fn new(ticket: &Ticket, count: usize) -> Self {
        let ticket = ticket.clone();
        let (holds, ends) = mpsc::channel();
        let (tell, told) = mpsc::channel();
        let thread = thread::spawn(move || {
            let acquire = |_| ticket.acquire().expect("nothing is in the way");
            let _guards: Vec<_> = (0..count).map(acquire).collect();
            tell.send(()).expect("it is waited for");
            // Fails, once the other end is gone.
            ends.recv().unwrap_or_default();
        });
        told.recv().expect("nothing is in the way");
        Self {
            holds: Some(holds),
            thread: Some(thread),
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.holds.take());
        if let Some(thread) = self.thread.take() {
            thread.join().expect("it only waits");
        }
    }
}
