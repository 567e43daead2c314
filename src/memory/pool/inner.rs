//! What a pool's handles and buffers share: the state, and what is done without its lock.

use super::block::Block;
use super::buf::PoolBuf;
use super::error::PoolError;
use super::map::Map;
use super::state::{After, Need, State, Taken};
use crate::clock::{Clock, Sleeper};
use crate::sync::{Arc, Mutex, Weak};
use crate::{OwnedGuard, Ticket, Wait, fork};
use std::time::{Duration, Instant};

/// How a call that may wait begins.
enum Entered {
    Served(Taken),
    /// Its number there.
    InLine(u64),
}

/// Makes the ticket of a block.
pub(super) type TicketOf = dyn Fn(u64) -> Ticket + Send + Sync;

pub(super) struct Inner {
    state: Mutex<State>,
    pub(super) clock: Arc<dyn Clock>,
    /// How long a block may be idle; none for ever.
    pub(super) decay: Option<Duration>,
    pub(super) housekeeping: bool,
    counted: Option<Box<TicketOf>>,
    pub(super) this: Weak<Inner>,
}

impl Inner {
    pub(super) fn new(
        state: State,
        clock: Arc<dyn Clock>,
        decay: Option<Duration>,
        housekeeping: bool,
        counted: Option<Box<TicketOf>>,
    ) -> Arc<Self> {
        crate::holders::watch_forks();
        Arc::new_cyclic(|this| Self {
            state: Mutex::new(state),
            clock,
            decay,
            housekeeping,
            counted,
            this: this.clone(),
        })
    }

    /// Runs `f` with the lock, then what follows without it.
    pub(super) fn locked<R>(&self, f: impl FnOnce(&mut State, &mut After) -> R) -> R {
        let mut after = After::default();
        let result = f(&mut self.state.lock(), &mut after);
        after.finish();
        result
    }

    /// A buffer, if there is one now.
    pub(super) fn try_get(&self, need: Need) -> Option<PoolBuf> {
        fork::check().ok()?;
        let taken = self.locked(|state, _| {
            let taken = state.enter(need);
            taken.or_else(|| state.refuse_untold())
        })?;
        self.complete(need, taken, &Wait::none()).ok()
    }

    /// A buffer, or why there is none now.
    pub(super) fn get(&self, need: Need) -> Result<PoolBuf, PoolError> {
        self.check(need)?;
        let taken = self.locked(|state, _| {
            let taken = state.enter(need);
            taken.ok_or_else(|| state.refuse(need, Duration::ZERO))
        })?;
        self.complete(need, taken, &Wait::none())
    }

    /// A buffer, at the latest at a deadline; without one whenever it comes.
    pub(super) fn get_by(
        &self,
        need: Need,
        deadline: Option<Instant>,
    ) -> Result<PoolBuf, PoolError> {
        self.check(need)?;
        let wait = match deadline {
            Some(deadline) => Wait::new().deadline(deadline),
            None => Wait::new(),
        };
        let sleeper = Sleeper::new();
        let entered = self.locked(|state, _| match state.enter(need) {
            Some(taken) => Ok(Entered::Served(taken)),
            None if state.is_too_large(need) => Err(state.refuse(need, Duration::ZERO)),
            None => Ok(Entered::InLine(state.wait(need, sleeper.waker()))),
        })?;
        let number = match entered {
            Entered::Served(taken) => return self.complete(need, taken, &wait),
            Entered::InLine(number) => number,
        };
        let since = self.clock.now();
        loop {
            self.clock.park(&sleeper, deadline);
            let now = self.clock.now();
            let is_over = deadline.is_some_and(|deadline| now >= deadline);
            let taken = self.locked(|state, after| {
                let taken = state.granted(number);
                if taken.is_none() && is_over {
                    state.give_up(number, after);
                    return Err(state.refuse(need, now.saturating_duration_since(since)));
                }
                Ok(taken)
            })?;
            if let Some(taken) = taken {
                return self.complete(need, taken, &wait);
            }
        }
    }

    fn check(&self, need: Need) -> Result<(), PoolError> {
        fork::check().map_err(|forked| PoolError::NotAdmitted {
            // Without the lock, which may be another thread's in the parent.
            name: Arc::from("a forked process"),
            requested: need.len,
            source: Box::new(forked),
        })
    }

    /// Makes a buffer of what a demand was given.
    fn complete(&self, need: Need, taken: Taken, wait: &Wait) -> Result<PoolBuf, PoolError> {
        let Taken {
            capacity,
            block,
            evicted,
        } = taken;
        drop(evicted);
        let block = match block {
            Some(block) => block,
            None => self.map(need, capacity, wait).inspect_err(|_| {
                self.locked(|state, after| state.undo(need, capacity, after));
            })?,
        };
        let this = self.this.upgrade().expect("a handle of the pool calls");
        Ok(PoolBuf::new(this, block, need))
    }

    /// A new block, counted and mapped.
    fn map(&self, need: Need, capacity: u64, wait: &Wait) -> Result<Block, PoolError> {
        let name = || self.locked(|state, _| state.name(need.account));
        let guard = match &self.counted {
            None => None,
            Some(ticket_of) => {
                let guard = self.admit(&ticket_of(capacity), wait);
                Some(guard.map_err(|source| PoolError::NotAdmitted {
                    name: name(),
                    requested: need.len,
                    source: Box::new(source),
                })?)
            }
        };
        let map = Map::new(capacity).map_err(|source| PoolError::System {
            name: name(),
            requested: need.len,
            source,
        })?;
        let mut block = Block::new(map, guard);
        if !need.is_counted {
            block.map_mut().touch();
        }
        Ok(block)
    }

    /// Idle blocks are counted, too: those go before a new one is refused, or waits.
    fn admit(&self, ticket: &Ticket, wait: &Wait) -> Result<OwnedGuard, crate::Error> {
        let refused = match ticket.acquire_owned_with(Wait::none()) {
            Ok(guard) => return Ok(guard),
            Err(refused) => refused,
        };
        let evicted = self.evict(ticket.bytes());
        if refused.is_never() || (evicted == 0 && wait.is_none()) {
            return Err(refused);
        }
        ticket.acquire_owned_with(wait.clone())
    }

    /// Unmaps at least so many idle bytes, if there are, and returns how many.
    pub(super) fn evict(&self, bytes: u64) -> u64 {
        self.locked(|state, after| {
            let left = state.idle().saturating_sub(bytes);
            state.evict_to(left, after)
        })
    }

    /// A buffer comes back, on whatever thread.
    pub(super) fn give(&self, account: usize, block: Block) {
        let now = self.clock.now();
        self.locked(|state, after| {
            state.give(account, block, now, after);
            self.start_housekeeping(state);
        });
    }
}
