//! Guards that the accounts know of.

use super::accounts::Claim;
use super::world::World;
use mlx_wired::{Error, Guard, OwnedGuard, Released, Wait};
use std::mem::forget;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{panicking, yield_now};
use std::time::Duration;

/// What both guards can do.
pub(crate) trait AnyGuard {
    fn bytes(&self) -> u64;
    fn resize_with(&mut self, bytes: u64, wait: Wait) -> Result<(), Error>;
    fn try_resize(&mut self, bytes: u64) -> Result<(), Error>;
    fn release(self) -> Released;
    fn release_after(self, finish: impl FnOnce()) -> Released;
    fn before_release(&mut self, hook: Hook);
    fn leak(self);
}

type Hook = Box<dyn FnOnce() -> HookResult + Send + Sync>;
type HookResult = Result<(), Box<dyn std::error::Error + Send + Sync>>;

macro_rules! any_guard {
    ($type:ty) => {
        impl AnyGuard for $type {
            fn bytes(&self) -> u64 {
                self.bytes()
            }
            fn resize_with(&mut self, bytes: u64, wait: Wait) -> Result<(), Error> {
                self.resize_with(bytes, wait)
            }
            fn try_resize(&mut self, bytes: u64) -> Result<(), Error> {
                self.try_resize(bytes)
            }
            fn release(self) -> Released {
                self.release()
            }
            fn release_after(self, finish: impl FnOnce()) -> Released {
                self.release_after(finish)
            }
            fn before_release(&mut self, hook: Hook) {
                self.before_release(hook);
            }
            fn leak(self) {
                self.leak();
            }
        }
    };
}

any_guard!(Guard<'_>);
any_guard!(OwnedGuard);

/// A live guard, checked as it begins and as it ends.
pub(crate) struct Held<G: AnyGuard> {
    guard: Option<G>,
    pub(crate) claim: Claim,
    world: Arc<World>,
}

impl World {
    /// Acquires, and checks what comes of it.
    #[track_caller]
    pub(crate) fn hold<G: AnyGuard>(
        self: &Arc<Self>,
        claim: Claim,
        acquire: impl FnOnce() -> Result<G, Error>,
    ) -> Result<Held<G>, Error> {
        let was_closed = self.closed.load(Ordering::SeqCst);
        self.accounts.enter(claim);
        let guard = acquire().inspect_err(|error| {
            self.accounts.leave(claim);
            self.check_error(claim, error);
        })?;
        assert!(!was_closed, "R23: a guard of a closed manager");
        assert_eq!(guard.bytes(), claim.bytes());
        self.begin(claim);
        let held = Held {
            guard: Some(guard),
            claim,
            world: self.clone(),
        };
        self.check_limit("a guard was returned");
        Ok(held)
    }
}

impl<G: AnyGuard> Held<G> {
    /// Resizes to `SIZES[size]`, by `resize`.
    #[track_caller]
    pub(crate) fn resize(
        &mut self,
        size: usize,
        resize: impl FnOnce(&mut G, u64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let world = self.world.clone();
        let (from, to) = (self.claim, Claim { size, ..self.claim });
        let grows = to.bytes() > from.bytes();
        world.accounts.enter(to);
        if !grows {
            // What lives throughout is the smaller of the two.
            world.accounts.end(from);
            world.begin(to);
            self.claim = to;
        }
        let guard = self.guard.as_mut().expect("it lives");
        let resized = resize(guard, to.bytes());
        let bytes = guard.bytes();
        match resized {
            Ok(()) => {
                assert_eq!(bytes, to.bytes());
                if grows {
                    world.accounts.end(from);
                    world.begin(to);
                    self.claim = to;
                }
                world.accounts.leave(from);
                world.check_limit("a guard was resized");
                Ok(())
            }
            Err(error) => {
                assert!(grows, "R21: a shrink failed: {error:?}");
                assert_eq!(bytes, from.bytes(), "R21: all or nothing");
                world.accounts.leave(to);
                world.check_error(to, &error);
                Err(error)
            }
        }
    }

    /// Sets a hook that takes its time, fails, panics, or calls back.
    pub(crate) fn hook(&mut self) {
        let manager = self.world.manager.clone();
        let hook = move || match fastrand::u8(..4) {
            0 => Err("the hook fails".into()),
            1 => std::panic::resume_unwind(Box::new("the hook panics")),
            2 => {
                drop(manager.snapshot());
                Ok(manager.poke()?)
            }
            _ => {
                yield_now();
                Ok(())
            }
        };
        let guard = self.guard.as_mut().expect("it lives");
        guard.before_release(Box::new(hook));
    }

    /// Releases by a call that tells what became of it.
    pub(crate) fn release(mut self) -> Released {
        let guard = self.ends().expect("it lives");
        let released = match fastrand::bool() {
            true => guard.release(),
            false => guard.release_after(yield_now),
        };
        self.world.accounts.leave(self.claim);
        released
    }

    /// It lives for ever.
    pub(crate) fn never_release(mut self) {
        let guard = self.guard.take().expect("it lives");
        match fastrand::bool() {
            true => guard.leak(),
            false => forget(guard),
        }
    }

    /// Takes the guard out, to be released at once.
    #[track_caller]
    fn ends(&mut self) -> Option<G> {
        let guard = self.guard.take()?;
        if !panicking() {
            self.world.check_limit("a guard lives");
        }
        self.world.accounts.end(self.claim);
        Some(guard)
    }
}

impl<G: AnyGuard> Drop for Held<G> {
    fn drop(&mut self) {
        if let Some(guard) = self.ends() {
            drop(guard);
            self.world.accounts.leave(self.claim);
        }
    }
}

/// A short wait, up to `most` microseconds.
pub(crate) fn shortly(most: u64) -> Wait {
    Wait::new().timeout(Duration::from_micros(fastrand::u64(..=most)))
}
