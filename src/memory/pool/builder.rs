//! How a pool is built.

use super::inner::{Inner, TicketOf};
use super::state::State;
use super::{BufferPool, classes};
use crate::clock::{Clock, SystemClock};
use crate::{Manager, Policy};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Settings of a [`BufferPool`], from [`BufferPool::builder`].
#[must_use = "a pool is made by `build`"]
pub struct PoolBuilder {
    name: Arc<str>,
    limit: u64,
    idle_limit: u64,
    decay: Duration,
    housekeeping: bool,
    clock: Arc<dyn Clock>,
    counted: Option<(Manager, Box<TicketOf>)>,
}

impl BufferPool {
    /// Settings of a pool with this name, which its errors tell.
    pub fn builder(name: &str) -> PoolBuilder {
        PoolBuilder::new(name)
    }
}

impl PoolBuilder {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: Arc::from(name),
            limit: u64::MAX,
            idle_limit: u64::MAX,
            decay: Duration::from_secs(10),
            housekeeping: true,
            clock: Arc::new(SystemClock),
            counted: None,
        }
    }

    /// The most bytes in use and idle at once, counted in [capacities](super::PoolBuf::capacity) and rounded up to 16 KiB.
    ///
    /// Idle blocks make room for buffers, so all of it can be had, whatever was had before. Default: none.
    pub fn limit(mut self, bytes: u64) -> Self {
        self.limit = classes::exact(bytes);
        self
    }

    /// The most idle bytes: those that have been idle for the longest time go first. A larger block is unmapped when its
    /// buffer comes back. Default: the limit.
    pub fn idle_limit(mut self, bytes: u64) -> Self {
        self.idle_limit = bytes;
        self
    }

    /// How long a block may be idle before it is unmapped; [`Duration::MAX`] for ever. Default: 10 s.
    pub fn decay(mut self, decay: Duration) -> Self {
        self.decay = decay;
        self
    }

    /// Whether a thread unmaps what is [idle for too long](Self::decay). It lives while blocks are idle. Without it
    /// [`BufferPool::maintain`] does that. Default: yes.
    pub fn housekeeping(mut self, on: bool) -> Self {
        self.housekeeping = on;
        self
    }

    /// The clock by which blocks decay and waits end. Default: the system's.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Counts the pool's memory in `manager`, under `policy`: each block, in use or idle, is a reservation until it is
    /// unmapped, with the pool's name as its label.
    ///
    /// What the policy does not admit is [`PoolError::NotAdmitted`](super::PoolError::NotAdmitted), after idle blocks have
    /// been given back. The reservations are [evictable](crate::Ticket::evictable), and the pool is a
    /// [reclaimer](Manager::on_shortage): a demand that waits for memory gets what is idle.
    ///
    /// Waits of [`get_timeout`](BufferPool::get_timeout) for the policy end by the manager's clock.
    pub fn counted_by<P: Policy + Clone>(mut self, manager: &Manager, policy: &P) -> Self {
        let (of, policy, name) = (manager.clone(), policy.clone(), self.name.clone());
        let ticket = move |bytes| {
            let ticket = of.ticket(&policy, bytes).reservation().evictable();
            ticket.label(name.clone())
        };
        self.counted = Some((manager.clone(), Box::new(ticket)));
        self
    }

    /// The pool.
    #[must_use]
    pub fn build(self) -> BufferPool {
        let mut state = State::new(self.limit, self.idle_limit.min(self.limit));
        let account = state.account(&self.name);
        let (manager, counted) = self.counted.unzip();
        let decay = Some(self.decay).filter(|decay| *decay < Duration::MAX);
        let inner = Inner::new(state, self.clock, decay, self.housekeeping, counted);
        let reclaimer = manager.map(|manager| {
            let pool = Arc::downgrade(&inner);
            manager.on_shortage(move |shortage| {
                if let Some(pool) = pool.upgrade() {
                    pool.evict(shortage.missing);
                }
            })
        });
        BufferPool::new(inner, reclaimer, self.name, account)
    }
}

impl fmt::Debug for PoolBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolBuilder")
            .field("name", &self.name)
            .field("limit", &self.limit)
            .field("idle_limit", &self.idle_limit)
            .field("decay", &self.decay)
            .finish_non_exhaustive()
    }
}
