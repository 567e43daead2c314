//! The state of a manager: what the fast path touches, what the lock protects, and what waits. It knows nothing of the
//! parts that change it.

pub(crate) mod core;
pub(crate) mod count;
pub(crate) mod delay;
pub(crate) mod demand;
pub(crate) mod figures;
pub(crate) mod grant;
pub(crate) mod group;
pub(crate) mod group_state;
pub(crate) mod groups;
pub(crate) mod key;
pub(crate) mod live;
pub(crate) mod pending_work;
pub(crate) mod pinned;
pub(crate) mod queues;
pub(crate) mod reclaimers;
pub(crate) mod registry;
pub(crate) mod request;
pub(crate) mod settings;
pub(crate) mod share;
pub(crate) mod spans;
pub(crate) mod stall;
pub(crate) mod uncovered;
pub(crate) mod wait_times;
pub(crate) mod waiter;
pub(crate) mod word;
