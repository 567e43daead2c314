//! What a pool's handles and buffers share: the state, and what is done without its lock.

use super::block::Block;
use super::error::PoolError;
use super::map::Map;
use super::process;
use super::state::{After, Need, State};
use crate::clock::Clock;
use crate::sync::Mutex;
use crate::{OwnedGuard, Ticket, Wait};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Makes the ticket of a block.
pub(super) type TicketOf = dyn Fn(u64) -> Ticket + Send + Sync;

pub(super) struct Inner {
    state: Mutex<State>,
    pub(super) clock: Arc<dyn Clock>,
    /// How long a block may be idle; none for ever.
    pub(super) decay: Option<Duration>,
    pub(super) housekeeping: bool,
    counted: Option<Box<TicketOf>>,
    /// The number of the process that built it.
    process: u32,
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
        process::watch();
        Arc::new_cyclic(|this| Self {
            state: Mutex::new(state),
            clock,
            decay,
            housekeeping,
            counted,
            process: process::number(),
            this: this.clone(),
        })
    }

    /// Whether it is the pool of a process that this one was forked from: its lock may be held for ever.
    pub(super) fn is_inherited(&self) -> bool {
        self.process != process::number()
    }

    /// Keeps it for ever, since a thread that is not in a forked child may have been amid changing it.
    pub(super) fn stay(&self) {
        std::mem::forget(self.this.upgrade());
    }

    /// Runs `f` with the lock, then what follows without it. A forked child finds a pool without room.
    pub(super) fn locked<R>(&self, f: impl FnOnce(&mut State, &mut After) -> R) -> R {
        let mut after = After::default();
        let result = if self.is_inherited() {
            f(&mut State::new(0, 0), &mut after)
        } else {
            f(&mut self.state.lock(), &mut after)
        };
        after.finish();
        result
    }

    /// A new block, counted and mapped.
    #[track_caller]
    pub(super) fn map(&self, need: Need, capacity: u64, wait: &Wait) -> Result<Block, PoolError> {
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
        Ok(Block::new(map, guard))
    }

    /// Idle blocks are counted, too: those go before a new one is refused, or waits.
    #[track_caller]
    fn admit(&self, ticket: &Ticket, wait: &Wait) -> Result<OwnedGuard, crate::Error> {
        let mut refused = match ticket.acquire_owned_with(Wait::none()) {
            Ok(guard) => return Ok(guard),
            Err(refused) => refused,
        };
        // What is missing may be more than is asked for, where a cap was lowered.
        for bytes in [ticket.bytes(), u64::MAX] {
            if refused.is_never() || self.evict(bytes) == 0 {
                break;
            }
            refused = match ticket.acquire_owned_with(Wait::none()) {
                Ok(guard) => return Ok(guard),
                Err(refused) => refused,
            };
        }
        if refused.is_never() || wait.is_none() {
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
    pub(super) fn return_block(&self, account: usize, block: Block) {
        let now = self.clock.now();
        let capacity = block.capacity();
        let unkept = self.locked(|state, after| {
            let unkept = state.return_block(account, block, now, after);
            self.start_housekeeping(state);
            unkept
        });
        if unkept.is_some() {
            // First the memory, then the room: what takes its place is neither beside it nor refused for its sake.
            drop(unkept);
            self.locked(|state, after| state.subtract_in_use(account, capacity, after));
        }
    }
}
