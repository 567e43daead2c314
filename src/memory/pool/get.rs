//! Getting a buffer: at once, or after a wait in the queue.

use super::buf::PoolBuf;
use super::error::PoolError;
use super::inner::Inner;
use super::state::{Allotment, Need};
use crate::Wait;
use crate::clock::Sleeper;
use std::time::Duration;

/// How a call that may wait begins.
enum Begun {
    Allotted(Allotment),
    /// Its number there.
    Queued(u64),
}

/// Bytes that are in use already, of a block that is still to be mapped. Dropped, in unwinding too, it gives them back.
struct Promise<'a> {
    inner: &'a Inner,
    need: Need,
    capacity: u64,
}

impl Promise<'_> {
    fn fulfil(self) {
        self.inner
            .locked(|state, _| state.mapped(self.need, self.capacity));
        std::mem::forget(self);
    }
}

impl Drop for Promise<'_> {
    fn drop(&mut self) {
        self.inner
            .locked(|state, after| state.undo(self.need, self.capacity, after));
    }
}

impl Inner {
    /// A buffer, if there is one now.
    #[track_caller]
    pub(super) fn try_get(&self, need: Need) -> Option<PoolBuf> {
        let allotment = self.locked(|state, _| {
            let allotment = state.try_allot(need);
            allotment.or_else(|| state.refuse_without_error())
        })?;
        self.complete(need, allotment, &Wait::none()).ok()
    }

    /// A buffer, or why there is none now.
    #[track_caller]
    pub(super) fn get(&self, need: Need) -> Result<PoolBuf, PoolError> {
        let allotment = self.locked(|state, _| {
            let allotment = state.try_allot(need);
            allotment.ok_or_else(|| state.refuse(need, Duration::ZERO))
        })?;
        self.complete(need, allotment, &Wait::none())
    }

    /// A buffer, after this time at the latest; whenever it comes, if that is later than the clock can tell.
    #[track_caller]
    pub(super) fn get_within(&self, need: Need, timeout: Duration) -> Result<PoolBuf, PoolError> {
        let deadline = self.clock.now().checked_add(timeout);
        let wait = match deadline {
            Some(deadline) => Wait::new().deadline(deadline),
            None => Wait::new(),
        };
        let sleeper = Sleeper::new();
        let begun = self.locked(|state, _| match state.try_allot(need) {
            Some(allotment) => Ok(Begun::Allotted(allotment)),
            None if state.is_too_large(need) => Err(state.refuse(need, Duration::ZERO)),
            None => Ok(Begun::Queued(state.enqueue(need, sleeper.wake_handle()))),
        })?;
        let number = match begun {
            Begun::Allotted(allotment) => return self.complete(need, allotment, &wait),
            Begun::Queued(number) => number,
        };
        let since = self.clock.now();
        loop {
            self.clock.park(&sleeper, deadline);
            let now = self.clock.now();
            let is_over = deadline.is_some_and(|deadline| now >= deadline);
            let allotment = self.locked(|state, after| {
                let allotment = state.remove_granted(number);
                if allotment.is_none() && is_over {
                    state.remove_waiter(number, after);
                    return Err(state.refuse(need, now.saturating_duration_since(since)));
                }
                Ok(allotment)
            })?;
            if let Some(allotment) = allotment {
                return self.complete(need, allotment, &wait);
            }
        }
    }

    /// Makes a buffer of what a demand was given.
    #[track_caller]
    fn complete(
        &self,
        need: Need,
        allotment: Allotment,
        wait: &Wait,
    ) -> Result<PoolBuf, PoolError> {
        let Allotment {
            capacity,
            block,
            evicted,
        } = allotment;
        let mut block = match block {
            Some(block) => block,
            None => {
                let promise = Promise {
                    inner: self,
                    need,
                    capacity,
                };
                drop(evicted);
                let block = self.map(need, capacity, wait)?;
                promise.fulfil();
                block
            }
        };
        if !need.is_counted {
            block.map_mut().touch();
        }
        let this = self.this.upgrade().expect("a handle of the pool calls");
        Ok(PoolBuf::new(this, block, need))
    }
}
