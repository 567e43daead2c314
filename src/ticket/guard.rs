//! Guards: admitted tickets, released on drop.

use super::Ticket;
use super::finish::Work;
use super::raw::Raw;
use super::released::Released;
use crate::Error;
use crate::sync::{ThreadId, thread_id};
use crate::wait::Wait;
use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::Location;
use std::time::Duration;

/// What both guards tell and do.
macro_rules! guard_methods {
    () => {
        /// The ticket that was acquired.
        #[must_use]
        pub fn ticket(&self) -> &Ticket {
            self.ticket_ref()
        }

        /// Its size in bytes: its ticket's, or what it was resized to.
        #[must_use]
        pub fn bytes(&self) -> u64 {
            self.raw.held(self.ticket_ref()).bytes()
        }

        /// Changes its size to `bytes`, all or nothing.
        ///
        /// Growing is examined before the queue, since a waiter may be waiting for this very guard; it waits until
        /// the policy admits the new size in place of the old one. Shrinking never waits and fails
        /// only from inside a policy ([`Error::Reentrant`]). It finishes no work first: shrink when the work on what is
        /// given up is done.
        ///
        /// # Errors
        ///
        /// As [`Ticket::acquire`]; two guards that grow against each other are
        /// [`Error::WouldDeadlock`]. The guard keeps its size then.
        ///
        /// # Blocking
        ///
        /// As [`Ticket::acquire`].
        #[track_caller]
        pub fn resize(&mut self, bytes: u64) -> Result<(), Error> {
            self.resize_with(bytes, Wait::new())
        }

        /// [`resize`](Self::resize) without waiting for admission or for another's setter call.
        ///
        /// # Errors
        ///
        /// [`Error::WouldBlock`] if it would have to wait; else as [`resize`](Self::resize).
        #[track_caller]
        pub fn try_resize(&mut self, bytes: u64) -> Result<(), Error> {
            self.resize_with(bytes, Wait::none())
        }

        /// [`resize`](Self::resize), waiting for admission at most `timeout`.
        ///
        /// # Errors
        ///
        /// [`Error::Timeout`]; else as [`resize`](Self::resize).
        ///
        /// # Blocking
        ///
        /// As [`Ticket::admit_timeout`].
        #[track_caller]
        pub fn resize_timeout(&mut self, bytes: u64, timeout: Duration) -> Result<(), Error> {
            self.resize_with(bytes, Wait::new().timeout(timeout))
        }

        /// [`resize`](Self::resize) with a deadline and a cancel token, or with [no wait](Wait::none).
        ///
        /// # Errors
        ///
        /// [`Error::Timeout`], [`Error::Cancelled`] and [`Error::WouldBlock`]; else as [`resize`](Self::resize).
        ///
        /// # Blocking
        ///
        /// As [`Ticket::acquire_with`].
        #[track_caller]
        pub fn resize_with(&mut self, bytes: u64, wait: Wait) -> Result<(), Error> {
            let location = Location::caller();
            let (raw, ticket) = self.parts();
            raw.resize(ticket, bytes, wait, location)
        }

        /// The limit that its group called for at its admission, in bytes.
        ///
        /// For a `MaxPolicy` or `PeakPolicy` guard that was admitted without a lock, what its group calls for now.
        #[must_use]
        pub fn wanted(&self) -> u64 {
            self.raw.wanted(self.ticket_ref())
        }

        /// The limit that is applied now, in bytes; in policy-only mode the one that would be.
        #[must_use]
        pub fn applied(&self) -> u64 {
            self.ticket_ref().manager().applied()
        }

        /// Whether its group called for more than the ceiling allows.
        #[must_use]
        pub fn is_clamped(&self) -> bool {
            let wanted = self.wanted();
            self.ticket_ref().manager().clamp(wanted) < wanted
        }

        /// Whether its memory is wired now: the device has wired memory, the manager sets the limit, and the
        /// set did not fail.
        #[must_use]
        pub fn is_wired(&self) -> bool {
            self.raw.is_wired(self.ticket_ref())
        }

        /// The number of its epoch; 0 for a reservation that was acquired outside one.
        #[must_use]
        pub fn epoch(&self) -> u64 {
            self.raw.epoch(self.ticket_ref())
        }

        /// How long it waited for admission.
        #[must_use]
        pub fn waited(&self) -> Duration {
            self.raw.waited()
        }

        /// Runs `hook` where a release would synchronise the releasing thread's default stream, in place of that: before
        /// one that may lower the limit, and on CUDA before each ([`SyncOnRelease`](crate::SyncOnRelease)).
        ///
        /// It runs on whatever thread releases, also where that would not synchronise. The demand still counts while it
        /// runs. Its error or panic is reported and does not prevent the release.
        pub fn before_release(
            &mut self,
            hook: impl FnOnce() -> Result<(), Box<dyn std::error::Error + Send + Sync>>
            + Send
            + Sync
            + 'static,
        ) {
            self.raw.set_hook(Box::new(hook));
        }

        /// Releases, and tells what became of the limit.
        ///
        /// # Blocking
        ///
        /// As long as the setter's call, if one follows, and before that the work on the releasing thread's default
        /// stream, if the release [synchronises](crate::SyncOnRelease).
        pub fn release(self) -> Released {
            let work = self.work();
            self.release_as(work)
        }

        /// Calls `finish`, whatever follows from the release and whatever thread this is, then releases.
        ///
        /// `finish` waits for the work, on whatever streams it is, so nothing more is waited for where nothing is
        /// wired. A release that may lower a wired limit still synchronises this thread's default stream, and a
        /// [hook](Self::before_release) still runs where it would. If `finish` panics, the guard is released as the panic
        /// unwinds.
        pub fn release_after(self, finish: impl FnOnce()) -> Released {
            finish();
            self.release_as(Work::Finished)
        }

        /// Releases without synchronising, for work that is known to be evaluated. A [hook](Self::before_release) still
        /// runs where it would.
        ///
        /// If work is in flight all the same, what it uses may be unwired under it, or given to others before it is free.
        ///
        /// # Blocking
        ///
        /// As long as the setter's call, if one follows.
        pub fn release_evaluated(self) -> Released {
            self.release_as(Work::Evaluated)
        }

        fn release_as(self, work: Work) -> Released {
            self.consume(|raw, ticket| raw.release(ticket, work))
        }

        /// Keeps the demand for the rest of the process's life. It counts among the pinned demands from now on: a
        /// demand that does not fit beside it is [`Error::NoRoom`].
        pub fn leak(self) {
            self.raw.note_leak(self.ticket_ref());
            std::mem::forget(self);
        }
    };
}

/// An admitted ticket, borrowed. Releases on drop, in unwinding too.
///
/// It belongs to the thread that acquired it; [`OwnedGuard`] may go to others.
///
/// Binding it to `_` releases it at once: write `let _guard = ticket.acquire()?;`.
///
/// # Dropping
///
/// Drop it when the work is evaluated: MLX's arrays are lazy, and a lowered limit while work is in
/// flight unwires what it uses. A release that may lower the limit, and on CUDA each
/// ([`SyncOnRelease`](crate::SyncOnRelease)), first waits for the releasing thread's default
/// stream where that is safe (see [`Backend::synchronizes`](crate::ffi::Backend::synchronizes));
/// for work on other streams use [`release_after`](Self::release_after) or
/// [`before_release`](Self::before_release). Dropping never panics, and blocks as [`release`](Self::release) does.
///
/// A guard cannot be cloned, sent, or released twice:
///
/// ```compile_fail
/// # let manager = mlx_wired::Manager::builder().backend(mlx_wired::ffi::NoMlx::new()).build().unwrap();
/// let ticket = manager.ticket(&mlx_wired::MaxPolicy::new(), 1);
/// let guard = ticket.acquire().unwrap();
/// guard.release();
/// guard.release();
/// ```
///
/// ```compile_fail
/// # let manager = mlx_wired::Manager::builder().backend(mlx_wired::ffi::NoMlx::new()).build().unwrap();
/// let ticket = manager.ticket(&mlx_wired::MaxPolicy::new(), 1);
/// let guard = ticket.acquire().unwrap();
/// std::thread::scope(|scope| { scope.spawn(move || drop(guard)); });
/// ```
///
/// ```
/// # let manager = mlx_wired::Manager::builder().backend(mlx_wired::ffi::NoMlx::new()).build().unwrap();
/// let ticket = manager.ticket(&mlx_wired::MaxPolicy::new(), 1);
/// let guard = ticket.acquire().unwrap();
/// guard.release();
/// ```
#[must_use = "dropping the guard at once releases it: bind it to a name that begins with a letter or `_name`"]
#[clippy::has_significant_drop]
pub struct Guard<'a> {
    ticket: &'a Ticket,
    raw: Raw,
    /// Not `Send`: the guard belongs to its thread.
    _thread: PhantomData<*const ()>,
}

/// An admitted ticket of its own. Releases on drop, in unwinding too; may go to other threads.
///
/// Where each release waits for its thread's work ([`SyncOnRelease`](crate::SyncOnRelease)), that of an owned guard does so
/// on the thread that took it alone: released elsewhere it needs [`release_after`](Self::release_after) or a
/// [hook](Self::before_release), unless its work is done.
///
/// What is said of [`Guard`] about dropping holds here too, but for this: its ticket may be the last that has a policy of
/// your own, whose destructor then runs after the release; if that panics, so does dropping the guard.
#[must_use = "dropping the guard at once releases it: bind it to a name that begins with a letter or `_name`"]
#[clippy::has_significant_drop]
pub struct OwnedGuard {
    /// Taken by the end.
    ticket: Option<Ticket>,
    raw: Raw,
    /// The thread that took it.
    thread: ThreadId,
}

impl<'a> Guard<'a> {
    #[inline]
    pub(super) fn new(ticket: &'a Ticket, raw: Raw) -> Self {
        #[cfg(feature = "tracing")]
        let raw = raw.traced(ticket);
        Self {
            ticket,
            raw,
            _thread: PhantomData,
        }
    }

    fn ticket_ref(&self) -> &Ticket {
        self.ticket
    }

    fn parts(&mut self) -> (&mut Raw, &Ticket) {
        (&mut self.raw, self.ticket)
    }

    /// It belongs to the thread that took it.
    fn work(&self) -> Work {
        Work::Here
    }

    /// Ends the guard with `end` in place of its destructor.
    fn consume<R>(self, end: impl FnOnce(Raw, &Ticket) -> R) -> R {
        let mut guard = ManuallyDrop::new(self);
        let raw = std::mem::replace(&mut guard.raw, Raw::EMPTY);
        end(raw, guard.ticket)
    }

    guard_methods!();
}

impl OwnedGuard {
    pub(super) fn new(ticket: Ticket, raw: Raw) -> Self {
        #[cfg(feature = "tracing")]
        let raw = raw.traced(&ticket);
        Self {
            ticket: Some(ticket),
            raw,
            thread: thread_id(),
        }
    }

    fn ticket_ref(&self) -> &Ticket {
        self.ticket.as_ref().expect("only its end takes the ticket")
    }

    fn parts(&mut self) -> (&mut Raw, &Ticket) {
        (
            &mut self.raw,
            self.ticket.as_ref().expect("only its end takes the ticket"),
        )
    }

    fn work(&self) -> Work {
        if self.thread == thread_id() {
            Work::Here
        } else {
            Work::Elsewhere
        }
    }

    /// Ends the guard with `end` in place of its destructor.
    fn consume<R>(mut self, end: impl FnOnce(Raw, &Ticket) -> R) -> R {
        let ticket = self.ticket.take().expect("only its end takes the ticket");
        end(std::mem::replace(&mut self.raw, Raw::EMPTY), &ticket)
    }

    guard_methods!();
}

/// Both guards print as what they hold.
macro_rules! debug_guard {
    ($type:ty, $name:literal) => {
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct($name)
                    .field("ticket", &self.ticket_ref())
                    .field("waited", &self.waited())
                    .finish_non_exhaustive()
            }
        }
    };
}

debug_guard!(Guard<'_>, "Guard");
debug_guard!(OwnedGuard, "OwnedGuard");

static_assertions::assert_not_impl_any!(Guard<'static>: Send, Clone);
static_assertions::assert_impl_all!(OwnedGuard: Send, Sync);
static_assertions::assert_not_impl_any!(OwnedGuard: Clone);

impl Drop for Guard<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.raw.release_borrowed(self.ticket);
    }
}

impl Drop for OwnedGuard {
    fn drop(&mut self) {
        let work = self.work();
        if let Some(ticket) = &self.ticket {
            self.raw.release_owned(ticket, work);
        }
    }
}
