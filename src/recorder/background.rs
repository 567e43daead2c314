//! A recorder with a thread of its own.

use super::{Recorder, Recording};
use crate::fork;
use crossbeam::channel::{self, RecvTimeoutError, Sender};
use std::io;
use std::thread::JoinHandle;
use std::time::Duration;

/// A [`Recorder`] that polls by itself. Dropping it stops the thread and throws the recording away.
#[derive(Debug)]
pub struct BackgroundRecorder {
    /// Dropped to stop the thread.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<Recorder>>,
    /// All that a forked child has: the thread is its parent's.
    unseen: Recording,
}

impl Recorder {
    /// Polls in a thread of its own, about once in `every`.
    ///
    /// # Errors
    ///
    /// If no thread could be started, or in a forked child ([`Error::Forked`](crate::Error::Forked)).
    pub fn in_background(self, every: Duration) -> std::io::Result<BackgroundRecorder> {
        BackgroundRecorder::start(self, every)
    }
}

impl BackgroundRecorder {
    pub(super) fn start(mut recorder: Recorder, every: Duration) -> io::Result<Self> {
        fork::check().map_err(io::Error::other)?;
        let unseen = recorder.unseen();
        // Without a pause it would spin.
        let every = every.max(Duration::from_millis(1));
        let (stop, stopped) = channel::bounded::<()>(0);
        let thread = std::thread::Builder::new()
            .name("mlx-wired recorder".to_owned())
            .spawn(move || {
                while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                    recorder.poll();
                }
                recorder
            })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
            unseen,
        })
    }

    /// Stops the thread and ends the recording. In a forked child, which has no such thread, nothing but the state at the
    /// start is in it.
    ///
    /// # Panics
    ///
    /// If the thread has panicked, which it does not.
    #[must_use]
    pub fn finish(mut self) -> Recording {
        if fork::is_child() {
            return self.unseen.clone();
        }
        let recorder = self.stop();
        recorder.expect("the recorder's thread ends well").finish()
    }

    fn stop(&mut self) -> Option<Recorder> {
        if fork::is_child() {
            // Neither can be touched: the thread is not there to be joined, and may have been amid receiving from the channel.
            std::mem::forget((self.stop.take(), self.thread.take()));
            return None;
        }
        drop(self.stop.take());
        self.thread.take()?.join().ok()
    }
}

impl Drop for BackgroundRecorder {
    fn drop(&mut self) {
        drop(self.stop());
    }
}
